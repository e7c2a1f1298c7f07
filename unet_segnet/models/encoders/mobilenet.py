"""MobileNetV2 (Sandler et al. 2018; torchvision's)."""

import keras

from unet_segnet.models.encoders.blocks import batch_norm, convolution, depthwise_convolution, relu

# Expansion, channels out, number of blocks, strides of the first.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# The features at which the resolution is halved next, and the last.
LEVELS = {1: "P1", 3: "P2", 6: "P3", 13: "P4", 18: "P5"}


def mobilenet_v2(inputs, depth=5):
    """Build MobileNetV2 without its classifier.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.

    Returns:
        Dict "P1" ... "P<depth>" of 16, 24, 32, 96 and 1280 channels.
    """
    x = convolution(inputs, 32, 3, "encoder-features-0-0", strides=2)
    x = relu(batch_norm(x, "encoder-features-0-1"), "encoder-features-0-2", 6)
    pyramid, index = {}, 1
    for expansion, filters, count, strides in STAGES:
        for number in range(count):
            x = _inverted_residual(x, expansion, filters, strides if number == 0 else 1, f"encoder-features-{index}")
            if index in LEVELS:
                pyramid[LEVELS[index]] = x
                if len(pyramid) == depth:
                    return pyramid
            index += 1
    x = convolution(x, 1280, 1, "encoder-features-18-0")
    pyramid["P5"] = relu(batch_norm(x, "encoder-features-18-1"), "encoder-features-18-2", 6)
    return pyramid


def _inverted_residual(x, expansion, filters, strides, name):
    """Expand by a 1x1 convolution, filter each channel, project without ReLU; add the input where it fits."""
    y, part = x, 0
    if expansion > 1:
        y = convolution(y, expansion * x.shape[-1], 1, f"{name}-conv-0-0")
        y = relu(batch_norm(y, f"{name}-conv-0-1"), f"{name}-conv-0-2", 6)
        part = 1
    y = depthwise_convolution(y, 3, f"{name}-conv-{part}-0", strides=strides)
    y = relu(batch_norm(y, f"{name}-conv-{part}-1"), f"{name}-conv-{part}-2", 6)
    y = convolution(y, filters, 1, f"{name}-conv-{part + 1}")
    y = batch_norm(y, f"{name}-conv-{part + 2}")
    if strides == 1 and filters == x.shape[-1]:
        y = keras.layers.Add(name=f"{name}-add")([x, y])
    return y


ENCODERS = {"mobilenet_v2": mobilenet_v2}
