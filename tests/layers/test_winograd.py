"""Minimal filtering against sums written out, in NumPy."""

import keras
import numpy as np
import pytest
from convolution_sums import gradients_by_sums

from unet_segnet.layers import winograd
from unet_segnet.layers.winograd import minimal_filtering


@pytest.mark.parametrize(("outputs", "taps"), [(4, 3), (3, 4)])
def test_six_products_give_all_sums(outputs, taps):
    generator = np.random.default_rng(1)
    data, weights = generator.normal(size=outputs + taps - 1), generator.normal(size=taps)
    a, g, b = minimal_filtering(outputs, taps)
    assert (a.shape, g.shape, b.shape) == ((outputs, 6), (6, taps), (6, 6))
    expected = [data[j : j + taps] @ weights for j in range(outputs)]
    np.testing.assert_allclose(a @ ((g @ weights) * (b @ data)), expected, atol=1e-13)


@pytest.mark.parametrize("shape", [(1, 7, 5, 9), (3, 8, 8, 10), (2, 64, 130, 16), (2, 1, 1, 8), (1, 67, 2, 12)])
def test_gradients_equal_the_direct_sums(shape):
    """Also where rows do not fill whole tiles, and where the height has no divisors."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("a path of TensorFlow")
    generator = np.random.default_rng(2)
    x = generator.normal(size=shape).astype("float32")
    kernel = generator.normal(size=(3, 3, shape[3], 11)).astype("float32")
    upstream = generator.normal(size=(*shape[:3], 11)).astype("float32")
    tensors = [keras.ops.convert_to_tensor(array) for array in (x, kernel, upstream)]
    for array, expected in zip(winograd.gradients(*tensors), gradients_by_sums(x, kernel, upstream), strict=True):
        assert array.shape == expected.shape
        np.testing.assert_allclose(array, expected, atol=1e-5 * np.abs(expected).max())


def test_the_gradient_for_few_channels_equals_the_direct_sums():
    if keras.config.backend() != "tensorflow":
        pytest.skip("a path of TensorFlow")
    generator = np.random.default_rng(3)
    for channels, filters in ((1, 9), (3, 9), (9, 2), (4, 4)):
        x = generator.normal(size=(2, 6, 7, channels)).astype("float32")
        upstream = generator.normal(size=(2, 6, 7, filters)).astype("float32")
        tensors = [keras.ops.convert_to_tensor(array) for array in (x, upstream)]
        expected = gradients_by_sums(x, np.zeros((3, 3, channels, filters), "float32"), upstream)[1]
        found = winograd.kernel_gradient_of_few(*tensors)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((64, 64, 128, 192), True),
        ((64, 63, 128, 192), False),
        ((64, 64, 64, 192), False),
        ((128, 128, 64, 64), True),
        ((256, 256, 32, 64), False),
        ((32, 32, 256, 512), True),
        ((32, 32, 128, 512), False),
        ((16, 16, 512, 512), False),
        ((256, 256, 1, 64), True),
        ((256, 256, 16, 1), False),
        ((None, 256, 64, 64), False),
    ],
)
def test_it_is_taken_where_it_was_measured_to_pay(sizes, expected):
    """Height, width, channels, filters."""
    assert winograd.pays(*sizes) is expected
