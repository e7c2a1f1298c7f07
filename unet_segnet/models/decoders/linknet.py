"""LinkNet on a pyramid: five blocks that squeeze, upsample and widen; the encoder's features are added.

Chaurasia, Culurciello 2017 ("Comprehensive comparison", Table I).
"""

import keras

from unet_segnet.models.decoders.parts import convolution_bn_relu, segmentation_head
from unet_segnet.models.encoders.blocks import batch_norm, initializers, relu

LAST_FILTERS = 32


def linknet(pyramid, num_classes, seed=0):
    """Decode a pyramid by LinkNet's decoder.

    Arguments:
        pyramid: dict "P1" ... "P5" of (batch, height / 2**level, width / 2**level, channels).
        num_classes: number of output channels.
        seed: not used, there is no dropout.

    Returns:
        Logits (batch, height, width, num_classes).
    """
    x = pyramid["P5"]
    for block, level in enumerate(("P4", "P3", "P2", "P1", None)):
        name = f"decoder-blocks-{block}"
        squeezed = x.shape[-1] // 4
        x = convolution_bn_relu(x, squeezed, 1, f"{name}-block-0")
        x = _upsample(x, squeezed, f"{name}-block-1")
        x = convolution_bn_relu(x, pyramid[level].shape[-1] if level else LAST_FILTERS, 1, f"{name}-block-2")
        if level:
            x = keras.layers.Add(name=f"{name}-add")([x, pyramid[level]])
    return segmentation_head(x, num_classes, 1)


def _upsample(x, filters, name):
    """A transposed 4x4 convolution with strides 2 and a bias, batch normalisation, ReLU."""
    # PyTorch's own initialiser takes the output channels for the fan in.
    kernel, bias = initializers("pytorch", 16 * filters, 16 * x.shape[-1])
    x = keras.layers.Conv2DTranspose(
        filters, 4, 2, padding="same", kernel_initializer=kernel, bias_initializer=bias, name=f"{name}-0"
    )(x)
    return relu(batch_norm(x, f"{name}-1"), f"{name}-2")
