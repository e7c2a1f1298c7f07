"""Exported networks: runtimes give Keras' probabilities, what disagrees is not written, files say what they are.

The ONNX and OpenVINO tests need `pip install -r requirements-export.txt` and are skipped without it.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import keras
import numpy as np
import pytest
from own_data import write_cohort

from unet_segnet import layers
from unet_segnet.commands import export as command
from unet_segnet.errors import InputError
from unet_segnet.layers.pooling import _window_parts
from unet_segnet.models import build_model
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.networks import export, export_check
from unet_segnet.networks import load as pretrained

ROOT = Path(__file__).parents[2]
NEEDED = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "saved_model": (), "openvino": ("onnx", "tf2onnx", "openvino")}
NAMES = {"onnx": "network.onnx", "saved_model": "network", "openvino": "network.xml"}
pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="export needs Keras on TensorFlow")


def need(file_format):
    for package in NEEDED[file_format]:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -r requirements-export.txt")


def small_network(shape=(9, 10, 1)):
    """SegNet's layers, one of each: an export that is quick, its pooling of odd size."""
    keras.utils.set_random_seed(0)
    inputs, x = grey_input(shape, mean=127.5)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = keras.layers.ReLU()(layers.BatchNormalization(epsilon=1e-5)(x))
    pooled, places = layers.MaxPooling2D()(x)
    x = layers.MaxUnpooling2D(pad=(shape[0] % 2, shape[1] % 2))([pooled, places])
    return settled(keras.Model(inputs, classifier(keras.layers.Conv2D(2, 3, padding="same")(x)), name="small"))


def settled(model):
    """The network with values of a usual size within, so that probabilities are neither all 0 nor all 1."""
    kernel = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).kernel
    kernel.assign(kernel / 70.0)
    for layer in model.layers:
        layer.momentum = 0.0
    model(noise(model.input_shape[1:]), training=True)  # statistics of batch normalisation
    return model


def noise(shape, num_slices=4):
    return np.random.default_rng(0).integers(0, 256, (num_slices, *shape)).astype("float32")


def run_file(path, file_format, slices):
    """What a user's program would do with the file."""
    if file_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return session.run(["probabilities"], {"slices": slices})[0]
    if file_format == "openvino":
        import openvino

        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return compiled({"slices": slices})["probabilities"]
    import tensorflow as tf

    return tf.saved_model.load(str(path)).signatures["serving_default"](tf.constant(slices))["probabilities"].numpy()


def facts_in(path, file_format):
    if file_format == "onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    if file_format == "openvino":
        import openvino

        found = openvino.Core().read_model(path).get_rt_info()["unet_segnet"]
        return {name: fact.value for name, fact in found.items()}
    return json.loads((path / "assets.extra" / "unet_segnet.json").read_text())


def check_round_trip(model, file_format, tmp_path):
    need(file_format)
    path, slices = tmp_path / NAMES[file_format], noise(model.input_shape[1:])
    facts = {"class_names": ["healthy", "lesion"], "intended_use": "for research, not for clinical use"}
    check = export.export_network(model, path, file_format, facts, slices)
    assert check.passed and check.num_slices == len(slices)
    expected = model.predict_on_batch(slices)
    assert expected.std(axis=(0, 1, 2)).min() > 0.05  # else equal probabilities would mean little
    for batch in (slices, slices[:1]):
        exported = run_file(path, file_format, batch)
        assert exported.dtype == np.float32
        np.testing.assert_allclose(exported, expected[: len(batch)], atol=1e-4)
    found = facts_in(path, file_format)
    assert found["intended_use"] == facts["intended_use"]
    as_text = json.dumps if file_format != "saved_model" else lambda fact: fact
    assert found["class_names"] == as_text(facts["class_names"])
    assert found["checked"] == as_text(vars(check))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "file_format", [pytest.param(name, marks=pytest.mark.slow) if name == "openvino" else name for name in NAMES]
)
def test_a_file_gives_keras_probabilities_and_says_what_it_is(file_format, tmp_path):
    check_round_trip(small_network(), file_format, tmp_path)


def available_memory():
    """Bytes that a process can have: what is free, and the cache of files, which is given up. 0 where it is unknown."""
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text(encoding="ascii").splitlines() if meminfo.is_file() else ()
    return next((int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable:")), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "shape", "file_format"),
    [(net, shape, name) for net, shape in (("segnet", (19, 21, 1)), ("unet", (16, 24, 1))) for name in NAMES],
)
def test_the_released_variants_give_keras_probabilities(net, shape, file_format, tmp_path):
    model = build_model(net, variant="released", input_shape=shape, mean=127.5)
    check_round_trip(settled(model), file_format, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("net", "shape"), [("segnet", (37, 45, 1)), ("unet", (32, 16, 1))])
def test_the_paper_variants_give_keras_probabilities(net, shape, tmp_path):
    """By the command, which chooses kernels that round little enough for networks as deep as these."""
    need("onnx")
    if available_memory() < 14 * 2**30:
        pytest.skip("needs 14 GiB of free memory: the converter holds 30 million weights many times over")
    trained, path = tmp_path / "trained.keras", tmp_path / NAMES["onnx"]
    settled(build_model(net, variant="paper", input_shape=shape, mean=127.5)).save(trained)
    arguments = ["-m", "unet_segnet", "export", str(trained), "--format", "onnx", "--out", str(path)]
    settings = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    checked = json.loads(facts_in(path, "onnx")["checked"])
    assert checked["num_slices"] == command.CHECKED_SLICES
    assert checked["difference"] <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("file_format", NAMES)
def test_the_released_network_on_its_slices(file_format, real_data, tmp_path, capsys):
    need(file_format)
    released = real_data / "results" / "networks" / "segnet2_result" / "segnet2_256_0.001_4_160.mat"
    if not released.is_file():
        pytest.skip(f"needs the authors' network: {released} does not exist")
    path = tmp_path / NAMES[file_format]
    command.export(options(released, path, file_format, check=str(real_data)))
    assert "on 8 slices" in capsys.readouterr().out
    checked = facts_in(path, file_format)["checked"]
    checked = json.loads(checked) if isinstance(checked, str) else checked
    assert checked["difference"] <= 1e-4
    assert checked["num_other_classes"] <= 5


class LastMaximum(layers.MaxPooling2D):
    """Decides ties the other way round: the last maximum wins."""

    def call(self, x):
        parts = _window_parts(x, self.pool_size)
        values, places = parts[0], keras.ops.zeros_like(parts[0], dtype="uint8")
        for place, part in enumerate(parts[1:], 1):
            places = keras.ops.where(part >= values, keras.ops.cast(place, "uint8"), places)
            values = keras.ops.maximum(part, values)
        return values, places


def pooled_network(pooling):
    """Pool, unpool, and amplify what came out; its probabilities and the places of its maxima."""
    slices = keras.Input((6, 6, 1))
    values, places = pooling(slices)
    x = layers.MaxUnpooling2D()([values, places])
    probabilities = keras.layers.Softmax()(keras.layers.Concatenate()([x / 100.0, 1.0 - x / 100.0]))
    return keras.Model(slices, probabilities), keras.Model(slices, [probabilities, places])


def compare_with(watched, slices, change=lambda probabilities, places: (probabilities, places)):
    """Check Keras' own network against `watched`, as if that was an exported one."""

    def run(batch):
        probabilities, places = change(*watched.predict_on_batch(batch))
        return {"probabilities": probabilities, "places_1": places}

    return export_check.compare(pooled_network(layers.MaxPooling2D())[0], run, run, slices)


def even_slices():
    """Windows of one grey level each, as in a background, and one slice without any tie."""
    even = np.kron(np.arange(9).reshape(3, 3) * 20, np.ones((2, 2)))
    return np.stack([even, np.arange(36).reshape(6, 6) * 5])[..., None].astype("float32")


def test_ties_decided_otherwise_are_no_disagreement_but_counted():
    check = compare_with(pooled_network(LastMaximum())[1], even_slices())
    assert check.passed and check.difference == 0.0 and check.largest_lead == 0.0
    assert (check.num_places, check.num_other_places) == (18, 9)
    assert check.difference_with_ties > 0.1
    assert check.num_other_classes > 0


def test_probabilities_that_differ_are_a_disagreement():
    check = compare_with(
        pooled_network(layers.MaxPooling2D())[1], even_slices(), lambda p, places: (p + np.float32(2e-4), places)
    )
    assert not check.passed
    assert check.difference == pytest.approx(2e-4, rel=1e-2)
    assert check.num_other_places == 0


def test_probabilities_that_are_no_numbers_are_a_disagreement():
    check = compare_with(
        pooled_network(layers.MaxPooling2D())[1], even_slices(), lambda p, places: (p * np.float32("nan"), places)
    )
    assert not check.passed


def test_places_that_hold_no_maximum_are_a_disagreement():
    def first_place(probabilities, places):
        return probabilities, np.zeros_like(places)

    check = compare_with(pooled_network(layers.MaxPooling2D())[1], even_slices(), first_place)
    assert not check.passed
    # In the slice without ties the last of each window leads the first by 7 steps of 5; its largest value is 175.
    assert check.largest_lead == pytest.approx(35 / 175)
    assert check.num_other_places == 9


@pytest.fixture
def two_slices(monkeypatch):
    monkeypatch.setattr(command, "CHECKED_SLICES", 2)


def small_keras_file(tmp_path):
    small_network().save(tmp_path / "small.keras")
    return tmp_path / "small.keras"


def options(model, out, file_format="saved_model", check="phantom", force=False):
    return Namespace(model=str(model), format=file_format, out=out, check=check, license=None, force=force)


def test_a_network_that_disagrees_is_not_written(tmp_path, monkeypatch, two_slices):
    path = small_keras_file(tmp_path)
    monkeypatch.setattr(export_check, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match=r"not written, the exported network disagrees: largest difference") as caught:
        command.export(options(path, tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_of_the_second_study_is_refused(tmp_path):
    """Its input is no grey level: what an export says of it would be wrong."""
    inputs = keras.Input((32, 32, 1))
    path = tmp_path / "lung.keras"
    keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs)).save(path)
    for check in ("phantom", "none"):
        with pytest.raises(InputError, match=r"lung\.keras: a network of the second study") as caught:
            command.export(options(path, tmp_path / "out", check=check))
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_exports_an_own_network_and_replaces_only_exports(tmp_path, monkeypatch, capsys, two_slices):
    weights = tmp_path / "weights"
    weights.mkdir()
    small_keras_file(tmp_path).rename(weights / "binary.keras")
    facts = {"net": "segnet", "data": {"classes": ["not infected", "infected"]}}
    (weights / "binary.json").write_text(json.dumps(facts))
    monkeypatch.setattr(pretrained, "WEIGHTS", weights)
    monkeypatch.chdir(tmp_path)
    command.export(options("binary", None))
    out = tmp_path / "binary_saved_model"
    assert capsys.readouterr().out.endswith("written binary_saved_model\n")
    written = facts_in(out, "saved_model")
    assert written["model_facts"] == facts
    assert written["class_names"] == ["not infected", "infected"]
    assert written["checked_on"] == "2 slices of phantom"
    assert "9, 10, 1" in written["input"] and "clinical" in written["intended_use"]

    with pytest.raises(InputError, match="is there already; give another place with `out`, or `force` to replace it"):
        command.export(options("binary", None))
    (out / "old").touch()
    with pytest.raises(InputError, match="holds 'old', which this command did not write and never removes"):
        command.export(options("binary", None, check="none", force=True))
    (out / "old").rename(out / "assets" / "old")
    command.export(options("binary", None, check="none", force=True))
    assert "not checked" in capsys.readouterr().out
    assert not (out / "assets" / "old").exists()
    assert facts_in(out, "saved_model")["checked"] == "no"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["binary_saved_model", "weights"]
    with pytest.raises(InputError, match=r"no saved_model\.pb\) and is never replaced"):
        command.export(options("binary", weights, force=True))


def test_mixed_precision_leaves_in_float32(tmp_path):
    from unet_segnet.training.compilation import dtype_policy

    with dtype_policy("mixed_bfloat16"):
        model = small_network()
    slices = noise(model.input_shape[1:], 2)
    assert export.export_network(model, tmp_path / "out", "saved_model", {}, slices).difference <= 1e-6
    exact = small_network()
    exact.set_weights(model.get_weights())
    np.testing.assert_allclose(
        run_file(tmp_path / "out", "saved_model", slices), exact.predict_on_batch(slices), atol=1e-5
    )


@pytest.mark.parametrize(
    ("file_format", "name", "there", "message"),
    [
        ("onnx", "out.xml", None, r"ends in \.onnx"),
        ("openvino", "out.onnx", None, r"ends in \.xml"),
        ("onnx", "none/out.onnx", None, "there is no folder"),
        ("onnx", "out.onnx", "folder", "is no earlier export"),
        ("openvino", "out.xml", "out.bin", None),
        ("saved_model", "out", "file", "is no earlier export"),
    ],
)
def test_paths_that_cannot_be_written(file_format, name, there, message, tmp_path):
    path = tmp_path / name
    if there == "folder":
        path.mkdir()
    elif there:
        (path if there == "file" else tmp_path / there).touch()
    if message is None:
        with pytest.raises(InputError, match=r"out\.bin: is there already"):
            export.check_target(path, file_format)
        export.check_target(path, file_format, force=True)
    else:
        with pytest.raises(InputError, match=message):
            export.check_target(path, file_format, force=True)


def test_missing_packages_are_one_line(monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx, tf2onnx, openvino.*requirements-export\.txt"):
        command.require_packages("openvino")
    command.require_packages("saved_model")


def test_slices_to_check_fit_the_network(two_slices):
    slices = command.slices_to_check("phantom", (None, 40, 48, 3))
    assert slices.shape == (2, 40, 48, 3) and slices.dtype == np.uint8
    assert (slices[..., 0] == slices[..., 2]).all()
    assert np.ptp(slices, axis=(1, 2, 3)).min() > 50  # each shows something


def test_slices_to_check_may_be_of_ones_own_scans(tmp_path):
    slices = command.slices_to_check(str(write_cohort(tmp_path / "own", 3)), (None, 32, 32, 1))
    assert slices.shape == (8, 32, 32, 1) and slices.any(axis=(1, 2, 3)).all()


def test_grey_levels_are_those_of_the_networks_window():
    network = small_network()
    assert export.describe_network(network, "a", ("b", "c"))["grey_levels"].startswith(
        "-1100 HU and less are 0, 400 HU"
    )
    network.window = (-1000.0, 200.0)
    assert export.describe_network(network, "a", ("b", "c"))["grey_levels"].startswith(
        "-1000 HU and less are 0, 200 HU"
    )
