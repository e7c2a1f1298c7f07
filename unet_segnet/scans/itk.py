"""Read ITK's formats as a scan: MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr, 3D Slicer's .seg.nrrd).

Not by ITK itself: its readers write beyond their memory when a header is damaged, and open whatever file it names.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_BYTES, MAX_DEFLATE_RATIO, MAX_SLICE_PIXELS, MAX_VOXELS, recognise_units
from unet_segnet.errors import InputError, one_line
from unet_segnet.scans.scan import (
    IDENTITY_NOTE,
    ITK_AXES,
    RAS_OF_LPS,
    UNITS_NOTE,
    Scan,
    axes_of,
    axes_of_identity,
    check_spacing,
    is_identity,
    scan_name,
    voxel_spacing,
)

META_SUFFIXES, NRRD_SUFFIXES = (".mha", ".mhd"), (".nrrd", ".nhdr")
ITK_SUFFIXES = META_SUFFIXES + NRRD_SUFFIXES
HEADER_SUFFIXES = (".mhd", ".nhdr")  # of files that keep their values in another
MAX_HEADER_BYTES = 2**20
MAX_RATIO = {"raw": 1, "bzip2": 2**21}  # by which no stream of the encoding grows, where deflate's is not it
TO_LPS = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
}
META_TYPES = {
    f"MET_{name}": kind
    for name, kind in (
        *(("CHAR", "i1"), ("UCHAR", "u1"), ("SHORT", "i2"), ("USHORT", "u2"), ("INT", "i4"), ("UINT", "u4")),
        *(
            ("LONG", "i4"),
            ("ULONG", "u4"),
            ("LONG_LONG", "i8"),
            ("ULONG_LONG", "u8"),
            ("FLOAT", "f4"),
            ("DOUBLE", "f8"),
        ),
    )
}
NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
NRRD_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}


@dataclass(frozen=True, eq=False)
class _Layout:
    """What a header says.

    Attributes:
        sizes: along the axes, the fastest first.
        dtype: of the values, with their byte order.
        encoding: "raw", "zlib", "gzip" or "bzip2".
        data: name of the file beside the header with the values, or None: they follow the header.
        skip: (lines, bytes) before the values; bytes -1: they are the end of the file.
        affine: (4, 4) in LPS coordinates, mm; or None where the header does not tell it.
        spacing: in mm, or None, likewise.
    """

    sizes: tuple[int, ...]
    dtype: np.dtype
    encoding: str
    data: str | None
    skip: tuple[int, int]
    affine: np.ndarray | None
    spacing: tuple[float, ...] | None


def read_itk(path: Path) -> Scan:
    """Read one file, of an image, a mask or labels.

    Raises:
        InputError: a missing, damaged or too large file, values that are not finite or no image's, several values to a
            voxel, values that are kept outside the header's folder, or voxels that no body has.
    """
    is_meta = path.name.lower().endswith(META_SUFFIXES)
    header, start = _header(path, is_meta)
    try:
        layout = (_meta_layout if is_meta else _nrrd_layout)(header)
    except (KeyError, ValueError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
        raise InputError(
            f"{path} cannot be read ({reason}): restore the file, or save it as one volume of whole or real numbers"
        ) from error
    values = _values(path, layout, start)
    values, units = recognise_units(values, path)
    affine, axes, spacing, notes = _geometry(layout)
    check_spacing(path, spacing)
    return Scan(
        name=scan_name(path),
        array=values.transpose(2, 1, 0),
        affine=affine,
        units=units,
        spacing=spacing,
        source=path,
        is_volume=min(values.shape) > 1,
        notes=(UNITS_NOTE[units], *notes),
        axes=axes,
    )


def values_beside(path: Path) -> Path | None:
    """The file in which a header (.mhd, .nhdr) keeps its values; None of other files, and where it is not to be had."""
    if not path.name.lower().endswith(HEADER_SUFFIXES):
        return None
    try:
        is_meta = path.name.lower().endswith(META_SUFFIXES)
        header, _ = _header(path, is_meta)
        name = header.get("elementdatafile") if is_meta else header.get("data file", header.get("datafile"))
        return _beside(path, name) if name and name.upper() != "LOCAL" else None
    except (InputError, OSError):
        return None


def _header(path: Path, is_meta: bool) -> tuple[dict[str, str], int]:
    """The lines of a file's header, keys in lower case, and the number of its bytes."""
    if not path.is_file():
        raise InputError(f"{path} does not exist: expected a MetaImage or NRRD file")
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    if is_meta:
        end = re.search(rb"^ElementDataFile[^\n]*(\n|$)", content, re.MULTILINE)
        if end is None:
            raise InputError(f"{path} is not a MetaImage file: expected one; restore the file")
        length, mark = end.end(), "="
    else:
        if not content.startswith(b"NRRD000"):
            raise InputError(f"{path} is not an NRRD file: expected one; restore the file")
        end = re.search(rb"\n\r?\n", content)
        length, mark = end.end() if end else len(content), ":"
    header: dict[str, str] = {}
    for line in content[:length].decode("latin-1").splitlines():
        key, found, value = line.partition(mark)
        key = key.strip().lower()
        if not found or line.startswith("#"):
            continue
        if key in header and header[key] != value.strip():
            raise InputError(f"{path} has a damaged header (two lines {key!r:.40}): restore the file")
        header[key] = value.strip()
    return header, length


def _meta_layout(header: dict[str, str]) -> _Layout:
    sizes = _integers(header["dimsize"])
    number = int(header["ndims"])
    if len(sizes) != number:
        raise ValueError(f"{len(sizes)} sizes of {number} axes")
    if (channels := int(header.get("elementnumberofchannels", 1))) != 1:
        raise ValueError(f"{channels} values to each voxel, expected one")
    if not _is_true(header.get("binarydata", "true")):
        raise ValueError("values as text, expected binary ones")
    is_big = any(_is_true(header.get(key, "")) for key in ("binarydatabyteordermsb", "elementbyteordermsb"))
    if (kind := header["elementtype"]) not in META_TYPES:
        raise ValueError(f"values of type {kind!r:.40}, expected whole or real numbers")
    matrix = next((header[key] for key in ("transformmatrix", "orientation", "rotation") if key in header), None)
    origin = next((header[key] for key in ("offset", "position", "origin") if key in header), None)
    spacing = _reals(header.get("elementspacing") or header.get("elementsize") or "1 " * number, number)[:3]
    affine = None
    if (matrix or origin) and number >= 3:
        directions = np.reshape(_reals(matrix, number**2), (number, number)) if matrix else np.eye(number)
        affine = np.eye(4)
        affine[:3, :3] = directions[:3, :3].T * spacing  # a row of the matrix is the direction of an axis
        affine[:3, 3] = _reals(origin or "0 " * number, number)[:3]
    data = header["elementdatafile"]
    return _Layout(
        sizes=sizes,
        dtype=np.dtype(META_TYPES[kind]).newbyteorder(">" if is_big else "<"),
        encoding="zlib" if _is_true(header.get("compresseddata", "")) else "raw",
        data=None if data.upper() == "LOCAL" else data,
        skip=(0, int(header.get("headersize", 0))),
        affine=affine,
        spacing=spacing,
    )


def _nrrd_layout(header: dict[str, str]) -> _Layout:
    sizes = _integers(header["sizes"])
    number = int(header["dimension"])
    if len(sizes) != number:
        raise ValueError(f"{len(sizes)} sizes of {number} axes")
    if (kind := header["type"].lower()) not in NRRD_TYPES:
        raise ValueError(f"values of type {kind!r:.40}, expected whole or real numbers")
    if (encoding := header["encoding"].lower()) not in NRRD_ENCODINGS:
        raise ValueError(f"encoding {encoding!r:.40}, expected raw, gzip or bzip2")
    dtype = np.dtype(NRRD_TYPES[kind])
    if dtype.itemsize > 1 and header["endian"].lower() not in ("little", "big"):
        raise ValueError("an unknown endian")
    directions = re.findall(r"\([^)]*\)|none", header.get("space directions", ""))
    affine, spacing = None, None
    if directions:
        if len(directions) != number:
            raise ValueError(f"{len(directions)} directions of {number} axes")
        sizes, directions = _three(sizes, directions)
        if len(sizes) == 3 and (turn := TO_LPS.get(header.get("space", "").lower())):
            affine = np.eye(4)
            affine[:3, :3] = np.stack([_vector(each) for each in directions], axis=1)
            affine[:3, 3] = _vector(header.get("space origin", "(0,0,0)"))
            affine[:3] *= np.array(turn)[:, None]
        elif len(sizes) == 3:
            spacing = tuple(float(np.linalg.norm(_vector(each))) for each in directions)
    elif "spacings" in header:
        spacing = _reals(header["spacings"].lower(), number, nan=True)[:3]
    skip = tuple(int(header.get(key.replace(" ", ""), header.get(key, 0))) for key in ("line skip", "byte skip"))
    return _Layout(
        sizes=sizes,
        dtype=dtype.newbyteorder(">" if header.get("endian", "").lower() == "big" else "<"),
        encoding=NRRD_ENCODINGS[encoding],
        data=header.get("data file", header.get("datafile")),
        skip=skip,
        affine=affine,
        spacing=spacing,
    )


def _three(sizes: tuple[int, ...], directions: list[str]) -> tuple[tuple[int, ...], list[str]]:
    """Sizes and directions of the axes in space: those without a direction hold one value."""
    kept = [index for index, each in enumerate(directions) if each != "none"]
    if any(size != 1 for index, size in enumerate(sizes) if index not in kept):
        raise ValueError("several values to each voxel, expected one; of segments that overlap save a labelmap")
    return tuple(sizes[index] for index in kept), [directions[index] for index in kept]


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


def _reals(text: str, number: int, nan: bool = False) -> tuple[float, ...]:
    found = tuple(float(word) for word in text.split())
    if len(found) != number or not (nan or np.isfinite(found).all()):
        raise ValueError(f"{text[:40]!r} where {number} numbers are expected")
    return found


def _vector(text: str) -> tuple[float, ...]:
    return _reals(text.strip("()").replace(",", " "), 3)


def _is_true(text: str) -> bool:
    return text[:1].lower() in ("t", "1", "y")


def _values(path: Path, layout: _Layout, start: int) -> np.ndarray:
    """(slice, row, column) float32 values, all finite."""
    sizes = layout.sizes
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise InputError(f"{path} has shape {sizes}: expected (columns, rows, slices), one value to each voxel")
    voxels = int(np.prod(sizes, dtype=object))
    if voxels > MAX_VOXELS or sizes[0] * sizes[1] > MAX_SLICE_PIXELS:
        raise InputError(
            f"{path} claims {voxels} voxels in its header: expected at most {MAX_VOXELS}, {MAX_SLICE_PIXELS} in a slice"
        )
    size = voxels * layout.dtype.itemsize
    if size + 4 * voxels > MAX_BYTES:
        raise InputError(f"{path} claims {voxels} voxels of type {layout.dtype}: too large, save it as int16")
    file = path if layout.data is None else _beside(path, layout.data)
    stored = np.frombuffer(_content(path, file, layout, start if layout.data is None else 0, size), layout.dtype)
    stored = stored.reshape((1, *sizes[::-1])[-3:])
    values = np.empty(stored.shape, np.float32)
    for index, plane in enumerate(stored):
        with np.errstate(over="ignore"):  # the file may hold what float32 does not
            values[index] = plane
    if not np.isfinite(values).all():
        raise InputError(f"{path} has values that are not finite: repair the file")
    return values


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror or error}); restore the file, or give another")


def _beside(path: Path, name: str) -> Path:
    """The file with the values, in the header's folder."""
    name = name.removeprefix("./")
    if name != Path(name).name or "%" in name or name.upper().startswith("LIST") or name in ("", ".", ".."):
        raise InputError(
            f"{path}: keeps its values in {name!r:.99}; expected them in the file itself or in one file beside it: "
            "save it in one file (.mha, .nrrd)"
        )
    try:
        is_there = (path.parent / name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        raise InputError(f"{path}: keeps its values in {name!r:.99}, which is not beside it; restore that file")
    return path.parent / name


def _content(path: Path, file: Path, layout: _Layout, start: int, size: int) -> bytes:
    """So many bytes of values, decompressed."""
    try:
        stored = file.stat().st_size
    except OSError as error:
        raise _unreadable(file, error) from error
    lines, before = layout.skip
    if layout.encoding == "raw" and before == -1:
        start, before = stored - size, 0
    if min(lines, before, start) < 0 or max(lines, before) > MAX_HEADER_BYTES:
        raise InputError(f"{path} is cut off, or has a damaged header: restore the file")
    if size > stored * MAX_RATIO.get(layout.encoding, MAX_DEFLATE_RATIO):
        raise InputError(f"{path} is cut off: its header claims {size} bytes of values, {stored} are stored")
    openers: dict[str, Callable] = {"raw": lambda raw: raw, "zlib": _Inflated, "gzip": gzip.open, "bzip2": bz2.open}
    try:
        with file.open("rb") as raw:
            raw.seek(start)
            for _ in range(lines):
                raw.readline(MAX_HEADER_BYTES)
            stream = openers[layout.encoding](raw)
            stream.read(before)
            content = stream.read(size)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} has damaged values ({one_line(error)}): restore the file") from error
    if len(content) < size:
        raise InputError(f"{path} is cut off: {len(content)} of {size} bytes of values are there; restore the file")
    return content


class _Inflated:
    """What a zlib or gzip stream in an open file holds."""

    def __init__(self, raw):
        self.raw, self.stream = raw, zlib.decompressobj(wbits=47)  # 32 + 15: either kind of stream

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        parts, left = [], size
        while left and not self.stream.eof and (packed := self.stream.unconsumed_tail or self.raw.read(2**20)):
            parts.append(self.stream.decompress(packed, left))
            left -= len(parts[-1])
        return b"".join(parts)


def _geometry(layout: _Layout):
    """Affine, the axes where they are assumed, spacing in mm, and notes."""
    affine, spacing = layout.affine, layout.spacing
    if len(layout.sizes) < 3:
        return None, ITK_AXES, None, ["one slice: orientation and spacing unknown"]
    if affine is not None:
        affine = RAS_OF_LPS @ affine
        if axes_of(affine) is None:
            return None, None, None, ["the header's directions cannot be inverted: orientation and spacing unknown"]
        if not is_identity(affine):
            return affine, None, voxel_spacing(affine), []
        return None, axes_of_identity(affine), None, [IDENTITY_NOTE]
    if spacing is not None and set(spacing) != {1.0} and np.isfinite(spacing).all():
        note = f"the header does not tell how the axes run: {ITK_AXES}, as ITK takes them"
        return None, ITK_AXES, tuple(map(abs, spacing)), [note]
    return None, None, None, ["the header tells no geometry: orientation and spacing unknown"]
