"""Whether two files show the same voxels: the same size, the same place, a mask and no image."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.scans import Scan

SAME_PLACE_MM = 0.1  # farther apart, two files do not show the same voxels


MASK_VALUES = 16  # of lung masks and true labels: a JPEG, or a mask that was interpolated, has more


def check_same_size(source: Path, shape: tuple[int, ...], of_scan: tuple[int, ...]) -> None:
    """Refuse a mask or true labels of another shape (i, j, k) than the scan's.

    Raises:
        InputError: another shape.
    """
    if tuple(shape) != tuple(of_scan):
        sizes = ("x".join(map(str, each)) for each in (shape, of_scan))
        raise InputError("{} is {}, the scan is {}: expected equal sizes".format(source, *sizes))


def check_mask(scan: Scan, mask: Scan, most_values: int = MASK_VALUES) -> None:
    """Refuse a mask or true labels that do not lie on the scan, or are no mask.

    Arguments:
        scan: what they belong to.
        mask: the file as it was read.
        most_values: different values that it may have.

    Raises:
        InputError: see `check_same_grid`; or Hounsfield units; or more values than a mask has, so that all above 0
            would be far too much.
    """
    check_same_grid(scan, mask)
    if mask.units != "8-bit":
        raise InputError(
            f"{mask.source}: expected a mask of whole numbers 0 to 255, not Hounsfield units; is it a scan, or are "
            "images and masks exchanged?"
        )
    planes = np.moveaxis(mask.array, 2, 0)  # one at a time: counting takes eight times their memory
    counts = sum(np.bincount(plane.ravel(), minlength=256) for plane in planes)
    if (number := np.count_nonzero(counts)) > most_values:
        raise InputError(
            f"{mask.source}: has {number} different values; expected a mask, of at most {most_values}: give one that "
            "was neither interpolated nor saved as JPEG"
        )


def check_same_grid(scan: Scan, other: Scan) -> None:
    """Refuse a mask or true labels that do not lie on the scan, voxel by voxel.

    Raises:
        InputError: another size; or both files know their place in space, and it is not the same; or not both do, and
            by their names the slices are others, or in another order.
    """
    check_same_size(other.source, other.array.shape, scan.array.shape)
    if scan.affine is not None and other.affine is not None:
        corners = np.ones((8, 4))
        corners[:, :3] = np.indices((2, 2, 2)).reshape(3, 8).T * np.subtract(scan.array.shape, 1)
        away = np.abs(corners @ (scan.affine - other.affine).T).max()
        if away > SAME_PLACE_MM:
            raise InputError(
                f"{other.source}: lies up to {away:.1f} mm away from the scan, or along other axes; expected the same "
                "voxels, resample it to the scan"
            )
    elif scan.slice_names and other.slice_names and _other_slices(scan.slice_names, other.slice_names):
        raise InputError(
            f"{other.source}: by their names its slices ({_from_to(other.slice_names)}) are not those of the scan in "
            f"their order ({_from_to(scan.slice_names)}); expected the same slices, named alike"
        )


def _other_slices(names: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Do the names contradict that these are the same slices, one by one? ct1, ct2, ... may be mask1, mask2, ..."""
    if set(names) & set(others):
        return names != others
    steps = [_steps(each) for each in (names, others)]
    return None not in steps and steps[0] != steps[1]


def _steps(names: tuple[str, ...]) -> list[int] | None:
    """From slice to slice, by the last number in each name; None where this does not tell slices apart."""
    found = [re.findall(r"[0-9]+", name)[-1:] for name in names]
    numbers = [int(number) for of_name in found for number in of_name]
    if len(set(numbers)) < len(names):
        return None
    return [after - before for before, after in pairwise(numbers)]


def _from_to(names: tuple[str, ...]) -> str:
    return f"{names[0]} to {names[-1]}"
