"""Lesions as connected components of a mask: how many lie in each lung, how large the largest is, its shape.

A lesion of a volume is a set of voxels that hang together by a face, an edge or a corner (26 neighbours); of a
single slice, or of slices that do not adjoin, of pixels by an edge or a corner within a slice (8 neighbours).

Size, axes and extent are those of scikit-image's `regionprops(spacing=...)`, but gathered slice by slice, because
regionprops holds a float64 copy of the lesion's box. Solidity takes the convex hull of the voxels' corners and its
exact volume; regionprops counts the voxels whose centres the hull holds, which takes it more than ten minutes for one
large lesion and gives up to 0.3 more for small ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import ConvexHull

NO_LUNG, LEFT, RIGHT = 0, 1, 2  # values of a lung mask


@dataclass(frozen=True)
class Shape:
    """Shape of a lesion. Lengths are NaN where the spacing is unknown.

    Attributes:
        equivalent_diameter_mm: diameter of the ball (in a slice: the disc) of the same size.
        axis_major_mm, axis_minor_mm: longest and shortest axis of the ellipsoid (ellipse) whose second moments equal
            those of the voxel centres; 0 across a lesion one voxel thick.
        extent: share of its bounding box that it fills, 0..1.
        solidity: share of its convex hull that it fills, 0..1; voxels are boxes, so that a box has 1.
    """

    equivalent_diameter_mm: float = math.nan
    axis_major_mm: float = math.nan
    axis_minor_mm: float = math.nan
    extent: float = math.nan
    solidity: float = math.nan


@dataclass(frozen=True)
class Lesions:
    """The lesions of one region.

    Attributes:
        number: lesions with at least one voxel in the region.
        largest_voxels: voxels, within the region, of the lesion that has most there; 0 where there is none.
        shape: of these voxels; all NaN where there is none.
    """

    number: int = 0
    largest_voxels: int = 0
    shape: Shape = Shape()


def lesions_by_region(
    mask: np.ndarray,
    lungs: np.ndarray | None,
    regions: Mapping[str, Sequence[int]],
    spacing: Sequence[float] | None,
    in_plane: bool,
) -> dict[str, Lesions]:
    """The lesions of a mask, region by region. A lesion in two regions counts in both.

    Arguments:
        mask: (num_slices, height, width) bool.
        lungs: likewise, integers 0 (none), 1 (left) and 2 (right), or None: 0 everywhere.
        regions: name and values of `lungs` of each. The region (0,) is what no lung has part in: a lesion with a
            voxel in a lung does not count there.
        spacing: distance of neighbouring voxel centres (slice, row, column) in mm, or None where unknown.
        in_plane: find lesions within each slice.

    Returns:
        Lesions by name of the region.
    """
    if not mask.any():
        return dict.fromkeys(regions, Lesions())
    box = box_of(mask)
    mask, lungs = mask[box], None if lungs is None else lungs[box]
    structure = np.ones((3, 3, 3), bool)
    structure[[0, 2]] = not in_plane
    try:
        labelled, num_lesions = ndimage.label(mask, structure, np.uint16)  # half the memory
    except RuntimeError:  # more lesions than that
        labelled, num_lesions = ndimage.label(mask, structure)
    del mask  # a volume, which nobody else needs
    sizes = _sizes(labelled, num_lesions, lungs)
    in_some_lung = sizes[:, [LEFT, RIGHT]].any(axis=1)
    found, whole = {}, {}  # whole: shapes of lesions that were described uncut
    for region, values in regions.items():
        in_region = sizes[:, list(values)].sum(axis=1)
        if tuple(values) == (NO_LUNG,):
            in_region[in_some_lung] = 0
        largest = int(in_region.argmax())
        voxels = int(in_region[largest])
        is_whole = voxels == sizes[largest].sum()
        if not voxels:
            shape = Shape()
        elif is_whole and largest in whole:
            shape = whole[largest]
        else:
            lesion = labelled == largest + 1
            if not is_whole:
                lesion &= np.isin((NO_LUNG, LEFT, RIGHT), values)[lungs]
            shape = _shape(lesion[box_of(lesion)], spacing, in_plane)
            if is_whole:
                whole[largest] = shape
        found[region] = Lesions(int(np.count_nonzero(in_region)), voxels, shape)
    return found


def lesion_shape(mask: ArrayLike, spacing: Sequence[float] | None) -> Shape:
    """Shape of one lesion.

    Arguments:
        mask: (num_slices, height, width) or, for a lesion of one slice, (height, width) bool with a True.
        spacing: distance of neighbouring voxel centres in mm along each axis, or None where unknown.

    Raises:
        ValueError: a mask of other dimensions, or without a True.
    """
    mask = np.asarray(mask, bool)
    if mask.ndim not in (2, 3) or not mask.any():
        raise ValueError(f"mask must be 2-D or 3-D and not empty. Received: shape {mask.shape}")
    if mask.ndim == 3:
        return _shape(mask[box_of(mask)], spacing, in_plane=False)
    mask = mask[np.newaxis]
    return _shape(mask[box_of(mask)], None if spacing is None else (1.0, *spacing), in_plane=True)


def _shape(mask: np.ndarray, spacing: Sequence[float] | None, in_plane: bool) -> Shape:
    """Shape of a lesion that reaches all sides of its array (n, H, W); n = 1 where it lies within a slice."""
    voxels, total, products, corners = 0, np.zeros(3), np.zeros((3, 3)), []
    for index, inside in enumerate(mask):
        if not inside.any():
            continue
        points = np.argwhere(inside)
        points = np.column_stack([np.full(len(points), index), points]) - np.array(mask.shape) / 2
        voxels, total, products = voxels + len(points), total + points.sum(axis=0), products + points.T @ points
        hull = _hull(inside)  # the hull of the slices' hulls is the hull of all
        corners += [hull] if in_plane else [np.insert(hull, 0, index + side, axis=1) for side in (0, 1)]
    ratios = {"extent": voxels / mask.size, "solidity": voxels / ConvexHull(np.concatenate(corners)).volume}
    if spacing is None:
        return Shape(**ratios)
    if in_plane:
        spacing = spacing[1:]
    size, axes = voxels * math.prod(spacing), slice(-len(spacing), None)
    covariance = products / voxels - np.outer(total, total) / voxels**2
    variances = np.linalg.eigvalsh(covariance[axes, axes] * np.outer(spacing, spacing)).clip(min=0)
    if in_plane:  # a disc of diameter d has the variance d^2 / 16 along each axis, a ball d^2 / 20
        diameter, lengths = math.sqrt(4 * size / math.pi), np.sqrt(16 * variances)
    else:
        diameter, lengths = math.cbrt(6 * size / math.pi), np.sqrt(20 * variances)
    return Shape(diameter, float(lengths[-1]), float(lengths[0]), **ratios)


def _sizes(labelled: np.ndarray, num_lesions: int, lungs: np.ndarray | None) -> np.ndarray:
    """(num_lesions, 3) int64 voxels of each lesion by lung."""
    sizes = np.zeros((num_lesions + 1) * 3, np.int64)
    for index, numbers in enumerate(labelled):
        inside = numbers > 0
        codes = numbers[inside].astype(np.int64) * 3  # which NumPy 1 would keep in 16 bits
        if lungs is not None:
            codes += lungs[index][inside]
        counts = np.bincount(codes)
        sizes[: len(counts)] += counts
    return sizes.reshape(-1, 3)[1:]


def box_of(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The slices around what is not 0 in a volume, which must be something."""
    plane = mask.any(axis=0)
    occupied = (np.flatnonzero(line) for line in (mask.any(axis=(1, 2)), plane.any(axis=1), plane.any(axis=0)))
    return tuple(slice(where[0], where[-1] + 1) for where in occupied)


def _hull(inside: np.ndarray) -> np.ndarray:
    """(num_corners, 2) corners of the convex hull of the pixels of a mask (H, W), as (row, column) of pixel edges."""
    rows = np.flatnonzero(inside.any(axis=1))
    first = inside[rows].argmax(axis=1)
    last = inside.shape[1] - inside[rows, ::-1].argmax(axis=1)
    corners = np.concatenate([np.column_stack([rows + down, columns]) for down in (0, 1) for columns in (first, last)])
    return corners[ConvexHull(corners).vertices]
