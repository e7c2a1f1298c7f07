"""Values and sizes of the second study's slices."""

import numpy as np
import pytest

from unet_segnet.data.normalise import normalise, resize_bilinear


def test_hounsfield_units_by_the_articles_mean_and_deviation():
    images = np.array([[[-1000, -500, 0, 500]]], np.float32)
    np.testing.assert_allclose(normalise(images, "hu"), [[[-1, 0, 1, 2]]])


def test_each_slice_from_0_to_1():
    images = np.array([[[2, 4, 6]], [[-100, 0, 300]], [[7, 7, 7]]])
    scaled = normalise(images, "minmax")
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[[0, 0.5, 1]], [[0, 0.25, 1]], [[0, 0, 0]]])


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match="rule must be one of"):
        normalise(np.zeros((1, 2, 2)), "zscore")


def test_halving_averages_with_a_triangle_and_enlarging_interpolates():
    """By hand: the triangle of bilinear interpolation, twice as wide when a slice is halved."""
    image = np.zeros((1, 8, 8), np.float32)
    image[0, :, 4] = 8
    halved = resize_bilinear(image, (4, 4))
    weights = np.array([0.25, 0.75, 0.75, 0.25]) / 2  # of pixels 3, 4, 5, 6 for column 2
    np.testing.assert_allclose(halved[0], np.tile([0, 8 * 0.125, 8 * weights[1], 0], (4, 1)), atol=1e-6)
    ramp = np.tile(np.arange(4, dtype=np.float32), (1, 4, 1))
    np.testing.assert_allclose(resize_bilinear(ramp, (4, 8))[0, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_a_slice_of_the_right_size_is_left_alone():
    images = np.random.default_rng(0).normal(size=(2, 8, 6)).astype(np.float32)
    assert resize_bilinear(images, (8, 6)) is images
