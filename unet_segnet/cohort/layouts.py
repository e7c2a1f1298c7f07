"""Which files of a folder belong together, in the layouts that data sets of labelled scans come in.

images/NAME, labels/NAME, lungs/NAME      under these or like names; labels may be called NAME_mask and so on
imagesTr/NAME_0000, labelsTr/NAME         nnU-Net, with dataset.json; without _0000, Decathlon
COVID-19-CT-Seg_20cases, Infection_Mask   Zenodo 3757476, and Lung_Mask
studies/, masks/NAME_mask                 MosMed
PATIENT/ct.nii.gz, PATIENT/seg.nii.gz     a folder for each patient; or all files in one folder, labels by name
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unet_segnet.cohort.manifest import Case, listed_cases, with_own_names
from unet_segnet.errors import InputError, some
from unet_segnet.output.whole_folder import is_of_system
from unet_segnet.scans import find_scans, scan_name
from unet_segnet.scans.dicom_file import is_ct, is_dicom
from unet_segnet.scans.itk import values_beside
from unet_segnet.scans.names import (
    CHANNEL,
    IMAGES,
    LABELS,
    LUNGS,
    RESULTS,
    pair_names,
    role_of,
    says_mask,
    says_only_what,
)
from unet_segnet.scans.read import PICTURE_SUFFIXES, is_volume

FOLDERS = {  # by their names in lower case; the first that is there is taken
    IMAGES: (
        *(IMAGES, "imagestr", "covid-19-ct-seg_20cases", "studies", "image", "imgs", "img"),
        *("scans", "scan", "cts", "ct", "volumes"),
    ),
    LABELS: (
        *(LABELS, "labelstr", "infection_mask", "infection_masks", "lung_and_infection_mask", "masks", "mask", "label"),
        *("segmentations", "segmentation", "segs", "seg", "lesions", "lesion", "annotations", "groundtruth", "gt"),
    ),
    LUNGS: (LUNGS, "lung_mask", "lung_masks", "lungmask", "lungmasks", "lung"),
}
TESTED = {IMAGES: "imagests", LABELS: "labelsts"}  # of nnU-Net
MOSMED_STUDY = "study_[0-9]{4}"
CHANNELLED = ("imagestr", "imagests")
SAME_NAME = "{} has the same name; expected one of them"


@dataclass
class Layout:
    """A folder whose layout was recognised.

    Attributes:
        name: of the layout, with its folders.
        cases: in the order of their names.
        problems: files that have no partner, one line each.
        notes: what was left alone, one line each.
    """

    name: str
    cases: list[Case] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_result(folder: Path) -> bool:
    """Whether it holds what `predict` made of a scan."""
    return all((folder / name).is_file() for name in RESULTS)


def unpacked(folder: Path, without: Sequence[Path] = ()) -> Path:
    """The folder, or the one inside it where it holds nothing else, as archives unpack; that is no patient."""
    entries = _entries(folder, without)
    is_packed = len(entries) == 1 and entries[0].is_dir() and not says_only_what(entries[0].name)
    return unpacked(entries[0], without) if is_packed else folder


def has_folders(folder: Path, without: Sequence[Path] = ()) -> bool:
    """Whether it has folders for images and labels, or one called images; not of one scan's DICOM slices."""
    places = _places(unpacked(folder, without), without)
    is_named = IMAGES in places and (LABELS in places or places[IMAGES].name == IMAGES)
    return is_named and not (any(map(is_dicom, _entries(places[IMAGES]))) and _is_one_study(places[IMAGES]))


def layout_of_folders(folder: Path) -> Layout | None:
    """The cases of a folder with folders for images and labels; None of another. No scan is opened.

    Raises:
        InputError: there is no scan, or a folder cannot be read.
    """
    if not has_folders(folder):
        return None
    folder = unpacked(folder)
    layout = _of_folders(folder, _places(folder))
    if not layout.problems and not any(case.labels for case in layout.cases) and (named := layout_of_names(folder)):
        return named
    if beside := [path.relative_to(folder).as_posix() for path in scans_beside(folder)]:
        layout.notes.append(f"{len(beside)} scans beside the folders of the layout, left alone: {some(beside)}")
    return layout


def layout_of_names(folder: Path) -> Layout | None:
    """The cases of a folder that lists them in dataset.json, or in which files and folders are named by what they are.

    Returns:
        None where no scan has labels.

    Raises:
        InputError: a folder that cannot be read.
    """
    listed = listed_cases(unpacked(folder))
    layout = Layout("Decathlon (dataset.json)", listed) if listed else _together(folder)
    return layout if any(case.labels for case in layout.cases) else None


def scans_below(
    folder: Path, without: Sequence[Path] = (), dropped: list[Path] | None = None
) -> list[tuple[Path, tuple[str, ...]]]:
    """The scans of a folder and of the folders in it, without what is labels or lung masks by its place or name.

    Arguments:
        folder: in a layout, or any.
        without: resolved paths of folders in it that are passed over, as results of `predict` are.
        dropped: scans in the folders of a layout that are no cases are added to it: of the same name as another, or
            further channels.

    Returns:
        Of each scan what `read_scan` takes, and the folders between `folder` and the scan, the patient's first;
        folders that only say what is in them (images, CT) are left out.

    Raises:
        InputError: it cannot be read.
    """
    if has_folders(folder, without):
        folder = unpacked(folder, without)
        places = [_places(folder, without)[IMAGES]]
        places += [path for path in _entries(folder, without) if path.name.lower() == TESTED[IMAGES] and path.is_dir()]
        return [(scan, ()) for path in places for scan in _items(path, [], without, dropped).values()]
    return [(unit.path, unit.below) for unit in _units(folder, without) if unit.role == IMAGES]


def masks_below(folder: Path, without: Sequence[Path] = ()) -> list[Path]:
    """What `scans_below` takes for labels or lung masks by their names."""
    if has_folders(folder, without):
        return []
    return [unit.path for unit in _units(folder, without) if unit.role != IMAGES]


def scans_beside(folder: Path, without: Sequence[Path] = ()) -> list[Path]:
    """Scans beside the folders for images and labels, which `scans_below` and the layout leave alone."""
    if not has_folders(folder, without):
        return []
    folder = unpacked(folder, without)
    of_layout = [*_places(folder, without).values()] + [
        path
        for path in _entries(folder)
        if path.is_dir() and (path.name.lower() in TESTED.values() or role_of(path.name) in (LABELS, LUNGS))
    ]
    others = _walk(folder, None, None, (*without, *(path.resolve() for path in of_layout)))
    return [unit.path for unit in others if unit.role == IMAGES]


def _entries(folder: Path, without: Sequence[Path] = ()) -> list[Path]:
    """What is in a folder but for results, and for what systems leave there, such as ._NAME of macOS, and for values
    beside a header."""
    try:
        there = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    there = [path for path in there if not (path.is_symlink() and folder.resolve().is_relative_to(path.resolve()))]
    passed = {path for path in there if path.is_dir() and (is_result(path) or path.resolve() in without)}
    passed |= {values_beside(path) for path in there}
    return [path for path in there if path not in passed and not is_of_system(path.name)]


def _places(folder: Path, without: Sequence[Path] = ()) -> dict[str, Path]:
    """The folders for images, labels and lungs."""
    there = {path.name.lower(): path for path in reversed(_entries(folder, without)) if path.is_dir()}
    there |= {path.name: path for path in there.values()}  # as it is written first
    found = {kind: [there[name] for name in names if name in there] for kind, names in FOLDERS.items()}
    return {kind: paths[0] for kind, paths in found.items() if paths}


def _of_folders(folder: Path, places: dict[str, Path]) -> Layout:
    """Cases of folders for images, labels and lungs, matched by name."""
    layout = Layout(_name(places))
    found = {kind: _items(path, layout.problems) for kind, path in places.items()}
    if not found[IMAGES]:
        raise InputError(f"{places[IMAGES]}: no scan in this folder; expected the scans of {LABELS}/")
    _add_cases(layout, found, places[IMAGES].name)
    tested = {path.name.lower(): path for path in _entries(folder) if path.is_dir()}
    if TESTED[IMAGES] in tested:
        of_test = {kind: _items(tested[name], layout.problems) for kind, name in TESTED.items() if name in tested}
        if LABELS in of_test:
            _add_cases(layout, of_test, tested[TESTED[IMAGES]].name, part="test")
        else:
            layout.notes.append(
                f"{tested[TESTED[IMAGES]].name}: {len(of_test[IMAGES])} scans without labels, left alone"
            )
    return layout


def _name(places: dict[str, Path]) -> str:
    images, kinds = places[IMAGES], ", ".join(f"{path.name}/" for path in places.values())
    known = {"imagestr": "nnU-Net", "covid-19-ct-seg_20cases": "Zenodo 3757476", "studies": "MosMed"}
    called = known.get(images.name.lower(), "folders by kind")
    names = [scan_name(path) for path in _entries(images)]
    if called == "nnU-Net" and not any(name.endswith(CHANNEL) for name in names):
        called = "Decathlon"
    elif all(re.fullmatch(MOSMED_STUDY, name) for name in names):
        called = "MosMed"
    return f"{called} ({kinds})"


def _items(
    folder: Path, problems: list[str], without: Sequence[Path] = (), dropped: list[Path] | None = None
) -> dict[str, Path]:
    """Scans by name: files, and folders that hold one scan each, or several (MosMed's CT-1/)."""
    items: dict[str, Path] = {}
    dropped = [] if dropped is None else dropped
    for path in _entries(folder, without):
        try:
            scans, name = find_scans(path), scan_name(path)
            is_study = all(re.fullmatch(MOSMED_STUDY, scan_name(scan)) for scan in scans)
            is_degree = is_study and re.fullmatch("CT-[0-9]", name)  # of MosMed, though of one study alone
            found = {name: path} if len(scans) == 1 and not is_degree else {scan_name(scan): scan for scan in scans}
        except InputError as error:
            inner: dict[str, Path] = {}
            if path.is_dir() and any(entry.is_dir() for entry in _entries(path)):
                inner = _items(path, [])
            if not inner:
                problems.append(str(error))
                continue
            found = inner if len(inner) > 1 else dict.fromkeys([path.name], *inner.values())
        for name, scan in found.items():
            if name in items:
                problems.append(f"{scan}: {SAME_NAME.format(items[name].name)}")
                dropped.append(scan)
            else:
                items[name] = scan
    if folder.name.lower() not in CHANNELLED or not all(re.search("_[0-9]{4}$", name) for name in items):
        return items
    if others := [name for name in items if not name.endswith(CHANNEL)]:
        problems.append(
            f"{folder}: has further channels ({others[0]}); expected CT alone, of one channel: move the others away"
        )
        dropped += (items[name] for name in others)
    return {name.removesuffix(CHANNEL): scan for name, scan in items.items() if name.endswith(CHANNEL)}


def _add_cases(layout: Layout, found: dict[str, dict[str, Path]], where: str, part: str = "") -> None:
    images = found[IMAGES]
    partner = {}
    for kind in (LABELS, LUNGS):
        items = found.get(kind, {})
        partner[kind] = pair_names(list(images), list(items))
        layout.problems += sorted(
            f"{items[name]}: there is no {name} in {where}/; expected the same names, rename or remove it"
            for name in items.keys() - partner[kind].values()
        )
        partner[kind] = {name: items[other] for name, other in partner[kind].items()}
        others = [name for name, path in partner[kind].items() if scan_name(path) != name]
        if others:
            name = others[0]
            layout.notes.append(
                f"{kind} of other names than their scans, matched by what the names share: "
                f"{scan_name(partner[kind][name])} belongs to {name}"
                + (f", and {len(others) - 1} more" if others[1:] else "")
            )
    taken = {case.name for case in layout.cases}
    cases = [
        Case(
            name if name not in taken else f"{where}-{name}",
            image,
            partner[LABELS].get(name),
            partner[LUNGS].get(name),
            part=part,
        )
        for name, image in images.items()
    ]
    layout.cases = with_own_names([*layout.cases, *cases])


@dataclass(frozen=True)
class _Unit:
    """A scan or mask: what `read_scan` takes, the folders above it that say whose it is, and what it is."""

    path: Path
    below: tuple[str, ...]
    role: str
    is_series: bool = False  # a folder of DICOM files


def _together(folder: Path) -> Layout:
    """Cases of folders that hold a patient's scan and labels, or of one folder with all, told apart by their names."""
    units = _units(folder)
    groups: dict[tuple[str, ...], list[_Unit]] = {}
    for unit in units:
        groups.setdefault(unit.below, []).append(unit)
    layout = Layout("a folder for each patient" if any(groups) else "scans and labels in one folder")
    if patients := sorted({below[0] for below in groups if len(below) > 1}):
        layout.notes.append(
            f"patients: the outermost folders, {some(patients, 3)}, each with all scans in it; if they are visits or "
            "groups, name the patients in a manifest"
        )
    for below in [below for below, group in groups.items() if not any(unit.role == IMAGES for unit in group)]:
        near = [of for of in groups if of != below and (of[: len(below)] == below or below[: len(of)] == of)]
        if len(near) == 1:  # the scan lies in a folder of its own beside its labels
            groups[near[0]] += groups.pop(below)
    for below, group in groups.items():
        of_role = {role: [unit.path for unit in group if unit.role == role] for role in (IMAGES, LABELS, LUNGS)}
        patient = below[0] if below else None
        if below and len(of_role[IMAGES]) == 1 and all(len(of_role[role]) < 2 for role in (LABELS, LUNGS)):
            masks = (next(iter(of_role[role]), None) for role in (LABELS, LUNGS))
            layout.cases.append(Case("-".join(below), of_role[IMAGES][0], *masks, patient=patient))
            continue
        where = "/".join((folder.name, *below))
        several = next((paths for role, paths in of_role.items() if role != IMAGES and len(paths) > 1), None)
        if len(of_role[IMAGES]) == 1 and several:
            names = " and ".join(path.name for path in several)
            layout.problems.append(
                f"{where}: {names} could all be masks of {of_role[IMAGES][0].name}; expected one: list the files in a "
                "manifest"
            )
            continue
        found: dict[str, dict[str, Path]] = {role: {} for role in of_role}
        for role, paths in of_role.items():
            for path in paths:
                first = found[role].setdefault(scan_name(path), path)
                if first != path:
                    layout.problems.append(f"{path}: {SAME_NAME.format(first.name)}")
        inner = Layout(layout.name, problems=layout.problems, notes=layout.notes)
        _add_cases(inner, found, where)
        layout.cases += [replace(case, name="-".join((*below, case.name)), patient=patient) for case in inner.cases]
    layout.cases = with_own_names(layout.cases)  # a/b-c and a/b/c
    return layout


def _units(folder: Path, without: Sequence[Path] = ()) -> list[_Unit]:
    """The scans and masks of a folder and of those in it."""
    units = list(_walk(unpacked(folder, without), None, None, without))
    if len(units) == 1 and units[0].is_series and _is_one_study(folder):  # a disc, whatever its folders are called
        units = [replace(units[0], path=folder, below=())]
    if not any(unit.role == IMAGES for unit in units):  # lung_001.nii.gz is a scan where there is no other
        units = [_Unit(u.path, u.below, IMAGES if u.role == LUNGS else u.role) for u in units]
    return units


def _walk(
    folder: Path, outer: tuple[str, ...] | None, role: str | None, without: Sequence[Path] = ()
) -> Iterator[_Unit]:
    """Those of a folder; `outer` is `below` of the one that it lies in, None for the first."""
    only_what = outer is not None and says_only_what(folder.name)
    below = () if outer is None else outer if only_what else (*outer, folder.name)
    entries = _entries(folder, without)
    files, folders = [path for path in entries if not path.is_dir()], [path for path in entries if path.is_dir()]
    loose = []
    for path in files:
        try:
            loose += find_scans(path)
        except InputError:  # a note, a table; but a link to a scan that is not there is told when it is read
            loose += [path] if is_volume(path) else []
    slices = [path for path in loose if not is_volume(path)]
    roles = {path: role_of(scan_name(path)) or role or IMAGES for path in loose}
    is_series = any(not path.name.lower().endswith(PICTURE_SUFFIXES) for path in slices)
    inner = [
        unit
        for path in folders
        for unit in _walk(path, below, role_of(path.name) if says_only_what(path.name) else role, without)
    ]
    several = sum(unit.is_series for unit in inner) > 1 and all(unit.is_series or unit.below == below for unit in inner)
    if several and not slices and _is_one_study(folder):
        inner = [unit for unit in inner if not unit.is_series]
        is_series = True
    if is_series or (slices and len({roles[path] for path in slices}) == 1):  # pictures of one kind: a scan's slices
        loose = [path for path in loose if is_volume(path)]
        # A folder of slices alone is like a file of its name; with masks beside them it is the patient's.
        whose = below if loose or inner or outer is None else outer
        of_slices = (None if outer is None else role_of(folder.name)) or role or IMAGES
        if is_series and of_slices == LUNGS and not any(map(says_mask, folder.parts[-2:])) and is_ct(folder):
            of_slices = IMAGES
        yield _Unit(folder, whose, of_slices, is_series)
    yield from (_Unit(path, below, roles[path]) for path in loose)
    yield from inner


def _is_one_study(folder: Path) -> bool:
    """Whether the DICOM series below a folder are one patient's study, of which `read_scan` takes the right one."""
    try:
        return find_scans(folder) == [folder]
    except InputError:
        return False
