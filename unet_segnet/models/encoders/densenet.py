"""DenseNet (Huang et al. 2017; torchvision's)."""

from functools import partial

import keras

from unet_segnet.models.encoders import blocks

BOTTLENECK = 4
convolution = partial(blocks.convolution, initial="he_fan_in")


def densenet(inputs, depth=5, layers=(), growth=32, stem=64):
    """Build a DenseNet without its classifier.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.
        layers: number of layers in each of the four dense blocks.
        growth: channels that a layer adds.
        stem: channels of the first convolution.

    Returns:
        Dict "P1" ... "P<depth>". P2 to P4 are a transition's normalised features before its 1x1 convolution; P5 is
        the last normalisation, without ReLU.
    """
    x = convolution(inputs, stem, 7, "encoder-features-conv0", strides=2)
    x = blocks.relu(blocks.batch_norm(x, "encoder-features-norm0"), "encoder-features-relu0")
    pyramid = {"P1": x}
    if depth > 1:
        x = blocks.max_pool(x, 3, "encoder-features-pool0")
    for block, count in enumerate(layers[: depth - 1], 1):
        for number in range(1, count + 1):
            x = _dense_layer(x, growth, f"encoder-features-denseblock{block}-denselayer{number}")
        if block == len(layers):
            pyramid["P5"] = blocks.batch_norm(x, "encoder-features-norm5")
            break
        name = f"encoder-features-transition{block}"
        x = blocks.relu(blocks.batch_norm(x, f"{name}-norm"), f"{name}-relu")
        pyramid[f"P{block + 1}"] = x
        if block + 1 < depth:
            x = convolution(x, x.shape[-1] // 2, 1, f"{name}-conv")
            x = keras.layers.AveragePooling2D(2, name=f"{name}-pool")(x)
    return pyramid


def _dense_layer(x, growth, name):
    y = blocks.relu(blocks.batch_norm(x, f"{name}-norm1"), f"{name}-relu1")
    y = convolution(y, BOTTLENECK * growth, 1, f"{name}-conv1")
    y = blocks.relu(blocks.batch_norm(y, f"{name}-norm2"), f"{name}-relu2")
    y = convolution(y, growth, 3, f"{name}-conv2")
    return keras.layers.Concatenate(name=f"{name}-concatenate")([x, y])


ENCODERS = {
    "densenet121": partial(densenet, layers=(6, 12, 24, 16)),
    "densenet161": partial(densenet, layers=(6, 12, 36, 24), growth=48, stem=96),
    "densenet169": partial(densenet, layers=(6, 12, 32, 32)),
    "densenet201": partial(densenet, layers=(6, 12, 48, 32)),
}
