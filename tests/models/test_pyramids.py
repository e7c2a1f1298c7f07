"""The networks of the second study: their parameters, names and parts as published; see `test_networks.py` too."""

import functools
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from tables import read_records

from unet_segnet.models import build_model
from unet_segnet.models.decoders import DECODERS
from unet_segnet.models.encoders import ENCODERS

ROOT = Path(__file__).parents[2]
SMALL = {"unet": "mobilenet_v2", "linknet": "resnet18", "fpn": "mobilenet_v2", "pspnet": "resnet18"}


def predictions(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def without_values(architecture, encoder):
    """A network whose weights have shapes alone: drawing their values takes most of the time."""
    with keras.StatelessScope(initialize_variables=False):
        return build_model(architecture, encoder=encoder, input_shape=(32, 32, 1))


@functools.cache
def small(architecture):
    return without_values(architecture, SMALL[architecture])


@pytest.mark.slow
def test_all_100_networks_have_exactly_the_used_parameters(reference):
    rows = read_records(reference / "bizopoulos2021" / "parameter_counts.csv")
    assert {(row["architecture"], row["encoder"]) for row in rows} == {(a, e) for a in DECODERS for e in ENCODERS}
    wrong = []
    for row in rows:
        model = without_values(row["architecture"], row["encoder"])
        used = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        if used != int(row["used_parameters"]):
            wrong.append((row["architecture"], row["encoder"], used))
        keras.backend.clear_session(free_memory=False)
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "encoder"), SMALL.items())
def test_probabilities_of_large_slices(architecture, encoder):
    model = build_model(architecture, encoder=encoder, input_shape=(512, 512, 1))
    probabilities = predictions(model, np.random.default_rng(0).standard_normal((1, 512, 512, 1)))
    assert probabilities.shape == (1, 512, 512, 1)
    assert 0 <= probabilities.min() < probabilities.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "unet", "input_shape": (250, 256, 1)}, "multiples of 32"),
        ({"architecture": "linknet", "input_shape": (48, 64, 1)}, r"multiples of 32.*Received: input_shape=\(48"),
        ({"architecture": "fpn", "input_shape": (64, 80, 1)}, "multiples of 32"),
        ({"architecture": "fpn", "input_shape": (0, 64, 1)}, "multiples of 32"),
        ({"architecture": "fpn", "input_shape": (None, None, 1)}, "multiples of 32"),
        ({"architecture": "pspnet", "input_shape": (60, 64, 1)}, "multiples of 8"),
        ({"architecture": "unet", "input_shape": (64, 64, 3)}, r"must be \(height, width, 1\)"),
        ({"architecture": "segnet"}, "one of unet, linknet, fpn, pspnet. Received: architecture='segnet'"),
        ({"architecture": "unet", "encoder": "resnet19"}, "Received: encoder='resnet19'"),
        ({"architecture": "unet", "variant": "paper"}, "variant, mean and draw belong to .*variant='paper'"),
        ({"architecture": "unet", "variant": "released"}, "variant, mean and draw belong to .*variant='released'"),
        ({"architecture": "unet", "mean": 100.0}, "variant, mean and draw belong to .*mean=100.0"),
        ({"architecture": "unet", "draw": np.zeros}, "variant, mean and draw belong to"),
        ({"architecture": "unet", "num_classes": 0}, "Received: num_classes=0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(**({"encoder": "resnet18"} | arguments))


def test_a_pyramid_architecture_without_encoder_is_refused():
    with pytest.raises(ValueError, match=r"or needs an encoder\. Received: architecture='fpn'"):
        build_model("fpn")


def test_unet_without_encoder_is_still_the_first_studys():
    with keras.StatelessScope(initialize_variables=False):
        assert build_model("unet", input_shape=(32, 32, 1), draw=np.zeros).name == "unet_paper"
    assert small("unet").name == "unet-mobilenet_v2"


@pytest.mark.parametrize("architecture", SMALL)
def test_table_1(architecture):
    """'Comprehensive comparison', Table I."""
    model = small(architecture)
    layers = {layer.name: layer for layer in model.layers}
    dropouts = {name: layer.rate for name, layer in layers.items() if isinstance(layer, keras.layers.SpatialDropout2D)}
    normalised = [name for name in layers if "decoder" in name and hasattr(layers[name], "moving_mean")]
    if architecture == "unet":
        assert [layers[f"decoder-blocks-{block}-conv2-0"].filters for block in range(5)] == [256, 128, 64, 32, 16]
        assert len(normalised) == 10
    elif architecture == "linknet":
        assert len(normalised) == 15
    elif architecture == "fpn":
        assert [layers[f"decoder-p{level}-skip_conv"].filters for level in (4, 3, 2)] == [256] * 3
        assert [layers[f"decoder-seg_blocks-{n}-block-0-block-0"].filters for n in range(4)] == [128] * 4
        assert isinstance(layers["decoder-merge"], keras.layers.Add)
        assert not normalised
    else:
        assert layers["decoder-conv-0"].filters == 512
        assert not any(name.startswith(("encoder-layer3", "encoder-layer4")) for name in layers)
    assert dropouts == ({"decoder-dropout": 0.2} if architecture in ("fpn", "pspnet") else {})


@pytest.mark.parametrize(
    ("architecture", "name", "kind"),
    [
        ("unet", "decoder-blocks-4-conv1-0", "Conv2D"),
        ("unet", "segmentation_head-0", "Conv2D"),
        ("linknet", "decoder-blocks-0-block-1-0", "Conv2DTranspose"),
        ("linknet", "decoder-blocks-4-block-2-1", "BatchNormalization"),
        ("fpn", "decoder-p5", "Conv2D"),
        ("fpn", "decoder-seg_blocks-0-block-2-block-1", "GroupNormalization"),
        ("pspnet", "decoder-psp-blocks-0-pool-1-0", "Conv2D"),
        ("pspnet", "decoder-psp-blocks-3-pool-1-1", "BatchNormalization"),
    ],
)
def test_layers_are_named_as_the_published_modules(architecture, name, kind):
    assert type(small(architecture).get_layer(name)).__name__ == kind


def test_only_vggs_bare_pooling_gets_two_more_convolutions():
    for model, names in (
        (without_values("unet", "vgg11"), ["decoder-center-0-0", "decoder-center-1-0"]),
        (small("unet"), []),
    ):
        assert [layer.name for layer in model.layers if "-center-" in layer.name and layer.name.endswith("-0")] == names


def test_a_seed_draws_weights_and_dropout_masks():
    """Of the encoder too: EfficientNet leaves out whole blocks in training."""
    x = np.random.default_rng(0).standard_normal((4, 32, 32, 1), dtype="float32")
    found = []
    for seed in (7, 7, 8):
        model = build_model("unet", encoder="efficientnet-b0", input_shape=(32, 32, 1), seed=seed)
        found.append(keras.ops.convert_to_numpy(model(x, training=True)))
    np.testing.assert_array_equal(*found[:2])
    assert not np.allclose(found[0], found[2])
    build_model("unet", encoder="efficientnet-b0", input_shape=(32, 32, 1), seed=2**40)


def test_unet_repeats_pixels():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")
    layer = small("unet").get_layer("decoder-blocks-0-upsampling")
    np.testing.assert_array_equal(layer(x), x.repeat(2, axis=1).repeat(2, axis=2))


PREDICT = """
import sys
import numpy as np
from unet_segnet.models import build_model
model = build_model(sys.argv[1], encoder=sys.argv[2], input_shape=(64, 64, 1), seed=5)
x = np.random.default_rng(0).standard_normal((2, 64, 64, 1)).astype("float32")
np.save(sys.argv[3], model.predict_on_batch(x))
"""


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """What a backend makes of a network, `predicted(backend, architecture, encoder)`, computed once each."""
    folder = tmp_path_factory.mktemp("predicted")

    @functools.cache
    def predict(backend, *network):
        file = folder / f"{'-'.join((backend, *network))}.npy"
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run([sys.executable, "-c", PREDICT, *network, str(file)], check=True, cwd=ROOT, env=environment)
        return np.load(file, allow_pickle=False)

    return predict


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [("fpn", "resnext50_32x4d"), ("linknet", "mobilenet_v2"), ("pspnet", "densenet121")], ids="-".join
)
@pytest.mark.parametrize("other", ["jax", "torch"])
def test_every_backend_builds_and_runs_the_same_network(other, network, predicted):
    pytest.importorskip(other, reason=f"needs {other}: pip install -r requirements-{other}.txt")
    ours, theirs = (predicted(backend, *network) for backend in ("tensorflow", other))
    assert ours.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
