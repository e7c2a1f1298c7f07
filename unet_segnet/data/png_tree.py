"""The released PNG tree of the 100 slices: dataset/im/256, dataset/mask/multi/256, dataset/mask/binary/256.

The images are lung masked (0 outside the lungs), 8 bit, 256x256. By which rule Hounsfield units became
these grey levels is not known. Masks hold 0, 85, 170, 255 for C0, C1, C2, C3 (multi) or 0, 255 (binary).
"""

import re
from pathlib import Path

import numpy as np

from unet_segnet.data.mask_fit import mend_exchanges
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError

IMAGES, MULTICLASS, BINARY = "im/256", "mask/multi/256", "mask/binary/256"
RAW_MASKS = "raw/tr_mask.nii.gz"
CLASS_LEVELS = {MULTICLASS: (0, 85, 170, 255), BINARY: (0, 255)}


def tree_root(folder: Path) -> Path | None:
    """The folder that holds im/256: `folder` or its "dataset"; None where there is no such tree."""
    return next((root for root in (folder / "dataset", folder) if (root / IMAGES).is_dir()), None)


def read_png_tree(folder: str | Path, mend: bool = True) -> Slices:
    """Read the slices of a PNG tree, 8 bit.

    Arguments:
        folder: the folder of the release, or its "dataset" folder.
        mend: put masks that stand in each other's place back (said in `notes`).

    Returns:
        Slices with labels of four classes where the multi masks are there, else of two; `lungs` is None.

    Raises:
        InputError: a missing, unreadable or additional file, images of different sizes, unknown grey values,
            binary masks that contradict the multi masks.
    """
    root = tree_root(Path(folder))
    if root is None:
        raise InputError(f"no slices in {folder}: expected the folder dataset/{IMAGES} with PNG files")
    names, images = _read_folder(root / IMAGES)
    present = [kind for kind in (MULTICLASS, BINARY) if (root / kind).is_dir()]
    if not present:
        raise InputError(f"no masks in {root}: expected {MULTICLASS} or {BINARY}")
    labels = {kind: _read_labels(root / kind, kind, names, images.shape) for kind in present}
    if len(present) == 2:
        differ = ((labels[MULTICLASS] > 0) != (labels[BINARY] > 0)).any(axis=(1, 2))
        if differ.any():
            name = names[int(np.argmax(differ))]
            raise InputError(
                f"the binary and the multi mask of slice {name} in {root / 'mask'} disagree about "
                f"where lesion is ({differ.sum()} slice(s) in all): restore both files from one release"
            )
    slices = Slices(
        images=images,
        labels=labels[present[0]],
        lungs=None,
        names=names,
        units="8-bit",
        class_names=MULTICLASS_NAMES if present[0] == MULTICLASS else BINARY_NAMES,
    )
    return mend_exchanges(slices) if mend else slices


def _read_labels(folder: Path, kind: str, names: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    mask_names, masks = _read_folder(folder)
    if mask_names != names:
        missing = sorted(set(names) - set(mask_names))
        extra = sorted(set(mask_names) - set(names))
        what = f"no mask for slice {missing[0]}" if missing else f"a mask without image, slice {extra[0]}"
        raise InputError(f"{what} in {folder}: expected one mask for each of the {len(names)} images")
    if masks.shape != shape:
        raise InputError(
            f"masks in {folder} are {_size(masks)}, the images {_size_of(shape)}: expected one size"
        )
    levels = CLASS_LEVELS[kind]
    table = np.full(256, 255, np.uint8)
    table[list(levels)] = np.arange(len(levels))
    labels = table[masks]
    unknown = (labels == 255).any(axis=(1, 2))
    if unknown.any():
        index = int(np.argmax(unknown))
        value = int(masks[index][labels[index] == 255][0])
        raise InputError(
            f"unknown grey value {value} in the mask of slice {names[index]} in {folder}: "
            f"expected {', '.join(map(str, levels))}"
        )
    return labels


def _read_folder(folder: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names (the digits that end each file's name) and (num_slices, height, width) uint8 of all PNG files."""
    files = {}
    for path in sorted(folder.glob("*.png")):
        number = re.search(r"(\d+)$", path.stem)
        if number is None:
            raise InputError(f"{path}: expected a file name that ends in the number of the slice")
        if number[1] in files:
            raise InputError(f"{path} and {files[number[1]].name} have the same slice number: remove one")
        files[number[1]] = path
    if not files:
        raise InputError(f"no PNG files in {folder}")
    first, arrays = None, []
    for _, path in sorted(files.items()):
        array = _read_png(path)
        first = array if first is None else first
        if array.shape != first.shape:
            raise InputError(
                f"{path} is {_size(array)}, the other slices are {_size(first)}: expected one size"
            )
        arrays.append(array)
    return tuple(sorted(files)), np.stack(arrays)


def _read_png(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode != "L":
                raise InputError(f"{path} has mode {image.mode}: expected an 8-bit grey PNG")
            return np.array(image)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as PNG ({error}): restore the file") from error


def _size(array: np.ndarray) -> str:
    return _size_of(array.shape)


def _size_of(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[-2:]))
