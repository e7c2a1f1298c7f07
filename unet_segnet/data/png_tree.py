"""The released PNG tree of the 100 slices: dataset/im/256, dataset/mask/multi/256, dataset/mask/binary/256.

The images are lung masked (0 outside the lungs), 8 bit, 256x256. By which rule Hounsfield units became
these grey levels is not known. Masks hold 0, 85, 170, 255 for C0, C1, C2, C3 (multi) or 0, 255 (binary).
"""

import re
from pathlib import Path

import numpy as np

from unet_segnet.data.mask_fit import mend_exchanges
from unet_segnet.data.nifti_file import MAX_SLICE_PIXELS, MAX_VOXELS
from unet_segnet.data.slices import BINARY_NAMES, MULTICLASS_NAMES, Slices
from unet_segnet.errors import InputError

IMAGES, MULTICLASS, BINARY = "im/256", "mask/multi/256", "mask/binary/256"
RAW_MASKS = "raw/tr_mask.nii.gz"
UNKNOWN = 255
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
    slices, problems = inspect_png_tree(folder)
    if problems:
        raise InputError(problems[0] + (f" ({len(problems) - 1} more like this)" if problems[1:] else ""))
    return mend_exchanges(slices) if mend else slices


def inspect_png_tree(folder: str | Path) -> tuple[Slices | None, list[str]]:
    """Like `read_png_tree`, without mending: the slices that are sound (None: not one) and all problems.

    Raises:
        InputError: there is no such tree, or it has no masks at all.
    """
    root = tree_root(Path(folder))
    if root is None:
        raise InputError(f"no slices in {folder}: expected the folder dataset/{IMAGES} with PNG files")
    kinds = [kind for kind in (MULTICLASS, BINARY) if (root / kind).is_dir()]
    if not kinds:
        raise InputError(f"no masks in {root}: expected {MULTICLASS} or {BINARY}")
    problems = []
    files = {kind: _list_png(root / kind, problems) for kind in (IMAGES, *kinds)}
    names, images, labels = [], [], []
    for name in sorted(set().union(*files.values())):
        try:
            for kind in files:
                if name not in files[kind]:
                    raise InputError(f"no file for slice {name} in {root / kind}: expected one, restore it")
            image = _read_png(files[IMAGES][name])
            if images and image.shape != images[0].shape:
                raise InputError(
                    f"{files[IMAGES][name]} is {_size(image)}, the slices before are {_size(images[0])}: "
                    f"expected one size"
                )
            label = _read_label([files[kind][name] for kind in kinds], kinds, image)
        except InputError as error:
            problems.append(str(error))
            continue
        if (len(names) + 1) * image.size > MAX_VOXELS:
            raise InputError(f"{root} holds more than {MAX_VOXELS} pixels: give fewer or smaller slices")
        names.append(name)
        images.append(image)
        labels.append(label)
    if not names:
        return None, problems or [f"no PNG files in {root / IMAGES}"]
    slices = Slices(
        images=np.stack(images),
        labels=np.stack(labels),
        lungs=None,
        names=tuple(names),
        units="8-bit",
        class_names=MULTICLASS_NAMES if MULTICLASS in kinds else BINARY_NAMES,
    )
    return slices, problems


def _read_label(paths: list[Path], kinds: list[str], image: np.ndarray) -> np.ndarray:
    """(height, width) class index of one slice, from its multi mask, its binary mask or both in agreement."""
    labels = []
    for path, kind in zip(paths, kinds, strict=True):
        mask = _read_png(path)
        if mask.shape != image.shape:
            raise InputError(f"{path} is {_size(mask)}, its image is {_size(image)}: expected equal sizes")
        levels = CLASS_LEVELS[kind]
        table = np.full(256, UNKNOWN, np.uint8)
        table[list(levels)] = np.arange(len(levels))
        label = table[mask]
        if (label == UNKNOWN).any():
            unknown = ", ".join(map(str, np.unique(mask[label == UNKNOWN])[:5]))
            raise InputError(f"{path} has unknown values ({unknown}): expected {', '.join(map(str, levels))}")
        labels.append(label)
    if len(labels) == 2 and ((labels[0] > 0) != (labels[1] > 0)).any():
        raise InputError(
            f"{paths[1]} and the multi mask of the same slice disagree about where lesion is: "
            f"restore both from one release"
        )
    return labels[0]


def _list_png(folder: Path, problems: list[str]) -> dict[str, Path]:
    """PNG files by the digits that end their names."""
    files = {}
    for path in sorted(folder.glob("*.png")):
        number = re.search(r"(\d+)$", path.stem)
        if number is None:
            problems.append(f"{path}: expected a file name that ends in the number of the slice")
        elif number[1] in files:
            problems.append(f"{path} and {files[number[1]].name} have one slice number: remove one")
        else:
            files[number[1]] = path
    return files


def _read_png(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode != "L":
                raise InputError(f"{path} has mode {image.mode}: expected an 8-bit grey PNG")
            if image.width * image.height > MAX_SLICE_PIXELS:
                raise InputError(f"{path} claims {image.width}x{image.height} pixels: too large for a slice")
            return np.array(image)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        why = str(error) or "it claims more than there is memory"
        raise InputError(f"{path} cannot be read as PNG ({why}): restore the file") from error


def _size(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
