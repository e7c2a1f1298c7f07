"""Which scans `predict` is given, what their results are called, and which lungs and true labels belong to them."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from unet_segnet.errors import InputError, some
from unet_segnet.inference.lungs import is_way
from unet_segnet.scans import find_scans, scan_name
from unet_segnet.scans.names import CHANNEL, LABELS, LUNGS, RESULTS, pair_names, role_of, says_lesion

LABEL_FILE, LUNG_FILE = "labels.nii.gz", "lungs.nii.gz"
RESULT_FILE = {LABELS: LABEL_FILE, LUNGS: LUNG_FILE}
MARKS = RESULTS


@dataclass(frozen=True)
class Item:
    """A scan to segment.

    Attributes:
        path: for `read_scan`.
        name: of its results, different for each.
        below: folders between the one that was given and the scan, outermost first; its names for the patient.
        lungs: the option's word, or the mask's path.
        truth: file or folder of the true labels, or None.
    """

    path: Path
    name: str
    below: tuple[str, ...] = ()
    lungs: str | Path = ""
    truth: Path | None = None


@dataclass
class Found:
    """What was given.

    Attributes:
        items: the scans.
        problems: what is wrong with inputs that cannot be segmented, one line each.
        notes: what was left out, one line each.
        unscored: what is wrong with true labels, one line each, by the name of the scan that is not compared with them.
    """

    items: list[Item]
    problems: list[str]
    notes: list[str]
    unscored: dict[str, str]


def find_items(inputs: list[Path], lungs: str, truth: Path | None, out: Path | None = None) -> Found:
    """The scans that are given, their names, and the lungs and true labels that belong to them.

    Arguments:
        inputs: scans, or folders of them at any depth.
        lungs: a word of `LUNGS`, a network that finds them, a mask, or a folder of masks by the scans' names.
        truth: true labels, or a folder of them by the scans' names; or None.
        out: where results go: lying among the scans it changes nothing about them.

    Raises:
        InputError: two scans would have one name.
    """
    items: dict[Path, Item] = {}
    problems, notes, left_out, beside = [], [], [], []
    for given in inputs:
        try:
            for item in _in_folder(given, out, left_out, beside) if given.is_dir() else _items(find_scans(given)):
                items.setdefault(item.path, item)
        except InputError as error:
            problems.append(str(error))
    named = _named(list(items.values()))
    masks = None if is_way(lungs) else partners(Path(lungs), named, LUNGS)
    labels = {} if truth is None else partners(truth, named, LABELS)
    matched, unscored = [], {}
    for item in named:
        its_lungs, its_truth = lungs if masks is None else masks.get(item.name), labels.get(item.name)
        if its_lungs is None:
            problems.append(f"{item.path}: there is no {item.name} in {lungs}; expected a lung mask of that name")
        elif isinstance(its_lungs, InputError):
            problems.append(str(its_lungs))
        else:
            if isinstance(its_truth, InputError):  # segmented all the same, without scores
                unscored[item.name] = str(its_truth)
                its_truth = None
            matched.append(replace(item, lungs=its_lungs, truth=its_truth))
    for given, kind in ((lungs, "lung mask"), (truth, "file of true labels")):
        if len(named) > 1 and given is not None and not is_way(given) and not Path(given).is_dir():
            notes.append(f"{given}: one {kind} for {len(named)} scans, taken for that of each")
    used = {path for item in matched for path in (item.lungs, item.truth)}
    if masks_left := [path for path in left_out if path not in used]:
        notes.append(
            f"{len(masks_left)} taken for labels or lung masks by their names, and left out: {some(masks_left, 3)}; to "
            "segment one, give its own path"
        )
    if scans_left := [path for path in beside if path not in items]:
        notes.append(
            f"{len(scans_left)} left out, of which a data set's layout makes no cases (beside its folders, with "
            f"another's name, or a further channel): {some(scans_left, 3)}; to segment one, give its own path"
        )
    return Found(matched, problems, notes, unscored)


def _items(paths: list[Path]) -> list[Item]:
    return [Item(path, _called(path)) for path in paths]


def _called(path: Path) -> str:
    """The name of a scan, without nnU-Net's number of the channel."""
    from unet_segnet.cohort.layouts import CHANNELLED

    name = scan_name(path)
    return name.removesuffix(CHANNEL) if path.absolute().parent.name.lower() in CHANNELLED else name


def _in_folder(given: Path, out: Path | None, left_out: list[Path], beside: list[Path]) -> list[Item]:
    """The scans of a folder and of the folders in it; what is taken for masks is added to `left_out`, and scans of
    which a layout makes no cases to `beside`.

    Raises:
        InputError: there is none.
    """
    from unet_segnet.cohort.layouts import is_result, masks_below, scans_below, scans_beside

    without = ()
    if out is not None and out.is_dir() and given.resolve() in out.resolve().parents and not scans_below(out):
        without = (out.resolve(),)
    found = scans_below(given, without, beside)
    if is_result(given) or (not found and any(is_result(file.parent) for file in given.rglob(MARKS[0]))):
        raise InputError(f"{given}: holds results of this command and no scan; expected scans")
    if not found:
        return _items(find_scans(given))
    left_out += masks_below(given, without)
    beside += scans_beside(given, without)
    if len(found) == 1 and found[0][1]:
        return [Item(found[0][0], _called(found[0][0]), (scan_name(given),))]
    return [Item(path, _called(path), below) for path, below in found]


def partners(given: Path, items: list[Item], kind: str) -> dict[str, Path | InputError]:
    """The mask or the labels of each scan, by its results' name, where there is one.

    Arguments:
        given: a file, which is of all; or a folder, with one for each by the scan's or the patient's name, in one of
            the layouts of data sets (`unet_segnet.cohort.layouts`), or with results of `predict`. Of a single scan
            it may be the folder of the mask's pictures.
        items: the scans.
        kind: "labels" or "lungs", in a layout.

    Returns:
        The path, or what is wrong where several could be meant.
    """
    if not given.is_dir():
        return dict.fromkeys((item.name for item in items), given)
    cases = _cases(given)
    of_image = {case.image.resolve(): getattr(case, kind) for case in cases if getattr(case, kind) is not None}
    of_name = {case.name: getattr(case, kind) for case in cases if getattr(case, kind) is not None}
    without = {case.image.resolve() for case in cases if getattr(case, kind) is None}
    entries = _by_name(given)
    names = {item.name: dict.fromkeys((scan_name(item.path), item.name, *item.below)) for item in items}
    number = Counter(name for of_item in names.values() for name in of_item)
    found: dict[str, Path | InputError] = {}
    for item in items:
        if item.path.resolve() in without:  # what lies beside it is something else
            continue
        own, shared = (
            [name for name in names[item.name] if (number[name] > 1) == several] for several in (False, True)
        )
        of_item = of_image.get(item.path.resolve()) or next((of_name[name] for name in own if name in of_name), None)
        name = next((name for name in (*own, *shared) if name in entries), None)
        if of_item is not None:
            found[item.name] = of_item
        elif name is not None and len(entries[name]) > 1:
            found[item.name] = InputError(f"{given}: several files are called {name}; expected one per scan")
        elif name in own:
            found[item.name] = _only_one_in(entries[name][0], kind)
        elif name is not None:  # of a group of scans: theirs are in it, or nobody knows whose it is
            entry = entries[name][0]
            group = [of for of in items if name in names[of.name]] if entry.is_dir() and name in item.below else []
            inner = partners(entry, group, kind) if group else {}
            found[item.name] = inner.get(item.name) or InputError(
                f"{entry}: could belong to {number[name]} scans; expected one for each, such as {item.name}"
            )
    left = [item.name for item in items if item.name not in found and item.path.resolve() not in without]
    taken = {path for partner in found.values() if isinstance(partner, Path) for path in (partner, *partner.parents)}
    free = {
        name: paths[0]
        for name, paths in entries.items()
        if len(paths) == 1 and paths[0] not in taken and not _is_other(paths[0], kind)
    }
    alike = pair_names(left, [name for name in free if name not in number])
    found |= {name: free[other] for name, other in alike.items()}
    if len(items) == 1 and not found:
        with contextlib.suppress(InputError):
            found |= {items[0].name: given} if find_scans(given) == [given] else {}
    return found


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """What is in a folder, by the names of scans; of several of one name no table beside a mask."""
    entries: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith("."):
            entries.setdefault(scan_name(entry), []).append(entry)
    meant = {
        name: [path for path in paths if len(paths) == 1 or path.is_dir() or _is_image(path)]
        for name, paths in entries.items()
    }
    return {name: paths for name, paths in meant.items() if paths}


def _is_image(path: Path) -> bool:
    with contextlib.suppress(InputError):
        return bool(find_scans(path))
    return False


def _only_one_in(path: Path, kind: str) -> Path | InputError:
    """Of a file itself; of a folder this command's result of that kind, or the one mask in it and below it, as BIDS
    keeps them; else the folder."""
    from unet_segnet.cohort.layouts import is_result, masks_below, scans_below

    if path.is_dir():
        if (path / RESULT_FILE[kind]).is_file():
            return path / RESULT_FILE[kind]
        if is_result(path):
            return InputError(f"{path}: results of this command without {RESULT_FILE[kind]}; expected it there")
    files = []
    with contextlib.suppress(InputError):
        files = find_scans(path)
    if not files and path.is_dir():
        files = [*masks_below(path), *(scan for scan, _ in scans_below(path))]
    fitting = [file for file in files if not _is_other(file, kind)]
    mine = [file for file in fitting if role_of(scan_name(file)) == kind]
    chosen = next((some[0] for some in (files, fitting, mine) if len(some) == 1), path)
    if chosen.is_file() and _is_other(chosen, kind):
        meant = "labels of lesions" if kind == LUNGS else "a lung mask"
        wanted = "a lung mask" if kind == LUNGS else "labels of lesions"
        return InputError(f"{chosen}: {meant} by its name; expected {wanted}")
    return chosen


def _is_other(path: Path, kind: str) -> bool:
    """Whether a file is a lung mask by its name where labels are looked for, or labels of lesions where lungs are."""
    name = scan_name(path)
    return says_lesion(name) if kind == LUNGS else role_of(name) == LUNGS


def _cases(folder: Path) -> list:
    """The cases of a data set's folder; none where it is in no known layout."""
    from unet_segnet.cohort.layouts import layout_of_folders, layout_of_names

    try:
        layout = layout_of_folders(folder) or layout_of_names(folder)
    except InputError:
        return []
    return layout.cases if layout else []


def _named(items: list[Item]) -> list[Item]:
    """The scans with names of their own: the file's, or where several have that one, the patient's folder's.

    Raises:
        InputError: two have the same.
    """
    choices = [
        (item.below[0], f"{item.below[0]}-{item.name}", "-".join(dict.fromkeys((*item.below, item.name))))
        if item.below
        else (item.name, folder := item.path.absolute().parent.name, f"{folder}-{item.name}")
        for item in items
    ]
    names = [choice[0] for choice in choices]
    for step in (1, 2):
        twice = {name for name, number in Counter(names).items() if number > 1}
        names = [choice[step] if name in twice else name for name, choice in zip(names, choices, strict=True)]
    for name, number in Counter(names).items():
        if number > 1:
            raise InputError(f"{number} inputs are called {name}: segment them with different --out folders")
    return [replace(item, name=name) for item, name in zip(items, names, strict=True)]
