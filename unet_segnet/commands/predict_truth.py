"""True labels of a scan: what their values mean, whether they lie on it, and how well a segmentation agrees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.cohort.cases import class_file
from unet_segnet.cohort.classes import Classes
from unet_segnet.cohort.conventions import Pairing, labels_of, pair_classes
from unet_segnet.data.slices import MAX_CLASSES
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import Prepared, Segmentation
from unet_segnet.measures.comparison import Comparison, compare
from unet_segnet.scans import lay_on, read_scan, to_network


@dataclass(frozen=True, eq=False)
class Truth:
    """True labels that lie on a scan.

    Attributes:
        labels: (num_slices, height, width) uint8 index of `pairing.names`, in the networks' orientation.
        pairing: how the network's classes and those of the labels become the same ones.
        notes: what was assumed about them, one line each.
    """

    labels: np.ndarray
    pairing: Pairing
    notes: tuple[str, ...]

    def shown(self, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """For pictures, the labels as classes of a network, and the names of these: with one more where the labels
        tell less apart than it does."""
        if len(self.pairing.names) == len(class_names) or len(class_names) == MAX_CLASSES:
            return self.labels, class_names
        return self.labels * np.uint8(len(class_names)), (*class_names, "infected (truth)")


def class_file_near(truth: Path) -> Path | None:
    """The file that names the classes of true labels, in their folder or the one above it; None where there is none."""
    folder = truth if truth.is_dir() else truth.absolute().parent
    return class_file(folder) or class_file(folder.absolute().parent)


def read_truth(
    path: Path,
    prepared: Prepared,
    class_names: tuple[str, ...],
    classes: Classes | None = None,
    of_network: bool = False,
) -> Truth:
    """Read the true labels of a scan, before it is segmented.

    Arguments:
        path: file or folder of the labels.
        prepared: the scan that they belong to.
        class_names: of the network, background first.
        classes: what the values mean; None: it is recognised.
        of_network: whether that is what they meant in the labels that the network learnt from; of these the user said
            nothing.

    Raises:
        InputError: they cannot be read, do not lie on the scan, are no labels of the network's classes, or nobody knows
            what their values mean.
    """
    found = lay_on(prepared.scan, read_scan(path, colours=classes.colours if classes else None))
    values = to_network(found, like=prepared.slices).images
    sides = prepared.lungs.sides
    labels, meant = labels_of(values, path, classes, None if sides is None else sides > 0)
    marked = np.unique(values[values > 0])
    if of_network and len(marked) == 1 and not labels.any():
        # As likely as a scan with one lung alone and no lesion is one with lesions alone, of which no score would tell.
        raise InputError(
            f"{path}: marks {marked[0]} alone, which is no lesion in the labels that the network learnt from; say in "
            "--classes what its values mean"
        )
    if not meant.are_lesions and len(class_names) > 2 and int(values.max()) < len(class_names):
        # Of a scan without each of the classes, the values that are there may still be their numbers.
        labels, meant = values, Classes(class_names, {index: index for index in range(len(class_names))})
    try:
        pairing = pair_classes(class_names, meant)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    notes = (meant.text(), *meant.notes, *pairing.notes, *found.mask_notes)
    return Truth(pairing.of_labels[labels], pairing, tuple(f"truth: {note}" for note in notes))


def compare_with(truth: Truth, result: Segmentation) -> Comparison:
    """How well a segmentation agrees with the true labels."""
    return compare(
        truth.labels,
        truth.pairing.of_network[result.labels],
        len(truth.pairing.names),
        result.slices.spacing,
        class_names=truth.pairing.names,
        slice_names=result.slices.names,
        adjoining=result.scan.is_volume,
    )
