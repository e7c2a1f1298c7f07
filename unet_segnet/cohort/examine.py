"""What is wrong with labelled scans of one's own: everything that is, not the first thing alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unet_segnet.cohort.cases import CaseList, find_cases, is_own
from unet_segnet.cohort.classes import Classes, read_classes
from unet_segnet.cohort.conventions import LabelFacts, recognise_classes
from unet_segnet.cohort.copies import copies_text, find_copies, thumbnails
from unet_segnet.cohort.load import CaseFacts, LoadedCase, Reader
from unet_segnet.cohort.manifest import Case
from unet_segnet.cohort.mixtures import WITH_THE_SCANS, mixtures, outside_lungs
from unet_segnet.data.balance import sizes_of_counts
from unet_segnet.data.catalogue import find_data
from unet_segnet.data.examine import Examination, examine
from unet_segnet.data.nifti import volume_names, volume_paths
from unet_segnet.errors import InputError, some
from unet_segnet.inference.lungs import AUTO

MANY = 12  # names in a line
TOGETHER = 6  # independent slices that are looked at as one case
WARNING = "WARNING: "


@dataclass(frozen=True, eq=False)
class CaseCounts:
    """What the examination keeps of a case, so that the pixels of one case at a time are in memory.

    Attributes:
        case, patient, names, found, facts: as of `LoadedCase`.
        lung_pixels: (num_slices,) int64.
        values: of the labels in the networks' size; none without labels.
        pixels: (num_slices, len(values)) int64, of each of `values`.
        outside: the same of those outside the lungs.
        thumbnails: (num_slices, 32, 32) float32, see `find_copies`.
    """

    case: Case
    patient: str | None
    names: tuple[str, ...]
    found: LabelFacts | None
    facts: CaseFacts
    lung_pixels: np.ndarray
    values: tuple[int, ...]
    pixels: np.ndarray
    outside: np.ndarray
    thumbnails: np.ndarray

    def of_classes(self, counts: np.ndarray, classes: Classes) -> np.ndarray:
        """(num_slices, num_classes) of `pixels` or `outside`; values that stand for no class are background."""
        index = classes.indices(np.array(self.values, np.intp))
        return np.stack([counts[:, index == number].sum(axis=1) for number in range(len(classes.names))], axis=1)


def count_case(one: LoadedCase) -> CaseCounts:
    """Count the pixels of a case."""
    values = () if one.labels is None else tuple(int(value) for value in np.unique(one.labels))
    pixels = np.zeros((2, len(one.names), len(values)), np.int64)
    for index, lungs in enumerate(one.lungs if values else ()):
        label = one.labels[index]
        for number, of in enumerate((label, label[~lungs])):
            pixels[number, index] = np.bincount(of.ravel(), minlength=256)[list(values)]
    lung_pixels = one.lungs.sum(axis=(1, 2), dtype=np.int64)
    facts = (one.case, one.patient, one.names, one.found, one.facts)
    return CaseCounts(*facts, lung_pixels, values, *pixels, thumbnails(one.images))


def examine_data(
    data: str | Path,
    classes: str | Path | None = None,
    lungs: str = AUTO,
    orientation: str | None = None,
    report: Callable[[int, int], None] | None = None,
    look: Callable[[LoadedCase, CaseCounts], None] | None = None,
) -> tuple[Path, Examination]:
    """Examine scans of one's own or a released layout; arguments as of `examine_cohort`.

    Returns:
        Where the data lies, and what was found.

    Raises:
        InputError: there is no such data set.
    """
    if is_own(data):
        return Path(data), examine_cohort(data, classes, lungs, orientation, report, look)
    folder = find_data(str(data))
    found = examine(folder)
    if look is not None:
        _look_at_released(folder, found, Reader(lungs, orientation, whole=True), report, look)
    return folder, found


def examine_cohort(
    data: str | Path,
    classes: str | Path | None = None,
    lungs: str = AUTO,
    orientation: str | None = None,
    report: Callable[[int, int], None] | None = None,
    look: Callable[[LoadedCase, CaseCounts], None] | None = None,
) -> Examination:
    """Examine a manifest or a folder of images and labels, one scan at a time.

    Arguments:
        data, classes, lungs, orientation, report: as of `unet_segnet.cohort.load.load_cohort`.
        look: called with each scan that could be read, whole slices included, and what is counted in it.

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
            given = found.classes = read_classes(path)
    except InputError as error:
        found.problems.append(str(error))
        return found
    loaded = _read_all(listed, Reader(lungs, orientation, classes=given, whole=look is not None), found, report, look)
    _add_facts(listed, loaded, found)
    labelled = [one for one in loaded if one.found is not None]
    if not labelled:
        found.problems.append("no sound labels: neither training nor scoring is possible")
        return found
    try:
        meaning = found.classes = given or recognise_classes([one.found for one in labelled])
    except InputError as error:
        found.problems.append(str(error))
        return found
    found.facts.append(f"classes, {meaning.origin}: {meaning.text()}")
    for note, names in (*((note, ()) for note in meaning.notes), *mixtures(labelled, meaning)):
        found.add("warnings" if note.startswith(WARNING) else "facts", note.removeprefix(WARNING), *names)
    _add_labels(labelled, meaning, found)
    _add_copies(loaded, found)
    return found


def _look_at_released(folder: Path, found: Examination, read: Reader, report, look) -> None:
    """Look at what `examine` found, which gets what cannot be read, and what the labels mean."""
    labels, problems = [], set(found.problems)

    def take(load: Callable[[], LoadedCase], name: str) -> None:
        try:
            one = load()
        except InputError as error:
            if str(error) not in problems:
                found.add("problems", str(error), name)
            return
        labels.extend([one.found] if one.found else [])
        for part in (one,) if one.case.image != folder else _in_parts(one):
            found.add("facts", f"{part.case.name}: lungs: {one.facts.lungs}", part.case.name)
            look(part, count_case(part))

    if found.slices is not None:
        take(lambda: read.of_slices(found.slices, folder), "slices")
    names = volume_names(folder)
    for number, name in enumerate(names, 1):
        case = Case(f"volume {name}", *volume_paths(folder, name))
        take(lambda case=case: read(case), case.name)
        if report:
            report(number, len(names))
    try:
        found.classes = recognise_classes(labels) if labels else None
    except InputError as error:
        found.facts.append(str(error))


def _in_parts(one: LoadedCase) -> Iterator[LoadedCase]:
    """Independent slices, a few at a time."""
    for start in range(0, len(one.names), TOGETHER):
        part = slice(start, start + TOGETHER)
        names = one.names[part]
        name = f"slices {names[0]} to {names[-1]}" if names[1:] else f"slice {names[0]}"
        yield replace(
            one,
            case=replace(one.case, name=name),
            names=names,
            **{
                kind: None if (array := getattr(one, kind)) is None else array[part]
                for kind in ("images", "labels", "lungs", "whole")
            },
        )


def _read_all(listed: CaseList, read: Reader, found: Examination, report, look) -> list[CaseCounts]:
    loaded = []
    for number, case in enumerate(listed.cases, 1):
        try:
            one = read(case)
        except InputError as error:
            found.add("problems", str(error), case.name)
        else:
            loaded.append(count_case(one))
            if look:
                look(one, loaded[-1])
            del one  # before the next one is read
        if report:
            report(number, len(listed.cases))
    return loaded


def _add_facts(listed: CaseList, loaded: list[CaseCounts], found: Examination) -> None:
    if listed.layout:
        found.facts.append(f"layout: {listed.layout}")
    found.facts += listed.notes
    for one in loaded:
        facts = one.facts
        spacing = "spacing unknown" if facts.spacing is None else "{:.3g} x {:.3g} x {:.3g} mm".format(*facts.spacing)
        found.add(
            "facts",
            f"{one.case.name}: {_plural(len(one.names), 'slice')} of {facts.shape[0]}x{facts.shape[1]}, values "
            f"{facts.low:g} to {facts.high:g} ({facts.units}), {spacing}, orientation {facts.orientation}, lungs: "
            f"{facts.lungs}{f', cut off by the edge in {facts.cut_off}' if facts.cut_off else ''}, patient "
            f"{one.patient or 'unknown'}",
            one.case.name,
        )
    unlabelled = [case.name for case in listed.cases if case.labels is None]
    if unlabelled:
        found.add("facts", f"without labels, left out of training and scoring: {some(unlabelled, MANY)}", *unlabelled)
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


def _add_labels(labelled: list[CaseCounts], classes: Classes, found: Examination) -> None:
    every = []
    for one in labelled:
        name = one.case.name
        try:
            classes.check_values(one.found.values, one.found.source)
        except InputError as error:
            found.add("problems", str(error), name)
        counts, beyond = (one.of_classes(of, classes) for of in (one.pixels, one.outside))
        every.append(counts)
        found.rows += _rows(one, counts, beyond, classes.names)
        if line := outside_lungs(one, counts[:, 1:].sum(), beyond[:, 1:].sum()):
            found.add("problems" if one.facts.lungs == WITH_THE_SCANS else "facts", line, name)
    sizes = sizes_of_counts(np.concatenate(every))
    found.sizes.append((f"{sum(len(one.names) for one in labelled)} slices, at 256x256", classes.names, *sizes))
    if not sizes[0][1:].any():
        found.problems.append("every label file is empty: there is no lesion to learn or to score")


def _add_copies(loaded: list[CaseCounts], found: Examination) -> None:
    names = [f"{one.case.name}/{name}" for one in loaded for name in one.names]
    cases = [one.case.name for one in loaded for _ in one.names]
    patients = [one.patient for one in loaded for _ in one.names]
    groups = [name if patient is None else patient for name, patient in zip(names, patients, strict=True)]
    pairs = find_copies(np.concatenate([one.thumbnails for one in loaded]), groups)
    if not pairs:
        return
    found.add(
        "problems",
        f"{copies_text(pairs, names, patients)}: a leak if one trains and one tests; expected each once, or one name "
        "for the patient",
        *dict.fromkeys(cases[k] for pair in pairs for k in pair),
    )


def _rows(one: CaseCounts, counts: np.ndarray, beyond: np.ndarray, names: Sequence[str]) -> Iterator[dict]:
    for name, lungs, of_slice, outside in zip(one.names, one.lung_pixels, counts, beyond, strict=True):
        lesion = of_slice[1:].sum()
        yield {
            "set": one.case.name,
            "slice": name,
            "patient": one.patient or "",
            "height": one.facts.shape[0],
            "width": one.facts.shape[1],
            "lung_pixels": int(lungs),
            **{f"pixels_{of}": int(count) for of, count in zip(names, of_slice, strict=True)},
            "lesion_outside_lung": f"{outside[1:].sum() / lesion:.4f}" if lesion else "",
        }


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
