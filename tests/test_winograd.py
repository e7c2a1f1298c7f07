"""Minimal filtering against sums written out, in NumPy."""

import keras
import numpy as np
import pytest

from unet_segnet import winograd
from unet_segnet.winograd import minimal_filtering


@pytest.mark.parametrize(("outputs", "taps"), [(4, 3), (3, 4)])
def test_six_products_give_all_sums(outputs, taps):
    generator = np.random.default_rng(1)
    data, weights = generator.normal(size=outputs + taps - 1), generator.normal(size=taps)
    a, g, b = minimal_filtering(outputs, taps)
    assert (a.shape, g.shape, b.shape) == ((outputs, 6), (6, taps), (6, 6))
    expected = [data[j : j + taps] @ weights for j in range(outputs)]
    np.testing.assert_allclose(a @ ((g @ weights) * (b @ data)), expected, atol=1e-13)


def direct(x, kernel, upstream):
    """Both gradients as sums over pixels, in double precision."""
    height, width = x.shape[1:3]
    padded = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)))
    of_x, of_kernel = np.zeros_like(padded), np.empty(kernel.shape)
    for row, column in np.ndindex(3, 3):
        place = np.s_[:, row : row + height, column : column + width]
        of_x[place] += upstream @ kernel[row, column].T.astype(float)
        of_kernel[row, column] = np.einsum("bijc,bijf->cf", padded[place], upstream)
    return of_x[:, 1:-1, 1:-1], of_kernel


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
    for array, expected in zip(winograd.gradients(*tensors), direct(x, kernel, upstream), strict=True):
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
        expected = direct(x, np.zeros((3, 3, channels, filters), "float32"), upstream)[1]
        found = winograd.kernel_gradient_of_few(*tensors)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
