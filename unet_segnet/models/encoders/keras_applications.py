"""Networks of keras.applications that are the very ones that were studied, their layers by PyTorch's names.

These are DenseNet and EfficientNet, whose ImageNet weights Keras fetches and checks. Its VGG19 takes other inputs
(Caffe's, 0 to 255); its ResNets stride in another layer and have biases; its MobileNetV2 and Xception have another
epsilon, and Xception another padding.
"""

import re

import keras

BUILDERS = {
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
    **{f"efficientnet-b{number}": f"EfficientNetB{number}" for number in range(7)},
}
DENSENET_RULES = (
    (r"conv1_conv", r"features.conv0"),
    (r"conv1_bn", r"features.norm0"),
    (r"conv(\d)_block(\d+)_0_bn", r"features.denseblock\1.denselayer\2.norm1"),
    (r"conv(\d)_block(\d+)_1_conv", r"features.denseblock\1.denselayer\2.conv1"),
    (r"conv(\d)_block(\d+)_1_bn", r"features.denseblock\1.denselayer\2.norm2"),
    (r"conv(\d)_block(\d+)_2_conv", r"features.denseblock\1.denselayer\2.conv2"),
    (r"pool(\d)_bn", r"features.transition\1.norm"),
    (r"pool(\d)_conv", r"features.transition\1.conv"),
    (r"bn", r"features.norm5"),
)
EFFICIENTNET_RULES = (
    (r"stem_conv", r"_conv_stem"),
    (r"stem_bn", r"_bn0"),
    (r"block(\d+[a-z])_expand_conv", r"_blocks.\1._expand_conv"),
    (r"block(\d+[a-z])_expand_bn", r"_blocks.\1._bn0"),
    (r"block(\d+[a-z])_dwconv", r"_blocks.\1._depthwise_conv"),
    (r"block(\d+[a-z])_bn", r"_blocks.\1._bn1"),
    (r"block(\d+[a-z])_se_(reduce|expand)", r"_blocks.\1._se_\2"),
    (r"block(\d+[a-z])_project_conv", r"_blocks.\1._project_conv"),
    (r"block(\d+[a-z])_project_bn", r"_blocks.\1._bn2"),
)


def keras_network(encoder, weights="imagenet"):
    """Build a network of keras.applications without its top.

    Arguments:
        encoder: name in `BUILDERS`.
        weights: "imagenet", fetched by Keras, or None.

    Returns:
        `keras.Model`, three channels.
    """
    return getattr(keras.applications, BUILDERS[encoder])(include_top=False, weights=weights, input_shape=(32, 32, 3))


def published_layers(encoder, model):
    """The layers of such a network that belong to the encoder: dict of PyTorch's module path -> layer."""
    rules = DENSENET_RULES if encoder.startswith("densenet") else EFFICIENTNET_RULES
    found = {}
    for layer in model.layers:
        for rule, path in rules:
            match = re.fullmatch(rule, layer.name)
            if match:
                found[match.expand(path)] = layer
    if rules is DENSENET_RULES:  # the first dense block is in Keras' second stage
        return {re.sub(r"(denseblock|transition)(\d)", _one_less, path): layer for path, layer in found.items()}
    # Keras numbers the blocks of each stage by letters, PyTorch all blocks on end.
    blocks = sorted({path.split(".")[1] for path in found if path.startswith("_blocks.")})
    return {
        re.sub(r"\.(\d+[a-z])\.", lambda match: f".{blocks.index(match[1])}.", path): layer
        for path, layer in found.items()
    }


def _one_less(match):
    return f"{match[1]}{int(match[2]) - 1}"
