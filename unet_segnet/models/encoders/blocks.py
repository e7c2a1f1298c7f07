"""What the encoders and decoders of the second study are made of: layers that count, pad and start as PyTorch's do.

The studied networks are those of segmentation_models_pytorch. Every layer with weights bears the name of its module
there with "-" for "." ("encoder-layer1-0-conv1"; Keras' PyTorch backend allows no dots), so that published weights are
matched by name and shape. Kernels here are (height, width, channels in / groups, channels out), there (out, in /
groups, height, width); a transposed convolution's are (height, width, out, in) here and (in, out, height, width) there,
a depthwise one's (height, width, channels, 1) here and (channels, 1, height, width) there. In batch normalisation
gamma, beta, moving_mean and moving_variance are weight, bias, running_mean and running_var.
"""

import math

import keras
import numpy as np

from unet_segnet.layers import BatchNormalization, Conv2D, DepthwiseConv2D
from unet_segnet.layers.convolution import GroupedConv2D
from unet_segnet.layers.pooling import PaddedMaxPooling2D


def initializers(initial, fan_in, fan_out):
    """Initialisers of a kernel and its bias.

    Arguments:
        initial: "he_fan_out" or "he_fan_in", normal with variance 2 / fan (torchvision's networks); "he_uniform",
            uniform with variance 2 / fan_in (decoders); "glorot_uniform", uniform with variance
            2 / (fan_in + fan_out) (the head); "pytorch", uniform in +-1 / sqrt(fan_in), bias too: what PyTorch does
            where a network says nothing. All other biases start at zero.
        fan_in: kernel height * width * channels in, of one group.
        fan_out: kernel height * width * channels out, of all groups.

    Returns:
        Two Keras initialisers.
    """
    if initial in ("he_fan_out", "he_fan_in"):
        fan = fan_out if initial == "he_fan_out" else fan_in
        return keras.initializers.RandomNormal(stddev=math.sqrt(2 / fan)), keras.initializers.Zeros()
    limits = {
        "he_uniform": math.sqrt(6 / fan_in),
        "glorot_uniform": math.sqrt(6 / (fan_in + fan_out)),
        "pytorch": 1 / math.sqrt(fan_in),
    }
    kernel = keras.initializers.RandomUniform(-limits[initial], limits[initial])
    bias = keras.initializers.RandomUniform(-limits[initial], limits[initial])
    return kernel, bias if initial == "pytorch" else keras.initializers.Zeros()


def draw_weights(model, seed):
    """Draw kernels and biases anew from their own initialisers, the same numbers on every backend; seed dropout.

    Arguments:
        model: network made of this module's parts.
        seed: of NumPy's generator, which is used in the order of the layers.
    """
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        kernel = getattr(layer, "kernel_initializer", None) or getattr(layer, "depthwise_initializer", None)
        for name, start in (("kernel", kernel), ("bias", getattr(layer, "bias_initializer", None))):
            weight = getattr(layer, name, None)
            if weight is None:
                continue
            if isinstance(start, keras.initializers.RandomNormal):
                weight.assign(generator.standard_normal(weight.shape, dtype="float32") * np.float32(start.stddev))
            elif isinstance(start, keras.initializers.RandomUniform):
                numbers = generator.random(weight.shape, dtype="float32")
                weight.assign(np.float32(start.minval) + numbers * np.float32(start.maxval - start.minval))
    for number, layer in enumerate(model.layers):
        if getattr(layer, "seed_generator", None) is not None:
            state = np.random.SeedSequence([0 if seed is None else seed, number]).generate_state(2)
            layer.seed_generator.state.assign(state)


def _pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def _pad(x, kernel_size, strides, padding, name):
    """The input with PyTorch's zeros around it where Keras' "same" would put them elsewhere, and Keras' padding."""
    if padding is None:
        if strides == 1 and all(size % 2 for size in kernel_size):
            return x, "same"
        padding = tuple(((size - 1) // 2, (size - 1) // 2) for size in kernel_size)
    if any(any(sides) for sides in padding):
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}-pad")(x)
    return x, "valid"


def convolution(x, filters, kernel_size, name, strides=1, groups=1, use_bias=False, padding=None, initial="he_fan_out"):
    """Convolution.

    Arguments:
        x: (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: one number, or (rows, columns).
        name: of the layer; its module path in PyTorch, "-" for ".".
        strides: of both directions.
        groups: channels are convolved in that many groups.
        use_bias: whether a bias is added.
        padding: None for PyTorch's usual (kernel_size - 1) // 2 zeros on each side, or ((top, bottom), (left, right)).
        initial: one of `initializers`.

    Returns:
        (batch, height', width', filters).
    """
    kernel_size = _pair(kernel_size)
    area = kernel_size[0] * kernel_size[1]
    kernel, bias = initializers(initial, area * x.shape[-1] // groups, area * filters)
    x, padding = _pad(x, kernel_size, strides, padding, name)
    layer = GroupedConv2D if groups > 1 else Conv2D
    return layer(
        filters,
        kernel_size,
        strides,
        padding,
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=kernel,
        bias_initializer=bias,
        name=name,
    )(x)


def depthwise_convolution(x, kernel_size, name, strides=1, use_bias=False, padding=None, initial="he_fan_out"):
    """Convolution of each channel by itself; arguments as `convolution`."""
    kernel_size = _pair(kernel_size)
    area = kernel_size[0] * kernel_size[1]
    kernel, bias = initializers(initial, area, area * x.shape[-1])
    x, padding = _pad(x, kernel_size, strides, padding, name)
    return DepthwiseConv2D(
        kernel_size,
        strides,
        padding,
        use_bias=use_bias,
        depthwise_initializer=kernel,
        bias_initializer=bias,
        name=name,
    )(x)


def batch_norm(x, name, epsilon=1e-5, momentum=0.9):
    """Batch normalisation with PyTorch's moving averages; its momentum of 0.1 is 0.9 here."""
    return BatchNormalization(momentum=momentum, epsilon=epsilon, unbiased=True, name=name)(x)


def relu(x, name, max_value=None):
    """ReLU, cut at `max_value` if given."""
    return keras.layers.ReLU(max_value, name=name)(x)


def max_pool(x, pool_size, name, strides=2):
    """Max pooling with PyTorch's (pool_size - 1) // 2 pixels on each side, none for 2."""
    layer = PaddedMaxPooling2D if pool_size > 2 else keras.layers.MaxPooling2D
    return layer(pool_size, strides, name=name)(x)
