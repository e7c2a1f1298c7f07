"""From what a scanner gives to what the networks of the first study take: lungs alone, 8 bit, 256x256."""

from dataclasses import replace

import numpy as np

from unet_segnet.data.resize import resize_images, resize_labels
from unet_segnet.data.slices import Slices
from unet_segnet.errors import InputError

DEFAULT_WINDOW = (-1100.0, 400.0)
DEFAULT_SIZE = 256


def window_to_8bit(images: np.ndarray, window: tuple[float, float] = DEFAULT_WINDOW) -> np.ndarray:
    """Hounsfield units to grey levels: the window's lower end becomes 0, its upper end 255.

    The released slices were scaled by a rule that nobody wrote down. The default window is a calibration:
    with it the medians of the released slices, 61, 114 and 168 for healthy lung, ground glass and
    consolidation, stand for -741, -429 and -112 HU.

    Arguments:
        images: Hounsfield units, any shape.
        window: (low, high) in HU, low < high.

    Returns:
        uint8 of the same shape, rounded to the nearest level.

    Raises:
        InputError: the window is not two finite numbers in rising order.
    """
    low, high = window
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"window {low:g} {high:g}: expected two finite numbers of HU, the lower one first")
    scaled = (np.asarray(images, np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)


def prepare(slices: Slices, window: tuple[float, float] = DEFAULT_WINDOW, size: int = DEFAULT_SIZE) -> Slices:
    """Slices ready for the networks: everything outside the lungs at the minimum (0), 8 bit, `size` x `size`.

    Hounsfield units pass through `window`; images that are 8 bit already keep their values. Without lung
    masks, 8-bit slices are taken as lung masked, like the released ones. Images are resized bicubic
    antialiased, labels and lungs nearest.

    Arguments:
        slices: in HU or 8 bit, any size.
        window: (low, high) in HU; has no effect on 8-bit images.
        size: height and width of the result, pixels.

    Raises:
        InputError: slices in HU without lung masks, or a bad window or size.
    """
    if size < 1:
        raise InputError(f"size {size}: expected a positive number of pixels")
    images = slices.images
    if slices.units == "HU":
        if slices.lungs is None:
            raise InputError("these slices have no lung masks: the first study is made on the lungs alone")
        images = np.stack([window_to_8bit(image, window) for image in images])
    if slices.lungs is not None:
        images = np.where(slices.lungs, images, np.uint8(0))
    shape = (size, size)
    if images.shape[1:] == shape:
        return replace(slices, images=images, units="8-bit")
    return replace(
        slices,
        images=resize_images(images, shape),
        labels=None if slices.labels is None else resize_labels(slices.labels, shape),
        lungs=None if slices.lungs is None else resize_labels(slices.lungs, shape),
        units="8-bit",
    )
