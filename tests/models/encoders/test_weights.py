"""Encoder weights from files: the right ones come into the right places, and nothing else is taken."""

import hashlib
import pickle

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from unet_segnet.errors import InputError
from unet_segnet.models import build_model
from unet_segnet.models.encoders import ENCODERS, weights
from unet_segnet.models.encoders.blocks import batch_norm, convolution, depthwise_convolution, draw_weights
from unet_segnet.models.encoders.weights import assign_tensors, load_encoder_weights, model_tensors

ENCODER = "resnet18"


def network(seed=0, **options):
    return build_model("pspnet", encoder=ENCODER, input_shape=(32, 32, 1), seed=seed, **options)


@pytest.fixture(scope="module")
def random_network():
    """For tests that do not change it."""
    return network()


@pytest.fixture(scope="module")
def published():
    """Random tensors of a whole ResNet-18 for three channels, as published: PyTorch's names and layout, and a head."""
    inputs = keras.Input((32, 32, 3))
    encoder = keras.Model(inputs, ENCODERS[ENCODER](inputs))
    draw_weights(encoder, seed=7)
    rng = np.random.default_rng(7)
    tensors = {name.removeprefix("encoder."): tensor for name, tensor in model_tensors(encoder).items()}
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            tensors[name] = rng.uniform(0.5, 1.5, tensor.shape).astype("float32")
    return tensors | {
        "fc.weight": np.zeros((1000, 512), "float32"),
        "fc.bias": np.zeros(1000, "float32"),
        "bn1.num_batches_tracked": np.array(3),
    }


@pytest.fixture
def file(published, tmp_path):
    """A function that writes those tensors, some of them changed or (None) left out."""

    def write(changes=None, name="encoder.safetensors"):
        tensors = {key: tensor for key, tensor in (published | (changes or {})).items() if tensor is not None}
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    return write


def numpy_convolution(x, weight, groups=1):
    """PyTorch's convolution with (k - 1) // 2 zeros around, written out: x (C, H, W), weight (O, C / groups, k, l)."""
    rows, columns = weight.shape[2:]
    padded = np.pad(x, ((0, 0), ((rows - 1) // 2,) * 2, ((columns - 1) // 2,) * 2))
    outputs = []
    for number, kernel in enumerate(weight):
        start = number // (len(weight) // groups) * weight.shape[1]
        channels = padded[start : start + weight.shape[1]]
        windows = np.lib.stride_tricks.sliding_window_view(channels, (rows, columns), axis=(1, 2))
        outputs.append(np.einsum("chwkl,ckl->hw", windows, kernel))
    return np.array(outputs)


def test_tensors_mean_what_they_mean_in_pytorch():
    """Plain, grouped and depthwise convolutions and batch normalisation, against their definition in PyTorch."""
    rng = np.random.default_rng(0)
    tensors = {
        "plain.weight": rng.normal(size=(4, 2, 1, 3)),
        "grouped.weight": rng.normal(size=(6, 2, 3, 3)),
        "grouped.bias": rng.normal(size=6),
        "depthwise.weight": rng.normal(size=(6, 1, 3, 3)),
        "norm.weight": rng.normal(size=6),
        "norm.bias": rng.normal(size=6),
        "norm.running_mean": rng.normal(size=6),
        "norm.running_var": rng.uniform(0.5, 2, size=6),
    }
    inputs = keras.Input((5, 7, 2))
    x = convolution(inputs, 4, (1, 3), "plain")
    x = convolution(x, 6, 3, "grouped", groups=2, use_bias=True)
    x = batch_norm(depthwise_convolution(x, 3, "depthwise"), "norm", epsilon=1e-3)
    model = keras.Model(inputs, x)
    assign_tensors(model, tensors, "the test")

    image = rng.normal(size=(2, 5, 7))
    expected = numpy_convolution(image, tensors["plain.weight"])
    expected = numpy_convolution(expected, tensors["grouped.weight"], groups=2)
    expected += tensors["grouped.bias"][:, None, None]
    expected = numpy_convolution(expected, tensors["depthwise.weight"], groups=6)
    weight, bias, mean, variance = (tensors[f"norm.{part}"][:, None, None] for part in weights_of_norm())
    expected = (expected - mean) / np.sqrt(variance + 1e-3) * weight + bias
    ours = keras.ops.convert_to_numpy(model(image.transpose(1, 2, 0)[None], training=False))[0].transpose(2, 0, 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    for name, tensor in model_tensors(model).items():
        np.testing.assert_allclose(tensor, tensors[name], rtol=1e-6, err_msg=name)


def weights_of_norm():
    return "weight", "bias", "running_mean", "running_var"


def test_a_published_file_fills_the_encoder_alone(published, file, random_network):
    model, before = network(encoder_weights=file()), model_tensors(random_network)
    after = model_tensors(model)
    for name, tensor in after.items():
        if name.startswith("encoder.") and name != "encoder.conv1.weight":
            np.testing.assert_array_equal(tensor, published[name.removeprefix("encoder.")], err_msg=name)
        elif name != "encoder.conv1.weight":
            np.testing.assert_array_equal(tensor, before[name], err_msg=name)
    # A grey slice is what a picture with three equal channels was.
    rgb = published["conv1.weight"]
    np.testing.assert_allclose(after["encoder.conv1.weight"][:, 0], rgb[:, 0] + rgb[:, 1] + rgb[:, 2], rtol=1e-6)


def test_a_file_of_a_whole_network_fills_the_encoder_alone(published, tmp_path):
    whole = {f"encoder.{name}": tensor for name, tensor in published.items()}
    save_file(whole | {"decoder.blocks.0.weight": np.zeros(3, "float32")}, tmp_path / "whole.safetensors")
    loaded = model_tensors(network(encoder_weights=tmp_path / "whole.safetensors"))
    np.testing.assert_array_equal(loaded["encoder.bn1.weight"], published["bn1.weight"])


def test_a_network_of_this_project_fills_the_encoder_alone(tmp_path, random_network):
    trained = network(seed=5)
    trained.save(tmp_path / "trained.keras")
    expected, random = model_tensors(trained), model_tensors(random_network)
    for name, tensor in model_tensors(network(seed=0, encoder_weights=tmp_path / "trained.keras")).items():
        np.testing.assert_array_equal(tensor, (expected if name.startswith("encoder.") else random)[name])
    build_model("segnet", variant="released", input_shape=(16, 16, 1)).save(tmp_path / "segnet.keras")
    with pytest.raises(InputError, match=r"segnet\.keras.*no encoder"):
        network(encoder_weights=tmp_path / "segnet.keras")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer1.0.conv1.weight": None}, r"layer1\.0\.conv1\.weight is missing"),
        ({"bn1.running_var": None, "bn1.bias": None}, r"bn1\.\w+ and 1 more are missing"),
        ({"conv1.weight": np.zeros((64, 2, 7, 7), "float32")}, r"conv1\.weight has shape \(64, 2, 7, 7\), expected"),
        ({"layer1.0.conv1.weight": np.zeros((64, 3, 3, 3), "float32")}, r"has shape \(64, 3, 3, 3\), expected"),
        ({"bn1.bias": np.zeros((1, 64), "float32")}, r"bn1\.bias has shape \(1, 64\), expected \(64,\)"),
        ({"layer5.0.conv1.weight": np.zeros(1, "float32")}, r"layer5\.0\.conv1\.weight is no part of resnet18"),
        ({"bn1.weight": np.full(64, np.nan, "float32")}, r"bn1\.weight .* not finite"),
    ],
)
def test_what_does_not_fit_is_one_line_and_changes_nothing(file, random_network, changes, message):
    model = random_network
    before = model_tensors(model)
    with pytest.raises(InputError, match=r"encoder\.safetensors.*" + message) as caught:
        load_encoder_weights(model, ENCODER, file(changes))
    assert "\n" not in str(caught.value)
    for name, tensor in model_tensors(model).items():
        np.testing.assert_array_equal(tensor, before[name])


def test_another_encoders_file_is_refused(file):
    with pytest.raises(InputError, match="no part of vgg11"):
        build_model("pspnet", encoder="vgg11", input_shape=(32, 32, 1), encoder_weights=file())


def test_what_is_no_file_of_weights_is_one_line(file, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    content = pickle.dumps(Harmful())
    (tmp_path / "resnet18.pth").write_bytes(content)
    (tmp_path / "renamed.safetensors").write_bytes(content)
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "cut.safetensors").write_bytes(file().read_bytes()[:100_000])
    (tmp_path / "text.txt").write_text("weights")
    for name, message in {
        "resnet18.pth": "pickle can run code",
        "renamed.safetensors": "damaged or no safetensors",
        "empty.safetensors": "damaged or no safetensors",
        "cut.safetensors": "damaged or no safetensors",
        "text.txt": "unknown format",
        "none.safetensors": "no such file",
        "none.keras": "no such file",
    }.items():
        with pytest.raises(InputError, match=f"{name}.*{message}") as caught:
            weights.read_tensors(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_imagenet_weights_are_taken_from_their_folder_or_the_way_to_them_is_told(
    published, file, tmp_path, monkeypatch
):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"smp-hub/resnet18\.imagenet/resolve/3f23.*imagenet.resnet18\.safetensors"):
        network(encoder_weights="imagenet")
    (tmp_path / "imagenet").mkdir()
    file(name="imagenet/resnet18.safetensors")
    loaded = model_tensors(network(encoder_weights="imagenet"))
    np.testing.assert_array_equal(loaded["encoder.bn1.weight"], published["bn1.weight"])


def test_imagenet_weights_are_known_by_their_content(tmp_path, monkeypatch):
    """By their file's, or by that of the tensors where Keras has them."""
    contents = {}
    for home, content in (("one", b"1"), ("other", b"2")):
        monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / home))
        (tmp_path / home / "imagenet").mkdir(parents=True)
        (tmp_path / home / "imagenet" / "resnet18.safetensors").write_bytes(content)
        contents[home] = weights.imagenet_sha256("resnet18")
        with pytest.raises(InputError, match=r"no ImageNet weights of vgg11"):
            weights.imagenet_sha256("vgg11")
    assert contents == {key: hashlib.sha256(value).hexdigest() for key, value in (("one", b"1"), ("other", b"2"))}
    found = []
    for home, last in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        tensors = {"conv.weight": np.array([0.0, last], "float32")}
        monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / home))
        monkeypatch.setattr(weights, "imagenet_tensors", lambda encoder, tensors=tensors: (tensors, "Keras"))
        found.append(weights.imagenet_sha256("densenet121"))
    assert found[0] == found[1] != found[2] and len(found[0]) == 64


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("Name or service\nnot known")

    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    monkeypatch.setattr(weights, "keras_network", no_network)
    with pytest.raises(InputError, match=r"densenet121 \(Name or service not known\): download https") as caught:
        weights.imagenet_tensors("densenet121")
    assert "\n" not in str(caught.value)


def test_of_a_new_encoder_the_place_of_its_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"ImageNet weights of mynet: put them there as .*imagenet/mynet\.safetensors"):
        weights.imagenet_tensors("mynet")


def test_every_encoder_has_its_place_in_the_hub():
    assert weights.REVISIONS.keys() == ENCODERS.keys()
    assert all(len(revision) == 40 for revision in weights.REVISIONS.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "last"),
    [("densenet121", "bn"), ("efficientnet-b0", "block7a_project_bn"), ("efficientnet-b1", "block7b_add")],
)
def test_keras_has_the_same_network(encoder, last, tmp_path, monkeypatch):
    """DenseNet and EfficientNet of keras.applications with random weights give ours the same features."""
    source = weights.keras_network(encoder, weights=None)
    rng = np.random.default_rng(0)
    for variable in source.weights:
        if variable.name == "kernel":
            channels = 1 if variable.shape[3] == 1 else variable.shape[2]
            variable.assign(rng.normal(0, (2 / (channels * np.prod(variable.shape[:2]))) ** 0.5, variable.shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))
        elif variable.name in ("beta", "moving_mean") or variable.path.endswith("bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    monkeypatch.setattr(weights, "keras_network", lambda name: source)
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, ENCODERS[encoder](inputs)["P5"])
    load_encoder_weights(model, encoder, "imagenet")

    body = keras.Model(source.inputs, source.get_layer(last).output)
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    scaled = images
    if not encoder.startswith("densenet"):  # Keras' EfficientNet normalises its input itself
        normalised = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization)).output
        scaled = keras.Model(source.inputs, normalised).predict_on_batch(images)
    expected = body.predict_on_batch(images)
    np.testing.assert_allclose(model.predict_on_batch(scaled), expected, rtol=1e-3, atol=1e-3 * expected.std())
