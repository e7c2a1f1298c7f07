"""PSPNet: the features at 1/8 resolution beside their means over 1, 2 x 2, 3 x 3 and 6 x 6 regions.

Zhao et al. 2017 ("Comprehensive comparison", Table I).
"""

import keras

from unet_segnet.layers.resampling import AdaptiveAveragePooling2D, BilinearResizing
from unet_segnet.models.decoders.parts import convolution_bn_relu, segmentation_head
from unet_segnet.models.encoders.blocks import convolution, relu

REGIONS = (1, 2, 3, 6)
FILTERS = 512
DROPOUT = 0.2


def pspnet(pyramid, num_classes, seed=0):
    """Decode a pyramid by PSPNet.

    Arguments:
        pyramid: dict with "P3", (batch, height / 8, width / 8, channels); the rest is not used.
        num_classes: number of output channels.
        seed: of the dropout masks.

    Returns:
        Logits (batch, height, width, num_classes).
    """
    x = pyramid["P3"]
    parts = [_pooled(x, regions, f"decoder-psp-blocks-{number}") for number, regions in enumerate(REGIONS)]
    x = keras.layers.Concatenate(name="decoder-psp-concatenate")([*parts, x])
    x = convolution_bn_relu(x, FILTERS, 1, "decoder-conv")
    x = keras.layers.SpatialDropout2D(DROPOUT, seed=seed, name="decoder-dropout")(x)
    return segmentation_head(x, num_classes, 3, upsampling=8)


def _pooled(x, regions, name):
    """Means over the regions, a 1x1 convolution to a quarter of the channels, and back to the input's size."""
    size, filters = x.shape[1:3], x.shape[-1] // len(REGIONS)
    x = AdaptiveAveragePooling2D((regions, regions), name=f"{name}-pool-0")(x)
    if regions == 1:  # one number a channel and slice: a bias instead of normalisation
        x = convolution(x, filters, 1, f"{name}-pool-1-0", use_bias=True, initial="he_uniform")
        x = relu(x, f"{name}-pool-1-2")
    else:
        x = convolution_bn_relu(x, filters, 1, f"{name}-pool-1")
    return BilinearResizing(size, name=f"{name}-upsampling")(x)
