"""Dual path networks without their head (Chen et al. 2017; dpn68 and dpn98 of Cadene's pretrained models)."""

from functools import partial

import keras
from keras import ops

from unet_segnet.models.encoders.blocks import batch_norm, convolution, max_pool, relu


def dpn(inputs, depth=5, stem=(), width=0, bottleneck=0, groups=0, growths=(), blocks=()):
    """Build a dual path network: each block adds to a residual path and lengthens a dense path.

    Arguments:
        inputs: (batch, height, width, channels).
        depth: number of levels of the pyramid, 1 to 5.
        stem: filters and kernel size of the first convolution.
        width: channels of the residual path in the first stage; they double from stage to stage.
        bottleneck: filters of a block's grouped convolution in the first stage; they double likewise.
        groups: of that convolution.
        growths: channels that a block adds to the dense path, for each of the four stages.
        blocks: of each stage.

    Returns:
        Dict "P1" (half resolution) ... "P<depth>"; P2 to P4 are a ReLU of both paths.
    """
    x = convolution(inputs, *stem, "encoder-features-conv1_1-conv", strides=2, initial="pytorch")
    x = _bn_relu(x, "encoder-features-conv1_1")
    pyramid, paths = {"P1": x}, None
    for level in range(2, depth + 1):
        if level == 2:
            x = max_pool(x, 3, "encoder-features-conv1_1-pool")
        scale = 2 ** (level - 2)
        for number in range(1, blocks[level - 2] + 1):
            paths = _block(
                x,
                paths if number > 1 else None,
                width * scale,
                bottleneck * scale,
                growths[level - 2],
                groups,
                1 if number > 1 or level == 2 else 2,
                f"encoder-features-conv{level}_{number}",
            )
            x = keras.layers.Concatenate(name=f"encoder-features-conv{level}_{number}")(paths)
        if level < 5:
            pyramid[f"P{level}"] = relu(x, f"encoder-features-conv{level}_{number}-relu")
        else:
            pyramid["P5"] = _bn_relu(x, "encoder-features-conv5_bn_ac")
    return pyramid


def _block(x, paths, width, bottleneck, growth, groups, strides, name):
    """One block on both paths joined (`x`); without `paths`, it starts them anew by a projection of `x`."""
    if paths is None:
        projected = _bn_relu_conv(x, width + 2 * growth, 1, f"{name}-c1x1_w_s{strides}", strides)
        paths = ops.split(projected, [width], axis=-1)
    residual, dense = paths
    x = _bn_relu_conv(x, bottleneck, 1, f"{name}-c1x1_a")
    x = _bn_relu_conv(x, bottleneck, 3, f"{name}-c3x3_b", strides, groups)
    x = _bn_relu_conv(x, width + growth, 1, f"{name}-c1x1_c")
    added, grown = ops.split(x, [width], axis=-1)
    return (
        keras.layers.Add(name=f"{name}-residual")([residual, added]),
        keras.layers.Concatenate(name=f"{name}-dense")([dense, grown]),
    )


def _bn_relu_conv(x, filters, kernel_size, name, strides=1, groups=1):
    return convolution(_bn_relu(x, name), filters, kernel_size, f"{name}-conv", strides, groups, initial="pytorch")


def _bn_relu(x, name):
    return relu(batch_norm(x, f"{name}-bn", epsilon=1e-3), f"{name}-act")


ENCODERS = {
    "dpn68": partial(
        dpn, stem=(10, 3), width=64, bottleneck=128, groups=32, growths=(16, 32, 32, 64), blocks=(3, 4, 12, 3)
    ),
    "dpn98": partial(
        dpn, stem=(96, 7), width=256, bottleneck=160, groups=40, growths=(16, 32, 32, 128), blocks=(3, 6, 20, 3)
    ),
}
