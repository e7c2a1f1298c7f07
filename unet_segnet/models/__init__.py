"""The networks: `build_model(architecture, ...)`.

A network of its own is a file and an entry in `registry.NETWORKS`; one on the pyramid of any of `encoders.ENCODERS` a
file and an entry in `decoders.DECODERS`.
"""

import numpy as np

from unet_segnet.models.registry import NETWORKS, VARIANTS


def build_model(
    architecture,
    variant=None,
    num_classes=None,
    input_shape=(256, 256, 1),
    encoder_weights=None,
    mean=0.0,
    seed=0,
    draw=None,
    *,
    encoder=None,
):
    """Build one of the networks of 'U-Net versus SegNet', or, with `encoder`, of 'Comprehensive comparison ...'.

    Arguments:
        architecture: one of `registry.NETWORKS`, such as "segnet"; with `encoder` "unet", "linknet", "fpn" or "pspnet".
        variant: "paper" (the default), what the first article describes (SegNet on VGG16's encoder, U-Net with four
            levels), or "released", what its authors trained (SegNet of depth 3 with 64 filters, U-Net of depth 2).
            It changes the network alone, never how it is trained. Not together with `encoder`.
        num_classes: number of classes, at least two (the default); with `encoder` at least one (the default).
        input_shape: (height, width, 1); with `encoder` multiples of 32, for pspnet of 8.
        encoder_weights: None for random ones, "imagenet" or a path; only with `encoder`, or for
            `build_model("segnet", variant="paper")`.
        mean: grey level subtracted from the input. Not together with `encoder`.
        seed: of the initial kernels and of the dropout masks.
        draw: instead of the seed's own generator, a function of a shape that returns standard normal numbers;
            it is called once a kernel, in layer order. Not together with `encoder`.
        encoder: None, or one of `unet_segnet.models.encoders.ENCODERS`.

    Returns:
        An uncompiled functional `keras.Model`: grey levels (with `encoder`: normalised values) (batch, height, width,
        1) to class probabilities (batch, height, width, num_classes) in float32; for one class, its probability.

    Raises:
        ValueError: an argument is not one of those above.
        InputError: the encoder's weights cannot be had or are not the encoder's.
    """
    if len(input_shape) != 3 or input_shape[2] != 1:
        raise ValueError(f"input_shape must be (height, width, 1). Received: input_shape={input_shape}")
    if encoder is not None:
        from unet_segnet.models.pyramids import build_pyramid_model

        if variant is not None or mean or draw is not None:
            raise ValueError(
                "variant, mean and draw belong to the networks without encoder. "
                f"Received: encoder={encoder!r}, variant={variant!r}, mean={mean!r}, draw={draw!r}"
            )
        return build_pyramid_model(
            architecture, encoder, input_shape, 1 if num_classes is None else num_classes, encoder_weights, seed
        )
    variant = "paper" if variant is None else variant
    num_classes = 2 if num_classes is None else num_classes
    if architecture not in NETWORKS:
        raise ValueError(
            f"architecture must be one of {', '.join(NETWORKS)}, or needs an encoder. "
            f"Received: architecture={architecture!r}"
        )
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    network = NETWORKS[architecture]
    if encoder_weights is not None and variant not in network.pretrained:
        able = [f"build_model({of.name!r}, variant={v!r})" for of in NETWORKS.values() for v in of.pretrained]
        raise ValueError(
            f"encoder_weights belongs to {' or '.join(able)}. "
            f"Received: architecture={architecture!r}, variant={variant!r}, encoder_weights={encoder_weights!r}"
        )
    from unet_segnet.models.initialisation import draw_kernels

    model = network.build(input_shape, num_classes, variant, mean, seed)
    draw_kernels(model, draw or np.random.default_rng(seed).standard_normal)
    if encoder_weights is not None:
        for name, kernel in network.pretrained_kernels(encoder_weights).items():
            model.get_layer(name).kernel.assign(kernel)
    return model
