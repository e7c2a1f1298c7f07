"""One NIfTI file: checked before anything is allocated for it, read and written.

What it holds counts, not its name: gzipped or not, NIfTI-1 or NIfTI-2.
"""

import contextlib
import gzip
import io
import zlib
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.files import whole_file

SUFFIXES = (".nii.gz", ".nii")
ROUNDING = 2e-3  # of whole numbers that were stored as multiples of a scale factor
MAX_VOXELS = 2**28  # 1024 slices of 512x512
MAX_SLICE_PIXELS = 2**24
MAX_BYTES = 7 * 2**28  # of a file and the float32 values made of it, together
UNSHIFTED = "; are these values as a scanner stores them, without the intercept of DICOM (often -1024)? Add it"
GZIP_MARK = b"\x1f\x8b"
NIFTI2_MARKS = ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))  # how its header begins
MAX_DEFLATE_RATIO = 1032  # no deflate stream grows by more


def recognise_units(images: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """What the values of an image are.

    Arguments:
        images: (num_slices, height, width), finite.
        path: the file they come from, for the error.

    Returns:
        The images and "HU", or as uint8 and "8-bit"; masks of whole numbers 0 to 255 (but for rounding) count as 8 bit.

    Raises:
        InputError: they are neither.
    """
    low, high = images.min(), images.max()
    if low < -200:  # air in or around the lungs
        return images, "HU"
    if all(are_whole(image, 0, 255) for image in images):
        whole = np.empty(images.shape, np.uint8)
        for index, image in enumerate(images):  # one by one: a large file is not held twice
            whole[index] = np.rint(image)
        return whole, "8-bit"
    raise InputError(
        f"{path} has values from {low:g} to {high:g}: expected Hounsfield units (air below -200), or whole numbers "
        "0 to 255 (grey levels, or a mask)" + (UNSHIFTED if low >= 0 and high > 1000 else "")
    )


def read_image(path: Path, dtype: type):
    """One NIfTI file, checked before anything is allocated for it.

    Arguments:
        path: the file, of two or three dimensions.
        dtype: np.float32, or np.uint8 for a mask, which must hold whole numbers 0 to 255, but for rounding.

    Returns:
        (num_slices, height, width) array of `dtype`, and nibabel's header.

    Raises:
        InputError: a missing, damaged or too large file, another format, or values that are not finite.
    """
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.imageglobals import LoggingOutputSuppressor

    content, header = _read_bytes(path)
    try:
        with LoggingOutputSuppressor():  # says on the screen what it mends in a header
            header.check_fix()
        shape = (*header.get_data_shape(), 1)[:3]
        data = ArrayProxy(
            io.BytesIO(content),
            (shape, header.get_data_dtype(), int(header["vox_offset"]), *_scale(header)),
        )
        del content
        result = np.empty((shape[2], shape[0], shape[1]), dtype)
        for index in range(shape[2]):  # slice by slice: files of float64 are never held twice
            values = np.asarray(data[:, :, index])
            if dtype == np.float32:
                with np.errstate(over="ignore"):  # the file may hold or claim what float32 does not
                    result[index] = values
                values = result[index]
            if not np.isfinite(values).all():
                raise InputError(f"{path} has values that are not finite in slice {index + 1}: repair the file")
            if dtype == np.uint8:
                if not are_whole(values, 0, 255):
                    raise InputError(f"{path} has values other than whole numbers 0 to 255: expected a mask")
                result[index] = np.rint(values)
        return result, header
    except InputError:
        raise
    except Exception as error:  # nibabel raises many types on a damaged header
        raise InputError(f"{path} cannot be read as NIfTI ({one_line(error)}): restore the file") from error


def _scale(header) -> tuple[float, float]:
    """Slope and intercept: 1 and 0 where the slope is 0 or no number, by which the standard says that none is meant."""
    slope, intercept = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    if not slope or not np.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


def are_whole(values: np.ndarray, low: int, high: int) -> bool:
    """Are all values whole numbers from `low` to `high`, but for the rounding of a scale factor?"""
    near = np.rint(values)
    return bool((near >= low).all() and (near <= high).all() and (np.abs(values - near) <= ROUNDING).all())


def volume_shape(path: Path) -> tuple[int, int, int]:
    """Height, width and number of slices of one NIfTI file, as its array lies, by its header.

    Raises:
        InputError: as `read_image`, as far as the header tells.
    """
    with _opened(path) as (_, header, _):
        return tuple(int(length) for length in (*header.get_data_shape(), 1)[:3])


def voxel_lengths(path: Path) -> tuple[float, float, float]:
    """Lengths of a voxel along i, j, k in the unit of one NIfTI file, as its header tells them; 0 where it does not.

    nibabel puts 1 there. Of a file of two dimensions k is not told.

    Raises:
        InputError: as `read_image`, as far as the header tells.
    """
    with _opened(path) as (_, header, _):
        told = np.nan_to_num(np.abs(header["pixdim"][1:4].astype(float)))
        return tuple(np.where(np.arange(3) < header["dim"][0], told, 0.0).tolist())


def save_gzipped(path: str | Path, image) -> None:
    """Write a `nibabel.Nifti1Image` as a gzipped file, atomically; equal images give equal bytes."""
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        image.to_stream(packed)


def _read_bytes(path: Path):
    """The whole file, decompressed, and its header, which is checked before anything is allocated for it."""
    with _opened(path) as (file, header, expected):
        file.seek(0)  # reading it again is less than holding it twice
        content = file.read(expected)
        if len(content) < expected:
            raise InputError(f"{path} is cut off: {len(content)} of {expected} bytes are there; restore the file")
        file.read(1)  # the end of the stream, where gzip compares its checksum
        return content, header


@contextlib.contextmanager
def _opened(path: Path):
    """The stream of a file's decompressed bytes, its header, checked, and the number of bytes that this describes."""
    import nibabel

    if not path.is_file():
        raise InputError(f"{path} does not exist: expected a NIfTI file (.nii.gz or .nii)")
    try:
        with path.open("rb") as raw:
            is_gzipped = raw.read(2) == GZIP_MARK
        limit = path.stat().st_size * (MAX_DEFLATE_RATIO if is_gzipped else 1)
        with gzip.open(path, "rb") if is_gzipped else path.open("rb") as file:
            head = file.read(540)
            if len(head) < 348:
                raise InputError(f"{path} is empty or cut off: expected a NIfTI file; restore it")
            # As it is: nibabel mends it, and says so on the screen.
            if head[:4] in NIFTI2_MARKS and len(head) == 540:
                header = nibabel.Nifti2Header(head, check=False)
            else:
                header = nibabel.Nifti1Header(head[:348], check=False)
            expected = _expected_bytes(header, path)
            if expected > limit:
                raise InputError(f"{path} is cut off: its header claims {expected} bytes, it can hold at most {limit}")
            yield file, header, expected
    except InputError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({one_line(error)}): restore the file") from error
    except (nibabel.spatialimages.HeaderDataError, OverflowError) as error:
        raise InputError(f"{path} is not a NIfTI file ({one_line(error)})") from error


def _expected_bytes(header, path: Path) -> int:
    """Size of the file that the header describes."""
    if header["sizeof_hdr"] != header.sizeof_hdr or header["magic"].item() != header.single_magic:
        raise InputError(f"{path} is not a NIfTI file in one part (.nii): expected one, gzipped or not")
    shape = tuple(int(length) for length in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise InputError(f"{path} has shape {shape}: expected (height, width, slices)")
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        raise InputError(f"{path} holds values of an unknown type ({error}): expected whole or real numbers") from error
    if dtype.kind not in "iuf":
        raise InputError(f"{path} holds values of type {dtype}: expected whole or real numbers")
    voxels = int(np.prod(shape, dtype=object))
    if voxels > MAX_VOXELS or shape[0] * shape[1] > MAX_SLICE_PIXELS:
        raise InputError(
            f"{path} claims {voxels} voxels in its header: expected at most {MAX_VOXELS}, {MAX_SLICE_PIXELS} in a slice"
        )
    if voxels * (dtype.itemsize + 4) > MAX_BYTES:
        raise InputError(f"{path} claims {voxels} voxels of type {dtype}: too large, save it as int16")
    offset = float(header["vox_offset"]) or float(header.single_vox_offset)  # may be infinite or no number
    if not header.single_vox_offset <= offset <= 2**20:
        raise InputError(f"{path} claims that its values begin at byte {offset:g}: expected a NIfTI file")
    header["vox_offset"] = int(offset)
    return int(offset) + voxels * dtype.itemsize
