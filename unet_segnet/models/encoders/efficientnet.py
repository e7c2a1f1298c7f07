"""EfficientNet without its head (Tan, Le 2019; efficientnet-b0 to b6 of efficientnet_pytorch 0.6).

Where it halves the resolution it pads one pixel more below and to the right, as TensorFlow does with even sizes.
(From version 0.7 on, efficientnet_pytorch pads one layer of b1, b2, b3, b5 and b6 evenly; the study used 0.6.)
"""

import math
from functools import partial

import keras

from unet_segnet.layers import swish
from unet_segnet.models.encoders.blocks import batch_norm, convolution, depthwise_convolution

# Of b0: blocks, kernel size, stride of the first block, factor of expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
DROP_RATE = 0.2  # of the last block; that of the others falls in proportion to their number


def efficientnet(inputs, depth=5, width=1.0, length=1.0, ends=()):
    """Build an EfficientNet: inverted bottlenecks with squeeze-and-excitation and stochastic depth.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.
        width: factor of the filters of b0, then rounded to a multiple of 8.
        length: factor of the blocks of b0, then rounded up.
        ends: after how many blocks P2 to P5 end. That is before every halving, but for b0's P4, which ends two blocks
            before its stage does.

    Returns:
        Dict "P1" (half resolution) ... "P<depth>".
    """
    x = _convolution(inputs, _rounded(32 * width), 3, "encoder-_conv_stem", strides=2)
    x = _swish(_batch_norm(x, "encoder-_bn0"), "encoder-_bn0-swish")
    pyramid = {"P1": x}
    blocks = [
        (_rounded(filters * width), kernel_size, 1 if block else strides, expansion)
        for count, kernel_size, strides, expansion, filters in STAGES
        for block in range(math.ceil(count * length))
    ]
    for number, block in enumerate(blocks):
        if len(pyramid) == depth:
            break
        x = _block(x, *block, DROP_RATE * number / len(blocks), f"encoder-_blocks-{number}")
        if number + 1 in ends:
            pyramid[f"P{len(pyramid) + 1}"] = x
    return pyramid


def _block(x, filters, kernel_size, strides, expansion, drop_rate, name):
    inputs, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, channels * expansion, 1, f"{name}-_expand_conv")
        x = _swish(_batch_norm(x, f"{name}-_bn0"), f"{name}-_bn0-swish")
    x = depthwise_convolution(
        x, kernel_size, f"{name}-_depthwise_conv", strides, padding=_padding(kernel_size, strides), initial="pytorch"
    )
    x = _swish(_batch_norm(x, f"{name}-_bn1"), f"{name}-_bn1-swish")

    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}-squeeze")(x)
    weights = _convolution(weights, channels // 4, 1, f"{name}-_se_reduce", use_bias=True)
    weights = _swish(weights, f"{name}-_se_reduce-swish")
    weights = _convolution(weights, x.shape[-1], 1, f"{name}-_se_expand", use_bias=True)
    weights = keras.layers.Activation("sigmoid", name=f"{name}-_se_expand-sigmoid")(weights)
    x = keras.layers.Multiply(name=f"{name}-excite")([x, weights])

    x = _batch_norm(_convolution(x, filters, 1, f"{name}-_project_conv"), f"{name}-_bn2")
    if strides > 1 or filters != channels:
        return x
    # Stochastic depth: in training the whole block is left out of an image now and then.
    x = keras.layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}-drop_connect")(x)
    return keras.layers.Add(name=f"{name}-add")([x, inputs])


def _rounded(filters):
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _padding(kernel_size, strides):
    return None if strides == 1 else (((kernel_size - 2) // 2, (kernel_size - 1) // 2),) * 2


def _convolution(x, filters, kernel_size, name, strides=1, use_bias=False):
    return convolution(
        x, filters, kernel_size, name, strides, 1, use_bias, _padding(kernel_size, strides), initial="pytorch"
    )


def _batch_norm(x, name):
    return batch_norm(x, name, epsilon=1e-3, momentum=0.99)


def _swish(x, name):
    return keras.layers.Activation(swish, name=name)(x)


ENCODERS = {
    "efficientnet-b0": partial(efficientnet, width=1.0, length=1.0, ends=(3, 5, 9, 16)),
    "efficientnet-b1": partial(efficientnet, width=1.0, length=1.1, ends=(5, 8, 16, 23)),
    "efficientnet-b2": partial(efficientnet, width=1.1, length=1.2, ends=(5, 8, 16, 23)),
    "efficientnet-b3": partial(efficientnet, width=1.2, length=1.4, ends=(5, 8, 18, 26)),
    "efficientnet-b4": partial(efficientnet, width=1.4, length=1.8, ends=(6, 10, 22, 32)),
    "efficientnet-b5": partial(efficientnet, width=1.6, length=2.2, ends=(8, 13, 27, 39)),
    "efficientnet-b6": partial(efficientnet, width=1.8, length=2.6, ends=(9, 15, 31, 45)),
}
