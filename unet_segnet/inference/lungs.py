"""Lung masks where none are given: a classical one from Hounsfield units, and the split into left and right.

`lung_masks` finds what is filled with air inside the body, drops what is not lung (bowel, trachea, air around the
patient), and closes it again over vessels and dense lesions. It has limits that no rule of thumb removes: a lung that
is consolidated all the way to the chest wall over more than about 2 `CLOSING_MM` has lost its border and is cut
short; effusion around a lung is left out or in as the closing happens to bridge it. Whoever measures a severely ill
lung should give a mask or use the lungmask package.

Measured against known lungs: on the phantom, see `tests/inference/test_lungs.py`. On ct20, whose grey levels are no
Hounsfield units, after a threshold per slice (Otsu) was put in the place of `AIR_HU`: Dice 0.915 over all pixels, 95 %
of the lesion pixels inside, 2 % of the lungs missed, 16 % of their size too much (vessels at the hilum, which those
masks leave out; fat as dark as air there; pockets of air between back and table). The rule for filling was chosen among
about twenty on these slices: expect less on others.
"""

from dataclasses import dataclass

import numpy as np

from unet_segnet.errors import InputError

AUTO, NONE, LUNGMASK = "auto", "none", "lungmask"
LUNGS = (AUTO, NONE, LUNGMASK)  # where the lungs of a scan come from: its own values, nowhere, the package
NETWORK = ".keras"  # the ending of a file with a network that finds lungs
OWN = "lungs"  # the project's own such network
WAYS_OUT = (
    "give a mask with `lungs`, or, where the slices show lungs alone, `lungs` none and a network that takes them "
    "as they are, such as binary"
)
NO_LUNG, LEFT, RIGHT = 0, 1, 2
AIR_HU = -400.0  # between aerated lung (about -850 to -500) and soft tissue (above 0), ground glass included
CLOSING_MM = 12.0
DEEPEST_FILL_MM = 15.0  # of what is filled beyond that: lesions at the chest wall are shallow, the liver's dome is not
SMALLEST_MM2 = 150.0  # of a piece of lung in a slice
BONE_HU = 300.0
TRACHEA_MM2 = 900.0  # a round airway outside the lungs is no larger
SMALLEST_BODY = 0.1  # of a slice
BODY_SLICES = 32  # of a scan, that its midline is taken from
BORDER = 0.04  # of a slice's height: the chest wall around the lungs
OUTER_AIR_HU = -950.0  # air around the patient is darker, lungs on the whole are not
TYPICAL_PIXEL_MM = 350.0  # of a chest's field of view, over the slice's height, where the spacing is unknown


def is_way(lungs: object) -> bool:
    """Whether lungs are to be found in each scan, by one of `LUNGS` or by a network's file; else a mask is named."""
    return str(lungs) in LUNGS or str(lungs).endswith(NETWORK)


@dataclass(frozen=True)
class Scale:
    """Pixels per millimetre in a slice."""

    per_mm: float

    def length(self, mm: float) -> int:
        return max(1, round(mm * self.per_mm))

    def area(self, mm2: float) -> float:
        return mm2 * self.per_mm**2


def lung_masks(
    images: np.ndarray, spacing: tuple[float, float, float] | None = None, adjoining: bool = True
) -> np.ndarray:
    """The lungs of a scan in Hounsfield units, left and right told apart.

    Arguments:
        images: (num_slices, height, width) Hounsfield units in the networks' orientation: rows from the patient's
            right to the left, columns from front to back.
        spacing: (slice, row, column) in mm, or None: the field of view is taken for a chest's.
        adjoining: whether the slices are neighbours in one scan, in their order.

    Returns:
        (num_slices, height, width) uint8: 0 no lung, 1 left, 2 right lung.

    Raises:
        InputError: no lung was found.
    """
    from scipy import ndimage

    scale = scale_of(images, spacing)
    air = np.zeros(images.shape, bool)
    for index, image in enumerate(images):
        air[index] = _inner_air(image, scale)
    if adjoining and len(images) > 1:
        air = lung_like_components(air)
    middles = _known(midlines(images, adjoining), air)
    lungs = air.view(np.uint8)  # in the same memory, slice by slice: volumes are large
    for index, middle in enumerate(middles):
        pieces, count = ndimage.label(air[index])
        if count:
            lungs[index] = _closed(pieces, images[index], scale, middle)
    if not lungs.any():
        raise InputError(
            f"no lung was found: no air inside a body; expected an axial chest CT in Hounsfield units ({WAYS_OUT})"
        )
    return lungs


def check_marked(lungs: np.ndarray, source: object) -> None:
    """Refuse a mask that marks nothing, or everything.

    Raises:
        InputError: it does.
    """
    if not lungs.any():
        raise InputError(f"{source}: marks no lung; expected values above 0 inside the lungs")
    if lungs.all():
        raise InputError(
            f"{source}: marks every voxel as lung; expected 0 outside the lungs (`lungs` none takes the slices as they "
            "are)"
        )


def midlines(images: np.ndarray, adjoining: bool = True, air: float = AIR_HU) -> np.ndarray:
    """Where the middle of the body is, which lungs do not tell: one of them may be without air, or missing.

    Arguments:
        images: (num_slices, height, width) Hounsfield units in the networks' orientation.
        adjoining: whether the slices are of one scan, which has one midline.
        air: the body is brighter; of grey levels, see `levels_at_border`.

    Returns:
        (num_slices,) rows; NaN where no body is to be seen.
    """
    shown = np.linspace(0, len(images) - 1, BODY_SLICES).round().astype(int) if adjoining else range(len(images))
    rows = np.array([_body_centre(images[index], air) for index in dict.fromkeys(shown)])
    if adjoining:
        return np.full(len(images), np.nan if np.isnan(rows).all() else np.nanmedian(rows))
    return rows


def levels_at_border(images: np.ndarray, lungs: np.ndarray) -> tuple[float, float]:
    """Median value inside lungs, and of what lies within `BORDER` of the slice around them.

    Arguments:
        images: (num_slices, height, width).
        lungs: likewise, True inside the lungs, at least somewhere.
    """
    from scipy import ndimage

    shown = np.flatnonzero(lungs.any(axis=(1, 2)))
    shown = shown[np.linspace(0, len(shown) - 1, BODY_SLICES).round().astype(int)]
    inside, around = [], []
    for index in dict.fromkeys(shown):
        wide = ndimage.binary_dilation(lungs[index], iterations=max(1, round(BORDER * lungs.shape[1])))
        inside.append(images[index][lungs[index]])
        around.append(images[index][wide & ~lungs[index]])
    return float(np.median(np.concatenate(inside))), float(np.median(np.concatenate(around)))


def slices_cut_off(
    images: np.ndarray, spacing: tuple[float, float, float] | None = None, lungs: np.ndarray | None = None
) -> int:
    """In how many slices something like lung touches the edge of the picture, where `lung_masks` takes it for outside.

    Arguments:
        images, spacing: as of `lung_masks`.
        lungs: (num_slices, height, width) uint8 or bool of a network, in which it lies; None: mattresses of foam count
            too, which are as dense.
    """
    scale = scale_of(images, spacing)
    masks = [None] * len(images) if lungs is None else lungs
    return sum(_is_cut_off(image, scale, mask) for image, mask in zip(images, masks, strict=True))


def split_left_right(mask: np.ndarray, middles: np.ndarray | None = None) -> np.ndarray:
    """Tell left from right in given lungs, slice by slice.

    Arguments:
        mask: (num_slices, height, width) bool, True inside the lungs, in the networks' orientation.
        middles: (num_slices,) rows of the body's middle, see `midlines`; None or NaN: the middle of all lungs.

    Returns:
        (num_slices, height, width) uint8: 0 no lung, 1 left, 2 right lung. Each connected piece goes to the side on
        which its centre lies; one that reaches far across the middle is cut there.
    """
    from scipy import ndimage

    middles = _known(np.full(len(mask), np.nan) if middles is None else middles, mask)
    sides = np.zeros(mask.shape, np.uint8)
    for index, (lungs, middle) in enumerate(zip(mask, middles, strict=True)):
        pieces, _ = ndimage.label(lungs)
        sides[index] = _sides(pieces, middle)
    return sides


def external_lung_masks(images: np.ndarray, spacing: tuple[float, float, float] | None = None) -> np.ndarray:
    """The same by the lungmask package (Hofmanninger and others 2020), a trained network, where it is installed.

    Arguments and result as of `lung_masks`.

    Raises:
        InputError: the package is not installed, or finds no lung.
    """
    try:
        from lungmask import LMInferer
    except ImportError:
        raise InputError("`lungs` lungmask needs the package: `pip install lungmask`; or use `lungs` auto") from None
    import SimpleITK

    # The package takes slices with the patient's right in the first column and the front in the first row.
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(images.transpose(0, 2, 1).astype(np.int16)))
    if spacing is not None:
        image.SetSpacing((spacing[1], spacing[2], spacing[0]))
    found = LMInferer(modelname="R231").apply(image).transpose(0, 2, 1)
    if not found.any():
        raise InputError("lungmask found no lung: expected an axial chest CT in Hounsfield units")
    return np.select([found == 2, found == 1], [LEFT, RIGHT], NO_LUNG).astype(np.uint8)  # its 1 is the right lung


def scale_of(images: np.ndarray, spacing: tuple[float, float, float] | None) -> Scale:
    """Of slices, (num_slices, height, width); spacing None: the field of view is taken for a chest's."""
    return Scale(1 / (0.5 * (spacing[1] + spacing[2])) if spacing else images.shape[1] / TYPICAL_PIXEL_MM)


def _body_centre(image: np.ndarray, air: float) -> float:
    """Mean row of the body with all that is in it; NaN where nothing in the slice is large enough to be one."""
    from scipy import ndimage

    pieces, count = ndimage.label(image > air)
    if not count:
        return np.nan
    body = ndimage.binary_fill_holes(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())
    return float(np.nonzero(body)[0].mean()) if body.mean() >= SMALLEST_BODY else np.nan


def _known(middles: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """The middle of all lungs for the midlines that are not known."""
    rows = np.flatnonzero(lungs.any(axis=(0, 2)))
    return np.where(np.isnan(middles), 0.5 * (rows[0] + rows[-1]) if len(rows) else 0.0, middles)


def _at_edge(pieces: np.ndarray) -> np.ndarray:
    """Numbers of the labelled pieces at the edge of the picture, and 0."""
    return np.unique(np.concatenate([[0], pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))


def _is_cut_off(image: np.ndarray, scale: Scale, lungs: np.ndarray | None) -> bool:
    from scipy import ndimage

    pieces, _ = ndimage.label(image < AIR_HU)
    areas = np.bincount(pieces.ravel() if lungs is None else pieces[lungs > 0], minlength=pieces.max() + 1)
    large = [piece for piece in _at_edge(pieces)[1:] if areas[piece] >= scale.area(SMALLEST_MM2)]
    return any(np.median(image[pieces == piece]) > OUTER_AIR_HU for piece in large)


def _inner_air(image: np.ndarray, scale: Scale) -> np.ndarray:
    """Air that the body encloses in this slice, without specks and without a trachea that stands alone."""
    from scipy import ndimage

    pieces, count = ndimage.label(image < AIR_HU)
    if not count:
        return np.zeros(image.shape, bool)
    areas = np.bincount(pieces.ravel())
    keep = areas >= scale.area(SMALLEST_MM2)
    keep[_at_edge(pieces)] = False
    for piece in np.flatnonzero(keep & (areas < scale.area(TRACHEA_MM2))):
        keep[piece] = not _is_airway(pieces == piece, keep[pieces], areas[piece])
    return keep[pieces]


def _is_airway(piece: np.ndarray, lungs: np.ndarray, area: int) -> bool:
    """Round, and between other pieces or alone in the middle third of the slice."""
    rows, columns = np.nonzero(piece)
    height = rows.max() - rows.min() + 1
    width = columns.max() - columns.min() + 1
    is_round = area > 0.6 * height * width and 0.5 < height / width < 2
    occupied = np.flatnonzero((lungs & ~piece).any(axis=1))
    if not is_round or not len(occupied):
        return False
    span = occupied[-1] - occupied[0]
    return occupied[0] + span / 3 < rows.mean() < occupied[-1] - span / 3


def lung_like_components(air: np.ndarray) -> np.ndarray:
    """Of the air in a scan, the largest piece and those that are at least a tenth of it: lungs, not bowel.

    Labelled slice by slice: numbers for all voxels would take more memory than the scan itself.
    """
    from scipy import ndimage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    areas, touching, number, below = [], [], 0, None
    for slice_air in air:
        pieces, count = ndimage.label(slice_air)
        areas.append(np.bincount(pieces.ravel(), minlength=count + 1)[1:])
        if below is not None:
            both = (below > 0) & slice_air
            pairs = np.unique(below[both].astype(np.int64) * (count + 1) + pieces[both])
            touching.append((number - len(areas[-2]) + pairs // (count + 1) - 1, number + pairs % (count + 1) - 1))
        number, below = number + count, pieces
    if number < 2:
        return air
    ends = np.concatenate(touching, axis=1) if touching else np.empty((2, 0), np.int64)
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(number, number))
    _, whole = connected_components(graph, directed=False)
    sizes = np.bincount(whole, np.concatenate(areas))
    keep = (sizes >= sizes.max() / 10)[whole]
    kept = np.empty(air.shape, bool)
    for index, of_slice in enumerate(np.split(keep, np.cumsum([len(area) for area in areas])[:-1])):
        pieces, _ = ndimage.label(air[index])
        kept[index] = np.append(False, of_slice)[pieces]
    return kept


def _closed(pieces: np.ndarray, image: np.ndarray, scale: Scale, middle: float) -> np.ndarray:
    """Both lungs of a slice, each closed over its vessels and over lesions at the chest wall, bones left out."""
    from scipy import ndimage
    from skimage.morphology import isotropic_closing

    sides = _sides(pieces, middle)
    radius = scale.length(CLOSING_MM)
    bone = ndimage.binary_opening(image > BONE_HU, np.ones((3, 3)))
    result = np.zeros(pieces.shape, np.uint8)
    for side in (RIGHT, LEFT):
        lung = sides == side
        if not lung.any():
            continue
        where = ndimage.find_objects(lung.astype(np.uint8))[0]  # neither closing nor hull reach beyond it
        closed = isotropic_closing(np.pad(lung[where], radius), radius)[radius:-radius, radius:-radius]
        closed |= _shallow(_hollows(closed, side), scale)
        closed |= _shallow(ndimage.binary_fill_holes(closed) & ~closed, scale)
        free = ~bone[where] & ((sides == 0) | lung)[where] & (result[where] == 0)
        result[where][closed & free] = side
    return result


def _hollows(lung: np.ndarray, side: int) -> np.ndarray:
    """What a lung lacks of its convex hull towards the chest wall at the back, where lesions take its border away.

    Towards the heart, and over the diaphragm in front, a lung is hollow by nature.
    """
    from skimage.morphology import convex_hull_image

    beside = np.logical_or.accumulate(lung[::-1])[::-1] if side == RIGHT else np.logical_or.accumulate(lung)
    behind = np.arange(lung.shape[1]) > np.nonzero(lung)[1].mean()
    return convex_hull_image(lung) & beside & behind & ~lung


def _shallow(mask: np.ndarray, scale: Scale) -> np.ndarray:
    """Of the pieces of a mask, those nowhere deeper than `DEEPEST_FILL_MM`."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deepest = ndimage.maximum(depth, pieces, np.arange(count + 1))
    keep = deepest <= DEEPEST_FILL_MM * scale.per_mm
    keep[0] = False
    return keep[pieces]


def _sides(pieces: np.ndarray, middle: float) -> np.ndarray:
    """Left or right for each labelled piece of a slice, by its centre; one on both sides is cut in the middle."""
    from scipy import ndimage

    count = pieces.max()
    sides = np.zeros(pieces.shape, np.uint8)
    if not count:
        return sides
    below = np.arange(pieces.shape[0])[:, None] > middle
    for piece, where in enumerate(ndimage.find_objects(pieces), start=1):
        inside = pieces[where] == piece
        on_left = np.broadcast_to(below[where[0]], inside.shape)
        share = (inside & on_left).sum() / inside.sum()
        side = np.full(inside.shape, LEFT if share >= 0.5 else RIGHT, np.uint8)
        if 0.2 < share < 0.8:
            side = np.where(on_left, LEFT, RIGHT).astype(np.uint8)
        sides[where][inside] = side[inside]
    return sides
