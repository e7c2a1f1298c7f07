"""MATLAB's imresize against a plain loop, exact cases and the released masks."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from unet_segnet.data.nifti import read_labels
from unet_segnet.data.png_tree import RAW_MASKS, read_png_tree
from unet_segnet.data.resize import cubic_weights, resize_images, resize_labels


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def resize_line(line, new_length):
    """One line of pixels, every output pixel a weighted sum of its mirrored neighbourhood."""
    length = len(line)
    stretch = max(length / new_length, 1.0)
    result = []
    for position in range(new_length):
        centre = (position + 0.5) * length / new_length - 0.5
        reach = 2 * stretch
        total = weights = 0.0
        for index in range(ceil(centre - reach), floor(centre + reach) + 1):
            weight = keys((index - centre) / stretch)
            wrapped = index % (2 * length)
            total += weight * line[wrapped if wrapped < length else 2 * length - 1 - wrapped]
            weights += weight
        result.append(total / weights)
    return np.array(result)


@pytest.mark.parametrize(("length", "new_length"), [(16, 8), (20, 8), (7, 3), (5, 12), (9, 9), (3, 1), (2, 7)])
def test_cubic_weights_equal_the_plain_loop(length, new_length):
    line = np.random.default_rng(length).normal(size=length)
    np.testing.assert_allclose(cubic_weights(length, new_length) @ line, resize_line(line, new_length), atol=1e-12)


def test_halving_uses_the_known_eight_weights():
    # Keys' kernel at (k + 1/2) / 2, halved: -3 -9 29 111 111 29 -9 -3 over 256
    expected = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(cubic_weights(32, 16)[5, 7:15], expected, atol=1e-15)


def test_images_keep_type_constants_and_ramps():
    flat = np.full((2, 12, 10), 77, np.uint8)
    assert np.array_equal(resize_images(flat, (5, 7)), np.full((2, 5, 7), 77, np.uint8))
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32), (1, 8, 64))
    half = resize_images(ramp, (4, 32))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half[0, :, 4:-4], np.broadcast_to(2 * np.arange(4, 28) + 0.5, (4, 24)), rtol=1e-6)


def test_8_bit_values_are_rounded_after_each_axis_and_clipped():
    image = np.random.default_rng(1).choice([0, 255], size=(16, 12)).astype(np.uint8)
    rounded = np.array([resize_line(line, 4) for line in image.astype(float).T]).T
    rounded = np.clip(np.floor(rounded + 0.5), 0, 255)  # 16 -> 4 shrinks more than 12 -> 6 and comes first
    rounded = np.array([resize_line(line, 6) for line in rounded])
    expected = np.clip(np.floor(rounded + 0.5), 0, 255)
    np.testing.assert_array_equal(resize_images(image, (4, 6)), expected)


@pytest.mark.parametrize(("length", "new_length"), [(512, 256), (630, 256), (256, 630), (5, 3), (3, 8), (1, 4)])
def test_labels_take_the_nearest_pixel(length, new_length):
    labels = np.arange(length)[None, :].repeat(2, axis=0)
    centres = [Fraction(2 * i + 1, 2) * length / new_length + Fraction(1, 2) for i in range(new_length)]
    expected = [min(floor(centre + Fraction(1, 2)), length) - 1 for centre in centres]  # a tie goes up
    np.testing.assert_array_equal(resize_labels(labels, (2, new_length))[0], expected)


def test_labels_at_one_half_are_every_second_pixel():
    labels = np.random.default_rng(2).integers(0, 4, (3, 8, 6)).astype(np.uint8)
    np.testing.assert_array_equal(resize_labels(labels, (4, 3)), labels[:, 1::2, 1::2])


def test_raw_masks_resize_to_the_released_ones_exactly(real_data):
    raw = read_labels(real_data / "dataset" / RAW_MASKS)
    np.testing.assert_array_equal(resize_labels(raw, (256, 256)), read_png_tree(real_data).labels)
