"""Labelled scans of one's own as slices that the networks take: the way of `unet_segnet.inference`, truth included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from unet_segnet.cohort.cases import CaseList, find_cases
from unet_segnet.cohort.classes import Classes, read_classes
from unet_segnet.cohort.conventions import LabelFacts, label_facts, recognise_classes
from unet_segnet.cohort.manifest import Case
from unet_segnet.cohort.mixtures import WITH_THE_SCANS, mixtures, outside_lungs
from unet_segnet.data.catalogue import read_slices
from unet_segnet.data.nifti_file import MAX_VOXELS
from unet_segnet.data.png_tree import tree_root
from unet_segnet.data.preprocess import DEFAULT_SIZE, DEFAULT_WINDOW
from unet_segnet.data.slices import Slices
from unet_segnet.data.splits import PARTS, paper_split
from unet_segnet.errors import InputError, some
from unet_segnet.inference.find_lungs import LUNGS_ALONE_SHOWN, cut_off_note, find_lungs, what_is_shown
from unet_segnet.inference.lungs import AUTO, check_marked
from unet_segnet.scans import NetworkSlices, Scan, fit, fit_labels, lay_on, read_scan, to_network
from unet_segnet.scans.dicom import SeveralSeriesError
from unet_segnet.scans.matching import MASK_VALUES, check_headers
from unet_segnet.scans.released import released_scans

NUM_SLICES = 100  # of the article


@dataclass(frozen=True)
class CaseFacts:
    """What a case's files say, for the comparison of data sets.

    Attributes:
        units: "HU" or "8-bit".
        shape: (height, width) of its slices, in the networks' orientation, before resizing.
        orientation: three letters and how they are known, such as "LPS, by the affine".
        spacing: (slice, row, column) in mm, or None where unknown.
        low, high: smallest and largest value.
        lungs: where the lungs come from.
        shown: what the networks see of its slices, `LUNGS_ALONE` or `WHOLE_SLICES` of `unet_segnet.networks.facts`.
        cut_off: in how many slices they are cut off by the picture's edge, and left out there.
    """

    units: str
    shape: tuple[int, int]
    orientation: str
    spacing: tuple[float, float, float] | None
    low: float
    high: float
    lungs: str
    shown: str
    cut_off: int = 0


@dataclass(frozen=True, eq=False)
class Cohort:
    """Labelled slices with the patients they come from.

    Attributes:
        slices: 8 bit, lungs alone, one size, in the networks' orientation; names are "case/slice".
        patients: (num_slices,) whose each slice is, or None where nobody knows.
        cases: (num_slices,) the case of each slice.
        parts: (num_slices,) "train", "validation" or "test" where a manifest fixes it, else "".
        facts: of each case, by its name.
        classes: what the label files' values mean.
        source: folder or manifest.
        notes: what was recognised, assumed or left out, one line each.
    """

    slices: Slices
    patients: tuple[str | None, ...]
    cases: tuple[str, ...]
    parts: tuple[str, ...]
    facts: dict[str, CaseFacts]
    classes: Classes
    source: Path
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def name(self) -> str:
        """What the data is called: the folder, or the manifest without its ending."""
        return self.source.stem if self.source.suffix.lower() == ".csv" else self.source.resolve().name

    @property
    def groups(self) -> tuple[str, ...]:
        """(num_slices,) what must stay together: the patient, or the slice itself where nobody knows whose it is."""
        pairs = zip(self.patients, self.slices.names, strict=True)
        return tuple(name if patient is None else patient for patient, name in pairs)

    @property
    def num_unknown(self) -> int:
        """Slices of unknown patients."""
        return self.patients.count(None)

    def subset(self, indices: Sequence[int]) -> Cohort:
        """The slices at `indices`, in that order."""
        indices = [int(index) for index in indices]
        cases = tuple(self.cases[index] for index in indices)
        return replace(
            self,
            slices=self.slices.subset(indices),
            patients=tuple(self.patients[index] for index in indices),
            cases=cases,
            parts=tuple(self.parts[index] for index in indices),
            facts={name: self.facts[name] for name in dict.fromkeys(cases)},
        )

    def binary(self) -> Cohort:
        """The same for the binary problem: every lesion class becomes "infected".

        Raises:
            InputError: it is not known whether all values of the labels are lesions.
        """
        return replace(self, slices=self.slices.binary(), classes=self.classes.binary())


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case as its files have it, without what its label values mean.

    Attributes:
        case: which.
        patient: whose, or None.
        names: of the slices.
        images, labels, lungs: (num_slices, size, size): uint8 grey levels of the lungs alone; uint8 values of the
            label file, or None; bool, all True where nothing is masked.
        found: what occurs in the label file, or None.
        facts: see `CaseFacts`.
        notes: of the geometry of its files and of the orientation.
        whole: (num_slices, size, size) uint8 grey levels with what is not lung, where the reader was asked for them.
    """

    case: Case
    patient: str | None
    names: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray | None
    lungs: np.ndarray
    found: LabelFacts | None
    facts: CaseFacts
    notes: tuple[str, ...]
    whole: np.ndarray | None = None


def load_cohort(
    data: str | Path,
    classes: str | Path | None = None,
    lungs: str = AUTO,
    orientation: str | None = None,
    window: tuple[float, float] = DEFAULT_WINDOW,
    size: int = DEFAULT_SIZE,
    report: Callable[[int, int], None] | None = None,
) -> Cohort:
    """Load labelled scans as the networks take them.

    Arguments:
        data: see `unet_segnet.cohort.cases.find_cases`.
        classes: file that names the classes; None: classes.csv beside the data, else found in the label files.
        lungs: of scans that come without a mask: "auto", "none" or "lungmask", see `unet_segnet.segment`.
        orientation: of all scans for which the manifest does not say it, see `unet_segnet.scans.to_network`; None: by
            their geometry, or assumed.
        window: (low, high) HU that become grey levels 0 and 255.
        size: height and width of the slices.
        report: called with the numbers of finished cases and of all.

    Returns:
        Cohort of the labelled cases; those without labels are left out and named in its notes.

    Raises:
        InputError: files that do not fit together or cannot be read, an unknown label value, no lesion anywhere.
    """
    found = find_cases(data)
    if found.problems:
        more = f" ({len(found.problems) - 1} more; see `unet-segnet data check`)" if found.problems[1:] else ""
        raise InputError(found.problems[0] + more)
    labelled = [case for case in found.cases if case.labels is not None]
    if found.cases and not labelled:
        raise InputError(
            f"{found.source}: none of {len(found.cases)} scans has labels; training and scoring need them, in labels/ "
            "or in the manifest's column labels"
        )
    given = read_classes(classes or found.classes) if classes or found.classes else None
    read = Reader(lungs, orientation, window, size, given)
    loaded = [read.released(found)] if found.is_released else []
    for number, case in enumerate(labelled, 1):
        loaded.append(read(case))
        if report:
            report(number, len(labelled))
    return _joined(found, loaded, given or recognise_classes([one.found for one in loaded]))


def _joined(found: CaseList, loaded: list[LoadedCase], classes: Classes) -> Cohort:
    for one in loaded:
        classes.check_values(one.found.values, one.found.source)
    slices = Slices(
        images=np.concatenate([one.images for one in loaded]),
        labels=classes.indices(np.concatenate([one.labels for one in loaded])),
        lungs=np.concatenate([one.lungs for one in loaded]),
        names=tuple(
            one.case.name if len(one.names) == 1 and not found.is_released else f"{one.case.name}/{name}"
            for one in loaded
            for name in one.names
        ),
        class_names=classes.names,
    )
    if not slices.labels.any():
        raise InputError(f"{found.source}: no label file marks a lesion; expected something to learn and to score")
    return Cohort(
        slices=slices,
        patients=tuple(one.patient for one in loaded for _ in one.names),
        cases=tuple(one.case.name for one in loaded for _ in one.names),
        parts=_article_parts(found, len(slices)) or tuple(one.case.part for one in loaded for _ in one.names),
        facts={one.case.name: one.facts for one in loaded},
        classes=classes,
        source=found.source,
        notes=tuple(_notes(found, loaded, classes)),
    )


def _article_parts(found: CaseList, num_slices: int) -> tuple[str, ...] | None:
    """The parts of the article's own 100 slices; None for other data."""
    if not found.is_released or tree_root(found.source) is None or num_slices != NUM_SLICES:
        return None
    split = paper_split(num_slices)
    of_slice = {int(index): part for part in PARTS for index in getattr(split, part)}
    return tuple(of_slice[index] for index in range(num_slices))


def _notes(found: CaseList, loaded: list[LoadedCase], classes: Classes):
    if found.layout:
        yield f"layout: {found.layout}"
    yield from found.notes
    yield f"classes, {classes.origin}: {classes.text()}"
    if not found.is_released:
        yield from classes.notes
    yield from (line for line, _ in mixtures(loaded, classes))
    lines = [
        line
        for one in loaded
        for lesion in [classes.indices(one.labels) > 0]  # of one scan at a time
        if (line := outside_lungs(one, lesion.sum(), (lesion & ~one.lungs).sum()))
    ]
    if lines:
        more = f" ({len(lines) - 1} more such scans; see `unet-segnet data check`)" if lines[1:] else ""
        yield f"WARNING: {lines[0]}{more}"
    unlabelled = [case.name for case in found.cases if case.labels is None]
    if unlabelled:
        yield f"{len(unlabelled)} of {len(found.cases)} scans have no labels and are left out: {some(unlabelled)}"
    for note, count in Counter(note for one in loaded for note in one.notes).items():
        yield note if len(loaded) == 1 or note.startswith("lungs of ") else f"{note} ({count} of {len(loaded)} scans)"
    for source, count in Counter(one.facts.lungs for one in loaded).items():
        yield f"lungs: {source}" + ("" if len(loaded) == 1 else f" ({count} of {len(loaded)} scans)")
    if cut_off := sum(one.facts.cut_off for one in loaded):
        yield cut_off_note(cut_off, sum(len(one.names) for one in loaded))


class Reader:
    """Reads cases; the last file of each kind is kept, for manifests that take several parts of one.

    Arguments:
        lungs, orientation, window, size: as of `load_cohort`.
        classes: what the label values mean, where a file says it: its background is padded around slices that are not
            square, its colours are read.
        whole: whether the whole slices are wanted too, for people to look at.
    """

    def __init__(
        self, lungs=AUTO, orientation=None, window=DEFAULT_WINDOW, size=DEFAULT_SIZE, classes=None, whole=False
    ):
        self.lungs, self.orientation, self.window, self.size, self.whole = lungs, orientation, window, size, whole
        self.background, self.colours = (classes.background, classes.colours) if classes else (0, {})
        self._kept: dict[str, tuple[Path, Scan]] = {}

    def __call__(self, case: Case) -> LoadedCase:
        """Read one case.

        Raises:
            InputError: a file cannot be read, or a mask does not fit the scan.
        """
        check_headers(case.image, case.labels, case.lungs)
        whole = self._read("image", case.image)
        masks = {}
        for kind, path in (("labels", case.labels), ("lungs", case.lungs)):
            if path is not None:
                masks[kind] = lay_on(whole, self._read(kind, path), MASK_VALUES if kind == "lungs" else 256)
        scan, labels, lungs = (
            None if one is None else _part(one, case) for one in (whole, masks.get("labels"), masks.get("lungs"))
        )
        patient = case.patient or (None if min(scan.array.shape) == 1 else case.name)
        patient = patient and normalize("NFC", patient)  # macOS writes letters and accents of folders' names apart
        one = self._prepared(case, patient, scan, labels, lungs)
        assumed = [f"{kind}: {note}" for kind, mask in masks.items() for note in mask.mask_notes]
        return replace(one, notes=(*scan.notes, *assumed, *one.notes))

    def released(self, found: CaseList) -> LoadedCase:
        """Read a folder of the released slices; patients are unknown, masks that were exchanged are put back."""
        slices = read_slices(found.source)
        if slices.labels is None:
            raise InputError(f"{found.source}: has no masks; training and scoring need them")
        return self.of_slices(slices, found.source)

    def of_slices(self, slices: Slices, source: Path) -> LoadedCase:
        """Independent slices, read from a folder already, as one case."""
        case = Case(source.resolve().name, source, source)
        one = self._prepared(case, None, *released_scans(slices, source))
        return replace(one, notes=one.notes + slices.notes)

    def _read(self, kind: str, path: Path) -> Scan:
        if kind not in self._kept or self._kept[kind][0] != path:
            self._kept.pop(kind, None)  # before the next one is held too
            try:
                self._kept[kind] = (path, read_scan(path, colours=self.colours if kind == "labels" else None))
            except SeveralSeriesError as error:  # of a whole data set nobody chooses a series
                raise InputError(f"{error.what}; expected one: name a folder that holds it alone") from None
        return self._kept[kind][1]

    def _prepared(self, case, patient, scan, labels, lungs) -> LoadedCase:
        slices = to_network(scan, orientation := case.orientation or self.orientation)
        if case.slices is not None and slices.axes[2] not in "SI":
            raise InputError(
                f"{scan.source}: its last axis, by which the manifest counts slices, runs across them ({slices.axes}); "
                "expected axial slices there: leave column slices empty, or convert the scan"
            )
        if len(slices.images) * self.size**2 > MAX_VOXELS:
            raise InputError(
                f"{scan.source}: has {len(slices.images)} slices, which are {self.size}x{self.size} each for the "
                f"network; expected at most {MAX_VOXELS // self.size**2}"
            )
        inside, source, cut_off, doubts = self._lungs(case, scan, slices, lungs, orientation)
        none_shown = () if inside is None or inside.any() else ("lungs: none in a slice, of which nothing is shown",)
        values = None if labels is None else to_network(labels, orientation, like=slices).images
        how, _, _ = (slices.notes[0] if slices.notes else "").removeprefix("orientation: ").partition(" (")
        return LoadedCase(
            case=case,
            patient=patient,
            names=slices.names,
            images=fit(slices.images, inside, self.window, self.size),
            labels=None if values is None else fit_labels(values, self.size, self.background),
            lungs=fit_labels(np.ones(slices.images.shape, bool) if inside is None else inside, self.size),
            found=None if values is None else label_facts(values, inside, case.labels),
            facts=CaseFacts(
                units=scan.units,
                shape=slices.images.shape[1:],
                orientation=how.split(";")[0],
                spacing=slices.spacing,
                low=float(slices.images.min()),
                high=float(slices.images.max()),
                lungs=source,
                shown=what_is_shown(slices.images, inside),
                cut_off=cut_off,
            ),
            notes=(*slices.notes, *(f"lungs of {case.name}: {doubt}" for doubt in doubts), *none_shown),
            whole=fit(slices.images, None, self.window, self.size) if self.whole else None,
        )

    def _lungs(self, case, scan, slices: NetworkSlices, lungs: Scan | None, orientation):
        """Where the lungs are (None: everywhere), how that is known, in how many slices they are cut off, doubts."""
        if lungs is not None:
            inside = to_network(lungs, orientation, like=slices).images > 0
            if len(inside) > 1 or inside.any():
                check_marked(inside, case.lungs or case.image)
            return inside, WITH_THE_SCANS, 0, ()
        if self.lungs == AUTO and scan.units == "8-bit" and slices.images.shape[0] == 1 and not slices.images.any():
            return np.zeros(slices.images.shape, bool), LUNGS_ALONE_SHOWN, 0, ()
        try:
            found = find_lungs(scan, slices, self.lungs, orientation)
        except InputError as error:
            if self.lungs != AUTO:
                raise
            what, _, _ = str(error).removeprefix(f"{scan.source}: ").partition("; ")
            values = "8-bit grey levels" if scan.units == "8-bit" else "Hounsfield units"
            raise InputError(
                f"{case.image}: its lungs cannot be found in {values} ({what}); give masks (lungs/ or the manifest's "
                "column lungs), or `lungs` none to take the slices as they are"
            ) from error
        return (None if found.sides is None else found.sides > 0), found.source, found.cut_off, found.assumed


def _part(scan: Scan, case: Case) -> Scan:
    """The slices of a scan that the case is about."""
    if case.slices is None:
        return scan
    (first, last), number = case.slices, scan.array.shape[2]
    if last > number:
        raise InputError(f"{scan.source}: has {number} slices; the manifest asks for {first} to {last}")
    names = scan.slice_names or tuple(f"{index:03}" for index in range(1, number + 1))
    notes = scan.notes
    if all(map(str.isdecimal, names)) and any(int(name) != index for index, name in enumerate(names, 1)):
        called = f"1 is called {names[0]}, {number} is called {names[-1]}"
        notes = (*notes, f"the manifest counts slices by their place, not by their numbers: of {scan.name} {called}")
    return replace(scan, array=scan.array[:, :, first - 1 : last], slice_names=names[first - 1 : last], notes=notes)
