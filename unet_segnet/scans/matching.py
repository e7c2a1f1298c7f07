"""Masks and labels brought onto the grid of the scan that they belong to: in space, not by the axes of their arrays."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import SUFFIXES, volume_shape
from unet_segnet.errors import InputError
from unet_segnet.scans.scan import Scan, corners

MASK_VALUES = 16  # of lung masks and true labels: a JPEG, or a mask that was interpolated, has more
# How far apart, along each axis, two voxels may lie that count as one: headers are rounded.
SAME_PLACE_MM = 0.1
SAME_PLACE_VOXELS = (0.1, 0.25)  # and at least, at most
CROPPED_SUFFIX = ".seg.nrrd"  # what 3D Slicer writes, cut to where something is marked
UNPLACED_NOTE = "not both the scan and this file tell their place: taken voxel by voxel, as their arrays lie"
RESAMPLE = "resample it to the scan by the nearest voxel, with the scan as the reference"


def check_same_size(source: Path, shape: tuple[int, ...], of_scan: tuple[int, ...]) -> None:
    """Refuse a mask or true labels whose shape is not the scan's (i, j, k), its axes in whatever order.

    Raises:
        InputError: another shape.
    """
    if sorted(shape) != sorted(of_scan):
        sizes = ("x".join(map(str, each)) for each in (shape, of_scan))
        raise InputError("{} is {}, the scan is {}: expected equal sizes; {}".format(source, *sizes, RESAMPLE))


def check_headers(image: Path, *masks: Path | None) -> None:
    """Refuse a scan's masks and labels of another size by their headers, before a large file is read.

    Arguments:
        image, masks: what is given for a case; looked at where it is a NIfTI file.

    Raises:
        InputError: another shape, or a file that is no NIfTI file.
    """
    paths = [path for path in (image, *masks) if path is not None and path.is_file()]
    shapes = {path: volume_shape(path) for path in paths if path.name.lower().endswith(SUFFIXES)}
    for path, shape in shapes.items():
        check_same_size(path, shape, shapes.get(image, shape))


def lay_on(scan: Scan, mask: Scan, most_values: int = MASK_VALUES) -> Scan:
    """Bring a mask or labels onto the scan's grid: each value to the voxel that lies where it lies in the body.

    Where both files know their place in space, only that counts: their arrays may be stored in any order and direction
    (DICOM is read by rows, NIfTI by columns). Where one does not, the arrays are taken as they lie, and that is noted.

    Arguments:
        scan: what it belongs to.
        mask: the file as it was read.
        most_values: different values that it may have.

    Returns:
        The mask with array, affine, spacing and slice names along the scan's axes.

    Raises:
        InputError: it has another size or another grid; or not both know their place, and by the order of their axes
            or by their slices' names nothing tells that they are the same voxels; or it is no mask: Hounsfield units,
            or more values than a mask has, so that all above 0 would be far too much.
    """
    _check_values(mask, most_values)
    array, notes = mask.array, mask.notes
    if scan.affine is not None and mask.affine is not None:
        array = _laid(scan, mask)
        if array.size > mask.array.size:
            notes = (*notes, "it covers a part of the scan, as 3D Slicer crops segments; beside it nothing is marked")
    else:
        _check_unplaced(scan, mask)
        if scan.affine is not None or mask.affine is not None or scan.rows_first != mask.rows_first:
            notes = (*notes, UNPLACED_NOTE)
    return replace(
        mask,
        array=array,
        affine=scan.affine,
        spacing=scan.spacing,
        axes=scan.axes,
        slice_names=scan.slice_names,
        rows_first=scan.rows_first,
        notes=notes,
        header=None,
    )


def _laid(scan: Scan, mask: Scan) -> np.ndarray:
    """The mask's array along the scan's axes and over its size."""
    shape = np.array(scan.array.shape)
    to_scan = np.linalg.inv(scan.affine) @ mask.affine  # from voxel to voxel
    edges = np.linalg.norm(scan.affine[:3, :3], axis=0)
    steps = to_scan[:3, :3] * edges[:, None]  # in mm along the scan's axes
    along = np.abs(steps).argmax(axis=0)  # the scan's axis of each of the mask's
    axes = np.argsort(along)
    array = mask.array.transpose(axes)
    is_cropped = mask.source.name.lower().endswith(CROPPED_SUFFIX)
    if not is_cropped:
        check_same_size(mask.source, mask.array.shape, scan.array.shape)
    ends = corners(mask.array.shape)
    if sorted(along) == [0, 1, 2] and (is_cropped or array.shape == scan.array.shape):
        flipped = [axis for axis in range(3) if steps[axis, axes[axis]] < 0]
        found, expected = (ends @ to_scan.T)[:, :3], ends[:, axes]
        expected[:, flipped] = np.subtract(array.shape, 1)[flipped] - expected[:, flipped]
        start = np.rint(found.min(axis=0)).astype(int) if is_cropped else np.zeros(3, int)
        apart = np.abs(found - expected - start).max(axis=0)
        is_inside = (start >= 0).all() and (start + array.shape <= shape).all()
        if is_inside and (apart <= np.clip(SAME_PLACE_MM / edges, *SAME_PLACE_VOXELS)).all():
            margins = [*zip(start, shape - start - array.shape, strict=True)]
            return np.ascontiguousarray(np.pad(np.flip(array, flipped), margins))
    apart = (corners(scan.array.shape) @ scan.affine.T)[:, None] - ends @ mask.affine.T
    away = np.linalg.norm(apart, axis=2).min(axis=1).max()  # from each corner to the nearest of the other
    raise InputError(
        f"{mask.source}: lies up to {away:.{1 if away >= 1 else 2}f} mm away from the scan, or along other axes; "
        f"expected the same voxels: {RESAMPLE}"
    )


def _check_unplaced(scan: Scan, mask: Scan) -> None:
    """Refuse arrays that nothing tells to be the same voxels."""
    is_told = any(one.affine is not None or one.axes is not None for one in (scan, mask))
    if is_told and scan.rows_first != mask.rows_first:
        raise InputError(
            f"{mask.source}: which of its voxels lie on which of the scan cannot be known, since one of the two does "
            "not tell its place and they store rows and columns differently; save it with the scan's geometry"
        )
    if mask.array.shape != scan.array.shape:
        sizes = ("x".join(map(str, each.array.shape)) for each in (mask, scan))
        raise InputError("{} is {}, the scan is {}: expected equal sizes".format(mask.source, *sizes))
    if scan.slice_names and mask.slice_names and _other_slices(scan.slice_names, mask.slice_names):
        raise InputError(
            f"{mask.source}: by their names its slices ({_from_to(mask.slice_names)}) are not those of the scan in "
            f"their order ({_from_to(scan.slice_names)}); expected the same slices, named alike"
        )


def _check_values(mask: Scan, most_values: int) -> None:
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
