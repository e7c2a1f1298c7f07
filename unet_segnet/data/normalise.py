"""From what a scanner gives to what the networks of the second study take."""

import numpy as np
from PIL import Image

RULES = ("hu", "minmax")


def normalise(images: np.ndarray, rule: str) -> np.ndarray:
    """Bring the values of slices to the order of 1.

    Arguments:
        images: (num_slices, height, width).
        rule: "hu", (value + 500) / 500 of Hounsfield units (article, section III, and its released code until
            November 2022); or "minmax", each slice from 0 to 1 (that code later), of any values; a slice of one value
            becomes 0.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: rule is neither of the two.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}. Received: rule={rule!r}")
    images = np.asarray(images, np.float32)
    if rule == "hu":
        return (images + 500) / 500
    low = images.min(axis=(1, 2), keepdims=True)
    span = images.max(axis=(1, 2), keepdims=True) - low
    return (images - low) / np.where(span > 0, span, 1)


def resize_bilinear(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize slices bilinearly, antialiased when shrinking: what the released code's torchvision does.

    Arguments:
        images: (num_slices, height, width) float32.
        shape: new (height, width).

    Returns:
        (num_slices, *shape) float32; the images themselves where they have that shape.
    """
    if images.shape[1:] == tuple(shape):
        return images
    resized = np.empty((len(images), *shape), np.float32)
    for index, image in enumerate(images):
        resized[index] = Image.fromarray(image).resize(shape[::-1], Image.Resampling.BILINEAR)
    return resized
