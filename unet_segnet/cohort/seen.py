"""Which slices of a data set a network was trained on, as far as their pixels tell."""

import hashlib
from collections.abc import Iterator

import numpy as np

from unet_segnet.cohort.domain import released_lesion_shares, released_marks
from unet_segnet.cohort.load import Cohort
from unet_segnet.data.catalogue import RELEASED
from unet_segnet.data.splits import paper_split

ALIKE = 0.99  # correlation of the lesions' sizes over a whole set; 0.9999 between the released masks and MedSeg's


def slice_marks(images: np.ndarray) -> list[str]:
    """A short hash of each of (num_slices, height, width) uint8 slices, by which it is known again."""
    return [hashlib.sha256(image.tobytes()).hexdigest()[:16] for image in images]


def training_marks(facts: dict) -> list[str]:
    """The marks of the slices that a network was trained on; none where nobody knows.

    Arguments:
        facts: of the network, see `unet_segnet.networks.facts`. One of the released slices that says no more was
            trained on the article's 72.
    """
    if marks := facts.get("slices"):
        return marks
    return [released_marks()[index] for index in paper_split().train] if facts.get("data") == RELEASED else []


def seen_slices(facts: dict, cohort: Cohort) -> list[int]:
    """Indices of the slices that a network was trained on.

    They are known by their pixels; those of MedSeg's 100 slices, from which the released ones were made, by the sizes
    of their lesions.
    """
    known = set(training_marks(facts))
    found = {index for index, mark in enumerate(slice_marks(cohort.slices.images)) if mark in known}
    released = [number for number, mark in enumerate(released_marks()) if mark in known]
    for places in _released_sets(cohort) if released else ():
        found.update(int(index) for index in places[released])
    return sorted(found)


def _released_sets(cohort: Cohort) -> Iterator[np.ndarray]:
    """Indices of the slices of each case that is the released set, in whatever pixels."""
    cases, lesions = np.asarray(cohort.cases), cohort.slices.labels.astype(bool).mean(axis=(1, 2))
    released = released_lesion_shares()
    for case in dict.fromkeys(cohort.cases):
        places = np.flatnonzero(cases == case)
        if len(places) != len(released) or not lesions[places].any():
            continue
        if np.corrcoef(lesions[places], released)[0, 1] > ALIKE:
            yield places
