"""The augmentation of the first study: a random top-bottom reflection and two random shears."""

import numpy as np

UNLABELLED = 255
"""Label of pixels that a shear brings in from outside the slice: left out of losses and scores."""

MIRROR_AXES = (1,)
"""Of (num_slices, height, width): along which slices are reflected. It exchanges the patient's sides."""

MAX_SHEAR = 10.0
"""Largest shear in degrees, to either side (the authors' XShear and YShear of [-10, 10])."""


def augment(
    images: np.ndarray, labels: np.ndarray, uniforms: np.ndarray, max_shear: float = MAX_SHEAR
) -> tuple[np.ndarray, np.ndarray]:
    """Reflect and shear slices, each image and its labels by one transformation.

    With x to the right and y down, counted from the image centre, a pixel at (x, y) moves to
    (x + tan(x_shear) y, y + tan(y_shear) x); where the reflection is drawn, y then changes sign. Images are
    interpolated bilinearly and rounded to 8 bit, 0 outside; labels take the nearest pixel, UNLABELLED
    outside. Outside is whatever lies beyond the centres of the border pixels.

    Args:
        images: (n, H, W) uint8, grey levels.
        labels: (n, H, W) uint8, class indices.
        uniforms: (n, 8) in [0, 1), one row per slice in MATLAB's order: reflection, rotation, x-shear,
            y-shear, x-translation, y-translation, x-scale, y-scale. Only reflection (below 0.5: reflected)
            and the shears (0 .. 1 is -max_shear .. max_shear) are used; 0.5 leaves the slice as it is.
        max_shear: in degrees, 0 .. 44.

    Returns:
        images (n, H, W) uint8 and labels (n, H, W) uint8.

    Raises:
        ValueError: the shapes do not belong together.

    Source: MATLAB R2020a: imageDataAugmenter, pixelLabelImageDatastore. Signs, order, centre and rounding
    are confirmed by the released normalisation means: one augmented pass over the 72 training slices, drawn
    from MATLAB's stream, gives 21.986221 (binary SegNet; released 21.986183) and 21.974689 (four classes;
    released 21.974686). The side of 0.5 is confirmed by the released first losses at batch 4, 8 and 12: met
    within 3e-4 with reflection below 0.5, missed by 2e-3 to 4e-3 with reflection above. Not confirmed:
    whether outside begins at the centres of the border pixels or half a pixel further out; the borders of
    all slices are black, and the released losses fit both equally well.
    """
    if images.ndim != 3 or labels.shape != images.shape or uniforms.shape != (len(images), 8):
        raise ValueError(
            "augment expects images and labels (n, H, W) and uniforms (n, 8). "
            f"Received: images {images.shape}, labels {labels.shape}, uniforms {uniforms.shape}"
        )
    reflected = uniforms[:, 0] < 0.5
    tangents = np.tan(np.deg2rad(max_shear * (2 * uniforms[:, 2:4] - 1)))
    moved_images, moved_labels = np.empty_like(images), np.empty_like(labels)
    for n in range(len(images)):
        moved_images[n], moved_labels[n] = _move(images[n], labels[n], reflected[n], *tangents[n])
    return moved_images, moved_labels


def _move(image: np.ndarray, label: np.ndarray, reflected: bool, x_shear: float, y_shear: float):
    """One slice and its labels, moved; the shears as tangents."""
    height, width = image.shape
    x_centre, y_centre = (width - 1) / 2, (height - 1) / 2
    y_out, x_out = np.arange(height) - y_centre, np.arange(width) - x_centre
    if reflected:
        y_out = -y_out
    scale = 1 / (1 - x_shear * y_shear)
    x = (x_out * scale + x_centre) + (-x_shear * scale * y_out)[:, None]
    y = (-y_shear * scale * x_out) + (y_out * scale + y_centre)[:, None]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)

    left, top = x.astype(np.int32), y.astype(np.int32)
    right_share, bottom_share = x - left, y - top
    stride = width + 1  # a row and a column of zeros stand behind the image: neighbours of its last pixels
    padded = np.zeros((height + 1, stride))
    padded[:height, :width] = image
    at = top * stride + left
    upper, lower = _between(padded, at, right_share), _between(padded, at + stride, right_share)
    grey = upper + bottom_share * (lower - upper) + 0.5

    nearest = (top + (bottom_share >= 0.5)) * width + (left + (right_share >= 0.5))
    return (
        np.where(inside, grey, 0).astype(np.uint8),
        np.where(inside, label.take(nearest, mode="clip"), UNLABELLED),
    )


def _between(padded: np.ndarray, at: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Grey levels between each pixel `at` (flat indices) and its right neighbour."""
    here = padded.take(at, mode="clip")
    return here + share * (padded.take(at + 1, mode="clip") - here)
