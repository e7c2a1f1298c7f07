"""Which files belong together: a folder of images, labels and lungs, or a manifest."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from unet_segnet.data.catalogue import find_data
from unet_segnet.data.nifti import has_slices, slice_paths, volume_names, volume_paths
from unet_segnet.data.png_tree import tree_root
from unet_segnet.data.splits import PARTS
from unet_segnet.errors import InputError
from unet_segnet.output.files import check_text, expanded, read_small, whole_file
from unet_segnet.scans import find_scans, read_scan, scan_name

IMAGES, LABELS, LUNGS = "images", "labels", "lungs"
COLUMNS = ("image", "labels", "lungs", "patient", "slices", "orientation", "part")
MAX_MANIFEST_BYTES = 2**24
EXPECTED = (
    f"expected a manifest (.csv), a folder with {IMAGES}/ and {LABELS}/, or one of the released layouts "
    "(dataset/im/256 or tr_im.nii.gz)"
)


@dataclass(frozen=True)
class Case:
    """One scan, or some slices of one, with its label file.

    Attributes:
        name: different for each case.
        image: a scan file, or a folder of slices, see `unet_segnet.scans.read_scan`.
        labels, lungs: a mask of the same voxels, or None where there is none.
        patient: whose it is, or None where nobody said: a volume then counts as one patient, a single slice as
            somebody's.
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


@dataclass(frozen=True)
class CaseList:
    """The cases of a data set.

    Attributes:
        source: folder or manifest.
        cases: in their order; empty for a folder of the released slices, which are read as a whole.
        problems: files that have no partner, one line each.
        classes: the file that names the classes, or None.
    """

    source: Path
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    classes: Path | None = None

    @property
    def is_released(self) -> bool:
        """Whether it is a folder of the released slices."""
        return not self.cases and not self.problems


def is_own(data: str | Path) -> bool:
    """Whether it is a manifest, or a folder with images/: scans of one's own rather than a released layout."""
    return Path(data).suffix.lower() == ".csv" or (find_data(str(data)) / IMAGES).is_dir()


def find_cases(data: str | Path) -> CaseList:
    """Find the scans of a data set and what belongs to them; no image is opened.

    Arguments:
        data: a manifest (.csv), the path of a folder, or the name of one in $UNET_SEGNET_DATA. Beside a manifest, or
            in the folder, `classes.csv` may name the classes.

    Returns:
        CaseList; what does not fit together stands in its `problems`.

    Raises:
        InputError: nothing of that kind is there, or a manifest that cannot be read.
    """
    if Path(data).suffix.lower() == ".csv":
        path = expanded(data)
        cases, problems = _read_manifest(path)
        folder = path.parent
    else:
        path = folder = find_data(str(data))
        if (folder / IMAGES).is_dir():
            cases, problems = _look_into(folder)
        elif tree_root(folder) is not None or has_slices(folder):
            cases, problems = [], []
        elif volume_names(folder):
            raise InputError(
                f"{folder}: holds volumes (rp_im) only; write a manifest of them with `unet-segnet data "
                f"manifest {folder} --to FILE.csv` and give that"
            )
        else:
            raise InputError(f"{folder}: no data set; {EXPECTED}")
    classes = folder / "classes.csv"
    return CaseList(path, tuple(cases), tuple(problems), classes if classes.is_file() else None)


def _look_into(folder: Path) -> tuple[list[Case], list[str]]:
    """Cases of images/, labels/ and lungs/, matched by name."""
    problems: list[str] = []
    found = {kind: _items(folder / kind, problems) for kind in (IMAGES, LABELS, LUNGS) if (folder / kind).is_dir()}
    images = found.pop(IMAGES)
    if not images:
        raise InputError(f"{folder / IMAGES}: no scan in this folder; {EXPECTED}")
    for items in found.values():
        for name in items.keys() - images.keys():
            problems.append(
                f"{items[name]}: there is no {name} in {IMAGES}/; expected the same names, rename or remove it"
            )
    cases = [
        Case(name, image, *(found.get(kind, {}).get(name) for kind in (LABELS, LUNGS)))
        for name, image in images.items()
    ]
    return cases, sorted(problems)


def _items(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Scans by name: files, and folders that hold one scan each."""
    items: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            is_scan, name = bool(find_scans(path)), scan_name(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if is_scan and name in items:
            problems.append(f"{path}: {items[name].name} has the same name; expected one of them")
        else:
            items[name] = path
    return items


def _read_manifest(path: Path) -> tuple[list[Case], list[str]]:
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
        patient = row.get("patient") or None
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
    return cases, problems


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
        reader = csv.reader(read_small(path, MAX_MANIFEST_BYTES).decode("utf-8-sig").splitlines())
        cells = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected a CSV file (UTF-8, commas between the cells) with the columns "
            f"{', '.join(allowed)}"
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
            raise InputError(f"{path}, line {number}: {len(line)} cells; expected {len(columns)}, of printable text")
    return {number: dict(zip(columns, line, strict=True)) for number, line in lines.items()}


def cases_for_manifest(folder: Path, slices_per_patient: int | None = None) -> tuple[list[Case], list[Case]]:
    """Cases of a folder, to be written into a manifest: of slices or single scans, and of volumes in MedSeg's layout.

    Arguments:
        folder: with images/ and labels/, or tr_im, rp_im or both.
        slices_per_patient: every so many slices of tr_im, in their order, are one patient's; None: nobody knows, and
            each slice becomes a case of its own.

    Raises:
        InputError: nothing of that kind is there, or the slices cannot be divided so.
    """
    if (folder / IMAGES).is_dir():
        cases, problems = _look_into(folder)
        if problems:
            raise InputError(problems[0])
        return cases, []
    volumes = [Case(name, *volume_paths(folder, name), f"rp{name}") for name in volume_names(folder)]
    if not has_slices(folder):
        if not volumes:
            raise InputError(f"{folder}: nothing to list; expected {IMAGES}/, tr_im.nii.gz or rp_im/N.nii.gz")
        return [], volumes
    image, labels, lungs = slice_paths(folder)
    number, step = read_scan(image).array.shape[2], slices_per_patient or 1
    if number % step:
        raise InputError(f"{image}: {number} slices cannot be divided among patients of {step} slices each")
    slices = []
    for index, first in enumerate(range(1, number + 1, step), 1):
        patient = f"tr{index:02}" if slices_per_patient else None
        slices.append(Case(f"tr{index:02}", image, labels, lungs, patient, (first, first + step - 1)))
    return slices, volumes


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
