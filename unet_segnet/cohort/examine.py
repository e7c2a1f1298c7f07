"""What is wrong with labelled scans of one's own: everything that is, not the first thing alone."""

from pathlib import Path

import numpy as np

from unet_segnet.cohort.cases import CaseList, find_cases
from unet_segnet.cohort.classes import read_classes
from unet_segnet.cohort.conventions import recognise_classes, some
from unet_segnet.cohort.copies import find_copies
from unet_segnet.cohort.load import WITH_THE_SCANS, LoadedCase, Reader
from unet_segnet.cohort.mixtures import mixtures
from unet_segnet.data.balance import class_sizes
from unet_segnet.data.examine import Examination
from unet_segnet.data.mask_fit import BAD_FIT
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import AUTO

MANY = 12  # names in a line
WARNING = "WARNING: "


def examine_cohort(
    data: str | Path, classes: str | Path | None = None, lungs: str = AUTO, orientation: str | None = None
) -> Examination:
    """Examine a manifest or a folder of images and labels, one scan at a time.

    Arguments:
        data, classes, lungs, orientation: as of `unet_segnet.cohort.load_cohort`.

    Returns:
        Examination; class sizes and rows are those of the slices as the networks take them, of 256x256.

    Raises:
        InputError: there is no such data set.
    """
    listed = find_cases(data)
    found = Examination(problems=list(listed.problems))
    given = None
    try:
        if path := classes or listed.classes:
            given = read_classes(path)
    except InputError as error:
        found.problems.append(str(error))
        return found
    loaded = _read_all(listed, Reader(lungs, orientation, classes=given), found)
    _add_facts(listed, loaded, found)
    labelled = [one for one in loaded if one.labels is not None]
    if not labelled:
        found.problems.append("no sound labels: neither training nor scoring is possible")
        return found
    try:
        meaning = given or recognise_classes([one.found for one in labelled])
    except InputError as error:
        found.problems.append(str(error))
        return found
    found.facts.append(f"classes, {meaning.origin}: {meaning.text()}")
    for note in (*meaning.notes, *mixtures(labelled, meaning)):
        is_warning = note.startswith(WARNING)
        (found.warnings if is_warning else found.facts).append(note.removeprefix(WARNING))
    _add_labels(labelled, meaning, found)
    _add_copies(loaded, found)
    return found


def _read_all(listed: CaseList, read: Reader, found: Examination) -> list[LoadedCase]:
    loaded = []
    for case in listed.cases:
        try:
            loaded.append(read(case))
        except InputError as error:
            found.problems.append(str(error))
    return loaded


def _add_facts(listed: CaseList, loaded: list[LoadedCase], found: Examination) -> None:
    if listed.layout:
        found.facts.append(f"layout: {listed.layout}")
    found.facts += listed.notes
    for one in loaded:
        facts = one.facts
        spacing = "spacing unknown" if facts.spacing is None else "{:.3g} x {:.3g} x {:.3g} mm".format(*facts.spacing)
        found.facts.append(
            f"{one.case.name}: {_plural(len(one.names), 'slice')} of {facts.shape[0]}x{facts.shape[1]}, values "
            f"{facts.low:g} to {facts.high:g} ({facts.units}), {spacing}, orientation {facts.orientation}, lungs: "
            f"{facts.lungs}{f', cut off by the edge in {facts.cut_off}' if facts.cut_off else ''}, patient "
            f"{one.patient or 'unknown'}"
        )
    unlabelled = [case.name for case in listed.cases if case.labels is None]
    if unlabelled:
        found.facts.append(f"without labels, left out of training and scoring: {some(unlabelled, MANY)}")
    patients = {one.patient for one in loaded}
    unknown = sum(len(one.names) for one in loaded if one.patient is None)
    if unknown:
        found.facts.append(
            f"{_plural(unknown, 'slice')} of unknown patients: a split may put slices of one patient on both sides; "
            "name patients in a manifest"
        )
    elif len(patients) == 1:
        found.facts.append("one patient only: a split by patient is not possible")
    else:
        found.facts.append(f"{len(patients)} patients")


def _add_labels(labelled: list[LoadedCase], classes, found: Examination) -> None:
    sizes = np.zeros((2, len(classes.names)), np.int64)
    for one in labelled:
        try:
            classes.check_values(one.found.values, one.found.source)
        except InputError as error:
            found.problems.append(str(error))
        labels = classes.indices(one.labels)
        sizes += class_sizes(labels, len(classes.names))
        found.rows += _rows(one, labels, classes.names)
        lesion = labels > 0
        outside = (lesion & ~one.lungs).sum() / max(lesion.sum(), 1)
        if outside > BAD_FIT:
            line = f"{one.case.name}: {outside:.0%} of its lesion pixels lie outside the lungs"
            if one.facts.lungs == WITH_THE_SCANS:
                found.problems.append(
                    f"{line}; expected labels that belong to this scan, are they another's, or turned?"
                )
            else:
                found.facts.append(f"{line} (lungs: {one.facts.lungs})")
    found.sizes.append((f"{sum(len(one.names) for one in labelled)} slices, at 256x256", classes.names, *sizes))
    if not sizes[0, 1:].any():
        found.problems.append("every label file is empty: there is no lesion to learn or to score")


def _add_copies(loaded: list[LoadedCase], found: Examination) -> None:
    names = [f"{one.case.name}/{name}" for one in loaded for name in one.names]
    patients = [one.patient for one in loaded for _ in one.names]
    groups = [name if patient is None else patient for name, patient in zip(names, patients, strict=True)]
    pairs = find_copies(np.concatenate([one.images for one in loaded]), groups)
    if not pairs:
        return
    who = [f"slice {names[k]} of patient {patients[k] or 'unknown'}" for k in pairs[0]]
    whose = list(dict.fromkeys(groups[k] for pair in pairs for k in pair))
    more = (
        f" ({len(pairs) - 1} more such pairs, all of {len(whose)} patients: {some(whose, MANY)})" if pairs[1:] else ""
    )
    found.problems.append(
        f"{who[0]} and {who[1]} are the same picture{more}: a leak if one trains and one tests; expected each "
        "once, or one name for the patient"
    )


def _rows(one: LoadedCase, labels: np.ndarray, names):
    for name, label, lungs in zip(one.names, labels, one.lungs, strict=True):
        lesion = label > 0
        outside = f"{(lesion & ~lungs).sum() / lesion.sum():.4f}" if lesion.any() else ""
        counts = np.bincount(label.ravel(), minlength=len(names))
        yield {
            "set": one.case.name,
            "slice": name,
            "patient": one.patient or "",
            "height": one.facts.shape[0],
            "width": one.facts.shape[1],
            "lung_pixels": int(lungs.sum()),
            **{f"pixels_{of}": int(count) for of, count in zip(names, counts, strict=True)},
            "lesion_outside_lung": outside,
        }


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
