"""Classes of pixels from a network's probabilities."""

import keras
import numpy as np

from unet_segnet.errors import InputError

MIRRORS = ((), (1,), (2,))  # axes: as it is, the patient's sides exchanged, front and back exchanged


def mirrored_mean(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities averaged over a slice and its two mirror images, for networks that learnt from such.

    Arguments:
        model: gives class probabilities.
        images: (num_slices, size, size) as it takes them, a mini-batch.

    Returns:
        (num_slices, size, size, num_classes) float32.
    """
    found = [
        np.flip(np.asarray(model.predict_on_batch(np.flip(images, axes)[..., None]), np.float32), axes)
        for axes in MIRRORS
    ]
    return np.mean(found, axis=0)


def filled_up(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Slices and black ones, `batch_size` together: one shape is compiled once.

    Arguments:
        images: (num_slices, height, width), at most `batch_size`.
        batch_size: slices at a time.
    """
    return np.concatenate([images, np.zeros((batch_size - len(images), *images.shape[1:]), images.dtype)])


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 4, strict: bool = False) -> np.ndarray:
    """The most probable class of each pixel.

    Arguments:
        model: a network that gives class probabilities.
        images: (num_slices, height, width) grey levels 0..255.
        batch_size: slices at a time.
        strict: refuse probabilities that are no numbers; else they count as the first class.

    Returns:
        (num_slices, height, width) uint8 class indices; the first of equal probabilities.

    Raises:
        InputError: strict, and a probability is no number.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        probabilities = np.asarray(model.predict_on_batch(images[start : start + batch_size, ..., None]))
        if strict and not np.isfinite(probabilities).all():
            raise InputError(f"the network {model.name} gives probabilities that are no numbers; train it again")
        parts.append(np.argmax(probabilities, axis=-1).astype(np.uint8))
    return np.concatenate(parts)
