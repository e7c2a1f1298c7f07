"""The parts that encoders are made of, against their definition in PyTorch."""

import math

import keras
import numpy as np
import pytest
from scipy.signal import correlate2d

from unet_segnet.models.encoders import blocks


def reference_convolution(x, kernel, bias, strides, groups):
    """PyTorch's convolution, one image, group, filter and channel at a time."""
    top, left = ((size - 1) // 2 for size in kernel.shape[:2])
    x = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    per_group, filters = kernel.shape[2], kernel.shape[3]
    images = []
    for image in x:
        maps = []
        for f in range(filters):
            first = f // (filters // groups) * per_group
            planes = [correlate2d(image[..., first + c], kernel[..., c, f], "valid") for c in range(per_group)]
            maps.append(sum(planes)[::strides, ::strides] + bias[f])
        images.append(np.stack(maps, axis=-1))
    return np.stack(images)


@pytest.mark.parametrize(
    ("kernel_size", "strides", "groups"),
    [(3, 1, 1), (3, 2, 1), (7, 2, 1), (1, 2, 1), ((1, 7), 1, 1), (3, 1, 32), (3, 2, 20), (3, 2, 3)],
)
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_convolutions_pad_and_group_as_in_pytorch(kernel_size, strides, groups, size):
    channels, filters = 2 * groups, 3 * groups
    inputs = keras.Input((*size, channels))
    outputs = blocks.convolution(inputs, filters, kernel_size, "a.b", strides=strides, groups=groups, use_bias=True)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(groups)
    layer = model.get_layer("a.b")
    kernel, bias = rng.standard_normal(layer.kernel.shape), rng.standard_normal(filters)
    layer.set_weights([kernel, bias])
    x = rng.standard_normal((2, *size, channels))
    expected = reference_convolution(x, kernel, bias, strides, groups)
    assert outputs.shape[1:] == expected.shape[1:]
    np.testing.assert_allclose(model.predict_on_batch(x.astype("float32")), expected, atol=1e-4)


@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise_convolutions_pad_as_in_pytorch(strides):
    inputs = keras.Input((8, 6, 5))
    model = keras.Model(inputs, blocks.depthwise_convolution(inputs, 3, "a.b", strides=strides))
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 3, 5, 1))
    model.get_layer("a.b").set_weights([kernel])
    x = rng.standard_normal((2, 8, 6, 5))
    expected = reference_convolution(x, kernel.transpose(0, 1, 3, 2), np.zeros(5), strides, groups=5)
    np.testing.assert_allclose(model.predict_on_batch(x.astype("float32")), expected, atol=1e-5)


def test_batch_normalisation_keeps_pytorchs_moving_averages():
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -r requirements-torch.txt")
    inputs = keras.Input((4, 6, 3))
    model = keras.Model(inputs, blocks.batch_norm(inputs, "norm"))
    theirs = torch.nn.BatchNorm2d(3)
    x = np.random.default_rng(5).normal(3.0, 2.0, (2, 2, 4, 6, 3)).astype("float32")
    for batch in x:
        ours = keras.ops.convert_to_numpy(model(batch, training=True))
        expected = theirs(torch.from_numpy(batch.transpose(0, 3, 1, 2))).detach().numpy()
        np.testing.assert_allclose(ours, expected.transpose(0, 2, 3, 1), atol=1e-5)
    layer = model.get_layer("norm")
    for moving, running in ((layer.moving_mean, theirs.running_mean), (layer.moving_variance, theirs.running_var)):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(moving), running.numpy(), rtol=1e-5)


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_max_pooling_centres_its_windows(size):
    inputs = keras.Input((*size, 3))
    outputs = blocks.max_pool(inputs, 3, "pool")
    x = np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32") - 10  # zeros would win
    rows, columns = ((length + 1) // 2 for length in size)
    expected = np.empty((2, rows, columns, 3), "float32")
    for r in range(rows):
        for c in range(columns):
            window = x[:, max(0, 2 * r - 1) : 2 * r + 2, max(0, 2 * c - 1) : 2 * c + 2]
            expected[:, r, c] = window.max(axis=(1, 2))
    assert outputs.shape == (None, *expected.shape[1:])
    np.testing.assert_array_equal(keras.Model(inputs, outputs).predict_on_batch(x), expected)


@pytest.mark.parametrize(
    ("initial", "std", "largest"),
    [
        ("he_fan_out", math.sqrt(2 / (9 * 96)), np.inf),
        ("he_fan_in", math.sqrt(2 / (9 * 16)), np.inf),
        ("he_uniform", math.sqrt(2 / (9 * 16)), math.sqrt(6 / (9 * 16))),
        ("glorot_uniform", math.sqrt(2 / (9 * 112)), math.sqrt(6 / (9 * 112))),
        ("pytorch", math.sqrt(1 / (3 * 9 * 16)), math.sqrt(1 / (9 * 16))),
    ],
)
def test_weights_are_drawn_with_the_stated_spread(initial, std, largest):
    inputs = keras.Input((8, 8, 32))
    outputs = blocks.convolution(inputs, 96, 3, "a.b", groups=2, use_bias=True, initial=initial)
    model = keras.Model(inputs, outputs)
    layer = model.get_layer("a.b")
    before, _ = layer.get_weights()
    blocks.draw_weights(model, 1)
    kernel, bias = layer.get_weights()
    for values in (before, kernel):
        assert values.std() == pytest.approx(std, rel=0.03)
        assert abs(values.mean()) < 0.05 * std
        assert np.abs(values).max() <= largest * (1 + 1e-6)
    assert np.abs(before - kernel).max() > std
    assert (bias.std() > 0.3 * std) if initial == "pytorch" else not bias.any()
