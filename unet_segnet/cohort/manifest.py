"""A data set as a table: one scan, or some slices of one, a row."""

import csv
import json
import os
import sys
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from unicodedata import normalize

from unet_segnet.data.splits import PARTS
from unet_segnet.errors import InputError
from unet_segnet.output.files import check_text, expanded, read_small, whole_file
from unet_segnet.scans import scan_name
from unet_segnet.scans.names import CHANNEL

COLUMNS = ("image", "labels", "lungs", "patient", "slices", "orientation", "part")
MAX_MANIFEST_BYTES = 2**24


@dataclass(frozen=True)
class Case:
    """One scan, or some slices of one, with its label file.

    Attributes:
        name: different for each case.
        image: a scan file, or a folder of slices, see `unet_segnet.scans.read_scan`.
        labels, lungs: a mask of the same voxels, or None where there is none.
        patient: whose it is, or None where nobody said: a volume then counts as one patient, a single slice as
            somebody's, and so do slices of a file of which a manifest lists single ones alone.
        slices: (first, last) of the file's slices, one-based; None for all.
        orientation: how the arrays lie, see `unet_segnet.scans.to_network`; None: by the affine, or assumed.
        part: "train", "validation" or "test" where it is fixed, else "".
    """

    name: str
    image: Path
    labels: Path | None = None
    lungs: Path | None = None
    patient: str | None = None
    slices: tuple[int, int] | None = None
    orientation: str | None = None
    part: str = ""


def with_own_names(cases: list[Case]) -> list[Case]:
    """The cases, with a number after the name of each that is called as one before it."""
    taken: set[str] = set()
    named = []
    for case in cases:
        others = (f"{case.name}-{number}" for number in count(2))
        name = next(name for name in chain([case.name], others) if name not in taken)
        taken.add(name)
        named.append(replace(case, name=name))
    return named


def read_manifest(path: Path) -> tuple[list[Case], list[str]]:
    """The cases of a manifest, and what does not fit together, one line each.

    Raises:
        InputError: it cannot be read, or a cell that says nothing.
    """
    rows = read_rows(path, required=("image",), allowed=COLUMNS)
    cases, problems, names = [], [], set()
    taken: dict[Path, list[tuple[range, int]]] = {}  # image -> slices, line
    labelled: dict[Path, tuple[Path, str | None, int]] = {}  # labels -> image, patient, line
    for number, row in rows.items():
        where = f"{path}, line {number}"
        if not row["image"]:
            raise InputError(f"{where}: no image; expected a file or folder")
        files = {}
        for column in ("image", "labels", "lungs"):
            given = row.get(column)
            file = path.parent / expanded(given) if given else None
            if file is not None and not file.exists():
                problems.append(f"{where}: {file} does not exist; expected the file of column {column}")
                file = None
            files[column] = file
        if files["image"] is None:
            continue
        part = row.get("part", "")
        if part not in ("", *PARTS):
            raise InputError(f"{where}: part {part!r}; expected {', '.join(PARTS)}, or nothing")
        slices = _slice_range(row.get("slices", ""), where)
        name = scan_name(files["image"])
        image = files["image"].resolve()
        if line := _overlap(slices, taken.setdefault(image, [])):
            problems.append(
                f"{where}: the same image{' and slices' if slices else ''} as in line {line}; expected each once"
            )
            continue
        taken[image].append((_as_range(slices), number))
        patient = normalize("NFC", row.get("patient", "")) or None
        if files["labels"] is not None:  # two pictures of one scan may share them
            first = labelled.setdefault(files["labels"].resolve(), (image, patient, number))
            if first[0] != image and (patient is None or patient != first[1]):
                problems.append(
                    f"{where}: the same labels as in line {first[2]}, of another image; expected each image's own, or "
                    "one patient"
                )
                continue
        if slices:
            name += f"-{slices[0]}" if slices[0] == slices[1] else f"-{slices[0]}-{slices[1]}"
        if name in names:
            name = f"{files['image'].parent.name}-{name}"
        if name in names:
            name = f"{name}-line{number}"
        names.add(name)
        cases.append(
            Case(
                name=name,
                **files,
                patient=patient,
                slices=slices,
                orientation=row.get("orientation") or None,
                part=part,
            )
        )
    if not cases and not problems:
        raise InputError(f"{path}: names no scan; expected a row for each")
    return _with_patients_of_parts(cases), problems


def _with_patients_of_parts(cases: list[Case]) -> list[Case]:
    """The cases; parts of one file are one patient's where nobody said whose, as a part of several slices shows."""
    volumes: dict[Path, str] = {}
    for case in cases:
        if case.slices and case.slices[0] < case.slices[1]:
            volumes.setdefault(case.image.resolve(), case.name.removesuffix("-{}-{}".format(*case.slices)))
    return [replace(case, patient=case.patient or volumes.get(case.image.resolve())) for case in cases]


def _as_range(slices: tuple[int, int] | None) -> range:
    first, last = slices or (1, sys.maxsize - 1)
    return range(first, last + 1)


def _overlap(slices: tuple[int, int] | None, taken: list[tuple[range, int]]) -> int | None:
    """The line that takes one of these slices already."""
    wanted = _as_range(slices)
    return next((line for of, line in taken if max(of[0], wanted[0]) <= min(of[-1], wanted[-1])), None)


def _slice_range(text: str, where: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, _, last = text.partition("-")
    try:
        found = (int(first), int(last or first))
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1]:
        raise InputError(f"{where}: slices {text!r}; expected a number or a range such as 1-10, counted from 1")
    return found


def read_rows(path: Path, required: tuple[str, ...], allowed: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """The rows of a small CSV file by their line, cells stripped; empty lines are left out.

    Raises:
        InputError: it cannot be read, is too large, or has other columns or cells that are missing or too many.
    """
    path = Path(path)
    try:
        text = read_small(path, MAX_MANIFEST_BYTES).decode("utf-8-sig")
        # Strict and with the lines' ends: else a quotation mark that is never closed swallows the rows after it.
        reader = csv.reader(text.splitlines(keepends=True), strict=True)
        cells = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected a CSV file (UTF-8, commas between the cells, each quotation "
            f"mark closed) with the columns {', '.join(allowed)}"
        ) from error
    lines = {number: line for number, line in cells if any(line)}
    columns = lines.pop(min(lines)) if lines else []
    wrong = [column for column in columns if column not in allowed]
    missing = [column for column in required if column not in columns]
    if wrong or missing or len(set(columns)) < len(columns):
        what = f"unknown column {wrong[0]!r}" if wrong else f"no column {missing[0]!r}" if missing else "a column twice"
        raise InputError(
            f"{path}: {what}; expected {', '.join(allowed)}, with commas between (needed: {', '.join(required)})"
        )
    for number, line in lines.items():
        if len(line) != len(columns) or not all(cell.isprintable() for cell in line):
            raise InputError(
                f"{path}, line {number}: {len(line)} cells; expected {len(columns)}, of printable text on one line"
            )
    return {number: dict(zip(columns, line, strict=True)) for number, line in lines.items()}


def write_manifest(path: Path, cases: list[Case]) -> None:
    """Write a manifest; files below its folder by relative path, others by their whole path.

    Raises:
        InputError: a path is no text.
    """
    folder = path.absolute().parent

    def place(file: Path | None) -> str:
        if file is None:
            return ""
        file = file.absolute()
        text = str(file.relative_to(folder) if file.is_relative_to(folder) else file)
        check_text(text)
        return text

    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for case in cases:
            slices = "" if case.slices is None else "{}-{}".format(*case.slices)
            files = (place(case.image), place(case.labels), place(case.lungs))
            writer.writerow((*files, case.patient or "", slices, case.orientation or "", case.part))


def dataset_json(path: Path) -> dict:
    """The content of a dataset.json.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = json.loads(read_small(path, MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected JSON as nnU-Net writes it") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected JSON as nnU-Net writes it, an object")
    return content


def listed_cases(folder: Path) -> list[Case]:
    """The cases that dataset.json lists (Decathlon, nnU-Net's first version); none where it does not or lacks files.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / "dataset.json"
    if not path.is_file():
        return []
    listed = dataset_json(path).get("training")
    pairs = [
        (folder / row["image"], folder / row["label"])
        for row in (listed if isinstance(listed, list) else ())
        if isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("image", "label"))
    ]
    if not all(os.path.exists(file) for pair in pairs for file in pair):
        return []
    names = [scan_name(image).removesuffix(CHANNEL) for image, _ in pairs]
    return [Case(name, *pair) for name, pair in zip(names, pairs, strict=True)] if len(set(names)) == len(names) else []
