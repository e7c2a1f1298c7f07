"""Which scans `predict` is given, what their results are called, and which lungs and true labels belong to them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import LUNGS
from unet_segnet.scans import find_scans, scan_name

LABELS = "labels.nii.gz"
MAX_DEPTH = 8  # of folders in folders: links may lead back


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


def find_items(inputs: list[Path], lungs: str, truth: Path | None) -> tuple[list[Item], list[str]]:
    """The scans that are given, and what is wrong with inputs that cannot be segmented, one line each.

    Arguments:
        inputs: scans, or folders of them at any depth.
        lungs: a word of `LUNGS`, a mask, or a folder of masks by the scans' names.
        truth: true labels, or a folder of them by the scans' names; or None.

    Raises:
        InputError: two scans would have one name.
    """
    items: dict[Path, Item] = {}
    problems = []
    for given in inputs:
        try:
            found = list(_scans_below(given, ()))
            for path, below in found:
                below = (scan_name(given),) if below and len(found) == 1 else below
                items.setdefault(path, Item(path, scan_name(path), below))
        except InputError as error:
            problems.append(str(error))
    matched = []
    for item in _named(list(items.values())):
        try:
            mask = lungs if lungs in LUNGS else partner(Path(lungs), item, alone=len(items) == 1)
            if mask is None:
                raise InputError(f"{item.path}: there is no {item.name} in {lungs}; expected a lung mask of that name")
            labels = None if truth is None else partner(truth, item, alone=len(items) == 1)
            matched.append(replace(item, lungs=mask, truth=labels))
        except InputError as error:
            problems.append(str(error))
    return matched, problems


def partner(given: Path, item: Item, alone: bool = False) -> Path | None:
    """The mask or the labels of a scan: the file that is given, or the one of the scan's or patient's name in a folder.

    Arguments:
        given: a file, or a folder.
        item: the scan.
        alone: it is the only one, so that a folder of pictures may be its mask.

    Raises:
        InputError: several files could be meant.
    """
    if not given.is_dir():
        return given
    entries = [entry for entry in sorted(given.iterdir()) if not entry.name.startswith(".")]
    for wanted in dict.fromkeys((scan_name(item.path), item.name, *item.below)):
        found = [entry for entry in entries if scan_name(entry) == wanted]
        if len(found) > 1:
            raise InputError(f"{given}: several files are called {wanted}; expected one per scan")
        if found:
            of_network = found[0] / LABELS  # results of `predict`, to compare two networks
            return of_network if of_network.is_file() else found[0]
    try:
        return given if alone and find_scans(given) == [given] else None
    except InputError:
        return None


def _scans_below(path: Path, below: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """The scans of a folder, or where it has none itself, those of the folders in it.

    Raises:
        InputError: there is none.
    """
    try:
        yield from [(scan, below) for scan in find_scans(path)]
    except InputError:
        deeper = []
        for folder in _folders(path) if len(below) < MAX_DEPTH else ():
            with contextlib.suppress(InputError):
                deeper += _scans_below(folder, (*below, folder.name))
        if not deeper:
            raise
        yield from deeper


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    except OSError:  # a file, or a folder that is closed to us: `find_scans` says so
        return []


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
