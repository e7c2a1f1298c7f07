"""The networks of the second study: built, resampled, saved and trained as they should be."""

import csv
import functools
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.ndimage import zoom

from unet_segnet.layers.resampling import AdaptiveAveragePooling2D, BilinearResizing
from unet_segnet.models import build_model
from unet_segnet.models.decoders import DECODERS
from unet_segnet.models.encoders import ENCODERS

ROOT = Path(__file__).parents[2]
SMALL = {"unet": "mobilenet_v2", "linknet": "resnet18", "fpn": "mobilenet_v2", "pspnet": "resnet18"}


def images(size, batch=2, seed=0):
    return np.random.default_rng(seed).standard_normal((batch, *size, 1)).astype("float32")


def predictions(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@functools.cache
def small(architecture, size=(64, 64)):
    """A network of the architecture, not to be changed."""
    return build_model(architecture, encoder=SMALL[architecture], input_shape=(*size, 1))


@pytest.mark.slow
def test_all_100_networks_have_exactly_the_used_parameters(reference):
    with open(reference / "bizopoulos2021" / "parameter_counts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["architecture"], row["encoder"]) for row in rows} == {(a, e) for a in DECODERS for e in ENCODERS}
    wrong = []
    for row in rows:
        with keras.StatelessScope(initialize_variables=False):  # values that nothing needs take most of the time
            model = build_model(row["architecture"], encoder=row["encoder"], input_shape=(32, 32, 1))
        used = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        if used != int(row["used_parameters"]):
            wrong.append((row["architecture"], row["encoder"], used))
        keras.backend.clear_session(free_memory=False)
    assert not wrong


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (32, 64)])
@pytest.mark.parametrize("architecture", SMALL)
def test_probabilities_of_the_input_size(architecture, size):
    probabilities = predictions(small(architecture, size), images(size))
    assert probabilities.shape == (2, *size, 1)
    assert probabilities.dtype == np.float32
    assert 0 <= probabilities.min() < probabilities.max() <= 1
    assert probabilities.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 384, 512])
@pytest.mark.parametrize(("architecture", "encoder"), SMALL.items())
def test_probabilities_of_large_slices(architecture, encoder, size):
    model = build_model(architecture, encoder=encoder, input_shape=(size, size, 1))
    probabilities = predictions(model, images((size, size), batch=1))
    assert probabilities.shape == (1, size, size, 1)
    assert 0 <= probabilities.min() < probabilities.max() <= 1


def test_more_classes_give_a_softmax():
    model = build_model("pspnet", encoder="resnet18", input_shape=(32, 32, 1), num_classes=3)
    probabilities = predictions(model, images((32, 32)))
    assert probabilities.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_pspnet_takes_multiples_of_eight():
    model = build_model("pspnet", encoder="resnet18", input_shape=(40, 56, 1))
    assert predictions(model, images((40, 56))).shape == (2, 40, 56, 1)


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
    assert build_model("unet", input_shape=(32, 32, 1)).name == "unet_paper"
    assert build_model("unet", encoder="mobilenet_v2", input_shape=(32, 32, 1)).name == "unet-mobilenet_v2"


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


@pytest.mark.parametrize(
    ("model", "has_center"),
    [(lambda: build_model("unet", encoder="vgg11", input_shape=(32, 32, 1)), True), (lambda: small("unet"), False)],
)
def test_only_vggs_bare_pooling_gets_two_more_convolutions(model, has_center):
    model = model()
    assert [layer.name for layer in model.layers if "-center-" in layer.name and layer.name.endswith("-0")] == (
        ["decoder-center-0-0", "decoder-center-1-0"] if has_center else []
    )


@pytest.mark.parametrize(("size", "factor"), [((3, 5), 2), ((4, 7), 4), ((6, 2), 8), ((1, 4), 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_bilinear_upsampling_keeps_the_corners(size, factor, channels):
    x = np.random.default_rng(0).standard_normal((2, *size, channels)).astype("float32")
    # SciPy's grid_mode=False lays the outermost pixels on each other, as align_corners=True does.
    expected = zoom(x, (1, factor, factor, 1), order=1, grid_mode=False)
    layer = BilinearResizing((factor * size[0], factor * size[1]))
    y = keras.ops.convert_to_numpy(layer(x))
    assert layer.compute_output_shape(x.shape) == y.shape
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(y[:, [0, 0, -1, -1], [0, -1, 0, -1]], x[:, [0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-6)


@pytest.mark.parametrize("size", [(12, 18), (8, 5), (4, 4)])
@pytest.mark.parametrize("regions", [1, 2, 3, 6])
def test_adaptive_pooling_averages_overlapping_regions(size, regions):
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32")
    expected = np.empty((2, regions, regions, 3))
    for r in range(regions):
        for c in range(regions):
            top, left = math.floor(r * size[0] / regions), math.floor(c * size[1] / regions)
            bottom, right = math.ceil((r + 1) * size[0] / regions), math.ceil((c + 1) * size[1] / regions)
            expected[:, r, c] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    y = keras.ops.convert_to_numpy(AdaptiveAveragePooling2D((regions, regions))(x))
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_unet_repeats_pixels():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")
    layer = small("unet").get_layer("decoder-blocks-0-upsampling")
    np.testing.assert_array_equal(layer(x), x.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("unet", "mobilenet_v2"), ("linknet", "resnet18"), ("fpn", "mobilenet_v2"), ("pspnet", "resnext50_32x4d")],
)
def test_save_and_load_give_the_same_predictions(architecture, encoder, tmp_path):
    model = build_model(architecture, encoder=encoder, input_shape=(32, 64, 1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    x = images((32, 64))
    np.testing.assert_array_equal(predictions(model, x), predictions(loaded, x))


# Each family once.
TRAINED = [
    ("unet", "vgg11"),
    ("linknet", "resnet18"),
    ("fpn", "mobilenet_v2"),
    ("pspnet", "resnext50_32x4d"),
    pytest.param("unet", "resnext50_32x4d", marks=pytest.mark.slow),
    pytest.param("fpn", "densenet121", marks=pytest.mark.slow),
    pytest.param("linknet", "dpn68", marks=pytest.mark.slow),
    pytest.param("pspnet", "xception", marks=pytest.mark.slow),
    pytest.param("unet", "inceptionv4", marks=pytest.mark.slow),
    pytest.param("unet", "efficientnet-b0", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("architecture", "encoder"), TRAINED)
def test_one_step_changes_every_trainable_variable(architecture, encoder):
    model = build_model(architecture, encoder=encoder, input_shape=(32, 32, 1))
    # Adam divides by the gradient's size, so that small gradients show too.
    # Compiling a graph for one step would take ten times as long.
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", run_eagerly=True)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    model.train_on_batch(images((32, 32), batch=3), (images((32, 32), batch=3, seed=1) > 0).astype("float32"))
    unchanged = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(keras.ops.convert_to_numpy(weight), old)
    ]
    assert not unchanged


def test_output_stays_in_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model("pspnet", encoder="resnext50_32x4d", input_shape=(32, 32, 1))
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("encoder-layer1-0-conv2").compute_dtype == "bfloat16"
    assert model.get_layer("segmentation_head-1").compute_dtype == "float32"
    assert predictions(model, images((32, 32))).dtype == np.float32


PREDICT = """
import sys
import numpy as np
from unet_segnet.models import build_model
model = build_model(sys.argv[1], encoder=sys.argv[2], input_shape=(64, 64, 1), seed=5)
x = np.random.default_rng(0).standard_normal((2, 64, 64, 1)).astype("float32")
np.save(sys.argv[3], model.predict_on_batch(x))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder"), [("fpn", "resnext50_32x4d"), ("linknet", "mobilenet_v2"), ("pspnet", "densenet121")]
)
@pytest.mark.parametrize("other", ["jax", "torch"])
def test_every_backend_builds_and_runs_the_same_network(other, architecture, encoder, tmp_path, monkeypatch):
    pytest.importorskip(other, reason=f"needs {other}: pip install -r requirements-{other}.txt")
    results = []
    for backend in ("tensorflow", other):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        file = tmp_path / f"{backend}.npy"
        subprocess.run([sys.executable, "-c", PREDICT, architecture, encoder, str(file)], check=True, cwd=ROOT)
        results.append(np.load(file, allow_pickle=False))
    assert results[0].std() > 1e-3
    np.testing.assert_allclose(*results, atol=1e-4)
