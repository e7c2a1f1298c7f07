"""Classes of pixels from a network's probabilities."""

import re
from collections.abc import Sequence
from itertools import combinations

import keras
import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.networks.ensemble import Ensemble, cuts_scores
from unet_segnet.networks.facts import LUNG_LEVELS

SIDES = {"left", "right"}
MIRRORS = ((), (1,), (2,))  # axes: as it is, the patient's sides exchanged, front and back exchanged
AS_IT_IS = ((),)


def mirrored_mean(model: keras.Model, images: np.ndarray, mirrors: Sequence[tuple[int, ...]] = MIRRORS) -> np.ndarray:
    """Probabilities averaged over mirror images of slices, for networks that learnt from such.

    Arguments:
        model: gives class probabilities.
        images: (num_slices, size, size) as it takes them, a mini-batch.
        mirrors: the axes of each mirror image; `()` is the slice as it is.

    Returns:
        (num_slices, size, size, num_classes) float32.
    """
    found = [
        np.flip(np.asarray(model.predict_on_batch(np.flip(images, axes)[..., None]), np.float32), axes)
        for axes in mirrors
    ]
    return np.mean(found, axis=0)


def filled_up(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Slices and black ones, `batch_size` together: one shape is compiled once.

    Arguments:
        images: (num_slices, height, width), at most `batch_size`.
        batch_size: slices at a time.
    """
    return np.concatenate([images, np.zeros((batch_size - len(images), *images.shape[1:]), images.dtype)])


def of_members(model, images: np.ndarray, mirrors: Sequence[tuple[int, ...]]) -> np.ndarray:
    """(num_members, num_slices, size, size, num_classes) float32: what each network of an ensemble gives.

    Arguments as of `mirrored_mean`; a network alone is one member.
    """
    if not isinstance(model, Ensemble):
        return mirrored_mean(model, images, mirrors)[None]
    return model.answers([mirrored_mean(member, images, mirrors) for member in model.members])


def mirrors_of(model, tta: bool) -> tuple[tuple[int, ...], ...]:
    """The mirror images over which a network's probabilities are averaged.

    Arguments:
        model: of `load_model`.
        tta: whether test-time augmentation is asked for: all mirror images along its `mirror_axes`. Networks that
            refer grey levels to the lungs are averaged over `MIRRORS` always, as their thresholds were found.

    Raises:
        InputError: it is not known to have learnt from mirror images, its classes tell left from right, or means of
            its probabilities are of no use (`cuts_scores`).
    """
    if getattr(model, "takes", None) == LUNG_LEVELS:
        return MIRRORS
    if not tta:
        return AS_IT_IS
    axes = getattr(model, "mirror_axes", None)
    if not axes:
        raise InputError(
            "`tta` averages over mirror images, and this network does not say that it learnt from such "
            "(`mirror_axes`); leave `tta` out, or train it again with this version"
        )
    if any(map(cuts_scores, getattr(model, "members", (model,)))):
        raise InputError(
            "`tta` averages over mirror images, and a SegNet's scores are cut off at 0: the mean would mark whatever "
            "one of the images is marked in; leave `tta` out"
        )
    for name in getattr(model, "class_names", ()):
        if SIDES & set(re.findall("[a-z]+", name.lower())):
            raise InputError(f"`tta` averages over mirror images, and the class {name} tells sides apart; leave it out")
    return tuple(mirror for number in range(len(axes) + 1) for mirror in combinations(axes, number))


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 4) -> np.ndarray:
    """The most probable class of each pixel.

    Arguments:
        model: a network that gives class probabilities.
        images: (num_slices, height, width) grey levels 0..255.
        batch_size: slices at a time.

    Returns:
        (num_slices, height, width) uint8 class indices; the first of equal probabilities.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        probabilities = np.asarray(model.predict_on_batch(images[start : start + batch_size, ..., None]))
        parts.append(np.argmax(probabilities, axis=-1).astype(np.uint8))
    return np.concatenate(parts)
