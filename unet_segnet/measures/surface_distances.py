"""How far the surfaces of two masks lie apart: mean, 95 % and largest distance.

The surface of a mask is its voxels with a face neighbour (in a slice: an edge neighbour) outside it; beyond the
array everything is outside. From each surface voxel the Euclidean distance to the nearest surface voxel of the
other mask is taken, in both directions. Of the conventions in use this is MONAI's throughout
(`SurfaceDistanceMetric(symmetric=True)`, `HausdorffDistanceMetric(percentile=95)`); where others differ:

- mean: over the distances of both directions pooled, so that each surface voxel weighs the same (Heimann et al.,
  IEEE Trans. Med. Imaging 28, 2009; MedPy's `assd` likewise); DeepMind's surface-distance leaves the two directed
  means apart.
- 95 % Hausdorff: the larger of the two directed 95th percentiles, interpolated linearly (DeepMind's
  surface-distance likewise takes the larger, with voxels weighted by area); MedPy, and nnU-Net's first version with
  it, takes one percentile of the pooled distances.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces, in mm where the spacing was given, else in voxels; NaN where a mask is empty.

    Attributes:
        mean: mean distance of both directions together (average symmetric surface distance).
        hausdorff95: larger of the two directed 95th percentiles.
        hausdorff: largest distance of all.
    """

    mean: float
    hausdorff95: float
    hausdorff: float


NOWHERE = SurfaceDistances(np.nan, np.nan, np.nan)


def surface_distances(
    truth: ArrayLike, prediction: ArrayLike, spacing: tuple[float, ...] | None = None
) -> SurfaceDistances:
    """Distances between the surfaces of two masks; exchanging the masks changes nothing.

    Arguments:
        truth, prediction: (height, width) or (num_slices, height, width), bool, or above 0 inside. A volume of one
            slice is compared in its plane.
        spacing: distance of neighbouring voxels in mm along each axis, positive; None: 1 along each.

    Returns:
        SurfaceDistances; all 0 for equal masks, all NaN where one mask or both are empty.

    Raises:
        ValueError: the shapes differ, are neither 2-D nor 3-D, or the spacing does not fit them.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape or truth.ndim not in (2, 3):
        raise ValueError(
            "truth and prediction must have one shape, (height, width) or (num_slices, height, width). "
            f"Received: {truth.shape} and {prediction.shape}"
        )
    spacing = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if spacing.shape != (truth.ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"spacing must be {truth.ndim} positive numbers. Received: {spacing.tolist()}")
    if truth.ndim == 3 and len(truth) == 1:
        truth, prediction, spacing = truth[0], prediction[0], spacing[1:]
    points = [_surface_points(mask, spacing) for mask in (truth, prediction)]
    if not all(map(len, points)):
        return NOWHERE
    # A tree of the surface voxels: on lesions of 90 slices 1.4 to 9 times faster than the distance transform of the
    # box around both masks, and its memory follows the surfaces, not the box.
    directed = [_tree(other).query(own)[0] for own, other in (points, reversed(points))]
    return SurfaceDistances(
        mean=float(np.concatenate(directed).mean()),
        hausdorff95=float(max(np.percentile(distances, 95) for distances in directed)),
        hausdorff=float(max(distances.max() for distances in directed)),
    )


def surface(mask: ArrayLike) -> np.ndarray:
    """The voxels of a mask that have a face neighbour outside it; beyond the array everything is outside.

    Takes a bool array (or one above 0 inside) of any number of axes, returns bool of the same shape.
    """
    mask = np.asarray(mask) > 0
    return mask & ~ndimage.binary_erosion(mask)


def _surface_points(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """(num_points, num_axes) float64 coordinates of the surface voxels."""
    mask = mask > 0
    box, first = [], []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not occupied.size:
            return np.empty((0, mask.ndim))
        box.append(slice(occupied[0], occupied[-1] + 1))
        first.append(occupied[0])
    points = np.argwhere(surface(mask[tuple(box)]))
    points += first
    return points * spacing


def _tree(points: np.ndarray) -> cKDTree:
    return cKDTree(points, balanced_tree=False, compact_nodes=False)  # built four times faster, asked as fast
