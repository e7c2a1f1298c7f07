"""What the bench times is what it says: our networks as they train, and PyTorch's with the same work in them."""

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from experiments.bench import keras_networks as bench_keras
from experiments.bench.slices import CLASS_WEIGHTS, made_up_slices
from unet_segnet.devices import Accelerator
from unet_segnet.models import build_model, registry
from unet_segnet.models.cost import multiply_adds
from unet_segnet.training.class_weighted import Recipe, compile_model

NETWORKS = [(net, variant) for net in ("segnet", "unet") for variant in ("released", "paper")]
RECIPE = Recipe(batch_size=2, l2=0.05, up_bias_factor=3.0)


def noise(levels=256, num_slices=2, size=32):
    """Slices without equal neighbours: among equal maxima of a window, rounding would decide which one counts."""
    generator = np.random.default_rng(1)
    shape = (num_slices, size, size)
    return generator.integers(0, levels, shape, dtype=np.uint8), generator.integers(0, 2, shape, dtype=np.uint8)


def scramble(model):
    """Give normalisations parameters that matter."""
    generator = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(generator.uniform(0.5, 1.5, shape))
            layer.beta.assign(generator.normal(0, 0.3, shape))
            layer.moving_mean.assign(generator.normal(0, 1, shape))
            layer.moving_variance.assign(generator.uniform(1, 3, shape))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch, which the comparison uses and the project does not")


def twins(net, variant, mean):
    """Our network and PyTorch's with the same weights."""
    from experiments.bench.torch_networks import NETWORKS as TWINS
    from experiments.bench.torch_networks import copy_weights

    model = build_model(net, variant, 2, (32, 32, 1), mean=mean)
    scramble(model)
    twin = TWINS[net](variant, mean=mean)
    copy_weights(model, twin)
    return model, twin


@pytest.mark.parametrize(("net", "variant"), NETWORKS)
def test_the_same_network_in_pytorch(net, variant, torch):
    model, twin = twins(net, variant, mean=20.0)
    counted = (tensor for name, tensor in twin.state_dict().items() if not name.endswith("num_batches_tracked"))
    assert sum(tensor.numel() for tensor in counted) == model.count_params()
    images, _ = noise()
    twin.eval()
    with torch.no_grad():
        theirs = torch.softmax(twin(torch.from_numpy(images)[:, None]), 1).permute(0, 2, 3, 1).numpy()
    ours = np.asarray(model.predict_on_batch(images[..., None]))
    assert ours.std() > 0.01
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.parametrize("net", ["segnet", "unet"])
def test_the_same_training_in_pytorch(net, torch):
    levels = {"segnet": 256, "unet": 5}[net]  # of higher contrast, an untrained U-Net would be certain of everything
    model, twin = twins(net, "released", mean=levels / 2)
    from experiments.bench.torch_networks import make_optimizer, make_step

    images, labels = noise(levels)
    labels[0, :8] = 255
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    if net == "unet":
        twin.dropout.p = 0.0
    log = compile_model(model, RECIPE, np.array(CLASS_WEIGHTS), iterations=1)
    model.run_eagerly = True
    before = [np.asarray(weight).copy() for weight in model.trainable_weights]
    model.train_on_batch(images[..., None], labels)
    optimizer = make_optimizer(twin, RECIPE.learning_rate, RECIPE.l2, RECIPE.up_bias_factor)
    step, infer = make_step(twin, optimizer)
    loss_and_accuracy = [float(value) for value in step(*map(torch.from_numpy, (images, labels)))]
    np.testing.assert_allclose(np.asarray(log.values)[0], loss_and_accuracy, rtol=1e-4)
    assert infer(torch.from_numpy(images)).shape == labels.shape

    modules = dict(twin.named_modules())
    for weight, start, momentum in zip(model.trainable_weights, before, model.optimizer._momentums, strict=True):
        layer, name = weight.path.rsplit("/", 1)
        theirs = modules[layer].bias if name in ("bias", "beta") else modules[layer].weight
        gradient = _like_ours(optimizer.state[theirs]["exp_avg"])  # a tenth of it, with L2
        ours = np.asarray(momentum)
        assert np.abs(gradient - ours).max() < 1e-3 * np.abs(ours).max(), weight.path
        # Adam's epsilon stands before the bias correction in Keras, behind it in PyTorch: tiny gradients move less.
        moved, moved_there = np.asarray(weight) - start, _like_ours(theirs) - start
        assert np.abs(moved_there - moved).mean() < 0.1 * np.abs(moved).mean(), weight.path


def _like_ours(tensor):
    array = tensor.detach().numpy()
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def test_multiply_adds_are_those_of_the_convolutions():
    inputs = keras.Input((8, 6, 3))
    x = keras.layers.Conv2D(5, 3, padding="same")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(7, 1)(x)
    x = keras.layers.Conv2DTranspose(2, 2, strides=2)(x)
    first, second, third = 8 * 6 * 9 * 3 * 5, 4 * 3 * 5 * 7, 4 * 3 * 4 * 7 * 2
    forward = first + second + third
    assert multiply_adds(keras.Model(inputs, x)) == (forward, 3 * forward - first)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="layers are timed alone under TensorFlow only")
@pytest.mark.parametrize(("net", "variant"), NETWORKS)
def test_pieces_cover_the_network(net, variant):
    from experiments.bench.layers import CONVOLUTION, KINDS, NORMALISATION, POOLING, network_pieces

    with keras.StatelessScope(initialize_variables=False):  # the shapes of its weights are enough
        model = registry.NETWORKS[net].build((32, 32, 1), 2, variant, 0.0)
    pieces = network_pieces(model)
    found = {kind: sum(piece.times * len(piece.layers) for piece in pieces if piece.kind == kind) for kind in KINDS}
    classes = [type(layer).__name__ for layer in model.layers]
    assert found[CONVOLUTION] == sum(name.startswith("Conv2D") for name in classes)
    assert found[NORMALISATION] == sum(name in ("BatchNormalization", "ReLU") for name in classes)
    assert found[POOLING] == sum(name in ("MaxPooling2D", "MaxUnpooling2D") for name in classes)
    (first,) = [piece for piece in pieces if piece.is_first]
    assert first.layers[0].kernel.shape[2] == (3 if (net, variant) == ("segnet", "paper") else 1)
    for piece in pieces:
        if len(piece.layers) == 2:
            assert piece.layers[1].input is piece.layers[0].output


def test_compilation_is_not_spread_over_the_steps_that_are_executed_at_once(monkeypatch):
    asked, answers, clock = iter([("step", 1), ("step", 4)]), [], iter([0.0, 9.0, 10.0, 22.0])
    monkeypatch.setattr(bench_keras.time, "perf_counter", lambda: next(clock))
    turns = bench_keras._Turns(SimpleNamespace(turns=lambda: asked, reply=answers.append), None, 3)
    turns.on_train_begin()
    turns.on_epoch_begin(0)
    for batch in (2, 5, 8):
        turns.on_train_batch_end(batch, {"loss": 1.0})
    assert answers == [9.0, 2.0]


def test_memory_is_that_of_the_gpu_on_each_backend(monkeypatch):
    def loaded(backend, library):
        monkeypatch.setattr(keras.config, "backend", lambda: backend)
        monkeypatch.setitem(sys.modules, backend, library)
        return bench_keras._device_memory()

    def jax_of(stats):
        return SimpleNamespace(devices=lambda: [SimpleNamespace(memory_stats=lambda: stats)])

    in_tensorflow = SimpleNamespace(get_memory_info=lambda gpu: {"peak": 2**21})
    tensorflow = SimpleNamespace(config=SimpleNamespace(experimental=in_tensorflow))
    torch = SimpleNamespace(cuda=SimpleNamespace(max_memory_allocated=lambda: 2**23))
    monkeypatch.setattr(bench_keras, "accelerators", lambda: [Accelerator("a GPU")])
    assert loaded("tensorflow", tensorflow) == 2
    assert loaded("jax", jax_of({"peak_bytes_in_use": 2**22})) == 4
    assert loaded("jax", jax_of(None)) is None  # an allocator that does not count
    assert loaded("torch", torch) == 8
    monkeypatch.setattr(bench_keras, "accelerators", list)
    assert loaded("torch", torch) is None


def test_slices_of_a_whole_training_are_drawn_once(tmp_path, monkeypatch):
    drawn, trained = [], []

    def train(build, *parts, report):
        trained.extend(parts[:4])
        model = SimpleNamespace(trainable_weights=[np.zeros((2, 3)), np.ones(4)])
        return SimpleNamespace(model=model, history={"loss": np.array([0.5])})

    monkeypatch.setattr(bench_keras, "train", train)
    monkeypatch.setattr(bench_keras, "predict", lambda model, images: images)
    monkeypatch.setattr(bench_keras, "made_up_slices", lambda *of: drawn.append(of) or made_up_slices(*of))
    channel = SimpleNamespace(wait=lambda: None, reply=lambda answer: None)
    setting = {"net": "unet", "variant": "released", "dtype": "float32", "batch": 2, "size": 32}
    bench_keras.whole_training(channel, tmp_path / "training.npz", 2, 1, 1, **setting)
    assert drawn == [(3, 32)]
    images, labels = made_up_slices(3, 32)
    for part, expected in zip(trained, (images[:2], labels[:2], images[2:], labels[2:]), strict=True):
        np.testing.assert_array_equal(part, expected)
    with np.load(tmp_path / "training.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["classes"], images[2:])
        assert (found["loss"].tolist(), found["weights"].tolist()) == ([0.5], [0] * 6 + [1] * 4)
