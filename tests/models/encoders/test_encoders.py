"""The encoders: their pyramids, the names of their layers, and their parameters under each decoder."""

import functools
import math

import keras
import pytest
from tables import read_records

from unet_segnet.models.decoders import DECODERS, DEPTHS
from unet_segnet.models.encoders import ENCODERS

# One a family: the channels of P1 to P5.
CHANNELS = {
    "vgg11": (128, 256, 512, 512, 512),
    "resnet18": (64, 64, 128, 256, 512),
    "resnext50_32x4d": (64, 256, 512, 1024, 2048),
    "densenet121": (64, 256, 512, 1024, 1024),
    "dpn68": (10, 144, 320, 704, 832),
    "mobilenet_v2": (16, 24, 32, 96, 1280),
    "xception": (64, 128, 256, 728, 2048),
    "inceptionv4": (64, 192, 384, 1024, 1536),
    "efficientnet-b0": (32, 24, 40, 112, 320),
}
FAMILIES = tuple(CHANNELS)


@functools.cache
def pyramid_of(encoder, depth=5):
    """The weights have shapes alone: drawing their values takes most of the time."""
    inputs = keras.Input((64, 96, 1), name="image")
    with keras.StatelessScope(initialize_variables=False):
        return inputs, ENCODERS[encoder](inputs, depth=depth)


def layers_after(tensor):
    """Names of all layers with weights that were called on a tensor, on what came of it, and so on."""
    found, waiting = {}, [tensor._keras_history.operation]
    while waiting:
        for node in waiting.pop()._outbound_nodes:
            if node.operation.name not in found:
                found[node.operation.name] = node.operation
                waiting.append(node.operation)
    return {name for name, operation in found.items() if getattr(operation, "weights", [])}


def layers_before(inputs, outputs):
    """Names of all layers with weights that lead to the outputs."""
    return {layer.name for layer in keras.Model(inputs, outputs).layers if layer.weights}


def published_counts(reference):
    rows = read_records(reference / "bizopoulos2021" / "parameter_counts.csv")
    return {(row["architecture"], row["encoder"]): int(row["used_parameters"]) for row in rows}


def test_the_encoders_are_those_of_the_study(reference):
    assert set(ENCODERS) == {encoder for _, encoder in published_counts(reference)}
    assert len(ENCODERS) == 25


@pytest.mark.parametrize("encoder", FAMILIES)
def test_each_level_halves_the_resolution(encoder):
    _, pyramid = pyramid_of(encoder)
    assert {level: features.shape for level, features in pyramid.items()} == {
        f"P{level}": (None, 64 // 2**level, 96 // 2**level, channels)
        for level, channels in enumerate(CHANNELS[encoder], 1)
    }


@pytest.mark.parametrize("encoder", FAMILIES)
@pytest.mark.parametrize("depth", [1, 3])
def test_nothing_deeper_than_the_depth_is_built(encoder, depth):
    inputs, pyramid = pyramid_of(encoder, depth)
    assert list(pyramid) == [f"P{level}" for level in range(1, depth + 1)]
    assert layers_after(inputs) == layers_before(inputs, pyramid[f"P{depth}"])


@pytest.mark.parametrize("encoder", FAMILIES)
def test_every_layer_leads_to_the_deepest_level(encoder):
    inputs, pyramid = pyramid_of(encoder)
    encoder_layers = {name for name in layers_after(inputs) if name.startswith("encoder-")}
    assert encoder_layers == layers_before(inputs, pyramid["P5"])


@pytest.mark.parametrize("encoder", FAMILIES)
def test_parameters_under_each_decoder_are_those_published(encoder, reference):
    inputs, pyramid = pyramid_of(encoder)
    published = published_counts(reference)
    for architecture, decoder in DECODERS.items():
        levels = {f"P{level}": pyramid[f"P{level}"] for level in range(1, DEPTHS[architecture] + 1)}
        options = {"center": True} if (architecture, encoder) == ("unet", "vgg11") else {}
        model = keras.Model(inputs, decoder(levels, 1, **options))
        used = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        assert used == published[architecture, encoder], architecture


@pytest.mark.parametrize(
    ("encoder", "shapes"),
    {
        "vgg11": {"features-18": (3, 3, 512, 512)},
        "resnet18": {"layer2-0-downsample-0": (1, 1, 64, 128)},
        "resnext50_32x4d": {"layer1-2-conv2": (3, 3, 4, 128)},
        "densenet121": {
            "features-denseblock3-denselayer24-conv1": (1, 1, 992, 128),
            "features-transition2-conv": (1, 1, 512, 256),
        },
        "mobilenet_v2": {"features-1-conv-0-0": (3, 3, 32, 1), "features-17-conv-2": (1, 1, 960, 320)},
        "efficientnet-b0": {
            "_conv_stem": (3, 3, 1, 32),
            "_blocks-0-_project_conv": (1, 1, 32, 16),
            "_blocks-3-_depthwise_conv": (5, 5, 144, 1),
            "_blocks-15-_se_reduce": (1, 1, 1152, 48),
        },
        "xception": {
            "block1-rep-3-pointwise": (1, 1, 128, 128),
            "block11-rep-7-conv1": (3, 3, 728, 1),
            "block12-skip": (1, 1, 728, 1024),
            "conv4-pointwise": (1, 1, 1536, 2048),
        },
        "inceptionv4": {
            "features-3-conv-conv": (3, 3, 64, 96),
            "features-11-branch2-1-conv": (7, 1, 192, 192),
            "features-17-branch3-1-conv": (1, 1, 1024, 128),
            "features-21-branch2_3b-conv": (3, 1, 512, 256),
        },
        "dpn68": {
            "features-conv2_1-c1x1_w_s1-conv": (1, 1, 10, 96),
            "features-conv3_1-c1x1_w_s2-conv": (1, 1, 144, 192),
            "features-conv4_12-c3x3_b-conv": (3, 3, 16, 512),
            "features-conv5_3-c1x1_c-conv": (1, 1, 1024, 576),
        },
    }.items(),
)
def test_layers_are_named_as_the_published_modules(encoder, shapes):
    inputs, pyramid = pyramid_of(encoder)
    model = keras.Model(inputs, pyramid["P5"])
    assert {name: tuple(model.get_layer(f"encoder-{name}").kernel.shape) for name in shapes} == shapes


def test_the_committed_parity_covers_every_family_and_architecture(reference):
    """experiments/results/parity_encoders.csv, which smp_parity.py writes."""
    rows = read_records(reference.parent / "results" / "parity_encoders.csv")
    families = {"vgg", "resnet", "resnext", "densenet", "mobilenet", "dpn", "xception", "inception", "efficientnet"}
    for architecture in ("unet", "linknet", "fpn", "pspnet"):
        encoders = {row["encoder"] for row in rows if row["architecture"] == architecture}
        assert {family for family in families if any(name.startswith(family) for name in encoders)} == families
    assert len({(row["architecture"], row["encoder"]) for row in rows}) == len(rows) == 42
    for row in rows:
        assert float(row["largest_difference"]) <= 5e-5, row  # as the documentation says
        assert float(row["output_std"]) > 0.01, row
        assert row["parameters"] == row["used_parameters"], row
