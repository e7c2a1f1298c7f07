"""Xception without its head (Chollet 2017; Cadene's port to PyTorch), its first two convolutions padded."""

from functools import partial

import keras

from unet_segnet.models.encoders.blocks import batch_norm, convolution, depthwise_convolution, max_pool, relu

_convolution = partial(convolution, initial="pytorch")


def xception(inputs, depth=5):
    """Build Xception: residual blocks of depthwise separable convolutions.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.

    Returns:
        Dict "P1" (half resolution) ... "P<depth>".
    """
    x = _convolution(inputs, 32, 3, "encoder-conv1", strides=2)
    x = relu(batch_norm(x, "encoder-bn1"), "encoder-relu1")
    x = _convolution(x, 64, 3, "encoder-conv2")
    x = relu(batch_norm(x, "encoder-bn2"), "encoder-relu2")
    pyramid = {"P1": x}
    if depth >= 2:
        pyramid["P2"] = x = _block(x, (128, 128), "encoder-block1", strides=2, first_relu=False)
    if depth >= 3:
        pyramid["P3"] = x = _block(x, (256, 256), "encoder-block2", strides=2)
    if depth >= 4:
        x = _block(x, (728, 728), "encoder-block3", strides=2)
        for number in range(4, 12):
            x = _block(x, (728, 728, 728), f"encoder-block{number}")
        pyramid["P4"] = x
    if depth >= 5:
        x = _block(x, (728, 1024), "encoder-block12", strides=2)
        x = relu(batch_norm(_separable(x, 1536, "encoder-conv3"), "encoder-bn3"), "encoder-relu3")
        pyramid["P5"] = batch_norm(_separable(x, 2048, "encoder-conv4"), "encoder-bn4")
    return pyramid


def _block(x, filters, name, strides=1, first_relu=True):
    """Separable convolutions with so many filters, each after a ReLU (but the first of the first block)."""
    shortcut = x
    if strides > 1:
        shortcut = batch_norm(_convolution(x, filters[-1], 1, f"{name}-skip", strides), f"{name}-skipbn")
    index = 0
    for number, count in enumerate(filters):
        if number or first_relu:
            x = relu(x, f"{name}-rep-{index}")
            index += 1
        x = batch_norm(_separable(x, count, f"{name}-rep-{index}"), f"{name}-rep-{index + 1}")
        index += 2
    if strides > 1:
        x = max_pool(x, 3, f"{name}-rep-{index}", strides)
    return keras.layers.Add(name=f"{name}-add")([x, shortcut])


def _separable(x, filters, name):
    x = depthwise_convolution(x, 3, f"{name}-conv1", initial="pytorch")
    return _convolution(x, filters, 1, f"{name}-pointwise")


ENCODERS = {"xception": xception}
