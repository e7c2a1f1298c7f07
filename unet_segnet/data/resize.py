"""Resizing as MATLAB's imresize does it: bicubic with antialiasing for images, nearest for labels.

Each axis is resized by one small matrix of weights (output length x input length). Source: MATLAB R2020a:
imresize; the nearest rule takes pixels [1::2, 1::2] at one half, which the released masks confirm.
"""

import numpy as np


def resize_images(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize images: cubic convolution (a = -0.5), antialiased when shrinking, symmetric edges.

    Arguments:
        images: (..., height, width), uint8 or floating point.
        shape: new (height, width).

    Returns:
        (..., *shape) of the same type. 8-bit values are rounded and clipped after each axis, as MATLAB does.
    """
    height, width = images.shape[-2:]
    rows = cubic_weights(height, shape[0])
    columns = cubic_weights(width, shape[1])
    passes = [lambda image: rows @ image, lambda image: image @ columns.T]
    if shape[0] * width > shape[1] * height:  # MATLAB begins with the axis that shrinks more
        passes.reverse()
    result = np.empty((*images.shape[:-2], *shape), images.dtype)
    for index in np.ndindex(images.shape[:-2]):  # one image at a time: the float64 copy stays small
        image = images[index].astype(np.float64)
        for resize_axis in passes:
            image = resize_axis(image)
            if images.dtype == np.uint8:
                image = np.clip(np.floor(image + 0.5), 0, 255)
        result[index] = image
    return result


def resize_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize labels or masks by taking the nearest pixel.

    Arguments:
        labels: (..., height, width) of any type.
        shape: new (height, width).

    Returns:
        (..., *shape) of the same type.
    """
    rows = _nearest(labels.shape[-2], shape[0])
    columns = _nearest(labels.shape[-1], shape[1])
    return labels[..., rows[:, None], columns]


def cubic_weights(length: int, new_length: int) -> np.ndarray:
    """(new_length, length) float64 weights of one axis; every row sums to 1."""
    scale = new_length / length
    shrink = min(scale, 1.0)  # the kernel grows with the step between output pixels
    centre = (np.arange(1, new_length + 1) / scale + 0.5 * (1 - 1 / scale))[:, None]
    left = np.floor(centre - 2 / shrink)
    index = left + np.arange(np.ceil(4 / shrink) + 2)
    weight = shrink * _cubic(shrink * (centre - index))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    source = mirrored[(index.astype(int) - 1) % (2 * length)]
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], source), weight)
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _nearest(length: int, new_length: int) -> np.ndarray:
    """Zero-based index of the input pixel that each output pixel takes."""
    # Integers throughout: 2 * (one-based position + 1/2) = ((2 i - 1) length) / new_length + 2
    position = ((2 * np.arange(1, new_length + 1) - 1) * length + 2 * new_length) // (2 * new_length)
    return np.minimum(position, length) - 1
