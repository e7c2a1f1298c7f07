"""The MedSeg NIfTI layout: 100 slices in three files, and volumes in three folders.

    tr_im.nii.gz  tr_mask.nii.gz  tr_lungmasks_updated.nii.gz          100 slices: (height, width, slice)
    rp_im/N.nii.gz  rp_msk/N.nii.gz  rp_lung_msk/N.nii.gz              volumes, any size

Images hold Hounsfield units, or grey levels 0..255 that were scaled before (recognised). Arrays are taken
as they lie in the file, the last axis first: array[:, :, k] is slice k. Whether a slice lies upright, on
its side or upside down there differs between data sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.mask_fit import mend_exchanges
from unet_segnet.data.nifti_file import SUFFIXES, read_image, recognise_units, save_gzipped
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError, one_line

SLICES = ("tr_im", "tr_mask", "tr_lungmasks_updated")
VOLUMES = ("rp_im", "rp_msk", "rp_lung_msk")


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
        affine = np.asarray(header.get_best_affine(), np.float64)
    except InputError as error:
        return None, [str(error)]
    except ValueError as error:  # the quaternion is no rotation
        return None, [f"{image} has a damaged header ({one_line(error)}): restore the file"]
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
        affine=affine,
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


def write_volume(path: str | Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    """Write (num_slices, height, width) as a gzipped NIfTI file in this module's orientation, atomically.

    Arguments:
        path: file to write, ending in .nii.gz; its folder must exist.
        array: uint8, int16 or float32.
        affine: (4, 4); None is the identity, which stands for an unknown geometry.
    """
    import nibabel

    save_gzipped(path, nibabel.Nifti1Image(np.moveaxis(array, 0, 2), np.eye(4) if affine is None else affine))


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
