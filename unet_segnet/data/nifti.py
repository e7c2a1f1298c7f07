"""The MedSeg NIfTI layout: 100 slices in three files, and volumes in three folders.

    tr_im.nii.gz  tr_mask.nii.gz  tr_lungmasks_updated.nii.gz          100 slices: (height, width, slice)
    rp_im/N.nii.gz  rp_msk/N.nii.gz  rp_lung_msk/N.nii.gz              volumes, any size

Images hold Hounsfield units, or grey levels 0..255 that were scaled before (recognised). Arrays are taken
as they lie in the file, the last axis first: array[:, :, k] is slice k. Whether a slice lies upright, on
its side or upside down there differs between data sets.
"""

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.mask_fit import mend_exchanges
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError, one_line
from unet_segnet.output.files import whole_file

SLICES = ("tr_im", "tr_mask", "tr_lungmasks_updated")
VOLUMES = ("rp_im", "rp_msk", "rp_lung_msk")
SUFFIXES = (".nii.gz", ".nii")
MAX_VOXELS = 2**28  # 1024 slices of 512x512
MAX_SLICE_PIXELS = 2**24
MAX_BYTES = 7 * 2**28  # of a file and the float32 values made of it, together
MAX_DEFLATE_RATIO = 1032  # no deflate stream grows by more


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan.

    Attributes:
        name: the file's name without its suffix, such as "3".
        images: (num_slices, height, width), float32 Hounsfield units or uint8 grey levels.
        labels: (num_slices, height, width) uint8 class index, or None.
        lungs: (num_slices, height, width) bool, or None.
        affine: (4, 4) float64, from (row, column, slice) to millimetres, as the image file has it.
        units: "HU" or "8-bit".
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    lungs: np.ndarray | None
    affine: np.ndarray
    units: str


def has_slices(folder: Path) -> bool:
    """Is there a file tr_im in the folder?"""
    return _find(folder, SLICES[0]) is not None


def read_medseg_slices(folder: str | Path, mend: bool = True) -> Slices:
    """Read tr_im with tr_mask and tr_lungmasks_updated.

    Arguments:
        folder: the folder that holds the files, as .nii.gz or .nii.
        mend: put masks that stand in each other's place back (said in `notes`).

    Returns:
        Slices named "001", "002", ...; labels of four classes, or of two where no label exceeds 1. Labels and
        lungs are None where their file is missing.

    Raises:
        InputError: missing or damaged files, values that are neither HU nor 8 bit, sizes that differ.
    """
    slices, problems = inspect_medseg_slices(folder)
    if problems:
        raise InputError(problems[0])
    can_mend = slices.lungs is not None and slices.labels is not None
    return mend_exchanges(slices) if mend and can_mend else slices


def inspect_medseg_slices(folder: str | Path) -> tuple[Slices | None, list[str]]:
    """Like `read_medseg_slices`, without mending: what is sound (None: no images) and all problems.

    Raises:
        InputError: there is no tr_im in the folder.
    """
    folder = Path(folder)
    paths = slice_paths(folder)
    if paths[0] is None:
        raise InputError(f"no slices in {folder}: expected {SLICES[0]}.nii.gz")
    volume, problems = inspect_volume(*paths)
    if volume is None:
        return None, problems
    is_binary = volume.labels is not None and volume.labels.max() <= 1
    slices = Slices(
        images=volume.images,
        labels=volume.labels,
        lungs=volume.lungs,
        names=tuple(f"{number:03}" for number in range(1, len(volume.images) + 1)),
        units=volume.units,
        class_names=BINARY_NAMES if is_binary else MULTICLASS_NAMES,
    )
    return slices, problems


def slice_paths(folder: str | Path) -> tuple[Path | None, Path | None, Path | None]:
    """Image, mask and lung mask file of the slices, None where a file is missing."""
    return tuple(_find(Path(folder), name) for name in SLICES)


def volume_names(folder: str | Path) -> list[str]:
    """Names of the volumes in rp_im, numbers in rising order; empty where there are none."""
    names = {
        path.name[: -len(suffix)] for suffix in SUFFIXES for path in (Path(folder) / VOLUMES[0]).glob(f"*{suffix}")
    }
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def volume_paths(folder: str | Path, name: str) -> tuple[Path | None, Path | None, Path | None]:
    """Image, mask and lung mask file of one volume, None where a file is missing."""
    return tuple(_find(Path(folder) / kind, name) for kind in VOLUMES)


def read_volumes(folder: str | Path) -> Iterator[Volume]:
    """Yield the volumes of rp_im with their masks, one at a time, so that only one lies in memory.

    Raises:
        InputError: no volumes, or one of `read_volume`'s reasons.
    """
    names = volume_names(folder)
    if not names:
        raise InputError(f"no volumes in {folder}: expected {VOLUMES[0]}/N.nii.gz")
    for name in names:
        yield read_volume(*volume_paths(folder, name))


def read_volume(image: str | Path, mask: str | Path | None = None, lungs: str | Path | None = None) -> Volume:
    """Read one scan from its files.

    Arguments:
        image: NIfTI file with Hounsfield units, or grey levels 0..255.
        mask: NIfTI file with the class index 0..3, or None.
        lungs: NIfTI file, above 0 inside the lungs, or None.

    Raises:
        InputError: a file that is missing, damaged, of another format or size than expected, or too large;
            values that are not finite, neither HU nor 8 bit; labels that are not 0, 1, 2 or 3.
    """
    volume, problems = inspect_volume(image, mask, lungs)
    if problems:
        raise InputError(problems[0])
    return volume


def inspect_volume(
    image: str | Path, mask: str | Path | None = None, lungs: str | Path | None = None
) -> tuple[Volume | None, list[str]]:
    """Like `read_volume`: what is sound (None: the image is not) and the problem of each file that is not."""
    image = Path(image)
    try:
        images, header = read_image(image, np.float32)
        images, units = recognise_units(images, image)
    except InputError as error:
        return None, [str(error)]
    problems, arrays = [], []
    for path in (mask, lungs):
        array = None
        try:
            if path is not None:
                array, _ = read_image(Path(path), np.uint8)
                _check_mask(array, Path(path), images, image, is_label=path is mask)
        except InputError as error:
            problems.append(str(error))
            array = None
        arrays.append(array)
    volume = Volume(
        name=image.name.removesuffix(".gz").removesuffix(".nii"),
        images=images,
        labels=arrays[0],
        lungs=None if arrays[1] is None else arrays[1] > 0,
        affine=np.asarray(header.get_best_affine(), np.float64),
        units=units,
    )
    return volume, problems


def read_labels(path: str | Path) -> np.ndarray:
    """(num_slices, height, width) uint8 class index 0..3 of a mask file.

    Raises:
        InputError: a damaged file, or other values.
    """
    labels, _ = read_image(Path(path), np.uint8)
    _check_labels(labels, Path(path))
    return labels


def recognise_units(images: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """What the values of an image are.

    Arguments:
        images: (num_slices, height, width), finite.
        path: the file they come from, for the error.

    Returns:
        The images and "HU", or as uint8 and "8-bit"; masks of whole numbers 0 to 255 count as 8 bit.

    Raises:
        InputError: they are neither.
    """
    low, high = images.min(), images.max()
    if low < -200:  # air in or around the lungs
        return images, "HU"
    if low >= 0 and high <= 255 and all(np.array_equal(image, np.floor(image)) for image in images):
        return images.astype(np.uint8), "8-bit"
    raise InputError(
        f"{path} has values from {low:g} to {high:g}: expected Hounsfield units (air below -200), or whole numbers "
        "0 to 255 (grey levels, or a mask)"
    )


def read_image(path: Path, dtype: type):
    """One NIfTI file, checked before anything is allocated for it.

    Arguments:
        path: .nii.gz or .nii, of two or three dimensions.
        dtype: np.float32, or np.uint8 for a mask, which must hold whole numbers 0 to 255.

    Returns:
        (num_slices, height, width) array of `dtype`, and the `nibabel.Nifti1Header`.

    Raises:
        InputError: a missing, damaged or too large file, another format, or values that are not finite.
    """
    import nibabel

    content = _read_bytes(path)
    try:
        with nibabel.imageglobals.LoggingOutputSuppressor():  # says on the screen what it mends in a header
            image = nibabel.Nifti1Image.from_bytes(content)
        del content
        shape = image.shape[:3] + (1,) * (3 - len(image.shape[:3]))
        result = np.empty((shape[2], shape[0], shape[1]), dtype)
        for index in range(shape[2]):  # slice by slice: files of float64 are never held twice
            values = np.asarray(image.dataobj[:, :, index] if image.ndim > 2 else image.dataobj)
            values = values.reshape(shape[:2])
            if dtype == np.float32:
                with np.errstate(over="ignore"):  # the file may hold or claim what float32 does not
                    result[index] = values
                values = result[index]
            if not np.isfinite(values).all():
                raise InputError(f"{path} has values that are not finite in slice {index + 1}: repair the file")
            if dtype == np.uint8:
                if ((values < 0) | (values > 255) | (values != np.floor(values))).any():
                    raise InputError(f"{path} has values other than whole numbers 0 to 255: expected a mask")
                result[index] = values
        image.header.get_best_affine()  # raises where the quaternion is no rotation
        return result, image.header
    except InputError:
        raise
    except Exception as error:  # nibabel raises many types on a damaged header
        raise InputError(f"{path} cannot be read as NIfTI ({one_line(error)}): restore the file") from error


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


def write_volume(path: str | Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    """Write (num_slices, height, width) as a gzipped NIfTI file in this module's orientation, atomically.

    Arguments:
        path: file to write, ending in .nii.gz; its folder must exist.
        array: uint8, int16 or float32.
        affine: (4, 4); None is the identity, which stands for an unknown geometry.
    """
    import nibabel

    save_gzipped(path, nibabel.Nifti1Image(np.moveaxis(array, 0, 2), np.eye(4) if affine is None else affine))


def save_gzipped(path: str | Path, image) -> None:
    """Write a `nibabel.Nifti1Image` as a gzipped file, atomically; equal images give equal bytes."""
    with whole_file(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def _find(folder: Path, name: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def _size(array: np.ndarray) -> str:
    num_slices, height, width = array.shape
    return f"{height}x{width}x{num_slices}"


def _check_mask(mask: np.ndarray, path: Path, images: np.ndarray, image: Path, is_label: bool) -> None:
    if mask.shape != images.shape:
        raise InputError(f"{path} is {_size(mask)}, {image.name} is {_size(images)}: expected equal sizes")
    if is_label:
        _check_labels(mask, path)


def _check_labels(labels: np.ndarray, path: Path) -> None:
    if labels.max() >= len(MULTICLASS_NAMES):
        raise InputError(f"{path} has the label {labels.max()}: expected 0, 1, 2 or 3")


def _read_bytes(path: Path) -> bytes:
    """The whole file, decompressed; its header is checked before anything is allocated for it."""
    with _opened(path) as (file, _, expected):
        file.seek(0)  # reading it again is less than holding it twice
        content = file.read(expected)
        if len(content) < expected:
            raise InputError(f"{path} is cut off: {len(content)} of {expected} bytes are there; restore the file")
        file.read(1)  # the end of the stream, where gzip compares its checksum
        return content


@contextlib.contextmanager
def _opened(path: Path):
    """The stream of a file's decompressed bytes, its header, checked, and the number of bytes that this describes."""
    import nibabel

    if not path.is_file():
        raise InputError(f"{path} does not exist: expected a NIfTI file (.nii.gz or .nii)")
    is_gzipped = path.name.lower().endswith(".gz")
    limit = path.stat().st_size * (MAX_DEFLATE_RATIO if is_gzipped else 1)
    opener = gzip.open if is_gzipped else open
    try:
        with opener(path, "rb") as file:
            head = file.read(348)
            if len(head) < 348:
                raise InputError(f"{path} is empty or cut off: expected a NIfTI file; restore it")
            header = nibabel.Nifti1Header(head, check=False)  # as it is: nibabel mends it, and says so on the screen
            expected = _expected_bytes(header, path)
            if expected > limit:
                raise InputError(f"{path} is cut off: its header claims {expected} bytes, it can hold at most {limit}")
            yield file, header, expected
    except InputError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({one_line(error)}): restore the file") from error
    except (nibabel.spatialimages.HeaderDataError, OverflowError) as error:
        raise InputError(f"{path} is not a NIfTI-1 file ({one_line(error)})") from error


def _expected_bytes(header, path: Path) -> int:
    """Size of the file that the header describes."""
    if header["sizeof_hdr"] != 348 or header["magic"].item() != b"n+1":
        raise InputError(f"{path} is not a NIfTI-1 file in one part (.nii): expected one, gzipped or not")
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
    offset = float(header["vox_offset"])  # may be infinite or no number
    if not 348 <= offset <= 2**20:
        raise InputError(f"{path} claims that its values begin at byte {offset:g}: expected a NIfTI file")
    return int(offset) + voxels * dtype.itemsize
