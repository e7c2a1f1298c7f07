"""Convolutions whose gradients are computed with fewer products under TensorFlow on a processor.

`python -m experiments.bench` measures what they are worth.
"""

from functools import partial

import keras
from keras import ops

from unet_segnet.devices import accelerators
from unet_segnet.layers import grouped, winograd
from unet_segnet.layers.backend import PACKAGE, on_tensorflow


def _tensorflow_convolution(x, kernel, gradients, strides=(1, 1), padding="SAME", is_depthwise=False):
    """TensorFlow's convolution, its gradients computed by a function of ours.

    Arguments:
        x, kernel: of one type.
        gradients: of x, kernel and the upstream gradient, such as `winograd.gradients`.
        strides, padding: as TensorFlow has them.
        is_depthwise: whether each channel is convolved by itself.

    The convolution itself stays TensorFlow's own: minimal filtering rounds differently at the places of a tile, and in
    flat parts of an image, such as the air around a patient, a pooling would then find maxima where there are ties.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(x, kernel):
        y = (tf.nn.depthwise_conv2d if is_depthwise else tf.nn.conv2d)(x, kernel, (1, *strides, 1), padding)

        def gradient(upstream):
            # Where the upstream gradient does not depend on y, a variable could be updated before y has read it.
            with tf.control_dependencies([y]):
                return gradients(x, kernel, upstream)

        return y, gradient

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


def _pixelwise_gradients(x, kernel, upstream):
    """Those of a 1 x 1 convolution, of which TensorFlow's own of the kernel takes up to twice as long."""
    import tensorflow as tf

    channels, filters = kernel.shape[2:]
    errors = tf.reshape(upstream, (-1, filters))
    of_x = tf.matmul(errors, tf.reshape(kernel, (channels, filters)), transpose_b=True)
    pixels = tf.reshape(x, (-1, channels))
    if filters < winograd.MIN_CHANNELS:  # such as a head's: a third of the time
        of_kernel = tf.transpose(tf.matmul(errors, pixels, transpose_a=True))
    else:
        of_kernel = tf.matmul(pixels, errors, transpose_a=True)
    return tf.reshape(of_x, tf.shape(x)), tf.reshape(of_kernel, kernel.shape)


def _depthwise_gradients(x, kernel, upstream, strides, padding):
    """Those of a convolution by channels, of which oneDNN's own of the kernel takes twice as long for 5 x 5.

    Where the zeros around x are given in numbers, TensorFlow leaves oneDNN out and computes the kernel's itself.
    """
    import tensorflow as tf

    sizes = zip(x.shape[1:3], upstream.shape[1:3], kernel.shape[:2], strides, strict=True)
    zeros = [max((after - 1) * stride + taps - before, 0) for before, after, taps, stride in sizes]
    around = [(0, 0), *((both // 2, both - both // 2) for both in zeros), (0, 0)]
    steps = (1, *strides, 1)
    of_x = tf.nn.depthwise_conv2d_backprop_input(tf.shape(x), kernel, upstream, steps, padding)
    return of_x, tf.nn.depthwise_conv2d_backprop_filter(x, kernel.shape, upstream, steps, around)


def _with_bias_and_activation(layer, outputs):
    return layer.activation(ops.add(outputs, layer.bias) if layer.use_bias else outputs)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, with faster gradients where TensorFlow computes on a processor.

    Same arguments, weights and results as `keras.layers.Conv2D`, and the same gradients up to rounding (tested).
    In training, with stride 1, padding "same" and float32: of 3 x 3 kernels by `winograd` where that `pays`, of 1 x 1
    kernels by products of matrices.
    """

    def call(self, inputs, training=None):
        plain = (1, 1), (1, 1), "same", 1, "channels_last", "float32"
        mine = self.strides, self.dilation_rate, self.padding, self.groups, self.data_format
        if not (training and on_tensorflow() and (*mine, inputs.dtype) == plain and not accelerators()):
            return super().call(inputs)
        if self.kernel_size == (1, 1):
            gradients = _pixelwise_gradients
        elif self.kernel_size == (3, 3) and winograd.pays(*inputs.shape[1:], self.filters):
            gradients = winograd.gradients
        else:
            return super().call(inputs)
        return _with_bias_and_activation(self, _tensorflow_convolution(inputs, self.kernel, gradients))


@keras.saving.register_keras_serializable(package=PACKAGE)
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' transposed convolution, with a faster gradient for 2 x 2 kernels with stride 2; otherwise as `Conv2D`."""

    def call(self, inputs):
        plain = (2, 2), (2, 2), (1, 1), "valid", None, "channels_last", "float32"
        mine = self.kernel_size, self.strides, self.dilation_rate, self.padding, self.output_padding, self.data_format
        known = None not in inputs.shape[1:3]
        if not (on_tensorflow() and known and (*mine, inputs.dtype) == plain and not accelerators()):
            return super().call(inputs)
        return _with_bias_and_activation(self, _tensorflow_up_convolution(inputs, self.kernel))


@keras.saving.register_keras_serializable(package=PACKAGE)
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' convolution of each channel by itself; in training with 5 x 5 kernels faster, otherwise as `Conv2D`."""

    def call(self, inputs, training=None):
        plain = (5, 5), (1, 1), "channels_last", "float32"
        mine = self.kernel_size, self.dilation_rate, self.data_format, inputs.dtype
        known = None not in inputs.shape[1:3]
        if not (training and on_tensorflow() and known and mine == plain and not accelerators()):
            return super().call(inputs)
        how = {"strides": self.strides, "padding": self.padding.upper()}
        gradients = partial(_depthwise_gradients, **how)
        outputs = _tensorflow_convolution(inputs, self.kernel, gradients, **how, is_depthwise=True)
        return _with_bias_and_activation(self, outputs)


@keras.saving.register_keras_serializable(package=PACKAGE)
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with groups, which can be trained where TensorFlow computes; the same way on a GPU.

    On a processor TensorFlow has no gradient of a grouped convolution, and Keras' detour through XLA is hundreds of
    times slower (a step through 256 channels in 32 groups on 32x32).
    """

    def call(self, inputs):
        plain = None not in inputs.shape[1:3] and self.dilation_rate == (1, 1) and self.data_format == "channels_last"
        if not (plain and on_tensorflow()):
            return super().call(inputs)
        how = {"strides": self.strides, "padding": self.padding.upper()}
        outputs = _tensorflow_convolution(inputs, self.kernel, partial(grouped.gradients, **how), **how)
        return _with_bias_and_activation(self, outputs)
