"""Gradients of 3 x 3 convolutions with half of the products; the fast path of `layers.Conv2D` under TensorFlow.

Along a row of pixels, four sums of three products each (the gradient of the input) or three sums of four products each
(the gradient of the kernel) need twelve multiplications. With Winograd's minimal filtering six suffice: both rows of
numbers are taken as polynomials and multiplied by their values at six points (S. Winograd, Arithmetic Complexity of
Computations, 1980; for convolutional networks: A. Lavin, S. Gray, arXiv:1509.09308). Here this is done along rows only;
the three rows of a kernel are summed as ever. The results differ from the direct sums by a few roundings (tested).

A tile is four pixels of a row. Everything is held as planes: one for each of the six points, with a row of pixels for
each row of tiles, so that a shift by a row is a view.
"""

import functools

import numpy as np

TILE = 4
MIN_CHANNELS = 8  # with fewer there is little to multiply, and the planes are not worth it
POINTS = (0, 1, -1, 2, -2)  # and infinity: the highest coefficient


def minimal_filtering(outputs: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices (a, g, b) with `a @ ((g @ taps) * (b @ data))` = the sums `data[j : j + taps] @ taps` for each output j.

    Arguments:
        outputs, taps: how many sums, and products in each; together 6, for as many points and inputs.

    Returns:
        a: (outputs, 6); g: (6, taps); b: (6, 6); float64. `b` depends on the points alone and holds whole numbers.
    """

    def values(coefficients):
        return np.vstack([np.power.outer(np.array(POINTS, float), range(coefficients)), np.eye(coefficients)[-1]])

    g, b = values(taps), np.linalg.inv(values(len(POINTS) + 1)).T
    scale = np.array([row[np.nonzero(row)[0][-1]] for row in b])
    return values(outputs).T, g * scale[:, None], np.round(b / scale[:, None])


def pays(height, width, channels: int, filters: int) -> bool:
    """Whether `gradients` was measured to be faster than TensorFlow's own, on images of that many pixels.

    With few channels or small images the planes cost more than the products they save, and compiling them takes most of
    a second a shape.
    """
    if None in (height, width) or height * width < 32 * 32:
        return False
    few, many = sorted((channels, filters))
    if few < MIN_CHANNELS:
        return many >= 64 and height * width >= 64 * 64
    return few >= 64 and few * few * height * width >= (64 * 128) ** 2


def gradients(x, kernel, upstream):
    """Gradients of input and kernel of a convolution with a stride of 1 and zeros around the input.

    Arguments:
        x: (batch, height, width, channels), of known size.
        kernel: (3, 3, channels, filters).
        upstream: (batch, height, width, filters); gradient of the result.

    Returns:
        (gradient of x, gradient of the kernel), shaped as they are.
    """
    import tensorflow as tf

    if min(kernel.shape[2:]) < MIN_CHANNELS:
        return tf.nn.conv2d(upstream, _turned(kernel), 1, "SAME"), kernel_gradient_of_few(x, upstream)
    planes = _data_planes(upstream)
    return _gradient_of_input(planes, kernel, x.shape[2]), _gradient_of_kernel(planes, x)


def kernel_gradient_of_few(x, upstream):
    """The kernel's gradient where channels or filters are few: one product with shifted copies of the smaller image."""
    import tensorflow as tf

    channels, filters = x.shape[3], upstream.shape[3]
    if filters < channels:
        product = tf.matmul(tf.reshape(x, (-1, channels)), _shifted(upstream), transpose_a=True)
        return tf.transpose(tf.reshape(product, (channels, 3, 3, filters))[:, ::-1, ::-1], (1, 2, 0, 3))
    product = tf.matmul(_shifted(x), tf.reshape(upstream, (-1, filters)), transpose_a=True)
    return tf.reshape(product, (3, 3, channels, filters))


def _shifted(x):
    """(pixels, 9 * channels): each pixel with its eight neighbours, zeros outside of the image."""
    import tensorflow as tf

    height, width, channels = x.shape[1:]
    padded = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    neighbours = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return tf.reshape(tf.concat(neighbours, axis=3), (-1, 9 * channels))


def _gradient_of_input(planes, kernel, width):
    """From `_data_planes` of the upstream gradient: its convolution with the kernel, turned by half a turn."""
    import tensorflow as tf

    a, g, _ = minimal_filtering(TILE, 3)
    kernels = compiled(_turned_kernel_planes)(kernel, g.tolist())
    products = [tf.nn.conv2d(*pair, 1, "VALID") for pair in zip(planes[0], kernels, strict=True)]
    return compiled(_from_tiles)(products, a.tolist())[:, :, :width]


def _gradient_of_kernel(planes, x):
    """From `_data_planes` of the upstream gradient, and x."""
    import tensorflow as tf

    a, g, _ = minimal_filtering(3, TILE)
    channels, (height, tiles, filters) = x.shape[3], planes[0][0].shape[1:]
    # Products of long thin matrices are faster in parts, each of a few rows; the sums of their results are few numbers.
    parts = max(n for n in range(1, height + 1) if height % n == 0 and (n == 1 or height // n * tiles >= 256))
    taps = compiled(_tap_planes)(x, g.tolist())
    products = []
    for row in (2, 1, 0):  # the errors that the kernel's first row takes to a pixel lie below it
        for pixels, errors in zip(taps, planes[1], strict=True):
            part = tf.reshape(errors[row : row + tf.shape(pixels)[0]], (parts, -1, filters))
            product = tf.matmul(tf.reshape(pixels, (parts, -1, channels)), part, transpose_a=True)
            products.append(tf.reduce_sum(product, axis=0))
    products = tf.reshape(tf.stack(products), (3, len(POINTS) + 1, channels * filters))
    sums = tf.matmul(np.broadcast_to(a[::-1], (3, *a.shape)).astype(x.dtype.as_numpy_dtype), products)
    return tf.reshape(sums, (3, 3, channels, filters))


def _data_planes(x):
    """Planes of all six inputs of a tile, with a row of zeros above and below each image.

    Returns two views of the same numbers: (batch, height + 2, tiles, channels) and
    (batch * (height + 2) + 2, tiles, channels), where shifts by a row do not leave the array.
    """
    import tensorflow as tf

    lines = compiled(_planes_with_borders)(x, minimal_filtering(TILE, 3)[2].tolist())
    height, (tiles, channels) = x.shape[1] + 2, lines[0].shape[1:]
    return [tf.reshape(plane[:-2], (-1, height, tiles, channels)) for plane in lines], lines


def _planes_with_borders(x, matrix):
    import tensorflow as tf

    pixels = _in_tiles(x)
    before = tf.pad(pixels[-1], ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
    after = tf.pad(pixels[0], ((0, 0), (0, 0), (0, 1), (0, 0)))[:, :, 1:]
    lines = _lines(_combined(matrix, [before, *pixels, after]), above=1, below=1)
    return [tf.pad(plane, ((0, 2), (0, 0), (0, 0))) for plane in lines]


def _tap_planes(x, matrix):
    """Planes of the four pixels of a tile alone, two rows of zeros below each image; (rows, tiles, channels)."""
    return _lines(_combined(matrix, _in_tiles(x)), above=0, below=2)


def _in_tiles(x):
    """The first to fourth pixels of all tiles, each (batch, height, tiles, channels)."""
    import tensorflow as tf

    _, height, width, channels = x.shape
    if width % TILE:
        x = tf.pad(x, ((0, 0), (0, 0), (0, -width % TILE), (0, 0)))
    x = tf.reshape(x, (-1, height, -(-width // TILE), TILE, channels))
    return [x[:, :, :, place] for place in range(TILE)]


def _lines(planes, above, below):
    """All rows of all images, one after the other, with rows of zeros above and below each image.

    The zeros are put there last: so the inner loops of the compiled code stay free of conditions.
    """
    import tensorflow as tf

    padded = [tf.pad(plane, ((0, 0), (above, below), (0, 0), (0, 0))) for plane in planes]
    return [tf.reshape(plane, (-1, *plane.shape[2:])) for plane in padded]


def _turned(kernel):
    """The kernel turned by half a turn, from filters to channels: it takes errors back to the input."""
    import tensorflow as tf

    return tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))


def _turned_kernel_planes(kernel, matrix):
    """For each point a turned kernel of three rows and one column."""
    turned = _turned(kernel)
    return [plane[:, None] for plane in _combined(matrix, [turned[:, column] for column in range(3)])]


def _from_tiles(planes, matrix):
    """The images (batch, height, tiles * TILE, channels) of planes of products."""
    import tensorflow as tf

    _, height, tiles, channels = planes[0].shape
    return tf.reshape(tf.stack(_combined(matrix, planes), axis=3), (-1, height, tiles * TILE, channels))


def _combined(matrix, planes):
    """Sums of planes, one for each row of factors in the matrix."""
    return [sum(factor * plane for factor, plane in zip(row, planes, strict=True) if factor) for row in matrix]


@functools.cache
def compiled(function):
    """The function compiled by TensorFlow's XLA; one object for all layers, so that equal shapes compile once."""
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)  # there is nothing to translate
