"""Class sizes and the class weights of the loss."""

import numpy as np


def class_sizes(labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Size of each class over a set of slices.

    Arguments:
        labels: (num_slices, height, width) integers 0..num_classes-1.
        num_classes: number of classes.

    Returns:
        pixel count and image pixel count, each (num_classes,) int64: the pixels of the class, and all
        pixels of the slices that contain the class.

    Raises:
        ValueError: a label is not below `num_classes`.

    Source: paper, Table 1; MATLAB R2020a: countEachLabel.
    """
    num_slices = len(labels)
    counts = np.zeros((num_slices, num_classes), np.int64)
    for index, label in enumerate(labels):
        found = np.bincount(label.ravel(), minlength=num_classes)
        if len(found) > num_classes:
            raise ValueError(f"labels must be below {num_classes}. Received: {len(found) - 1}, slice {index}")
        counts[index] = found
    return sizes_of_counts(counts)


def sizes_of_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`class_sizes` of the pixels that each slice has of each class, (num_slices, num_classes) int64."""
    slice_pixels = counts.sum(axis=1, keepdims=True)
    return counts.sum(axis=0), ((counts > 0) * slice_pixels).sum(axis=0)


def median_frequency_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class weights: the median class frequency divided by the frequency of each class.

    The frequency of a class is its pixels divided by all pixels of the slices that contain it. The
    authors took all 100 slices, not the training part alone. A class that is nowhere has no frequency: it
    is left out of the median and its weight, which no pixel uses, is 0.

    Arguments:
        labels: (num_slices, height, width) integers 0..num_classes-1.
        num_classes: number of classes.

    Returns:
        (num_classes,) float64.

    Source: paper, section 'Networks training' (median frequency balancing); the weights stored in the
    authors' released networks.
    """
    pixels, image_pixels = class_sizes(labels, num_classes)
    weights = np.zeros(num_classes)
    present = pixels > 0
    if present.any():
        frequencies = pixels[present] / image_pixels[present]
        weights[present] = np.median(frequencies) / frequencies
    return weights
