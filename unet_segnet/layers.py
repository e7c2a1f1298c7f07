"""Layers that Keras lacks: max pooling that hands on its indices, unpooling that uses them, fused normalisation.

The plain versions use `keras.ops` alone and run on each backend. Under TensorFlow, where slices with a stride,
their gradients, Keras' batch normalisation and on a processor the gradient of a convolution's kernel are slow, faster
forms of the same functions are used; tests hold both to the same NumPy reference. `python -m experiments.bench`
measures what they are worth.
"""

import keras
from keras import ops

from unet_segnet import winograd
from unet_segnet.devices import accelerators
from unet_segnet.winograd import compiled

PACKAGE = "unet_segnet"


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


def _pool(x, pool_size):
    """Maxima and their places: two (batch, h, w, channels) arrays, the second uint8. The first maximum wins a tie."""
    parts = _window_parts(x, pool_size)
    values, indices = parts[0], ops.zeros_like(parts[0], dtype="uint8")
    for place, part in enumerate(parts[1:], 1):
        larger = part > values
        values = ops.where(larger, part, values)
        indices = ops.where(larger, ops.cast(place, "uint8"), indices)
    return values, indices


def _unpool(values, indices, pool_size, pad):
    """Each value at its place in the window, zeros elsewhere."""
    zero = ops.zeros_like(values)
    places = range(pool_size[0] * pool_size[1])
    return _interleave([ops.where(ops.equal(indices, p), values, zero) for p in places], pool_size, pad)


def _take(x, indices, pool_size):
    """The element of each window that `indices` points at; the gradient of `_unpool`."""
    zero = ops.zeros_like(x[:, :1, :1, :1])
    chosen = [
        ops.where(ops.equal(indices, place), part, zero) for place, part in enumerate(_window_parts(x, pool_size))
    ]
    return sum(chosen[1:], chosen[0])


def _tensorflow_pool(x, pool_size):
    """`_pool` compiled, with one unpooling as its gradient instead of four padded slices."""
    import tensorflow as tf

    pad = (x.shape[1] % pool_size[0], x.shape[2] % pool_size[1])

    @tf.custom_gradient
    def pool(x):
        values, indices = compiled(_pool)(x, pool_size)
        return (values, indices), lambda upstream, _: compiled(_unpool)(upstream, indices, pool_size, pad)

    return pool(x)


def _tensorflow_unpool(values, indices, pool_size, pad):
    """`_unpool` compiled, with `_take` as its gradient."""
    import tensorflow as tf

    @tf.custom_gradient
    def unpool(values):
        y = compiled(_unpool)(values, indices, pool_size, pad)
        return y, lambda upstream: compiled(_take)(upstream, indices, pool_size)

    return unpool(values)


def _tensorflow_convolution(x, kernel):
    """A 3 x 3 convolution with a stride of 1 and zeros around the input, its gradients computed with fewer products.

    TensorFlow's own gradient of the kernel copies each pixel nine times, once for each element of the kernel, and is
    then bound by memory as well.

    The convolution itself stays TensorFlow's own: minimal filtering rounds differently at the places of a tile, and in
    flat parts of an image, such as the air around a patient, a pooling would then find maxima where there are ties.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel):
        y = tf.nn.conv2d(x, kernel, 1, "SAME")

        def gradients(upstream):
            # Where the upstream gradient does not depend on y, a variable could be updated before y has read it.
            with tf.control_dependencies([y]):
                return winograd.gradients(x, kernel, upstream)

        return y, gradients

    return convolve(x, tf.convert_to_tensor(kernel))  # the value: a variable would have to be told of


def _tensorflow_up_convolution(x, kernel):
    """A 2 x 2 transposed convolution with a stride of 2, with one matrix product for the gradient of its kernel."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel):
        batch, height, width, channels = tf.shape(x)[0], *x.shape[1:]
        filters = kernel.shape[2]
        y = tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, filters), 2, "VALID")

        def gradients(upstream):
            with tf.control_dependencies([y]):  # as in `_tensorflow_convolution`
                errors = tf.reshape(tf.nn.space_to_depth(upstream, 2), (-1, 4 * filters))
                products = tf.matmul(errors, tf.reshape(x, (-1, channels)), transpose_a=True)
                return tf.nn.conv2d(upstream, kernel, 2, "VALID"), tf.reshape(products, (2, 2, filters, channels))

        return y, gradients

    return convolve(x, tf.convert_to_tensor(kernel))


def _with_bias_and_activation(layer, outputs):
    return layer.activation(ops.add(outputs, layer.bias) if layer.use_bias else outputs)


def _on_tensorflow() -> bool:
    return keras.config.backend() == "tensorflow"


@keras.saving.register_keras_serializable(package=PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, with faster gradients where TensorFlow computes on a processor.

    Same arguments, weights and results as `keras.layers.Conv2D`, and the same gradients up to rounding (tested).
    `unet_segnet.winograd` is used where it was measured to be faster: in training, 3 x 3 with stride 1 and padding
    "same", float32, from 32 x 32 pixels on.
    """

    def call(self, inputs, training=None):
        plain = (3, 3), (1, 1), (1, 1), "same", 1, "channels_last", "float32"
        mine = self.kernel_size, self.strides, self.dilation_rate, self.padding, self.groups, self.data_format
        _, height, width, _ = inputs.shape
        wide = None not in (height, width) and height * width >= 1024
        if not (training and _on_tensorflow() and wide and (*mine, inputs.dtype) == plain and not accelerators()):
            return super().call(inputs)
        return _with_bias_and_activation(self, _tensorflow_convolution(inputs, self.kernel))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' transposed convolution, with a faster gradient for 2 x 2 kernels with stride 2; otherwise as `Conv2D`."""

    def call(self, inputs):
        plain = (2, 2), (2, 2), (1, 1), "valid", None, "channels_last", "float32"
        mine = self.kernel_size, self.strides, self.dilation_rate, self.padding, self.output_padding, self.data_format
        known = None not in inputs.shape[1:3]
        if not (_on_tensorflow() and known and (*mine, inputs.dtype) == plain and not accelerators()):
            return super().call(inputs)
        return _with_bias_and_activation(self, _tensorflow_up_convolution(inputs, self.kernel))


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaxPooling2D(keras.layers.Layer):
    """Max pooling without overlap that also hands on where each maximum stood.

    MATLAB R2020a: `maxPooling2dLayer(poolSize, 'Stride', poolSize, 'HasUnpoolingOutputs', true)`; SegNet's pooling.

    Arguments:
        pool_size: (rows, columns) of the window, which is also the stride; at most 255 elements.

    Call arguments:
        x: (batch, height, width, channels) with known height and width. Rows and columns that do not fill a
            window are left out, as in MATLAB.

    Returns:
        values: (batch, height // rows, width // columns, channels), dtype of x.
        indices: the same shape, uint8: place of the maximum in its window, counted along rows from 0. The first
            maximum wins a tie.

    Raises:
        ValueError: height or width is unknown or smaller than the window.
    """

    def __init__(self, pool_size=(2, 2), **kwargs):
        super().__init__(**kwargs)
        self.pool_size = tuple(pool_size)

    def build(self, input_shape):
        sizes = input_shape[1:3]
        if None in sizes or any(size < window for size, window in zip(sizes, self.pool_size, strict=True)):
            raise ValueError(
                f"{self.name} needs a known height and width of at least {self.pool_size}. "
                f"Received: input_shape={input_shape}"
            )
        self.built = True

    def call(self, x):
        return _tensorflow_pool(x, self.pool_size) if _on_tensorflow() else _pool(x, self.pool_size)

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
        pool_size: (rows, columns) of the window of the `MaxPooling2D` that made the indices.
        pad: (rows, columns) of zeros to add below and to the right: the rest of height and width that the
            pooling left out, so that odd sizes come back.

    Call arguments:
        inputs: `[values, indices]`, both (batch, height, width, channels).

    Returns:
        (batch, height * rows + pad[0], width * columns + pad[1], channels), dtype of values.
    """

    def __init__(self, pool_size=(2, 2), pad=(0, 0), **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.pool_size, self.pad = tuple(pool_size), tuple(pad)

    def build(self, input_shape):
        if input_shape[0] != input_shape[1]:
            raise ValueError(f"{self.name} needs values and indices of one shape. Received: input_shape={input_shape}")
        self.built = True

    def call(self, inputs):
        values, indices = inputs
        unpool = _tensorflow_unpool if _on_tensorflow() else _unpool
        return unpool(values, indices, self.pool_size, self.pad)

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
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation over the last axis, by TensorFlow's fused kernel where that is the backend.

    Same arguments, weights and results as `keras.layers.BatchNormalization` (tested equal), and one argument more.

    Arguments:
        unbiased: keep the moving average of the unbiased variance, as PyTorch does; batches are normalised by the
            biased one either way.
    """

    def __init__(self, *arguments, unbiased=False, **settings):
        super().__init__(*arguments, **settings)
        self.unbiased = unbiased

    def call(self, inputs, training=None, mask=None):
        if not _on_tensorflow() or mask is not None or len(inputs.shape) != 4 or inputs.dtype == "float64":
            if not (self.unbiased and training and self.trainable):
                return super().call(inputs, training=training, mask=mask)
            kept = self.moving_variance * self.momentum
            outputs = super().call(inputs, training=True, mask=mask)
            added = self.moving_variance - kept
            self.moving_variance.assign_add(added / ops.maximum(_pixels(inputs, mask) - 1.0, 1.0))
            return outputs
        import tensorflow as tf

        training = bool(training and self.trainable)
        alone = not training and inputs.shape[0] == 1
        if alone:
            # Of one slice, oneDNN fuses this with the convolution before it into a kernel that takes a hundred times as
            # long as the two; behind a reshape it does not.
            shape = ops.shape(inputs)
            inputs = ops.reshape(inputs, (shape[1], 1, *shape[2:]))
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=None if training else ops.convert_to_tensor(self.moving_mean),
            variance=None if training else ops.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            if not self.unbiased:  # as the kernel returns it
                pixels = _pixels(inputs)
                variance = variance * ((pixels - 1.0) / pixels)
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return ops.reshape(outputs, shape) if alone else outputs

    def get_config(self):
        return {**super().get_config(), "unbiased": self.unbiased}


def _pixels(inputs, mask=None):
    """How many values of each channel there are, as a float32 tensor."""
    if mask is not None:
        return ops.sum(ops.cast(mask, "float32"))
    return ops.cast(ops.prod(ops.shape(inputs)[:-1]), "float32")


@keras.saving.register_keras_serializable(package=PACKAGE)
class Softmax(keras.layers.Softmax):
    """Softmax whose gradient does not vanish where a wrong class is certain.

    The probabilities are those of `keras.layers.Softmax`, but at least 1e-35. In float32 they would be 0 where inputs
    lie more than 103 apart, and with them the gradient of their logarithm; here it is `target - p` everywhere, as for a
    cross-entropy of the inputs themselves.
    """

    def call(self, inputs, mask=None):
        distance = inputs - ops.stop_gradient(ops.max(inputs, axis=self.axis, keepdims=True))
        bounded = distance + ops.stop_gradient(ops.maximum(distance, -80.0) - distance)
        return super().call(bounded, mask=mask)
