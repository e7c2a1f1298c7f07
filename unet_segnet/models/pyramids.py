"""The networks of 'Comprehensive comparison ...' (Bizopoulos et al. 2021): four architectures on 25 encoders."""

import keras

from unet_segnet.models.decoders import CENTERED, DECODERS, DEPTHS
from unet_segnet.models.encoders import BARE_ENDS, ENCODERS
from unet_segnet.models.encoders.blocks import draw_weights


def build_pyramid_model(architecture, encoder, input_shape=(512, 512, 1), num_classes=1, encoder_weights=None, seed=0):
    """Build one of the networks of the second study.

    Arguments:
        architecture: one of `DECODERS`.
        encoder: one of `ENCODERS`.
        input_shape: (height, width, channels), multiples of 32, for pspnet of 8.
        num_classes: 1 for a sigmoid; more for a softmax.
        encoder_weights: None for random ones; "imagenet" or a path: see `load_encoder_weights`.
        seed: of the initial weights and of the dropout masks.

    Returns:
        An uncompiled functional `keras.Model`: normalised slices (batch, height, width, channels) to probabilities
        (batch, height, width, num_classes) in float32.

    Raises:
        ValueError: an argument is not one of those above.
        InputError: the encoder's weights cannot be had.
    """
    for name, value, known in (("architecture", architecture, DECODERS), ("encoder", encoder, ENCODERS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}. Received: {name}={value!r}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1. Received: num_classes={num_classes}")
    depth = DEPTHS[architecture]
    if len(input_shape) != 3 or any(not size or size % 2**depth for size in input_shape[:2]):
        raise ValueError(
            f"{architecture} needs input_shape (height, width, channels), height and width multiples of {2**depth}. "
            f"Received: input_shape={input_shape}"
        )
    options = {"center": True} if architecture in CENTERED and encoder in BARE_ENDS else {}
    inputs = keras.Input(input_shape, name="image")
    pyramid = ENCODERS[encoder](inputs, depth=depth)
    logits = DECODERS[architecture](pyramid, num_classes, seed=seed, **options)
    activation = "sigmoid" if num_classes == 1 else "softmax"
    outputs = keras.layers.Activation(activation, dtype="float32", name=activation)(logits)
    model = keras.Model(inputs, outputs, name=f"{architecture}-{encoder}")
    draw_weights(model, seed)
    if encoder_weights is not None:
        from unet_segnet.models.encoders.weights import load_encoder_weights

        load_encoder_weights(model, encoder, encoder_weights)
    return model
