"""True labels of a scan: what their values mean, whether they lie on it, and how well a segmentation agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unet_segnet.cohort.classes import Classes
from unet_segnet.cohort.conventions import label_facts, recognise_classes
from unet_segnet.data.slices import BINARY_NAMES
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import Prepared, Segmentation
from unet_segnet.measures.comparison import Comparison, compare
from unet_segnet.scans import lay_on, read_scan, to_network


@dataclass(frozen=True, eq=False)
class Truth:
    """True labels that lie on a scan.

    Attributes:
        labels: (num_slices, height, width) uint8 class index, in the networks' orientation.
        class_names: of the labels: the network's, or infected or not where either of the two tells no more apart.
        notes: what was assumed about them, one line each.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def read_truth(path: Path, prepared: Prepared, class_names: tuple[str, ...], classes: Classes | None = None) -> Truth:
    """Read the true labels of a scan, before it is segmented.

    Arguments:
        path: file or folder of the labels.
        prepared: the scan that they belong to.
        class_names: of the network, background first.
        classes: what the values mean; None: it is recognised.

    Raises:
        InputError: they cannot be read, do not lie on the scan, are no labels of the network's classes, or nobody knows
            what their values mean.
    """
    found = lay_on(prepared.scan, read_scan(path))
    values = to_network(found, like=prepared.slices).images
    if classes is None:
        classes = _recognised(values, prepared, path, class_names)
    classes.check_values(np.unique(values).tolist(), path)
    try:
        names, classes = in_common(class_names, classes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    notes = (f"the values of {path.name} are taken for {classes.text()}", *classes.notes)
    return Truth(classes.indices(values), names, tuple(f"truth: {note}" for note in notes))


def _recognised(values: np.ndarray, prepared: Prepared, path: Path, class_names: tuple[str, ...]) -> Classes:
    """What the values mean of labels that nobody described."""
    sides = prepared.lungs.sides
    facts = label_facts(values, None if sides is None else sides > 0, path)
    by_index = Classes(class_names, {index: index for index in range(len(class_names))})
    if set(facts.values) <= {0}:
        return by_index
    classes = recognise_classes([facts])
    # Of a scan without each of the classes, the values that are there may still be their numbers.
    if not classes.are_lesions and len(class_names) > 2 and not by_index.unknown(facts.values):
        return by_index
    return classes


def in_common(class_names: tuple[str, ...], classes: Classes) -> tuple[tuple[str, ...], Classes]:
    """The classes that a network and labels both tell apart, and the labels' values as indices of these.

    Raises:
        InputError: they tell different numbers of classes apart, and neither is infected or not.
    """
    if sorted(class_names) == sorted(classes.names):
        index = {name: class_names.index(name) for name in classes.names}
        index_of = {value: index[classes.names[number]] for value, number in classes.index_of.items()}
        return class_names, replace(classes, names=class_names, index_of=index_of)
    if len(class_names) == len(classes.names):
        pairs = ", ".join(f"{of} for {here}" for of, here in zip(class_names, classes.names, strict=True))
        note = f"the network's classes are taken by their order: {pairs}"
        return class_names, replace(classes, notes=(*classes.notes, note))
    if 2 not in (len(class_names), len(classes.names)):
        raise InputError(
            f"the network tells {', '.join(class_names)} apart, the labels {', '.join(classes.names)}; expected the "
            "same, or two classes: give `classes` with one name for all lesions"
        )
    note = (
        f"scored as infected or not: the network tells {len(class_names)} classes apart, the labels "
        f"{len(classes.names)}"
    )
    return BINARY_NAMES, replace(classes.binary(), notes=(*classes.notes, note))


def compare_with(truth: Truth, result: Segmentation) -> Comparison:
    """How well a segmentation agrees with the true labels."""
    is_binary = len(truth.class_names) == 2
    return compare(
        truth.labels,
        (result.labels > 0).astype(np.uint8) if is_binary else result.labels,
        len(truth.class_names),
        result.slices.spacing,
        class_names=truth.class_names,
        slice_names=result.slices.names,
        adjoining=result.scan.is_volume,
    )
