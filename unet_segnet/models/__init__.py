"""The networks: `build_model(architecture, ...)` over one registry.

Adding an architecture is one file with a builder and one line in `ARCHITECTURES`.
"""

import numpy as np

from unet_segnet.models.initialisation import draw_kernels
from unet_segnet.models.segnet import segnet, vgg16_kernels
from unet_segnet.models.unet import unet

ARCHITECTURES = {"segnet": segnet, "unet": unet}
VARIANTS = ("paper", "released")


def build_model(
    architecture,
    variant="paper",
    num_classes=2,
    input_shape=(256, 256, 1),
    encoder_weights=None,
    mean=0.0,
    seed=0,
    draw=None,
):
    """Build one of the networks of 'U-Net versus SegNet'.

    Arguments:
        architecture: "segnet" or "unet".
        variant: "paper", what the article describes (SegNet on VGG16's encoder, U-Net with four levels), or
            "released", what its authors trained (SegNet of depth 3 with 64 filters, U-Net of depth 2).
            It changes the network alone, never how it is trained.
        num_classes: number of classes, at least two.
        input_shape: (height, width, 1).
        encoder_weights: None, "imagenet" or a path; only for `build_model("segnet", variant="paper")`.
        mean: grey level subtracted from the input.
        seed: of the initial kernels and of the dropout masks.
        draw: instead of the seed's own generator, a function of a shape that returns standard normal numbers;
            it is called once a kernel, in layer order.

    Returns:
        An uncompiled functional `keras.Model`: grey levels (batch, height, width, 1) to class probabilities
        (batch, height, width, num_classes) in float32.

    Raises:
        ValueError: an argument is not one of those above.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)}. Received: architecture={architecture!r}"
        )
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}. Received: variant={variant!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if len(input_shape) != 3 or input_shape[2] != 1:
        raise ValueError(f"input_shape must be (height, width, 1). Received: input_shape={input_shape}")
    if encoder_weights is not None and (architecture, variant) != ("segnet", "paper"):
        raise ValueError(
            "encoder_weights belongs to build_model('segnet', variant='paper'). "
            f"Received: architecture={architecture!r}, variant={variant!r}, encoder_weights={encoder_weights!r}"
        )
    dropout = {"seed": seed} if architecture == "unet" else {}
    model = ARCHITECTURES[architecture](input_shape, num_classes, variant, mean, **dropout)
    draw_kernels(model, draw or np.random.default_rng(seed).standard_normal)
    if encoder_weights is not None:
        for name, kernel in vgg16_kernels(encoder_weights).items():
            model.get_layer(name).kernel.assign(kernel)
    return model
