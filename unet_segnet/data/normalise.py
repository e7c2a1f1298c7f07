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


def windowed(images: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Hounsfield units under a window, (low, high): float32, 0 to 1; of any shape."""
    low, high = window
    return np.clip((np.asarray(images, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)


def grey_as_hu(images: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """8-bit grey levels as the Hounsfield units that a window, (low, high), made them of: float32 of that shape."""
    low, high = window
    return low + np.asarray(images, np.float32) * ((high - low) / 255)


LUNG_PERCENTILES = (20.0, 99.5)  # of the values inside the lungs: healthy tissue, and what is as dense as blood
HEALTHY_LEVEL = 0.25
SHOWN_LEVELS = (0.05, 1.5)


def lung_levels(images: np.ndarray, lungs: np.ndarray, adjoining: bool = True) -> np.ndarray:
    """Grey levels referred to a scan's own lungs, whatever its window or units: healthy lung 0.25, vessels 1.25.

    Arguments:
        images: (num_slices, height, width) Hounsfield units or grey levels.
        lungs: likewise, True inside the lungs.
        adjoining: whether the slices are of one scan; if not, each refers to its own lungs.

    Returns:
        float32 of that shape: the 20th percentile inside the lungs becomes 0.25, the 99.5th 1.25, linearly, and values
        stay within 0 and 2. All 0.25 where the lungs are empty or have one value.
    """
    images, inside = np.asarray(images, np.float32), np.asarray(lungs, bool)
    if not adjoining:
        slices = zip(images, inside, strict=True)
        return np.concatenate([images[:0], *(lung_levels(image[None], lung[None]) for image, lung in slices)])
    low, high = np.percentile(images[inside], LUNG_PERCENTILES) if inside.any() else (0.0, 0.0)
    if high <= low:
        return np.full(images.shape, HEALTHY_LEVEL, np.float32)
    levels = images - np.float32(low)
    levels /= np.float32(high - low)  # in place: these are volumes
    levels += HEALTHY_LEVEL
    return np.clip(levels, 0, 2, out=levels)


def lungs_alone(levels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """What a network of lesions sees of `lung_levels`: 0 outside the lungs, 0.05 to 1.5 inside; same shape, float32."""
    shown = np.clip(np.asarray(levels, np.float32), *SHOWN_LEVELS)
    shown[~np.asarray(lungs, bool)] = 0
    return shown


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
