"""From a scan's own axes to the one array orientation that the networks know, and back exactly.

The networks learned from the 100 released slices, in which the patient lies sideways. Their files' affines say nothing
reliable (the raw mask's header has none), so the orientation was settled by anatomy:

- Columns run from front to back ("P"): spine and effusions stand towards the high columns. Fluid gathers at the back of
  a patient who lies on it; on all 25 slices with effusion it lies behind the lungs' centre.
- Rows run from the patient's right to the left ("L"): the liver's dome stands in the lung of the low rows, and that
  lung is the larger one on 85 of 100 slices, as the right lung is.
- The slices of one patient are given from foot to head ("S"). The networks see one slice at a time; lists and pictures
  follow this order.

Axes are permuted and flipped only. Of an oblique scan the closest axes are taken; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unet_segnet.data.normalise import resize_bilinear
from unet_segnet.data.preprocess import DEFAULT_SIZE, DEFAULT_WINDOW, prepare
from unet_segnet.data.resize import resize_labels
from unet_segnet.data.slices import Slices
from unet_segnet.errors import InputError
from unet_segnet.scans.scan import Scan, axes_of

NETWORK_AXES = ("S", "L", "P")  # (slice, row, column): the side of the patient towards which each runs
NAMED_AXES = {  # of a file's own (i, j, k) = (row, column, slice)
    "network": "LPS",
    "upright": "PLS",  # front up, the patient's right on the left
    "upside-down": "ALS",  # upright, top and bottom exchanged: a mirror image, not a turn
}
# Slices show lungs alone from this share of black pixels on (the released ones: 0.74 of all), if less of what is shown
# is black inside: at most 0.013 of a released slice; of a body, whose lungs are black or nearly so, 0.12 and more.
BLANK_SHARE, HOLES_SHARE = 0.4, 0.08
MOST_OBLONG = 1.5  # pixel; an axial slice has square ones, a coronal series cut axially has others


@dataclass(frozen=True, eq=False)
class NetworkSlices:
    """A scan in the networks' orientation.

    Attributes:
        images: (num_slices, height, width) float32 Hounsfield units or uint8 grey levels; axes `NETWORK_AXES`.
        names: one per slice, all different; numbers count along the file's own axis, from "001".
        spacing: (slice, row, column) in mm, or None where it is unknown.
        notes: what was assumed about the orientation, one line each.
        axes: three letters, towards which side of the patient the file's own i, j, k run, such as "LPS".
        is_measured: the axes come from the scan's affine; else they were given or assumed.
        shape: (i, j, k) of the file's array.
    """

    images: np.ndarray
    names: tuple[str, ...]
    spacing: tuple[float, float, float] | None
    notes: tuple[str, ...]
    axes: str
    is_measured: bool
    shape: tuple[int, int, int]


def to_network(scan: Scan, orientation: str | None = None, like: NetworkSlices | None = None) -> NetworkSlices:
    """Turn a scan into the networks' orientation.

    Arguments:
        scan: any.
        orientation: how the file's array lies: "network" (as the 100 slices), "upright" (front up, the patient's right
            on the left), "upside-down" (the same, top and bottom exchanged), or three letters such as "LPS" for the
            sides towards which its own axes run. It wins over the affine. None: by the affine; where there is none,
            "network" for slices that show lungs alone, else "upright".
        like: of a mask or labels that were laid on a scan (`unet_segnet.scans.lay_on`), that scan's slices: it lies as
            they do.

    Raises:
        InputError: an unknown orientation; or the axial slices have pixels far from square, which the networks do not
            know: a coronal or sagittal series.
    """
    import nibabel.orientations as nio

    measured = None if scan.affine is None else axes_of(scan.affine)
    is_measured = False
    notes: tuple[str, ...] = ()
    if orientation is not None:
        axes = parse_orientation(orientation)
        if measured and measured != axes:
            notes = (f"orientation: {axes} as given; the affine says {measured}",)
        else:
            notes = (f"orientation: {axes} as given",)
    elif like is not None:
        axes, is_measured = like.axes, like.is_measured
    elif measured:
        axes, is_measured = measured, True
        notes = (f"orientation: {axes} by the affine",)
    elif scan.axes is not None:
        axes = scan.axes
        notes = (f"orientation: {axes}, assumed by the format's rule; give the orientation if that is wrong",)
    else:
        name = "network" if shows_lungs_alone(np.moveaxis(scan.array, 2, 0)) else "upright"
        axes = NAMED_AXES[name]
        why = "these slices show lungs alone" if name == "network" else "front up, the patient's right on the left"
        notes = (f"orientation: assumed {name} ({why}); give the orientation if that is wrong",)
    turn = _turn(axes, NETWORK_AXES)
    order = [int(np.flatnonzero(turn[:, 0] == axis)[0]) for axis in range(3)]  # file axis of slice, row, column
    spacing = None if scan.spacing is None else tuple(scan.spacing[axis] for axis in order)
    if spacing and max(spacing[1:]) > MOST_OBLONG * min(spacing[1:]):
        raise InputError(
            f"{scan.source}: its axial slices have pixels of {spacing[1]:.3g} x {spacing[2]:.3g} mm ({axes}); expected "
            "square ones: give the axial series, or the scan resampled to equal spacing"
        )
    images = np.ascontiguousarray(nio.apply_orientation(scan.array, turn))
    names = _names(scan, order[0])
    return NetworkSlices(
        images=images,
        names=names if turn[order[0], 1] > 0 else names[::-1],
        spacing=spacing,
        notes=notes,
        axes=axes,
        is_measured=is_measured,
        shape=scan.array.shape,
    )


def from_network(labels: np.ndarray, slices: NetworkSlices) -> np.ndarray:
    """Turn labels back, each to the voxel it was found on.

    Arguments:
        labels: (num_slices, height, width) of any type, as `slices.images`.
        slices: what `to_network` gave.

    Returns:
        (i, j, k) of the same type, as the scan's array; a view of `labels`.

    Raises:
        ValueError: the shapes differ.
    """
    import nibabel.orientations as nio

    if labels.shape != slices.images.shape:
        raise ValueError(f"labels must be of shape {slices.images.shape}. Received: {labels.shape}")
    return nio.apply_orientation(labels, _turn(NETWORK_AXES, slices.axes))


def shows_lungs_alone(slices: np.ndarray) -> bool:
    """Whether slices show lungs alone on black, like the released ones, and not a body.

    Arguments:
        slices: (num_slices, height, width) grey levels, in any orientation.
    """
    from scipy import ndimage

    if np.count_nonzero(slices == 0) < BLANK_SHARE * slices.size:
        return False
    holes = filled = 0
    for image in slices:
        whole = ndimage.binary_fill_holes(image != 0)
        filled += np.count_nonzero(whole)
        holes += np.count_nonzero(whole & (image == 0))
    return holes < HOLES_SHARE * filled


def parse_orientation(orientation: str) -> str:
    """Three letters for a name or for three letters in any case.

    Raises:
        InputError: neither.
    """
    axes = NAMED_AXES.get(orientation.lower(), orientation.upper())
    if len(axes) != 3 or any({*axes} & {*pair} == set() for pair in ("LR", "AP", "SI")):
        raise InputError(
            f"orientation {orientation!r}: expected {', '.join(NAMED_AXES)}, or three letters such as LPS for the "
            "sides (L or R, A or P, S or I) towards which the file's axes run"
        )
    return axes


def fit(
    images: np.ndarray,
    lungs: np.ndarray | None,
    window: tuple[float, float] = DEFAULT_WINDOW,
    size: int = DEFAULT_SIZE,
) -> np.ndarray:
    """Slices as the networks take them, by `unet_segnet.data.preprocess.prepare`, like the slices of the study.

    Arguments:
        images: (num_slices, height, width) float32 Hounsfield units or uint8 grey levels, networks' orientation.
        lungs: (num_slices, height, width) bool: everything else becomes black; None keeps everything.
        window: (low, high) HU that become 0 and 255; has no effect on grey levels.
        size: height and width of the result; slices that are not square are padded with black on both sides.

    Returns:
        (num_slices, size, size) uint8. Grey levels of that size come out as they are.

    Raises:
        InputError: a bad window or size.
    """
    units = "8-bit" if images.dtype == np.uint8 else "HU"
    if lungs is None:
        lungs = np.ones(images.shape, bool)
    margins = ((0, 0), *_margins(images.shape[1:]))
    padded, inside = np.pad(images, margins), np.pad(lungs, margins)
    names = tuple(str(number) for number in range(len(images)))
    return prepare(Slices(padded, None, inside, names, units), window, size).images


def fit_whole(images: np.ndarray, size: int = DEFAULT_SIZE) -> np.ndarray:
    """Whole slices of a network's size, values as they are, bilinearly.

    Arguments:
        images: (num_slices, height, width) float32 Hounsfield units or uint8 grey levels, networks' orientation.
        size: height and width of the result; slices that are not square are padded on both sides.

    Returns:
        (num_slices, size, size) float32; slices that are not square are continued by their borders.
    """
    margins = _margins(images.shape[1:])
    shown = np.empty((len(images), size, size), np.float32)
    for index, image in enumerate(images):
        padded = np.pad(image.astype(np.float32), margins, mode="edge")
        shown[index] = resize_bilinear(padded[None], (size, size))[0]
    return shown


def fit_labels(labels: np.ndarray, size: int = DEFAULT_SIZE, background: int = 0) -> np.ndarray:
    """Labels or masks of slices that went through `fit`, each value on the same pixel.

    Arguments:
        labels: (num_slices, height, width) uint8 or bool, networks' orientation.
        size: height and width of the result.
        background: value of what is padded around slices that are not square.

    Returns:
        (num_slices, size, size) of the same type, by the nearest pixel.
    """
    if labels.shape[1] != labels.shape[2]:
        labels = np.pad(labels, ((0, 0), *_margins(labels.shape[1:])), constant_values=background)
    return np.ascontiguousarray(resize_labels(labels, (size, size)))


def unfit(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Maps of the networks' size back to the slices' own: the way back from `fit`.

    Nearest pixel for all types, so that the class of the largest probability is the label here too.

    Arguments:
        maps: (num_slices, size, size), labels or probabilities.
        shape: (height, width) of the slices.

    Returns:
        (num_slices, height, width) of the same type.
    """
    (top, _), (left, _) = _margins(shape)
    whole = resize_labels(maps, (max(shape), max(shape)))
    return np.ascontiguousarray(whole[:, top : top + shape[0], left : left + shape[1]])


def unfit_smooth(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """As `unfit`, interpolated bilinearly: (num_slices, size, size) float32 maps to (num_slices, height, width)."""
    (top, _), (left, _) = _margins(shape)
    whole = resize_bilinear(maps, (max(shape), max(shape)))
    return whole[:, top : top + shape[0], left : left + shape[1]]


def _margins(shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Black rows above and below, black columns before and after, that make a square."""
    missing = [max(shape) - length for length in shape]
    return tuple((number // 2, number - number // 2) for number in missing)


def _turn(start, end) -> np.ndarray:
    """nibabel's transform between two sets of axes."""
    import nibabel.orientations as nio

    return nio.ornt_transform(nio.axcodes2ornt(tuple(start)), nio.axcodes2ornt(tuple(end)))


def _names(scan: Scan, axis: int) -> tuple[str, ...]:
    if axis == 2 and scan.slice_names is not None:
        return scan.slice_names
    return tuple(f"{number:03}" for number in range(1, scan.array.shape[axis] + 1))
