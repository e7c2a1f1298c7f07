"""Lungs by a trained network, which sees each slice cropped to the body, so that the field of view matters little."""

import numpy as np

from unet_segnet.data.normalise import grey_as_hu, resize_bilinear, windowed
from unet_segnet.data.resize import resize_labels
from unet_segnet.errors import InputError

BODY_HU = -500.0  # body is denser, air and mattresses are not
BODY_PIXELS = 128  # height and width at which the body is looked for
OPENED = 2  # pixels of that: what is thinner, as a table or a tube, is no body
MARGIN = 0.03  # of the box's side, around the body
SMALLEST_BODY = 0.02  # of a slice
HOLES = 0.15  # of lungs with what they enclose: vessels and lesions are less, the lungs of a body more


def body_boxes(images: np.ndarray) -> np.ndarray:
    """The square around the body in each slice; the whole slice where there is no body.

    Arguments:
        images: (num_slices, height, width) Hounsfield units.

    Returns:
        (num_slices, 3) int: first row, first column, side; it may reach beyond the slice.
    """
    return np.array([_body_box(image) for image in images])


def crop(images: np.ndarray, boxes: np.ndarray, size: int, outside: float) -> np.ndarray:
    """What the boxes show, (num_slices, size, size) float32, bilinearly; `outside` beyond the slice."""
    shown = np.empty((len(images), size, size), np.float32)
    for index, (image, box) in enumerate(zip(images, boxes, strict=True)):
        shown[index] = resize_bilinear(_cut(np.asarray(image, np.float32), box, outside)[None], (size, size))[0]
    return shown


def crop_labels(labels: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """The same of labels or masks, by the nearest pixel, 0 beyond the slice."""
    return np.stack(
        [resize_labels(_cut(label, box, 0), (size, size)) for label, box in zip(labels, boxes, strict=True)]
    )


def uncrop(maps: np.ndarray, boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Maps of what the boxes showed, back in the slices: (num_slices, *shape) float32, 0 around them."""
    whole = np.zeros((len(maps), *shape), np.float32)
    for index, (found, (top, left, side)) in enumerate(zip(maps, boxes, strict=True)):
        within = [
            slice(max(start, 0), min(start + side, length)) for start, length in zip((top, left), shape, strict=True)
        ]
        of_box = [slice(part.start - start, part.stop - start) for part, start in zip(within, (top, left), strict=True)]
        whole[index][tuple(within)] = resize_bilinear(found[None], (side, side))[0][tuple(of_box)]
    return whole


def lungs_seen(images: np.ndarray, model, batch_size: int = 4) -> np.ndarray:
    """(num_slices, height, width) bool: where the probability of lung is above the network's threshold.

    Arguments:
        images: (num_slices, height, width) float32 Hounsfield units, or uint8 grey levels that are taken for those of
            the network's window; networks' orientation.
        model: of `load_model`; takes what the boxes show, from 0 to 1, the ends of its `window`.
        batch_size: slices at a time.
    """
    from unet_segnet.inference.prediction import filled_up, mirrored_mean

    size, found = model.input_shape[1], np.empty(images.shape, bool)
    for start in range(0, len(images), batch_size):
        values = images[start : start + batch_size]
        if values.dtype == np.uint8:
            values = grey_as_hu(values, model.window)
        boxes = body_boxes(values)
        shown = windowed(crop(values, boxes, size, model.window[0]), model.window)
        if len(images) > batch_size:
            shown = filled_up(shown, batch_size)
        maps = mirrored_mean(model, shown)[: len(values), ..., 1]
        found[start : start + batch_size] = uncrop(maps, boxes, images.shape[1:]) > model.threshold
    return found


def network_lung_masks(images: np.ndarray, model, adjoining: bool = True, batch_size: int = 4) -> np.ndarray:
    """Left and right lung by a network that was trained to find lungs, also in 8-bit grey levels.

    Arguments:
        images, model, batch_size: as of `lungs_seen`.
        adjoining: whether the slices are neighbours in one scan, in their order.

    Returns:
        (num_slices, height, width) uint8: 0 no lung, 1 left, 2 right lung.

    Raises:
        InputError: it finds no lung, or one that is brighter than the body around it.
    """
    from unet_segnet.inference.lungs import (
        AIR_HU,
        WAYS_OUT,
        levels_at_border,
        lung_like_components,
        midlines,
        split_left_right,
    )

    found = lungs_seen(images, model, batch_size)
    if adjoining and len(images) > 1:
        found = lung_like_components(found)
    if not found.any():
        raise InputError(f"the network found no lung; expected an axial chest CT ({WAYS_OUT})")
    air = AIR_HU
    if images.dtype == np.uint8:  # of an unknown window
        inside, around = levels_at_border(images, found)
        if inside >= around or _encloses_lungs(images, found, inside):
            raise InputError(
                "what the network takes for lung is brighter than the body, or the body itself, as in an inverted "
                "picture; expected air dark and bone bright"
            )
        air = 0.5 * (inside + around)
    return split_left_right(found, midlines(images, adjoining, air))


def _encloses_lungs(images: np.ndarray, found: np.ndarray, inside: float) -> bool:
    """Whether what was found is a dark body on bright air: it has large holes, the lungs, and the frame is brighter."""
    from scipy import ndimage

    if np.median([images[:, 0], images[:, -1]]) <= inside:
        return False
    filled = sum(np.count_nonzero(ndimage.binary_fill_holes(lungs)) for lungs in found)
    return np.count_nonzero(found) < (1 - HOLES) * filled


def _body_box(image: np.ndarray) -> tuple[int, int, int]:
    from scipy import ndimage

    height, width = image.shape
    whole = ((height - max(image.shape)) // 2, (width - max(image.shape)) // 2, max(image.shape))
    small = resize_labels(image, (BODY_PIXELS, BODY_PIXELS)) > BODY_HU
    body = ndimage.binary_opening(ndimage.binary_fill_holes(small), iterations=OPENED)
    pieces, count = ndimage.label(body)
    if not count:
        return whole
    areas = np.bincount(pieces.ravel())[1:]
    if areas.max() < SMALLEST_BODY * body.size:
        return whole
    rows, columns = ndimage.find_objects(pieces)[areas.argmax()]
    scale = np.array([height, width]) / BODY_PIXELS
    first, last = (np.array([getattr(rows, of), getattr(columns, of)]) * scale for of in ("start", "stop"))
    side = round((last - first).max() * (1 + 2 * MARGIN))
    top, left = np.rint((first + last - side) / 2).astype(int)
    return int(top), int(left), side


def _cut(image: np.ndarray, box, outside) -> np.ndarray:
    """(side, side) of a slice, `outside` beyond it."""
    top, left, side = map(int, box)
    margins = [
        (max(-start, 0), max(start + side - length, 0)) for start, length in zip((top, left), image.shape, strict=True)
    ]
    padded = np.pad(image, margins, constant_values=outside)
    return padded[max(top, 0) : max(top, 0) + side, max(left, 0) : max(left, 0) + side]
