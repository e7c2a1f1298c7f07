"""Severity figures of a labelled scan: how much of the lungs is ill, in how many lesions, where and of what shape.

Pixels are counted once per slice, class and lung; every volume and share follows from these counts. Lesions are
connected components (`lesions`), found class by class and once more for all classes together, where
ground glass and the consolidation within it are one lesion.

The CT severity scores that radiologists give (Pan et al., Radiology 295, 2020, 0 to 25; Chung et al., Radiology 295,
2020, 0 to 20) add up scores of the five lobes. Lobes are not known here, so neither is given. The share of a lung is
put into the bands of MosMedData (Morozov et al., arXiv:2005.06465: CT-1 below 25 %, CT-2 to 50 %, CT-3 to 75 %, CT-4
above); there a radiologist judges, so that a band says how much is labelled and is no reading of the scan.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unet_segnet.measures.lesions import LEFT, NO_LUNG, RIGHT, Shape, box_of, lesions_by_region

ALL_LESIONS = "all lesions"
REGIONS = {
    "whole scan": (NO_LUNG, LEFT, RIGHT),
    "both lungs": (LEFT, RIGHT),
    "left lung": (LEFT,),
    "right lung": (RIGHT,),
    "outside lungs": (NO_LUNG,),
}
LUNG_REGIONS = ("both lungs", "left lung", "right lung")
BANDS = ((0.25, "<25 %"), (0.5, "25-50 %"), (0.75, "50-75 %"), (math.inf, ">75 %"))


@dataclass(frozen=True, eq=False)
class Involvement:
    """One class, or all lesions, in one region.

    Attributes:
        group: a class name, or "all lesions".
        region: a key of REGIONS.
        voxels: number of lesion voxels in the region.
        volume_ml: their volume; NaN where the spacing is unknown.
        region_voxels, region_ml: size of the region itself; NaN ml where the spacing is unknown.
        share: voxels / region_voxels, 0..1; NaN for a region without voxels, such as an absent lung.
        band: share of a lung, or of both, as "0 %", "<25 %", "25-50 %", "50-75 %" or ">75 %" (the lower bound belongs
            to a band); "" for other regions and absent lungs.
        num_lesions: lesions with a voxel in the region; outside lungs: lesions without a voxel in any lung. A lesion
            that reaches into both lungs counts in each, and once in both.
        largest_voxels, largest_ml: of the lesion with the most voxels in the region, the part that lies there; 0
            where there is none, NaN ml where the spacing is unknown.
        shape: of this part; all NaN where there is none.
        slice_shares: (num_slices,) float64, share of `voxels` in each slice, sums to 1; NaN where `voxels` is 0.
        third_shares: (3,) float64, share of `voxels` in each third of the lungs (`Severity.thirds`); voxels above and
            below the lungs are in none. NaN where `voxels` is 0, lungs are unknown or extend over fewer than 3
            slices, or slices do not adjoin.
    """

    group: str
    region: str
    voxels: int
    volume_ml: float
    region_voxels: int
    region_ml: float
    share: float
    band: str
    num_lesions: int
    largest_voxels: int
    largest_ml: float
    shape: Shape
    slice_shares: np.ndarray
    third_shares: np.ndarray


@dataclass(frozen=True, eq=False)
class Severity:
    """Severity figures of one scan.

    Attributes:
        class_names: one per class, background first.
        groups: the lesion classes, then "all lesions".
        slice_names: one per slice.
        spacing: distance of neighbouring voxel centres (slice, row, column) in mm, or None where unknown.
        counts: (num_slices, num_classes, 3) int64, pixels by class and by lung (none, left, right); without lung
            masks all stand under none.
        involvements: one per group and region; of the regions only "whole scan" without lung masks.
        thirds: names of the thirds: the range of slices that hold lung cut in three by slice index, in rising order.
        connectivity: which voxels belong to one lesion.
        notes: what to know when reading the figures, one line each.
    """

    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    slice_names: tuple[str, ...]
    spacing: tuple[float, float, float] | None
    counts: np.ndarray
    involvements: tuple[Involvement, ...]
    thirds: tuple[str, str, str]
    connectivity: str
    notes: tuple[str, ...]

    def involvement(self, group: str = ALL_LESIONS, region: str = "both lungs") -> Involvement:
        """The figures of one group in one region. Raises KeyError where there are none."""
        for found in self.involvements:
            if (found.group, found.region) == (group, region):
                return found
        raise KeyError(f"no figures of {group!r} in {region!r}")

    def rows(self) -> list[dict]:
        """One row per group and region for CSV and JSON: numbers and text; None where a figure is NaN."""
        return [self._row(involvement) for involvement in self.involvements]

    def slice_rows(self) -> list[dict]:
        """One row per slice and group for CSV and JSON; None where a figure is NaN.

        Keys: slice (name), index (zero-based), class, pixels, area_mm2 (None where the spacing is unknown), share of
        `pixels` of this group in the scan (None: the scan has none), lung_pixels, lung_area_mm2, lung_share: pixels
        of the group within the lungs / lung_pixels (None in a slice without lung).
        """
        grouped, lungs = _by_group(self.counts), list(REGIONS["both lungs"])
        pixels, in_lungs = grouped.sum(axis=-1), grouped[..., lungs].sum(axis=-1)
        lung_pixels = self.counts[..., lungs].sum(axis=(1, 2))
        area = math.nan if self.spacing is None else self.spacing[1] * self.spacing[2]
        return [
            {
                "slice": name,
                "index": index,
                "class": group,
                "pixels": int(pixels[index, column]),
                "area_mm2": none_if_nan(pixels[index, column] * area),
                "share": none_if_nan(_ratio(pixels[index, column], pixels[:, column].sum())),
                "lung_pixels": int(lung_pixels[index]),
                "lung_area_mm2": none_if_nan(lung_pixels[index] * area),
                "lung_share": none_if_nan(_ratio(in_lungs[index, column], lung_pixels[index])),
            }
            for index, name in enumerate(self.slice_names)
            for column, group in enumerate(self.groups)
        ]

    def to_dict(self) -> dict:
        """Everything as text, numbers, lists and dicts, ready for JSON; NaN becomes None (null)."""
        return {
            "spacing_mm": None if self.spacing is None else list(self.spacing),
            "num_slices": len(self.slice_names),
            "class_names": list(self.class_names),
            "connectivity": self.connectivity,
            "notes": list(self.notes),
            "involvement": [
                self._row(involvement) | {"slice_shares": [none_if_nan(share) for share in involvement.slice_shares]}
                for involvement in self.involvements
            ],
            "slices": self.slice_rows(),
        }

    def _row(self, involvement: Involvement) -> dict:
        fields = dict(vars(involvement))
        shape, third_shares = fields.pop("shape"), fields.pop("third_shares")
        del fields["slice_shares"]
        row = {"class": fields.pop("group")} | fields
        row |= {f"largest_{name}": value for name, value in vars(shape).items()}
        row |= {f"share_{name.replace(' ', '_')}": share for name, share in zip(self.thirds, third_shares, strict=True)}
        return {name: none_if_nan(value) for name, value in row.items()}


def severity(
    labels: ArrayLike,
    lungs: ArrayLike | None,
    spacing: Sequence[float] | None,
    class_names: Sequence[str],
    slice_names: Sequence[str],
    *,
    towards_head: bool | None = None,
    adjoining: bool = True,
) -> Severity:
    """Severity figures of a labelled scan.

    Arguments:
        labels: (num_slices, height, width) integers, class index; class 0 is background, all others are lesions.
        lungs: (num_slices, height, width) integers, 0 outside, 1 left and 2 right lung, lesions included; or None.
        spacing: distance of neighbouring voxel centres along (slice, row, column) in mm, or None where unknown.
        class_names: one per class.
        slice_names: one per slice.
        towards_head: True where the slice index rises towards the head, False towards the feet, None: unknown; the
            thirds of the lungs are then called first, middle and last.
        adjoining: False for slices that are no volume: lesions are found within each slice, and there are no thirds.

    Returns:
        Severity.

    Raises:
        ValueError: shapes, values, names or spacing that do not fit each other.
    """
    labels, lungs, spacing = _checked(labels, lungs, spacing, class_names, slice_names)
    counts = _count(labels, lungs, len(class_names))
    grouped = _by_group(counts)
    in_plane = len(labels) == 1 or not adjoining
    thirds = _thirds(counts, in_plane)
    names = ("first third", "middle third", "last third")
    if towards_head is not None:
        names = ("lower third", "middle third", "upper third")[:: 1 if towards_head else -1]
    regions = REGIONS if lungs is not None else {"whole scan": REGIONS["whole scan"]}
    groups = (*class_names[1:], ALL_LESIONS)
    involvements, lesions = [], {}
    box = box_of(labels) if labels.any() else np.index_exp[:0]
    marked, around = labels[box], None if lungs is None else lungs[box]
    for column, group in enumerate(groups):
        if not (len(groups) == 2 and column == 1):  # with one class of lesions, all lesions are the same ones
            lesions = lesions_by_region(
                marked == column + 1 if group != ALL_LESIONS else marked > 0, around, regions, spacing, in_plane
            )
        for region, values in regions.items():
            per_slice = grouped[:, column, list(values)].sum(axis=-1)
            size = int(counts[..., list(values)].sum())
            involvements.append(_involvement(group, region, per_slice, size, lesions[region], thirds, spacing))
    return Severity(
        class_names=tuple(class_names),
        groups=groups,
        slice_names=tuple(slice_names),
        spacing=spacing,
        counts=counts,
        involvements=tuple(involvements),
        thirds=names,
        connectivity="8 neighbours within a slice" if in_plane else "26 neighbours",
        notes=_notes(counts, lungs is not None, spacing, involvements),
    )


def none_if_nan(value):
    """A number as Python has it, None in place of NaN; text unchanged."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _checked(labels, lungs, spacing, class_names, slice_names):
    labels = np.asarray(labels)
    if labels.ndim != 3 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers (num_slices, height, width). Received: {labels.dtype} of {labels.shape}"
        )
    if len(class_names) < 2 or labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(
            f"labels must be indices of at least 2 class names. Received: {labels.min()}..{labels.max()} "
            f"and {tuple(class_names)}"
        )
    if len(slice_names) != len(labels):
        raise ValueError(f"slice_names must be {len(labels)}, one per slice. Received: {len(slice_names)}")
    if lungs is not None:
        lungs = np.asarray(lungs)
        if lungs.shape != labels.shape or lungs.dtype.kind not in "iu" or lungs.min() < 0 or lungs.max() > RIGHT:
            raise ValueError(
                f"lungs must be integers 0 (none), 1 (left) and 2 (right) of shape {labels.shape}. "
                f"Received: {lungs.dtype} of {lungs.shape}"
            )
        lungs = lungs.astype(np.uint8, copy=False)
    if spacing is not None:
        spacing = tuple(float(step) for step in spacing)
        if len(spacing) != 3 or not all(math.isfinite(step) and step > 0 for step in spacing):
            raise ValueError(f"spacing must be 3 positive numbers in mm, or None. Received: {spacing}")
    return labels, lungs, spacing


def _count(labels, lungs, num_classes):
    """(num_slices, num_classes, 3) int64 pixels by class and lung, slice by slice to hold no copy of the volume."""
    counts = np.empty((len(labels), num_classes, 3), np.int64)
    for index, label in enumerate(labels):
        codes = label.astype(np.intp) * 3
        if lungs is not None:
            codes += lungs[index]
        counts[index] = np.bincount(codes.ravel(), minlength=num_classes * 3).reshape(num_classes, 3)
    return counts


def _by_group(counts):
    """(num_slices, num_groups, 3) from (num_slices, num_classes, 3): the lesion classes, then their sum."""
    lesions = counts[:, 1:]
    return np.concatenate([lesions, lesions.sum(axis=1, keepdims=True)], axis=1)


def _involvement(group, region, per_slice, region_voxels, lesions, thirds, spacing):
    """Involvement from the lesion voxels in each slice (num_slices,) and the lesions of the region."""
    voxels = int(per_slice.sum())
    share = _ratio(voxels, region_voxels)
    voxel_ml = math.nan if spacing is None else math.prod(spacing) / 1000
    third_shares = [_ratio(per_slice[third].sum(), voxels) for third in thirds] or [math.nan] * 3
    return Involvement(
        group=group,
        region=region,
        voxels=voxels,
        volume_ml=voxels * voxel_ml,
        region_voxels=region_voxels,
        region_ml=region_voxels * voxel_ml,
        share=share,
        band=_band(share) if region in LUNG_REGIONS else "",
        num_lesions=lesions.number,
        largest_voxels=lesions.largest_voxels,
        largest_ml=lesions.largest_voxels * voxel_ml,
        shape=lesions.shape,
        slice_shares=np.array([_ratio(pixels, voxels) for pixels in per_slice]),
        third_shares=np.array(third_shares),
    )


def _ratio(part, whole):
    return float(part / whole) if whole else math.nan


def _band(share):
    if math.isnan(share):
        return ""
    return "0 %" if share == 0 else next(name for bound, name in BANDS if share < bound)


def _thirds(counts, in_plane):
    """Three slices of the slice index that cut the range of slices with lung; none where there is no such range."""
    with_lung = np.flatnonzero(counts[..., list(REGIONS["both lungs"])].sum(axis=(1, 2)))
    if in_plane or not with_lung.size or with_lung[-1] - with_lung[0] < 2:
        return []
    edges = np.rint(np.linspace(with_lung[0], with_lung[-1] + 1, 4)).astype(int)
    return [slice(edges[third], edges[third + 1]) for third in range(3)]


def _notes(counts, has_lungs, spacing, involvements):
    notes = []
    if spacing is None:
        notes.append("The spacing is unknown: sizes are voxels and shares; volumes, areas and lengths are left out.")
    if not has_lungs:
        notes.append("The lungs are unknown: shares are of the whole scan, not of a lung.")
        return tuple(notes)
    in_lungs = counts.sum(axis=(0, 1))
    notes += [
        f"No voxel of the {name} lung: its shares are undefined."
        for name, lung in (("left", LEFT), ("right", RIGHT))
        if not in_lungs[lung]
    ]
    for outside in involvements:
        if outside.region == "outside lungs" and outside.voxels:
            everywhere = next(i for i in involvements if (i.group, i.region) == (outside.group, "whole scan"))
            notes.append(
                f"{outside.group}: {outside.voxels} of {everywhere.voxels} voxels lie outside the lungs; "
                f"{outside.num_lesions} of {everywhere.num_lesions} lesions wholly."
            )
    return tuple(notes)
