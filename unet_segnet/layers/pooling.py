"""Max pooling that hands on its indices, and unpooling that uses them.

The plain versions use `keras.ops` alone and run on each backend. Under TensorFlow, where slices with a stride and their
gradients are slow, compiled forms of the same functions are used; tests hold both to the same NumPy reference.
"""

import math

import keras
from keras import ops

from unet_segnet.layers.backend import PACKAGE, on_tensorflow
from unet_segnet.layers.winograd import compiled


def _window_parts(x, pool_size):
    """The `rows * columns` strided parts of x, first row of the window first; each (batch, h, w, channels)."""
    rows, columns = pool_size
    height, width = x.shape[1] // rows * rows, x.shape[2] // columns * columns
    return [x[:, r:height:rows, c:width:columns, :] for r in range(rows) for c in range(columns)]


def _interleave(parts, pool_size, pad):
    """The inverse of `_window_parts`: put the parts back in their places, zeros in `pad` rows and columns behind."""
    rows, columns = pool_size
    height, width, channels = parts[0].shape[1:]
    lines = [ops.stack(parts[r * columns : (r + 1) * columns], axis=3) for r in range(rows)]
    x = ops.reshape(ops.stack(lines, axis=2), (-1, height * rows, width * columns, channels))
    return ops.pad(x, ((0, 0), (0, pad[0]), (0, pad[1]), (0, 0))) if any(pad) else x


def pool(x, pool_size):
    """Maxima and their places: two (batch, h, w, channels) arrays, the second uint8. The first maximum wins a tie."""
    parts = _window_parts(x, pool_size)
    values, indices = parts[0], ops.zeros_like(parts[0], dtype="uint8")
    for place, part in enumerate(parts[1:], 1):
        larger = part > values
        values = ops.where(larger, part, values)
        indices = ops.where(larger, ops.cast(place, "uint8"), indices)
    return values, indices


def unpool(values, indices, pool_size, pad):
    """Each value at its place in the window, zeros elsewhere."""
    zero = ops.zeros_like(values)
    places = range(pool_size[0] * pool_size[1])
    return _interleave([ops.where(ops.equal(indices, p), values, zero) for p in places], pool_size, pad)


def take(x, indices, pool_size):
    """The element of each window that `indices` points at; the gradient of `unpool`."""
    zero = ops.zeros_like(x[:, :1, :1, :1])
    chosen = [
        ops.where(ops.equal(indices, place), part, zero) for place, part in enumerate(_window_parts(x, pool_size))
    ]
    return sum(chosen[1:], chosen[0])


def _tensorflow_pool(x, pool_size):
    """`pool` compiled, with one unpooling as its gradient instead of four padded slices."""
    import tensorflow as tf

    pad = (x.shape[1] % pool_size[0], x.shape[2] % pool_size[1])

    @tf.custom_gradient
    def pool_with_gradient(x):
        values, indices = compiled(_pool_moved)(_as_moved(x), pool_size)
        values = tf.bitcast(values, x.dtype)
        return (values, indices), lambda upstream, _: _moved(unpool, upstream, indices, pool_size, pad)

    return pool_with_gradient(x)


def _as_moved(x):
    """x as what is cheapest to move about: compiled code rounds each bfloat16 anew, whole numbers it does not."""
    import tensorflow as tf

    return tf.bitcast(x, tf.int16) if x.dtype == tf.bfloat16 else x


def _moved(function, x, *arguments):
    """The compiled function of x, of which it only moves the elements."""
    import tensorflow as tf

    return tf.bitcast(compiled(function)(_as_moved(x), *arguments), x.dtype)


def _pool_moved(x, pool_size):
    """`pool`, also of bfloat16 as `_as_moved` gives them."""
    if x.dtype != "int16":
        return pool(x, pool_size)
    values, indices = pool(_in_order(x), pool_size)
    return _in_order(values), indices


def _in_order(x):
    """The bits of floating-point numbers to whole numbers in their order, both zeros to 0; and back."""
    return ops.where(x < 0, -32768 - x, x)


def _tensorflow_unpool(values, indices, pool_size, pad):
    """`unpool` compiled, with `take` as its gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def unpool_with_gradient(values):
        y = _moved(unpool, values, indices, pool_size, pad)
        return y, lambda upstream: _moved(take, upstream, indices, pool_size)

    return unpool_with_gradient(values)


def _window(pool_size) -> tuple[int, int]:
    window = (pool_size, pool_size) if isinstance(pool_size, int) else tuple(pool_size)
    if len(window) != 2 or min(window) < 1 or window[0] * window[1] > 256:  # places are bytes
        raise ValueError(f"pool_size must be one or two numbers, of at most 256 elements. Received: {pool_size!r}")
    return window


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaxPooling2D(keras.layers.Layer):
    """Max pooling without overlap that also hands on where each maximum stood.

    MATLAB R2020a: `maxPooling2dLayer(poolSize, 'Stride', poolSize, 'HasUnpoolingOutputs', true)`; SegNet's pooling.

    Arguments:
        pool_size: (rows, columns) of the window, which is also the stride, or one number for both; at most 256
            elements.

    Call arguments:
        x: (batch, height, width, channels) with known height and width. Rows and columns that do not fill a
            window are left out, as in MATLAB.

    Returns:
        values: (batch, height // rows, width // columns, channels), dtype of x.
        indices: the same shape, uint8: place of the maximum in its window, counted along rows from 0. The first
            maximum wins a tie.

    Raises:
        ValueError: height or width is unknown or smaller than the window, or that has more elements.
    """

    def __init__(self, pool_size=(2, 2), **kwargs):
        super().__init__(**kwargs)
        self.pool_size = _window(pool_size)

    def build(self, input_shape):
        sizes = input_shape[1:3]
        if None in sizes or any(size < window for size, window in zip(sizes, self.pool_size, strict=True)):
            raise ValueError(
                f"{self.name} needs a known height and width of at least {self.pool_size}. "
                f"Received: input_shape={input_shape}"
            )
        self.built = True

    def call(self, x):
        return _tensorflow_pool(x, self.pool_size) if on_tensorflow() else pool(x, self.pool_size)

    def compute_output_spec(self, x):
        height, width = x.shape[1] // self.pool_size[0], x.shape[2] // self.pool_size[1]
        shape = (x.shape[0], height, width, x.shape[3])
        return keras.KerasTensor(shape, dtype=x.dtype), keras.KerasTensor(shape, dtype="uint8")

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaxUnpooling2D(keras.layers.Layer):
    """Put pooled values back where their maxima stood, zeros elsewhere; no scatter.

    MATLAB R2020a: `maxUnpooling2dLayer`; SegNet's upsampling.

    Arguments:
        pool_size: (rows, columns) of the window of the `MaxPooling2D` that made the indices, or one number for both.
        pad: (rows, columns) of zeros to add below and to the right: the rest of height and width that the
            pooling left out, so that odd sizes come back.

    Call arguments:
        inputs: `[values, indices]`, both (batch, height, width, channels).

    Returns:
        (batch, height * rows + pad[0], width * columns + pad[1], channels), dtype of values.
    """

    def __init__(self, pool_size=(2, 2), pad=(0, 0), **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.pool_size, self.pad = _window(pool_size), tuple(pad)

    def build(self, input_shape):
        if input_shape[0] != input_shape[1]:
            raise ValueError(f"{self.name} needs values and indices of one shape. Received: input_shape={input_shape}")
        self.built = True

    def call(self, inputs):
        values, indices = inputs
        chosen = _tensorflow_unpool if on_tensorflow() else unpool
        return chosen(values, indices, self.pool_size, self.pad)

    def compute_output_spec(self, inputs):
        batch, height, width, channels = inputs[0].shape
        shape = (
            batch,
            height * self.pool_size[0] + self.pad[0],
            width * self.pool_size[1] + self.pad[1],
            channels,
        )
        return keras.KerasTensor(shape, dtype=inputs[0].dtype)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "pad": self.pad}


@keras.saving.register_keras_serializable(package=PACKAGE)
class PaddedMaxPooling2D(keras.layers.MaxPooling2D):
    """Max pooling over an input with (pool_size - 1) // 2 pixels of minus infinity on each side (Keras' "same" pads
    fewer, and below and to the right first)."""

    def call(self, inputs):
        rows, columns = ((size - 1) // 2 for size in self.pool_size)
        padded = ops.pad(inputs, ((0, 0), (rows, rows), (columns, columns), (0, 0)), constant_values=-math.inf)
        return ops.max_pool(padded, self.pool_size, self.strides, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        sizes = zip(input_shape[1:3], self.pool_size, self.strides, strict=True)
        out = tuple((size + (pool - 1) // 2 * 2 - pool) // stride + 1 for size, pool, stride in sizes)
        return (input_shape[0], *out, input_shape[3])

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=inputs.dtype)
