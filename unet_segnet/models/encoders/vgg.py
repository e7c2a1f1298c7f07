"""VGG without batch normalisation (Simonyan, Zisserman 2014; torchvision's vgg11, vgg13, vgg19)."""

from functools import partial

from unet_segnet.models.encoders.blocks import convolution, max_pool, relu

FILTERS = (64, 128, 256, 512, 512)


def vgg(inputs, depth=5, convolutions=()):
    """Build VGG's convolutions.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.
        convolutions: of each of the five stages at full, half, ... resolution.

    Returns:
        Dict "P1" (half resolution) ... "P<depth>": each the end of a stage, P5 the last pooling itself.
    """
    x, pyramid, index = inputs, {}, 0
    for stage, (count, filters) in enumerate(zip(convolutions, FILTERS, strict=True)):
        for _ in range(count):
            x = convolution(x, filters, 3, f"encoder-features-{index}", use_bias=True)
            x = relu(x, f"encoder-features-{index + 1}")
            index += 2
        if stage:
            pyramid[f"P{stage}"] = x
        if stage == depth:
            return pyramid
        x = max_pool(x, 2, f"encoder-features-{index}")
        index += 1
    return pyramid | {"P5": x}


ENCODERS = {
    "vgg11": partial(vgg, convolutions=(1, 1, 2, 2, 2)),
    "vgg13": partial(vgg, convolutions=(2, 2, 2, 2, 2)),
    "vgg19": partial(vgg, convolutions=(2, 2, 4, 4, 4)),
}
