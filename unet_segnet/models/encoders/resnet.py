"""ResNet and ResNeXt (He et al. 2016; Xie et al. 2017; torchvision's, which strides in the 3x3 convolution)."""

from functools import partial

import keras

from unet_segnet.models.encoders.blocks import batch_norm, convolution, max_pool, relu


def resnet(inputs, depth=5, blocks=(), bottleneck=True, groups=1, group_width=64):
    """Build a ResNet without its classifier.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.
        blocks: number of residual blocks in each of the four stages.
        bottleneck: three convolutions a block instead of two, four times as many channels out.
        groups: of the 3x3 convolution of a bottleneck.
        group_width: channels of one of its groups, for every 64 filters of the stage.

    Returns:
        Dict "P1" (64 channels, before the pooling) ... "P<depth>".
    """
    x = convolution(inputs, 64, 7, "encoder-conv1", strides=2)
    x = relu(batch_norm(x, "encoder-bn1"), "encoder-relu")
    pyramid = {"P1": x}
    if depth > 1:
        x = max_pool(x, 3, "encoder-maxpool")
    for stage, count in enumerate(blocks[: depth - 1], 1):
        filters = 64 * 2 ** (stage - 1)
        for number in range(count):
            strides = 2 if stage > 1 and number == 0 else 1
            name = f"encoder-layer{stage}-{number}"
            if bottleneck:
                width = filters * group_width // 64 * groups
                y = _convolution_bn(x, width, 1, name, 1, last=False)
                y = _convolution_bn(y, width, 3, name, 2, last=False, strides=strides, groups=groups)
                y = _convolution_bn(y, 4 * filters, 1, name, 3)
            else:
                y = _convolution_bn(x, filters, 3, name, 1, last=False, strides=strides)
                y = _convolution_bn(y, filters, 3, name, 2)
            if strides > 1 or x.shape[-1] != y.shape[-1]:
                x = convolution(x, y.shape[-1], 1, f"{name}-downsample-0", strides=strides)
                x = batch_norm(x, f"{name}-downsample-1")
            x = relu(keras.layers.Add(name=f"{name}-add")([y, x]), f"{name}-relu")
        pyramid[f"P{stage + 1}"] = x
    return pyramid


def _convolution_bn(x, filters, kernel_size, name, number, last=True, strides=1, groups=1):
    """A convolution and its normalisation, with ReLU unless it is the last before the addition."""
    x = convolution(x, filters, kernel_size, f"{name}-conv{number}", strides=strides, groups=groups)
    x = batch_norm(x, f"{name}-bn{number}")
    return x if last else relu(x, f"{name}-relu{number}")


ENCODERS = {
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3), bottleneck=False),
    "resnet50": partial(resnet, blocks=(3, 4, 6, 3)),
    "resnet101": partial(resnet, blocks=(3, 4, 23, 3)),
    "resnet152": partial(resnet, blocks=(3, 8, 36, 3)),
    "resnext50_32x4d": partial(resnet, blocks=(3, 4, 6, 3), groups=32, group_width=4),
}
