"""A segmentation against the truth: overlap, size and surfaces, for the whole scan and slice by slice.

Pixels are counted once per slice (`metrics`); overlap and sizes of the scan follow from the sum of these
counts, its surface distances from the volume, those of a slice from its plane (`surface_distances`).
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike

from unet_segnet.measures import metrics
from unet_segnet.measures.severity import ALL_LESIONS, none_if_nan
from unet_segnet.measures.surface_distances import NOWHERE, surface_distances


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well prediction and truth agree; each array is (num_groups,) of a scan, (num_slices, num_groups) of slices.

    Attributes:
        dice: float64 0..1; NaN where neither has the group, 0 where one of them has it.
        sensitivity: float64 0..1; NaN where the truth lacks the group.
        specificity: float64 0..1, over all pixels that have a label; NaN where all of these belong to the group.
        true_voxels, predicted_voxels: int64 sizes.
        mean_surface_distance, hausdorff95, hausdorff: float64 in mm, or in voxels where the spacing is unknown; NaN
            where one of them lacks the group, and of a scan whose slices do not adjoin.
    """

    dice: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    true_voxels: np.ndarray
    predicted_voxels: np.ndarray
    mean_surface_distance: np.ndarray
    hausdorff95: np.ndarray
    hausdorff: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """A segmentation against the truth.

    Attributes:
        groups: the lesion classes, then "all lesions" (any class but the first, whichever it is).
        slice_names: one per slice.
        spacing: distance of neighbouring voxel centres (slice, row, column) in mm, or None where unknown.
        confusion: (num_slices, num_classes, num_classes) int64, rows the truth, columns the prediction.
        scan: Agreement of the whole scan.
        slices: Agreement of each slice.
    """

    groups: tuple[str, ...]
    slice_names: tuple[str, ...]
    spacing: tuple[float, float, float] | None
    confusion: np.ndarray
    scan: Agreement
    slices: Agreement

    def rows(self) -> list[dict]:
        """One row per group for CSV and JSON; None where a figure is NaN.

        Keys: class; dice, sensitivity, specificity; true_voxels, predicted_voxels, and true_ml, predicted_ml (None
        where the spacing is unknown); volume_error_voxels and volume_error_ml: predicted minus true, above 0 for too
        much; relative_volume_error: this / true (None where the truth has none); mean_surface_distance, hausdorff95,
        hausdorff, and distance_unit, "mm" or "voxels".
        """
        size = math.nan if self.spacing is None else math.prod(self.spacing) / 1000
        return [
            {"class": group} | self._row(self.scan, column, ("voxels", "ml", "volume"), size)
            for column, group in enumerate(self.groups)
        ]

    def slice_rows(self) -> list[dict]:
        """One row per slice and group for CSV and JSON; None where a figure is NaN.

        Keys: slice (name), index (zero-based), then those of `rows` with pixels, mm2 and area in place of voxels, ml
        and volume.
        """
        size = math.nan if self.spacing is None else self.spacing[1] * self.spacing[2]
        return [
            {"slice": name, "index": index, "class": group}
            | self._row(self.slices, (index, column), ("pixels", "mm2", "area"), size)
            for index, name in enumerate(self.slice_names)
            for column, group in enumerate(self.groups)
        ]

    def to_dict(self) -> dict:
        """Everything as text, numbers, lists and dicts, ready for JSON; NaN becomes None (null)."""
        return {
            "spacing_mm": None if self.spacing is None else list(self.spacing),
            "num_slices": len(self.slice_names),
            "scan": self.rows(),
            "slices": self.slice_rows(),
            "confusion": self.confusion.tolist(),
        }

    def _row(self, agreement, at, words, element_size):
        elements, unit, size = words
        true, predicted = agreement.true_voxels[at], agreement.predicted_voxels[at]
        row = {name: getattr(agreement, name)[at] for name in ("dice", "sensitivity", "specificity")}
        row |= {
            f"true_{elements}": true,
            f"predicted_{elements}": predicted,
            f"true_{unit}": true * element_size,
            f"predicted_{unit}": predicted * element_size,
            f"{size}_error_{elements}": predicted - true,
            f"{size}_error_{unit}": (predicted - true) * element_size,
            f"relative_{size}_error": (predicted - true) / true if true else math.nan,
        }
        row |= {name: getattr(agreement, name)[at] for name in ("mean_surface_distance", "hausdorff95", "hausdorff")}
        row["distance_unit"] = elements if self.spacing is None else "mm"
        return {name: none_if_nan(value) for name, value in row.items()}


def compare(
    truth: ArrayLike,
    prediction: ArrayLike,
    num_classes: int,
    spacing: Sequence[float] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    slice_names: Sequence[str] | None = None,
    adjoining: bool = True,
) -> Comparison:
    """Compare a segmentation with the truth.

    Arguments:
        truth: (num_slices, height, width) integers, class index 0..num_classes-1, or 255 for a pixel without a label,
            which counts nowhere and belongs to no lesion, whatever is predicted there.
        prediction: likewise, without 255.
        num_classes: at least 2; class 0 is background.
        spacing: distance of neighbouring voxel centres (slice, row, column) in mm, or None where unknown.
        class_names: one per class; None: C0, C1, ...
        slice_names: one per slice; None: 001, 002, ...
        adjoining: False for slices that are no volume: the scan then has no surface distances.

    Returns:
        Comparison.

    Raises:
        ValueError: shapes, values, names or spacing that do not fit each other.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 3 or not truth.size or num_classes < 2:
        raise ValueError(
            "expected a truth of shape (num_slices, height, width) and at least 2 classes. "
            f"Received: {truth.shape} and {num_classes}"
        )
    confusion = metrics.confusion_matrices(truth, prediction, num_classes)
    class_names = [f"C{k}" for k in range(num_classes)] if class_names is None else class_names
    slice_names = [f"{number:03}" for number in range(1, len(truth) + 1)] if slice_names is None else slice_names
    if len(class_names) != num_classes or len(slice_names) != len(truth):
        raise ValueError(
            f"expected {num_classes} class names and {len(truth)} slice names. "
            f"Received: {len(class_names)} and {len(slice_names)}"
        )
    if spacing is not None:
        spacing = tuple(float(step) for step in spacing)
        if len(spacing) != 3 or not all(math.isfinite(step) and step > 0 for step in spacing):
            raise ValueError(f"spacing must be 3 positive numbers in mm, or None. Received: {spacing}")
    in_plane = None if spacing is None else spacing[1:]
    scan, slices = [], []  # surface distances: of each group, and of each group in each slice
    for true, predicted in _masks(truth, prediction, num_classes):
        is_volume = adjoining or len(truth) == 1
        scan.append(astuple(surface_distances(true, predicted, spacing) if is_volume else NOWHERE))
        slices.append([astuple(surface_distances(*pair, in_plane)) for pair in zip(true, predicted, strict=True)])
    if num_classes == 2:  # all lesions are those of the one class
        scan, slices = scan * 2, slices * 2
    return Comparison(
        groups=(*class_names[1:], ALL_LESIONS),
        slice_names=tuple(slice_names),
        spacing=spacing,
        confusion=confusion,
        scan=_agreement(confusion.sum(axis=0), np.array(scan)),
        slices=_agreement(confusion, np.array(slices).swapaxes(0, 1)),
    )


def _masks(truth, prediction, num_classes):
    """Yield (true, predicted) bool masks of each lesion class, then, where there are several, of all lesions."""
    unlabelled = truth == metrics.UNLABELLED
    unlabelled = unlabelled if unlabelled.any() else None
    for k in (*range(1, num_classes), *([None] if num_classes > 2 else [])):
        true, predicted = (maps > 0 if k is None else maps == k for maps in (truth, prediction))
        if unlabelled is not None:
            true, predicted = true & ~unlabelled, predicted & ~unlabelled
        yield true, predicted


def _agreement(confusion, distances):
    """Agreement from counts (..., K, K) and surface distances (..., num_groups, 3): mean, 95 % and largest."""
    lesions = metrics.lesions_together(confusion)

    def by_group(score):
        return np.concatenate([score(confusion)[..., 1:], score(lesions)[..., 1:]], axis=-1)

    return Agreement(
        dice=by_group(metrics.dice),
        sensitivity=by_group(metrics.sensitivity),
        specificity=by_group(metrics.specificity),
        true_voxels=by_group(lambda counts: counts.sum(axis=-1)),
        predicted_voxels=by_group(lambda counts: counts.sum(axis=-2)),
        mean_surface_distance=distances[..., 0],
        hausdorff95=distances[..., 1],
        hausdorff=distances[..., 2],
    )
