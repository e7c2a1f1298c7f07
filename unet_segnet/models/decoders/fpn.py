"""Feature Pyramid Network: the pyramid brought to one width from the top down, each level segmented, the sum decides.

Lin et al. 2017; Kirillov et al. 2019 for the segmentation branches ("Comprehensive comparison", Table I).
"""

import keras

from unet_segnet.layers import GroupNormalization
from unet_segnet.layers.resampling import upsample_bilinear
from unet_segnet.models.decoders.parts import segmentation_head
from unet_segnet.models.encoders.blocks import convolution, relu

PYRAMID_FILTERS = 256
SEGMENTATION_FILTERS = 128
GROUPS = 32
DROPOUT = 0.2


def fpn(pyramid, num_classes, seed=0):
    """Decode a pyramid by a Feature Pyramid Network.

    Arguments:
        pyramid: dict "P1" ... "P5" of (batch, height / 2**level, width / 2**level, channels); P1 is not used.
        num_classes: number of output channels.
        seed: of the dropout masks.

    Returns:
        Logits (batch, height, width, num_classes).
    """
    x = _lateral(pyramid["P5"], "decoder-p5")
    levels = [x]
    for level in ("P4", "P3", "P2"):
        name = f"decoder-{level.lower()}"
        x = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"{name}-upsampling")(x)
        x = keras.layers.Add(name=f"{name}-add")([x, _lateral(pyramid[level], f"{name}-skip_conv")])
        levels.append(x)
    branches = [_segment(x, 3 - number, f"decoder-seg_blocks-{number}") for number, x in enumerate(levels)]
    x = keras.layers.Add(name="decoder-merge")(branches)
    x = keras.layers.SpatialDropout2D(DROPOUT, seed=seed, name="decoder-dropout")(x)
    return segmentation_head(x, num_classes, 1, upsampling=4)


def _lateral(x, name):
    return convolution(x, PYRAMID_FILTERS, 1, name, use_bias=True, initial="he_uniform")


def _segment(x, upsamplings, name):
    """As many times convolve and double the resolution, or convolve once at P2."""
    for number in range(max(1, upsamplings)):
        block = f"{name}-block-{number}"
        x = convolution(x, SEGMENTATION_FILTERS, 3, f"{block}-block-0", initial="he_uniform")
        x = GroupNormalization(GROUPS, epsilon=1e-5, name=f"{block}-block-1")(x)
        x = relu(x, f"{block}-block-2")
        if upsamplings:
            x = upsample_bilinear(x, 2, f"{block}-upsampling")
    return x
