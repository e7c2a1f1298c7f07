"""Values and sizes of the second study's slices."""

import numpy as np
import pytest

from unet_segnet.data.normalise import (
    grey_as_hu,
    lung_levels,
    lungs_alone,
    normalise,
    resize_bilinear,
    windowed,
)


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


def test_lung_levels_refer_to_the_lungs_and_forget_the_window():
    generator = np.random.default_rng(0)
    images = generator.normal(-800, 150, (3, 20, 20)).astype(np.float32)
    lungs = generator.random(images.shape) < 0.4
    levels = lung_levels(images, lungs)
    inside = np.sort(images[lungs])
    low, high = np.quantile(inside, 0.2), np.quantile(inside, 0.995)
    np.testing.assert_allclose(levels, np.clip(0.25 + (images - low) / (high - low), 0, 2), atol=1e-5)
    np.testing.assert_allclose(lung_levels(0.17 * images + 230, lungs), levels, atol=1e-4)


def test_slices_of_nobody_knows_whom_refer_to_their_own_lungs():
    generator = np.random.default_rng(1)
    images, lungs = generator.normal(size=(3, 8, 8)) * [[[1]], [[7]], [[40]]], np.ones((3, 8, 8), bool)
    levels = lung_levels(images, lungs, adjoining=False)
    for index in range(3):
        np.testing.assert_array_equal(levels[index], lung_levels(images[index : index + 1], lungs[:1])[0])
    assert lung_levels(images[:0], lungs[:0], adjoining=False).shape == (0, 8, 8)


@pytest.mark.parametrize("lungs", [np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)])
def test_lung_levels_of_nothing_are_healthy(lungs):
    np.testing.assert_array_equal(lung_levels(np.full((1, 2, 2), 7.0), lungs), np.full((1, 2, 2), 0.25))


def test_lungs_alone_are_never_as_black_as_what_is_outside():
    levels = np.array([[[-0.1, 0.3], [1.9, 0.7]]], np.float32)
    shown = lungs_alone(levels, np.array([[[True, True], [True, False]]]))
    np.testing.assert_array_equal(shown, np.array([[[0.05, 0.3], [1.5, 0]]], np.float32))


def test_a_window_and_its_grey_levels_by_hand():
    hu = np.array([[[-1500, -1350, -600, 150, 900]]], np.int16)
    shown = windowed(hu, (-1350.0, 150.0))
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, [[[0, 0, 0.5, 1, 1]]])
    grey = grey_as_hu(np.array([[[0, 51, 255]]], np.uint8), (-1350.0, 150.0))
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, [[[-1350, -1050, 150]]])
