"""U-Net on a pyramid: five times upsample, concatenate the encoder's features, convolve twice.

Ronneberger, Fischer, Brox 2015, with batch normalisation and half-resolution features first ("Comprehensive
comparison", Table I).
"""

import keras

from unet_segnet.models.decoders.parts import convolution_bn_relu, segmentation_head

FILTERS = (256, 128, 64, 32, 16)


def unet(pyramid, num_classes, seed=0, center=False):
    """Decode a pyramid by U-Net's decoder.

    Arguments:
        pyramid: dict "P1" ... "P5" of (batch, height / 2**level, width / 2**level, channels).
        num_classes: number of output channels.
        seed: not used, there is no dropout.
        center: two more convolutions at P5, for an encoder that ends with a bare pooling.

    Returns:
        Logits (batch, height, width, num_classes).
    """
    x = pyramid["P5"]
    if center:
        for number in range(2):
            x = convolution_bn_relu(x, x.shape[-1], 3, f"decoder-center-{number}")
    for block, (filters, level) in enumerate(zip(FILTERS, ("P4", "P3", "P2", "P1", None), strict=True)):
        name = f"decoder-blocks-{block}"
        x = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"{name}-upsampling")(x)
        if level:
            x = keras.layers.Concatenate(name=f"{name}-concatenate")([x, pyramid[level]])
        for number in (1, 2):
            x = convolution_bn_relu(x, filters, 3, f"{name}-conv{number}")
    return segmentation_head(x, num_classes, 3)
