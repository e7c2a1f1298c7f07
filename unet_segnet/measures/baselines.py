"""Two answers that need no network, for the same slices: what a score is worth shows beside them.

- All background: every pixel is class 0.
- Grey threshold: a pixel's grey level alone decides. For two classes it is infected from one grey level
  up; for K classes, K - 1 ordered levels t1 <= t2 <= ... cut the grey scale, class k taking [tk, tk+1). The
  levels maximise the pooled Dice of the lesion classes (for several, its mean) over the training slices. The
  Dice of a class depends only on its own grey interval, so the best cuts follow exactly from one grey
  histogram per class.

The paper has neither. Slices are lung-masked, so the threshold acts inside the lungs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.measures.metrics import UNLABELLED, confusion_matrices

if TYPE_CHECKING:
    from unet_segnet.data.slices import Slices

GREY_LEVELS = 256


@dataclass(frozen=True)
class Baseline:
    """The result of one baseline on a set of slices.

    Attributes:
        name: how tables call it; the same on every fold.
        description: what it does, with the fitted grey levels; one sentence for a table's notes.
        test_confusion: (num_slices, K, K) int64, rows are the truth.
    """

    name: str
    description: str
    test_confusion: np.ndarray


def evaluate_baselines(train: Slices, test: Slices) -> tuple[Baseline, Baseline]:
    """Both baselines on the labelled 8-bit slices of `test`; the threshold is fitted on those of `train`.

    Returns:
        (all background, grey threshold).

    Raises:
        InputError: slices without labels, or not 8-bit.
    """
    for slices in (train, test):
        if slices.labels is None or slices.images.dtype != np.uint8:
            raise InputError("the baselines need labelled 8-bit slices; give a data set that has masks")
    num_classes = len(test.class_names)
    thresholds = fit_thresholds(class_histograms(train.images, train.labels, num_classes))
    background = confusion_matrices(test.labels, np.zeros_like(test.labels), num_classes)
    by_grey = confusion_matrices(test.labels, classify(test.images, thresholds), num_classes)
    levels = ", ".join(
        f"{name} {f'at grey levels {first}-{end - 1}' if first < end else 'nowhere'}"
        for name, first, end in zip(test.class_names[1:], thresholds, (*thresholds[1:], GREY_LEVELS), strict=True)
    )
    return (
        Baseline("all background", f"every pixel is {test.class_names[0]}", background),
        Baseline("grey threshold", f"{levels}; fitted on {len(train)} training slices", by_grey),
    )


def class_histograms(images: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Grey histogram of each true class.

    Arguments:
        images: (num_slices, H, W) uint8 grey levels.
        labels: same shape, uint8 class index 0..num_classes-1; 255 (no label) is left out.

    Returns:
        (num_classes, 256) int64 pixels.
    """
    histograms = np.zeros((num_classes, GREY_LEVELS), np.int64)
    for image, label in zip(images, labels, strict=True):
        labelled = label != UNLABELLED
        codes = label[labelled].astype(np.intp) * GREY_LEVELS + image[labelled]
        histograms += np.bincount(codes, minlength=histograms.size).reshape(histograms.shape)
    return histograms


def fit_thresholds(histograms: np.ndarray) -> tuple[int, ...]:
    """The ordered grey levels t1 <= ... <= t(K-1) whose classes 1..K-1 have the highest mean pooled Dice.

    Arguments:
        histograms: (K, 256) pixels of each class at each grey level.

    Returns:
        K - 1 levels in 0..256. 256 means that no grey level reaches the class, equal neighbours that the
        lower class is never predicted. A class without any pixel scores 0; of equally good answers the higher
        grey levels are taken.
    """
    histograms = np.asarray(histograms, np.float64)
    num_classes, levels = len(histograms), np.arange(GREY_LEVELS + 1)
    below = np.zeros((num_classes, GREY_LEVELS + 1))
    below[:, 1:] = np.cumsum(histograms, axis=1)
    all_below = below.sum(axis=0)
    # From the last class down: best[t] is the highest sum of Dice of classes k.. when class k starts at t.
    best = np.where(levels == GREY_LEVELS, 0.0, -np.inf)
    ends = []
    for k in range(num_classes - 1, 0, -1):
        found = below[k] - below[k][:, np.newaxis]  # [start, end] -> true pixels of class k in between
        pixels = all_below - all_below[:, np.newaxis] + below[k][-1]
        dice = np.divide(2 * found, pixels, out=np.zeros_like(found), where=pixels > 0)
        score = np.where(levels >= levels[:, np.newaxis], dice + best, -np.inf)
        end = GREY_LEVELS - np.argmax(score[:, ::-1], axis=1)  # the last of equals
        ends.append(end)
        best = np.take_along_axis(score, end[:, np.newaxis], axis=1)[:, 0]
    thresholds = [int(GREY_LEVELS - np.argmax(best[::-1]))]
    for end in ends[:0:-1]:
        thresholds.append(int(end[thresholds[-1]]))
    return tuple(thresholds)


def classify(images: np.ndarray, thresholds: tuple[int, ...]) -> np.ndarray:
    """Class of each pixel of images (..., H, W) uint8: the number of thresholds at or below its grey level.

    Returns:
        an array of the same shape, uint8.
    """
    class_of_level = np.searchsorted(np.asarray(thresholds), np.arange(GREY_LEVELS), side="right")
    return class_of_level.astype(np.uint8)[images]
