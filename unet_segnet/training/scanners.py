"""Random changes that make one scanner's slices look like another's: grey scale, sharpness, noise, field of view.

All take one slice and a `numpy.random.Generator`, and draw from it whether they act at all.
"""

import numpy as np
from scipy import ndimage

from unet_segnet.data.normalise import windowed

WINDOW_LOW = (-1500.0, -900.0)  # HU that may become black
WINDOW_HIGH = (0.0, 500.0)  # HU that may become white
GAMMA = 0.25  # largest logarithm of the exponent, to either side
CONTRAST, BRIGHTNESS = 0.25, 0.04  # largest change
NOISE = 0.05  # largest standard deviation
BLUR = (0.4, 1.4)  # standard deviation, pixels
SHARPEN = 1.5  # largest share of the difference from the blurred slice that is added
EQUALISED = 0.2  # how often
LEAST_FIELD = 0.7  # of a slice's half, that a cut field of view leaves


def random_window(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(height, width) Hounsfield units under a random window: float32, 0 to 1."""
    return windowed(image, (generator.uniform(*WINDOW_LOW), generator.uniform(*WINDOW_HIGH)))


def change_grey(image: np.ndarray, generator: np.random.Generator, largest: float = 1.0) -> np.ndarray:
    """Random local equalisation, gamma, contrast, brightness, blur or sharpening, and noise.

    Arguments:
        image: (height, width) float32, 0 to `largest`.
        generator: of the random numbers.
        largest: level.

    Returns:
        float32 of that shape, 0 to `largest`.
    """
    image = np.asarray(image, np.float32) / np.float32(largest)
    if generator.random() < EQUALISED:
        from skimage.exposure import equalize_adapthist

        image = equalize_adapthist(np.clip(image, 0, 1), clip_limit=generator.uniform(0.003, 0.02)).astype(np.float32)
    if generator.random() < 0.5:
        image = np.maximum(image, 0) ** np.float32(np.exp(generator.uniform(-GAMMA, GAMMA)))
    if generator.random() < 0.5:
        image = image * np.float32(1 + generator.uniform(-CONTRAST, CONTRAST))
        image = image + np.float32(generator.uniform(-BRIGHTNESS, BRIGHTNESS))
    kind = generator.random()
    if kind < 0.4:
        blurred = ndimage.gaussian_filter(image, generator.uniform(*BLUR))
        sharpen = np.float32(generator.uniform(0.3, SHARPEN))
        image = blurred if kind < 0.2 else image + sharpen * (image - blurred)
    if generator.random() < 0.4:
        noise = generator.standard_normal(image.shape, np.float32)
        image = image + np.float32(generator.uniform(0, NOISE)) * noise
    return np.clip(image, 0, 1) * np.float32(largest)


def cut_field(image: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Now and then a smaller field of view: a disc, or a strip cut off at one side.

    Arguments:
        image: (height, width); 0 is black.
        labels: likewise; 0 is the background.
        generator: of the random numbers.

    Returns:
        Both, 0 outside the field; new arrays where there is one.
    """
    kind = generator.random()
    if kind > 0.2:
        return image, labels
    rows, columns = (np.abs(np.linspace(-1, 1, length)) for length in image.shape)
    if kind < 0.08:
        inside = rows[:, None] ** 2 + columns[None] ** 2 < generator.uniform(LEAST_FIELD, 1.05) ** 2
    else:
        inside = np.ones(image.shape, bool)
        strip = round(image.shape[0] * generator.uniform(0, (1 - LEAST_FIELD) / 2))
        inside[(slice(strip), slice(len(rows) - strip, None))[int(generator.integers(2))]] = False
        inside = inside if generator.random() < 0.5 or image.shape[0] != image.shape[1] else inside.T
    return np.where(inside, image, 0).astype(image.dtype), np.where(inside, labels, 0).astype(labels.dtype)
