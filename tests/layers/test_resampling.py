"""Resizing as the second study's decoders do it, against SciPy and against regions written out."""

import math

import keras
import numpy as np
import pytest
from scipy.ndimage import zoom

from unet_segnet.layers.resampling import AdaptiveAveragePooling2D, BilinearResizing


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
