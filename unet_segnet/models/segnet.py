"""SegNet: an encoder-decoder whose decoder upsamples by the encoder's max-pooling indices.

Badrinarayanan, Kendall, Cipolla 2017, as MATLAB R2020a's `segnetLayers` builds it. The study describes it as
"identical to the convolutional layers of the VGG16 network" with 1.47e7 parameters and "an encoder-decoder depth
of three". These cannot all hold: VGG16 has five stages, and three of its stages have 1.7e6 parameters. The networks
that the authors released are neither: depth 3 with 64 filters everywhere, 373,192 parameters. Hence two variants,
`paper` (VGG16, five stages) and `released`.
"""

import keras

from unet_segnet.errors import InputError
from unet_segnet.layers import BatchNormalization, Conv2D, MaxPooling2D, MaxUnpooling2D
from unet_segnet.models.initialisation import he_normal
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.models.registry import SizeRule

VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
RELEASED_STAGES = ((64, 2), (64, 2), (64, 2))


def segnet(input_shape, num_classes, variant, mean):
    """Build a SegNet.

    Arguments:
        input_shape: (height, width, 1), at least 2**depth pixels each way; odd sizes are allowed.
        num_classes: number of classes, two or more.
        variant: "paper", VGG16's encoder on the grey slice repeated to three channels, its decoder the mirror
            image (`segnetLayers(size, classes, 'vgg16')`); or "released", depth 3 with 64 filters
            (`segnetLayers(size, classes, 3)`).
        mean: grey level subtracted from the input (MATLAB's zerocenter).

    Returns:
        An uncompiled `keras.Model`: (batch, height, width, 1) grey levels 0..255 to (batch, height, width,
        num_classes) probabilities, float32.
    """
    inputs, x = grey_input(input_shape, mean, channels=3 if variant == "paper" else 1)
    stages, names = (VGG16_STAGES, _vgg16_names) if variant == "paper" else (RELEASED_STAGES, _depth_names)
    poolings = []
    for stage, (filters, convolutions) in enumerate(stages, 1):
        for number in range(1, convolutions + 1):
            x = _block(x, filters, *names(stage, number))
        size = x.shape[1:3]
        name = f"pool{stage}" if variant == "paper" else f"encoder{stage}_maxpool"
        x, indices = MaxPooling2D(name=name)(x)
        poolings.append((indices, tuple(length % 2 for length in size)))

    for stage in range(len(stages), 0, -1):
        indices, pad = poolings[stage - 1]
        x = MaxUnpooling2D(pad=pad, name=f"decoder{stage}_unpool")([x, indices])
        filters, convolutions = stages[stage - 1]
        last = stages[stage - 2][0] if stage > 1 else num_classes
        for number in range(convolutions, 0, -1):
            prefix = f"decoder{stage}"
            x = _block(
                x,
                filters if number > 1 else last,
                f"{prefix}_conv{number}",
                f"{prefix}_bn_{number}",
                f"{prefix}_relu_{number}",
            )
    return keras.Model(inputs, classifier(x), name=f"segnet_{variant}")


def size_rule(variant):
    """Which slices it takes: odd sizes come back by the padding of the unpooling."""
    return SizeRule(least=2 ** len(VGG16_STAGES if variant == "paper" else RELEASED_STAGES))


def _block(x, filters, convolution, normalisation, relu):
    """Convolution, batch normalisation, ReLU. The study's networks kept all convolution biases frozen at zero."""
    x = Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer=he_normal(9 * x.shape[-1]),
        name=convolution,
    )(x)
    x = BatchNormalization(epsilon=1e-5, name=normalisation)(x)
    return keras.layers.ReLU(name=relu)(x)


def _vgg16_names(stage, number):
    return f"conv{stage}_{number}", f"bn_conv{stage}_{number}", f"relu{stage}_{number}"


def _depth_names(stage, number):
    return f"encoder{stage}_conv{number}", f"encoder{stage}_bn_{number}", f"encoder{stage}_relu_{number}"


def pretrained_kernels(weights):
    """The thirteen kernels of VGG16's convolutions, by the name of their layer here.

    Arguments:
        weights: "imagenet" (fetched by keras.applications) or the path of VGG16's Keras weights without its top.

    Returns:
        A dict of (3, 3, channels in, channels out) arrays. VGG16's biases are left out: MATLAB R2020a sets them
        to zero and freezes them.

    Raises:
        InputError: the weights cannot be fetched or read, or are not VGG16's.
    """
    from keras.applications import VGG16

    try:
        vgg16 = VGG16(include_top=False, weights=str(weights), input_shape=(32, 32, 3))
    except Exception as error:  # whatever a download, HDF5 or another network's shapes may raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{weights}: no weights of VGG16 without its top ({reason[:160]}); give the path of a local file, or leave "
            "the encoder random"
        ) from error
    return {
        f"conv{stage}_{number}": keras.ops.convert_to_numpy(vgg16.get_layer(f"block{stage}_conv{number}").kernel)
        for stage, (_, convolutions) in enumerate(VGG16_STAGES, 1)
        for number in range(1, convolutions + 1)
    }
