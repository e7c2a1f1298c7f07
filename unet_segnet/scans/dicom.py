"""Read the files of one DICOM series as a volume.

The slices are ordered by where they lie along the normal of their plane, never by file name or number. Coordinates
are turned from DICOM's (towards left, posterior, superior) into NIfTI's (towards right, anterior, superior).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS, MAX_VOXELS, recognise_units
from unet_segnet.errors import InputError, one_line
from unet_segnet.scans.scan import UNITS_NOTE, Scan, check_spacing, voxel_spacing

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
UNEVEN = 0.01  # of the usual distance of slices
ROUNDING_MM = 0.02  # of positions with two decimals
NEAR_MM, FAR_MM = 1e-4, 1e5  # of any length in a scanner
MAX_FILE_BYTES = 2**26  # of one slice
MAX_HEADER_BYTES = 2**22  # of one slice, all but its pixels
MAX_ITEMS = 50_000  # of its sequences, and fragments of its pixels
MAX_READS = 200_000  # one or two for an element; each takes pydicom some 10 microseconds, and it has no limit
ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian
DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax; pydicom unpacks it without a limit


@dataclass(frozen=True)
class _Header:
    """What one file says about its slice, in DICOM's coordinates (mm)."""

    file: Path
    series: str
    number: int | None
    size: tuple[int, int]
    position: np.ndarray
    directions: np.ndarray  # (2, 3): along a row, along a column
    pixel: tuple[float, float]  # distance of rows, of columns
    thickness: float  # 0 where the file does not say

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)


class _Stream(io.BytesIO):
    """A file in memory that pydicom cannot go on reading for minutes."""

    reads_left = MAX_READS

    def read(self, size=-1):
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ValueError("too many elements")
        return super().read(size)


def is_dicom(file: Path) -> bool:
    """Has the file DICOM's mark? The index of a disc (DICOMDIR) does not count."""
    if file.name.upper() == "DICOMDIR":
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path, files: list[Path]) -> Scan:
    """Read a series.

    Arguments:
        path: the folder, or the one file.
        files: its DICOM files in any order, one slice each.

    Returns:
        Scan with axes (row, column, slice), the values after rescale slope and intercept, and slices named by their
        instance number where each has its own.

    Raises:
        InputError: a damaged file or one without a picture; several series, sizes or orientations; slices that are
            missing or there twice; several frames in a file; a compression that cannot be decoded.
    """
    headers = [_read_header(file) for file in files]
    _check_alike(path, headers)
    normal = headers[0].normal
    headers.sort(key=lambda header: float(header.position @ normal))
    step = _step(path, headers)
    first = headers[0]
    height, width = first.size
    if height * width * len(headers) > MAX_VOXELS or height * width > MAX_SLICE_PIXELS:
        raise InputError(f"{path}: claims {len(headers)} slices of {height}x{width}: more than can be held")
    slices = np.empty((len(headers), height, width), np.float32)
    for index, header in enumerate(headers):
        slices[index] = _read_pixels(header)
    slices, units = recognise_units(slices, path)
    affine = np.eye(4)
    affine[:3, 0] = first.directions[1] * first.pixel[0]  # the next row lies along a column
    affine[:3, 1] = first.directions[0] * first.pixel[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = voxel_spacing(affine) if len(headers) > 1 or first.thickness else None
    check_spacing(path, spacing)
    notes = (UNITS_NOTE[units], "DICOM series")
    names = tuple(f"{header.number:03}" for header in headers if header.number is not None)
    return Scan(
        name=path.stem if path.is_file() else path.resolve().name,
        array=np.moveaxis(slices, 0, 2),
        affine=affine,
        units=units,
        spacing=spacing,
        source=path,
        slice_names=names if len(set(names)) == len(headers) else None,
        is_volume=len(headers) > 1,
        notes=notes if spacing else (*notes, "the thickness of the slice is not told: spacing unknown"),
        rows_first=True,
    )


def _read_header(file: Path) -> _Header:
    dataset = _read(file, stop_before_pixels=True)
    try:
        frames = int(dataset.get("NumberOfFrames") or 1)
        size = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
        if not all(size):
            raise InputError(f"{file} has no pixel data: expected the slices of one CT series only")
        if frames > 1:
            raise InputError(f"{file} has {frames} frames: expected one slice per file; convert it to NIfTI (dcm2niix)")
        if dataset.get("PhotometricInterpretation", "MONOCHROME2") != "MONOCHROME2":
            raise InputError(f"{file} is {dataset.PhotometricInterpretation!r}: expected CT slices (MONOCHROME2)")
        stored = int(dataset.get("BitsStored") or 0)
        if stored and int(dataset.get("HighBit", stored - 1)) != stored - 1:  # which pydicom does not look at
            raise InputError(
                f"{file} keeps its values elsewhere than in the lowest {stored} bits: convert it to NIfTI (dcm2niix)"
            )
        needed = ("SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        missing = [name for name in needed if not dataset.get(name)]
        if missing:
            raise InputError(f"{file} has no {missing[0]}: expected CT slices with their place in the patient")
        header = _Header(
            file=file,
            series=str(dataset.SeriesInstanceUID),
            number=None if dataset.get("InstanceNumber") is None else int(dataset.InstanceNumber),
            size=size,
            position=np.array(dataset.ImagePositionPatient, float),
            directions=np.array(dataset.ImageOrientationPatient, float).reshape(2, 3),
            pixel=(float(dataset.PixelSpacing[0]), float(dataset.PixelSpacing[1])),
            thickness=float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 0.0),
        )
        # Unit vectors at right angles, and lengths of a body; anything else is no plane.
        gram = header.directions @ header.directions.T
        lengths = (*header.pixel, abs(header.thickness) or 1.0)
        is_sound = np.allclose(gram, np.eye(2), atol=1e-3) and header.position.shape == (3,)
        is_near = (np.abs(header.position) < FAR_MM).all()  # not where a number is none
        if not (is_sound and is_near and all(NEAR_MM < length < FAR_MM for length in lengths)):
            raise InputError(f"{file} has a place in the patient that cannot be: repair or convert the series")
        return header
    except InputError:
        raise
    except Exception as error:  # values are parsed when they are asked for
        raise InputError(f"{file} has a damaged header ({one_line(error)}): restore the file") from error


def _read(file: Path, stop_before_pixels: bool = False):
    import pydicom

    try:
        size = file.stat().st_size
        if not size:
            raise InputError(f"{file} is empty: expected a DICOM file; restore it")
        if size > MAX_FILE_BYTES:
            raise InputError(f"{file} has {size} bytes: expected one slice per file, at most {MAX_FILE_BYTES}")
        content = file.read_bytes()
        if DEFLATED in content:
            raise InputError(f"{file} is deflated: convert the series to NIfTI (dcm2niix)")
        if (items := sum(map(content.count, ITEM_TAGS))) > MAX_ITEMS:
            raise InputError(
                f"{file} claims {items} items: expected at most {MAX_ITEMS}; convert it to NIfTI (dcm2niix)"
            )
        stream = _Stream(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Out of memory: of a file, as many bytes are set aside as an element claims to have.
            dataset = pydicom.dcmread(stream, stop_before_pixels=stop_before_pixels)
        # Elements behind the pixels count too.
        header = stream.tell() if stop_before_pixels else size - len(_raw_pixels(dataset, file))
        if header > MAX_HEADER_BYTES:
            raise InputError(
                f"{file} has {header} bytes besides its pixels: expected at most {MAX_HEADER_BYTES}; convert it to "
                "NIfTI (dcm2niix)"
            )
        return dataset
    except InputError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise InputError(f"{file} is not a DICOM file: expected the slices of one series") from error
    except Exception as error:  # pydicom raises many types on damaged files
        raise InputError(f"{file} is damaged ({one_line(error)}): restore the file") from error


def _raw_pixels(dataset, file: Path) -> bytes:
    """The bytes of the pixel data, nothing in them looked at yet."""
    found = dataset.get_item("PixelData")
    if found is None or not isinstance(found.value, bytes) or found.VR == "SQ":
        raise InputError(f"{file} has no pixel data: expected the slices of one CT series only")
    return found.value


def _read_pixels(header: _Header) -> np.ndarray:
    """(row, column) float32 values after rescale slope and intercept."""
    from pydicom.pixels import apply_modality_lut

    file = header.file
    dataset = _read(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.asarray(apply_modality_lut(dataset.pixel_array, dataset), np.float32)
    except Exception as error:  # depends on the decoder
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is not None and syntax.is_transfer_syntax and syntax.is_compressed:
            raise InputError(
                f"{file} is compressed ({syntax.name}) and cannot be decoded here: install a decoder "
                "(pip install pylibjpeg[all]) or convert the series to NIfTI (dcm2niix)"
            ) from error
        raise InputError(f"{file} has damaged pixel data ({one_line(error)}): restore the file") from error
    if values.shape != header.size or not np.isfinite(values).all():
        raise InputError(f"{file} has pixel data that do not fit its header: restore the file")
    return values


def _check_alike(path: Path, headers: list[_Header]) -> None:
    first = headers[0]
    series = {header.series for header in headers}
    if len(series) > 1:
        raise InputError(f"{path}: holds {len(series)} DICOM series; expected one, put each into its own folder")
    for header in headers[1:]:
        if header.size != first.size:
            sizes = ["{}x{}".format(*each.size) for each in (header, first)]
            raise InputError(f"{header.file} is {sizes[0]}, {first.file.name} is {sizes[1]}: expected one size")
        if not np.allclose(header.directions, first.directions, atol=1e-3):
            raise InputError(f"{header.file} lies in another plane than {first.file.name}: expected parallel slices")
        if not np.allclose(header.pixel, first.pixel, rtol=1e-3):
            raise InputError(f"{header.file} has another pixel spacing than {first.file.name}: expected one")


def _step(path: Path, headers: list[_Header]) -> np.ndarray:
    """From one slice to the next, in mm; the slices are in order."""
    first = headers[0]
    if len(headers) == 1:
        return first.normal * (abs(first.thickness) or 1.0)
    positions = np.stack([header.position for header in headers])
    gaps = np.diff(positions @ first.normal)
    usual = float(np.median(gaps))
    tolerance = max(UNEVEN * usual, ROUNDING_MM)
    same = np.flatnonzero(gaps < ROUNDING_MM)
    if len(same):
        pair = [headers[same[0] + offset].file.name for offset in (0, 1)]
        raise InputError(f"{path}: {pair[0]} and {pair[1]} lie at the same place; expected each slice once")
    uneven = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if len(uneven):
        at = uneven[np.argmax(gaps[uneven])]
        pair = [headers[at + offset].file.name for offset in (0, 1)]
        raise InputError(
            f"{path}: {gaps[at]:.2f} mm between {pair[0]} and {pair[1]}, elsewhere {usual:.2f} mm; slices are missing "
            "or unevenly spaced, complete the series"
        )
    step = (positions[-1] - positions[0]) / (len(headers) - 1)
    off = np.abs(positions - positions[0] - np.arange(len(headers))[:, None] * step).max(axis=1)
    if off.max() > max(tolerance, 0.5 * min(first.pixel)):
        raise InputError(f"{path}: {headers[off.argmax()].file.name} is shifted sideways; expected slices in one line")
    return step
