"""Read a user's scan: NIfTI, MetaImage, NRRD, pictures (PNG, TIFF, JPEG) and folders of them, DICOM."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS, MAX_VOXELS, SUFFIXES, recognise_units
from unet_segnet.errors import InputError
from unet_segnet.scans.dicom import check_one_study, read_dicom
from unet_segnet.scans.dicom_file import DICOM_SUFFIXES, HEAD_BYTES, is_dicom
from unet_segnet.scans.itk import ITK_SUFFIXES, read_itk
from unet_segnet.scans.names import LABELS, LUNGS, role_of
from unet_segnet.scans.nifti import read_nifti
from unet_segnet.scans.scan import UNITS_NOTE, Scan, scan_name

VOLUMES, PICTURES, DICOM = "volume files", "pictures", "DICOM files"
PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
DICOMDIR = "DICOMDIR"  # the index of a disc
MAX_FILES = 20_000  # of one scan
ORIENTATION = 0x0112  # in EXIF and TIFF: how the stored picture lies; 1 as it is
MOST_COLOURS = 16  # of a mask
PICTURE_FORMATS = ("PNG", "TIFF", "JPEG")  # whatever the name says: Pillow hands some others to outside programs
EXPECTED = (
    "expected a scan: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd), NRRD, PNG, TIFF or JPEG slices (or a folder of "
    "them), or a folder with a DICOM series"
)


def find_scans(path: str | Path) -> list[Path]:
    """What is there to read: each item is one scan for `read_scan`.

    Arguments:
        path: a scan file; a folder of pictures or of DICOM files, or a tree of folders of the latter, which is one
            scan; or a folder of volume files (NIfTI, MetaImage, NRRD), each of which is one.

    Raises:
        InputError: the path does not exist, has no scan in it, or scans of several kinds; or it is a tree of DICOM
            files of several patients or studies, whose folders are to be named.
    """
    path = Path(path)
    kind, files = _look(path)
    if kind == DICOM and files[0].parent != files[-1].parent:
        check_one_study(path, files)
    return files if kind == VOLUMES else [path]


def read_scan(path: str | Path, *, series: str | None = None, colours: dict[str, int] | None = None) -> Scan:
    """Read one scan, or a mask or label file of one.

    Arguments:
        path: as `find_scans` gives it. Masks and labels of whole numbers 0 to 255 come as "8-bit".
        series: of DICOM, which series: its number, its UID or a part of its description; None: the axial CT series with
            the most slices, where that is clear; projections aside.
        colours: of labels that are pictures in colour: "#rrggbb" -> value 0..255; empty or None: there are none.

    Returns:
        Scan. Pictures in a folder are taken in natural order (slice2 before slice10), DICOM slices by their position.

    Raises:
        InputError: there is no such scan, it is damaged, too large, or of a kind that cannot be segmented.
    """
    path = Path(path)
    kind, files = _look(path)
    if kind == VOLUMES:
        if len(files) > 1:
            raise InputError(f"{path}: holds {len(files)} {VOLUMES}; expected one scan, name the file")
        is_itk = files[0].name.lower().endswith(ITK_SUFFIXES)
        return read_itk(files[0]) if is_itk else read_nifti(files[0])
    if kind == DICOM:
        return read_dicom(path, files, series)
    return _read_pictures(path, files, colours)


def _look(path: Path) -> tuple[str, list[Path]]:
    """The kind of scan at a path, and its files."""
    if os.path.isfile(path):  # False also of a name that is too long
        kind = _kind(path)
        if kind is None:
            raise InputError(f"{path}: unknown kind of file; {EXPECTED}")
        return kind, [path]
    if not os.path.isdir(path):
        raise InputError(f"{path}: no such file or folder; {EXPECTED}")
    files = _files_in(path, is_tree=False)
    found = _by_kind(files)
    if any(file.name.upper() == DICOMDIR for file in files) or not found:
        files = _files_in(path, is_tree=True)
        found = {kind: of_kind for kind, of_kind in _by_kind(files).items() if kind == DICOM} or found
    if DICOM in found:
        found.pop(PICTURES, None)  # of a viewer that came with the disc, or saved out of it
        if all(role_of(scan_name(file)) in (LABELS, LUNGS) for file in found.get(VOLUMES, ())):
            found.pop(VOLUMES, None)  # drawn on the series
    if not found:
        raise InputError(f"{path}: no scan in this folder; {EXPECTED}")
    if len(found) > 1:
        raise InputError(f"{path}: holds {' and '.join(found)}; expected scans of one kind, name the files")
    if DICOM in found:
        folders = {file.parent for file in found[DICOM]}
        for file in files:
            # Of a slice at the end of a series nothing else would tell that it is missing.
            if file.parent in folders and _may_be_slice(file) and (problem := _lost(file)):
                raise InputError(problem)
    elif PICTURES in found and (lost := [file for file in found[PICTURES] if _is_link_to_nothing(file)]):
        raise InputError(_nothing_behind(lost[0]))
    return next(iter(found.items()))


def _files_in(folder: Path, is_tree: bool) -> list[Path]:
    """The files in a folder, or in all folders below it too, in natural order; none that are hidden.

    A link to nothing is among them: in data sets of git-annex (DataLad) it is a file that was not fetched.
    """
    files = []
    try:
        for at, folders, names in os.walk(folder) if is_tree else [(folder, [], os.listdir(folder))]:
            folders[:] = [name for name in folders if not name.startswith(".")]
            paths = [Path(at) / name for name in names if not name.startswith(".")]
            files += [path for path in paths if path.is_file() or _is_link_to_nothing(path)]
            if len(files) > MAX_FILES:
                raise InputError(f"{folder}: holds more than {MAX_FILES} files: name the folder of one scan")
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    return sorted(files, key=lambda file: (file.parent, _natural(file)))


def _by_kind(files: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        if (kind := _kind(file)) is not None:
            found.setdefault(kind, []).append(file)
    return found


def _may_be_slice(file: Path) -> bool:
    """Could a file have been a slice, by its name? Notes have a suffix of letters, files of scanners none."""
    suffix = file.suffix.lower()
    return suffix in DICOM_SUFFIXES or not (suffix[1:].isalpha() or file.name.upper() == DICOMDIR)


def _lost(file: Path) -> str | None:
    """Why nothing can be told of a file that could have been a slice, None where it is whole or was never one."""
    if _is_link_to_nothing(file):
        return _nothing_behind(file)
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return f"{file} cannot be read ({error.strerror}): expected a DICOM file; allow reading it, or remove it"
    if not head:
        return f"{file} is empty: expected a DICOM file; restore or remove it"
    if not any(head) or (len(head) < HEAD_BYTES and 0 in head):  # a short text is a note
        return f"{file} is cut off or filled with zeros: expected a DICOM file; restore or remove it"
    return None


def _is_link_to_nothing(path: Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _nothing_behind(path: Path) -> str:
    return f"{path} is a link to nothing: get the file that it stands for (datalad get, git annex get), or remove it"


def is_volume(file: Path) -> bool:
    """Whether a file holds a volume, by its name."""
    return file.name.lower().endswith(SUFFIXES + ITK_SUFFIXES)


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    if is_volume(file):
        return VOLUMES
    if name.endswith(PICTURE_SUFFIXES):
        return PICTURES
    return DICOM if name.endswith(DICOM_SUFFIXES) or is_dicom(file) else None


def _natural(file: Path) -> list:
    """Key of the order in which a person counts: slice2 before slice10."""
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", file.name)
    ]


def _read_pictures(path: Path, files: list[Path], colours: dict[str, int] | None) -> Scan:
    slices = None
    for index, file in enumerate(files):
        picture = _read_picture(file, colours)
        if slices is None:
            if picture.size * len(files) > MAX_VOXELS:
                raise InputError(f"{path}: {len(files)} pictures of {_size(picture)} are more than can be held")
            slices = np.empty((len(files), *picture.shape), np.float32)
        if picture.shape != slices.shape[1:]:
            raise InputError(
                f"{file} is {_size(picture)}, {files[0].name} is {_size(slices[0])}: expected slices of one size"
            )
        slices[index] = picture
    slices, units = recognise_units(slices, path)
    names = tuple(scan_name(file) for file in files)
    return Scan(
        name=scan_name(path),
        array=np.moveaxis(slices, 0, 2),
        affine=None,
        units=units,
        spacing=None,
        source=path,
        slice_names=names if len(set(names)) == len(names) else tuple(file.name for file in files),
        is_volume=False,
        notes=(UNITS_NOTE[units], "pictures: orientation and spacing unknown"),
        rows_first=True,
    )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"


def _read_picture(file: Path, colours: dict[str, int] | None) -> np.ndarray:
    """(row, column) values of one picture in grey, or of labels in these colours."""
    from PIL import Image, UnidentifiedImageError

    if not file.stat().st_size:
        raise InputError(f"{file} is empty: expected a picture; restore the file")
    try:
        with Image.open(file, formats=PICTURE_FORMATS) as image:
            if image.width * image.height > MAX_SLICE_PIXELS:
                raise InputError(f"{file} claims {image.width}x{image.height} pixels: too large for a slice")
            with contextlib.suppress(EOFError):
                image.seek(1)  # to count the pages would be to walk through all of them
                raise InputError(f"{file} has several pages: expected one slice per file")
            image.seek(0)
            if len(image.getbands()) > 1 and ";16" in str(image.tile):  # of which Pillow gives the upper byte alone
                raise InputError(f"{file} has several channels of 16 bits: save it in grey, of one channel")
            if image.getexif().get(ORIENTATION, 1) != 1:
                raise InputError(f"{file} is stored turned or mirrored (EXIF): save it as it is to be seen")
            if image.mode == "P":  # a palette of greys
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            elif image.mode == "1":
                image = image.convert("L")
            values = np.asarray(image)
            bands = image.getbands()
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} is not a picture that can be read: expected PNG, TIFF or JPEG") from error
    except Exception as error:  # Pillow raises many types on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{file} is damaged ({reason}): restore the file") from error
    if bands[-1] == "A":
        if ((values[..., -1] < 255) & values[..., :-1].any(axis=-1)).any():
            raise InputError(
                f"{file} is transparent in part, where its values are not seen: save it without (no alpha)"
            )
        values, bands = values[..., :-1], bands[:-1]
        values = values[..., 0] if len(bands) == 1 else values
    if colours and bands in (("L",), ("R", "G", "B")):
        return _values_of_colours(file, values if values.ndim == 3 else np.stack([values] * 3, axis=-1), colours)
    if values.ndim == 3:
        if bands != ("R", "G", "B") or (values != values[..., :1]).any():
            raise InputError(f"{file} is in colour{_few_colours(values)}: expected a slice in grey")
        values = values[..., 0]
    if not np.isfinite(values).all():
        raise InputError(f"{file} has values that are not finite: repair the file")
    return values


def _codes(values: np.ndarray) -> np.ndarray:
    """(row, column) red, green and blue as one number."""
    return values[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)


def _few_colours(values: np.ndarray) -> str:
    """The colours of a mask, and how their meaning is told; nothing of a photograph."""
    found = [f"#{code:06x}" for code in np.unique(_codes(values))] if values.shape[-1] == 3 else []
    if not 0 < len(found) <= MOST_COLOURS:
        return ""
    rows = " / ".join(
        f"{colour},{'class ' + str(index) if index else 'background'}" for index, colour in enumerate(found)
    )
    return (
        f" ({', '.join(found)}; if it is a mask, say in classes.csv beside the data, or in `classes`, what each colour "
        f"means, such as: value,name / {rows})"
    )


def _values_of_colours(file: Path, values: np.ndarray, colours: dict[str, int]) -> np.ndarray:
    codes = _codes(values)
    result = np.zeros(codes.shape, np.uint8)
    for code in np.unique(codes):
        if (value := colours.get(f"#{code:06x}")) is None:
            raise InputError(
                f"{file}: has the colour #{code:06x}, which stands for no class; expected {', '.join(colours)}: add it "
                "to the file of classes, or save the mask without smoothing"
            )
        result[codes == code] = value
    return result
