"""U-Net: an encoder-decoder that hands its encoder's features to its decoder by concatenation.

Ronneberger, Fischer, Brox 2015, as MATLAB R2020a's `unetLayers` builds it: 'same' padding, dropout before and in the
bridge, no batch normalisation. The study does not give its depth. Variant `paper` is the original's four
levels (also `unetLayers`' default); variant `released` is what the authors trained, depth 2 (1,861,762 parameters
for two classes).
"""

import keras

from unet_segnet.layers import Conv2D, Conv2DTranspose
from unet_segnet.models.initialisation import he_normal
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.models.registry import SizeRule

DEPTHS = {"paper": 4, "released": 2}
DROPOUT = 0.5


def unet(input_shape, num_classes, variant, mean, seed=0):
    """Build a U-Net.

    Arguments:
        input_shape: (height, width, 1), each a multiple of 2**depth.
        num_classes: number of classes, two or more.
        variant: "paper" (four levels) or "released" (two).
        mean: grey level subtracted from the input (MATLAB's zerocenter).
        seed: of the dropout masks.

    Returns:
        An uncompiled `keras.Model`: (batch, height, width, 1) grey levels 0..255 to (batch, height, width,
        num_classes) probabilities, float32.

    Raises:
        ValueError: height or width is not a multiple of 2**depth.
    """
    depth = DEPTHS[variant]
    rule = size_rule(variant)
    if not all(map(rule.fits, input_shape[:2])):
        raise ValueError(
            f"U-Net of depth {depth} needs height and width that are multiples of {rule.multiple}. "
            f"Received: input_shape={input_shape}"
        )
    inputs, x = grey_input(input_shape, mean)
    skips = []
    for stage in range(1, depth + 1):
        x = _two_convolutions(x, 64 * 2 ** (stage - 1), f"Encoder-Stage-{stage}")
        skips.append(x)
        if stage == depth:
            x = keras.layers.Dropout(DROPOUT, seed=seed, name=f"Encoder-Stage-{stage}-DropOut")(x)
        x = keras.layers.MaxPooling2D(name=f"Encoder-Stage-{stage}-MaxPool")(x)

    x = _two_convolutions(x, 64 * 2**depth, "Bridge")
    x = keras.layers.Dropout(DROPOUT, seed=seed + 1, name="Bridge-DropOut")(x)

    for stage in range(1, depth + 1):
        filters = 64 * 2 ** (depth - stage)
        x = Conv2DTranspose(
            filters,
            2,
            strides=2,
            kernel_initializer=he_normal(4 * x.shape[-1]),
            name=f"Decoder-Stage-{stage}-UpConv",
        )(x)
        x = keras.layers.ReLU(name=f"Decoder-Stage-{stage}-UpReLU")(x)
        x = keras.layers.Concatenate(name=f"Decoder-Stage-{stage}-DepthConcatenation")([x, skips[-stage]])
        x = _two_convolutions(x, filters, f"Decoder-Stage-{stage}")

    x = keras.layers.Conv2D(num_classes, 1, kernel_initializer=he_normal(x.shape[-1]), name="Final-ConvolutionLayer")(x)
    return keras.Model(inputs, classifier(x, "Softmax-Layer"), name=f"unet_{variant}")


def size_rule(variant):
    """Which slices it takes: the poolings leave no pixel over."""
    return SizeRule(multiple=2 ** DEPTHS[variant])


def _two_convolutions(x, filters, prefix):
    for number in (1, 2):
        x = Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=he_normal(9 * x.shape[-1]),
            name=f"{prefix}-Conv-{number}",
        )(x)
        x = keras.layers.ReLU(name=f"{prefix}-ReLU-{number}")(x)
    return x
