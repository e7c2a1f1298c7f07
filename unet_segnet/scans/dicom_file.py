"""One DICOM file: what it says of itself and of its slices, and their values; read within limits.

A file holds one slice, or in enhanced CT as many as it has frames. What is wrong with a file is kept and raised only
where the file is needed: beside the scan on a disc lie files of many kinds.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS, MAX_VOXELS
from unet_segnet.errors import InputError, one_line

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
NEAR_MM, FAR_MM = 1e-4, 1e5  # of any length in a scanner
MAX_FILE_BYTES = 2**29
MAX_HEADER_BYTES = 2**22  # all but the pixels
MAX_ITEMS = 50_000  # of its sequences, and fragments of its pixels
MAX_READS = 200_000  # one or two for an element; each takes pydicom some 10 microseconds, and it has no limit
ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian
DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax; pydicom unpacks it without a limit
MARK = b"DICM"
HEAD_BYTES = 132  # up to the end of the mark
# A file without the mark begins with an element of these groups, of one of these kinds or of a small length.
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
FIRST_KINDS = (b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"LO", b"SH", b"ST", b"SQ", b"PN")
FIRST_LENGTH = 256
PROJECTIONS = {"MIP", "MINIP", "MIN_IP", "MAX_IP", "PROJECTION IMAGE"}  # of image types
GREY = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, eq=False)
class Frame:
    """What a file says about one of its slices, in DICOM's coordinates (mm)."""

    file: Path
    index: int  # in its file
    number: int | None
    size: tuple[int, int]
    position: np.ndarray
    rounding: np.ndarray  # (3,) by how much the position may be off, as many digits as it has
    directions: np.ndarray  # (2, 3): along a row, along a column
    pixel: tuple[float, float]  # distance of rows, of columns
    thickness: float  # 0 where the file does not say
    scale: tuple[float, float] | None  # slope and intercept of enhanced CT; None: as the whole file has them
    mirror: float | None  # of MONOCHROME1: value + inverted value

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A file's place among others.

    Attributes:
        file: its path.
        series, study, patient: who and what it belongs to; "" where it does not say.
        modality: such as "CT"; "" where it does not say.
        number, description: of the series.
        is_localizer: it is a scout, by which the scan was planned.
        is_picture: it is in colour and has no place in the patient, such as a report of the dose saved from the screen.
        is_projection: each slice shows the highest or lowest values of several, which are no tissue's HU.
        frames: its slices; none where something is wrong with them.
        problem: what.
    """

    file: Path
    series: str
    study: str
    patient: str
    modality: str
    number: str
    description: str
    is_localizer: bool
    is_picture: bool
    is_projection: bool
    frames: tuple[Frame, ...]
    problem: InputError | None


class _LimitError(InputError):
    """A file is too large to be looked through: whose it is stays unknown."""


class _TooManyReadsError(Exception):
    pass


class _Stream(io.BytesIO):
    """A file in memory that pydicom cannot go on reading for minutes."""

    reads_left = MAX_READS

    def read(self, size=-1):
        self.reads_left -= 1
        if self.reads_left < 0:
            raise _TooManyReadsError
        return super().read(size)


def is_dicom(file: Path) -> bool:
    """Does the file begin as DICOM does, with its mark or without? The index of a disc (DICOMDIR) does not count."""
    if file.name.upper() == "DICOMDIR":
        return False
    try:
        with file.open("rb") as stream:
            return _begins_as_dicom(stream.read(HEAD_BYTES))
    except OSError:
        return False


def is_ct(folder: Path) -> bool:
    """Whether the first DICOM file in a folder, at any depth, says that it is CT."""
    first = next((path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)), None)
    with contextlib.suppress(InputError):
        return first is not None and read_file(first).modality == "CT"
    return False


def _begins_as_dicom(head: bytes) -> bool:
    if head[128:132] == MARK:
        return True
    if head[:2] not in FIRST_GROUPS:
        return False
    return head[4:6] in FIRST_KINDS or (len(head) == HEAD_BYTES and int.from_bytes(head[4:8], "little") <= FIRST_LENGTH)


def read_file(file: Path) -> DicomFile:
    """Read all but the pixels of a file.

    Returns:
        DicomFile. Of one beyond the limits, which may be no slice at all (contours, a report), that is the problem.

    Raises:
        InputError: it is no DICOM file, or damaged.
    """
    try:
        dataset, header = _read(file, stop_before_pixels=True)
    except _LimitError as error:
        return DicomFile(file=file, frames=(), problem=error, **_said({}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values are parsed when they are asked for
        try:
            said = _said(dataset)
        except Exception as error:
            raise InputError(f"{file} has a damaged header ({one_line(error)}): restore the file") from error
        frames, problem = (), None
        try:
            _check_header(file, header)
            frames = _frames(file, dataset)
        except InputError as error:
            problem = error
        except Exception as error:
            problem = InputError(f"{file} has a damaged header ({one_line(error)}): restore the file")
    return DicomFile(file=file, frames=frames, problem=problem, **said)


def _said(dataset) -> dict:
    """What and whose a file is."""
    kinds = set(map(str, np.atleast_1d(dataset.get("ImageType") or [])))
    return {
        "series": str(dataset.get("SeriesInstanceUID") or ""),
        "study": str(dataset.get("StudyInstanceUID") or ""),
        "patient": str(dataset.get("PatientID") or dataset.get("PatientName") or ""),
        "modality": str(dataset.get("Modality") or ""),
        "number": str(dataset.get("SeriesNumber") or ""),
        "description": str(dataset.get("SeriesDescription") or ""),
        "is_localizer": "LOCALIZER" in kinds,
        "is_picture": not dataset.get("ImagePositionPatient")
        and str(dataset.get("PhotometricInterpretation") or GREY[0]) not in GREY,
        "is_projection": bool(kinds & PROJECTIONS),
    }


def _frames(file: Path, dataset) -> tuple[Frame, ...]:
    """The slices of a file, or an `InputError` on what is wrong with them."""
    number = int(dataset.get("NumberOfFrames") or 1)
    size = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    if not all(size):
        raise InputError(f"{file} has no pixel data: expected the slices of one CT series only")
    of_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if (number > 1 and not of_frame) or (of_frame and len(of_frame) != number):
        raise InputError(
            f"{file} has {number} frames without a place for each: expected one slice per file or enhanced CT; convert "
            "it to NIfTI (dcm2niix)"
        )
    if size[0] * size[1] > MAX_SLICE_PIXELS or size[0] * size[1] * number > MAX_VOXELS:
        raise InputError(f"{file}: claims {number} slices of {size[0]}x{size[1]}: more than can be held")
    shown = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if shown not in GREY:
        raise InputError(f"{file} is {shown!r}: expected CT slices (MONOCHROME2)")
    stored = int(dataset.get("BitsStored") or 0)
    if stored and int(dataset.get("HighBit", stored - 1)) != stored - 1:  # which pydicom does not look at
        raise InputError(
            f"{file} keeps its values elsewhere than in the lowest {stored} bits: convert it to NIfTI (dcm2niix)"
        )
    largest = -1 if dataset.get("PixelRepresentation") else 2**stored - 1  # + smallest, of what is stored
    if not dataset.get("SeriesInstanceUID"):
        raise InputError(f"{file} has no SeriesInstanceUID: expected CT slices with their place in the patient")
    if not of_frame:
        scale = (float(dataset.get("RescaleSlope") or 1.0), float(dataset.get("RescaleIntercept") or 0.0))
        mirror = scale[0] * largest + 2 * scale[1] if shown == "MONOCHROME1" else None
        return (_frame(file, 0, size, dataset.get, dataset.get("InstanceNumber"), None, mirror),)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
    frames = []
    for index, groups in enumerate(of_frame):

        def find(name, *_, groups=groups):
            for group in (groups, shared):
                for sequence in ENHANCED[name]:
                    if items := group.get(sequence):
                        return items[0].get(name)
            return None

        scale = (float(find("RescaleSlope") or 1.0), float(find("RescaleIntercept") or 0.0))
        mirror = scale[0] * largest + 2 * scale[1] if shown == "MONOCHROME1" else None
        frames.append(_frame(file, index, size, find, index + 1, scale, mirror))
    return tuple(frames)


ENHANCED = {  # where enhanced CT keeps what else stands in the file itself
    "ImagePositionPatient": ("PlanePositionSequence",),
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "PixelSpacing": ("PixelMeasuresSequence",),
    "SpacingBetweenSlices": ("PixelMeasuresSequence",),
    "SliceThickness": ("PixelMeasuresSequence",),
    "RescaleSlope": ("PixelValueTransformationSequence", "CTPixelValueTransformationSequence"),
    "RescaleIntercept": ("PixelValueTransformationSequence", "CTPixelValueTransformationSequence"),
}


def _frame(file: Path, index: int, size, find, number, scale, mirror) -> Frame:
    """One slice, by a function that finds the elements about it."""
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if not find(name):
            raise InputError(f"{file} has no {name}: expected CT slices with their place in the patient")
    position, spacing = find("ImagePositionPatient"), find("PixelSpacing")
    frame = Frame(
        file=file,
        index=index,
        number=None if number is None else int(number),
        size=size,
        position=np.array(position, float),
        rounding=np.array([_rounding(value) for value in position]),
        directions=np.array(find("ImageOrientationPatient"), float).reshape(2, 3),
        pixel=(float(spacing[0]), float(spacing[1])),
        thickness=float(find("SpacingBetweenSlices") or find("SliceThickness") or 0.0),
        scale=scale,
        mirror=mirror,
    )
    # Unit vectors at right angles, and lengths of a body; anything else is no plane.
    gram = frame.directions @ frame.directions.T
    lengths = (*frame.pixel, abs(frame.thickness) or 1.0)
    is_sound = np.allclose(gram, np.eye(2), atol=1e-3) and frame.position.shape == (3,)
    is_near = (np.abs(frame.position) < FAR_MM).all()  # not where a number is none
    if not (is_sound and is_near and all(NEAR_MM < length < FAR_MM for length in lengths)):
        raise InputError(f"{file} has a place in the patient that cannot be: repair or convert the series")
    return frame


def _rounding(value) -> float:
    """Half a unit of the last digit that was written of a number."""
    text = getattr(value, "original_string", None) or repr(float(value))
    number = Decimal(str(text).strip())
    return 0.5 * 10.0 ** int(number.as_tuple().exponent) if number.is_finite() else 0.0


def _read(file: Path, stop_before_pixels: bool = False):
    """The dataset, and how many bytes it has besides its pixels."""
    import pydicom

    try:
        size = file.stat().st_size
        if not size:
            raise InputError(f"{file} is empty: expected a DICOM file; restore it")
        if size > MAX_FILE_BYTES:
            raise _LimitError(f"{file} has {size} bytes: expected at most {MAX_FILE_BYTES}; convert it to NIfTI")
        content = file.read_bytes()
        if DEFLATED in content:
            raise _LimitError(f"{file} is deflated: convert the series to NIfTI (dcm2niix)")
        if (items := sum(map(content.count, ITEM_TAGS))) > MAX_ITEMS:
            raise _LimitError(
                f"{file} claims {items} items: expected at most {MAX_ITEMS}; convert it to NIfTI (dcm2niix)"
            )
        stream = _Stream(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Out of memory: of a file, as many bytes are set aside as an element claims to have.
            dataset = pydicom.dcmread(
                stream, stop_before_pixels=stop_before_pixels, force=_begins_as_dicom(content[:HEAD_BYTES])
            )
        # Elements behind the pixels count too.
        return dataset, stream.tell() if stop_before_pixels else size - len(_raw_pixels(dataset, file))
    except InputError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise InputError(f"{file} is not a DICOM file: expected the slices of one series") from error
    except _TooManyReadsError:
        raise _LimitError(f"{file} has too many elements: convert it to NIfTI (dcm2niix)") from None
    except Exception as error:  # pydicom raises many types on damaged files
        raise InputError(f"{file} is damaged ({one_line(error)}): restore the file") from error


def _check_header(file: Path, header: int) -> None:
    if header > MAX_HEADER_BYTES:
        raise InputError(
            f"{file} has {header} bytes besides its pixels: expected at most {MAX_HEADER_BYTES}; convert it to NIfTI "
            "(dcm2niix)"
        )


def _raw_pixels(dataset, file: Path) -> bytes:
    """The bytes of the pixel data, nothing in them looked at yet."""
    found = dataset.get_item("PixelData")
    if found is None or not isinstance(found.value, bytes) or found.VR == "SQ":
        raise InputError(f"{file} has no pixel data: expected the slices of one CT series only")
    return found.value


def read_pixels(file: Path, frames: list[Frame]) -> np.ndarray:
    """(frame, row, column) float32 values after rescale slope and intercept.

    Arguments:
        file: the file.
        frames: those of its frames that are wanted.

    Raises:
        InputError: they are damaged, or compressed in a way that cannot be decoded.
    """
    from pydicom.pixels import apply_modality_lut
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset, header = _read(file)
    _check_header(file, header)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not dataset.file_meta.get("TransferSyntaxUID"):  # a file without its first part
                is_implicit, _ = dataset.original_encoding
                dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
            stored = dataset.pixel_array
            if frames[0].scale is None:
                values = np.asarray(apply_modality_lut(stored, dataset), np.float32)[None]
            else:
                stored = stored.reshape(-1, *stored.shape[-2:])  # of one frame pydicom leaves the axis out
                values = np.empty((len(frames), *stored.shape[1:]), np.float32)
                for index, frame in enumerate(frames):
                    values[index] = stored[frame.index] * np.float32(frame.scale[0]) + np.float32(frame.scale[1])
    except Exception as error:  # depends on the decoder
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is not None and syntax.is_transfer_syntax and syntax.is_compressed:
            raise InputError(
                f"{file} is compressed ({syntax.name}) and damaged, or cannot be decoded: restore it, or convert the "
                "series to NIfTI (dcm2niix)"
            ) from error
        raise InputError(f"{file} has damaged pixel data ({one_line(error)}): restore the file") from error
    if values.shape[1:] != frames[0].size or not np.isfinite(values).all():
        raise InputError(f"{file} has pixel data that do not fit its header: restore the file")
    return values
