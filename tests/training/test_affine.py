"""The flips, rotations and scalings of the second study against a per-pixel reference and exact cases."""

import math

import numpy as np
import pytest

from unet_segnet.training.affine import augment_affine

NOTHING = (0.9, 0.9, 0.5, 0.5)


def random_slices(num_slices, height, width, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.normal(0, 1, (num_slices, height, width)).astype(np.float32)
    return images, generator.integers(0, 2, images.shape, dtype=np.uint8), generator.random((num_slices, 4))


def slow_augment(image, label, uniforms):
    """One slice, pixel by pixel."""
    height, width = image.shape
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    angle, scale = math.radians(360 * uniforms[2] - 180), 0.5 + uniforms[3]
    moved, moved_label = np.zeros((height, width)), np.zeros((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            down, right = (row - middle_row) / scale, (column - middle_column) / scale
            # Clockwise on the screen: what lay above the centre comes to lie to its right.
            down, right = (
                down * math.cos(angle) - right * math.sin(angle),
                down * math.sin(angle) + right * math.cos(angle),
            )
            y = middle_row + (-down if uniforms[1] < 0.5 else down)
            x = middle_column + (-right if uniforms[0] < 0.5 else right)
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                continue
            for r in (math.floor(y), math.floor(y) + 1):
                for c in (math.floor(x), math.floor(x) + 1):
                    if r < height and c < width:
                        moved[row, column] += (1 - abs(y - r)) * (1 - abs(x - c)) * image[r, c]
            moved_label[row, column] = label[math.floor(y + 0.5), math.floor(x + 0.5)]
    return moved, moved_label


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 37)])
def test_equals_the_per_pixel_reference(height, width):
    images, labels, uniforms = random_slices(8, height, width)
    uniforms[:4, :2] = [[0.1, 0.1], [0.1, 0.9], [0.9, 0.1], [0.9, 0.9]]
    moved_images, moved_labels = augment_affine(images, labels, uniforms)
    assert (moved_images.dtype, moved_labels.dtype) == (np.float32, np.uint8)
    for n in range(8):
        expected, expected_labels = slow_augment(images[n], labels[n], uniforms[n])
        np.testing.assert_allclose(moved_images[n], expected, atol=1e-5)
        np.testing.assert_array_equal(moved_labels[n], expected_labels)


def test_flips_are_exact():
    images, labels, _ = random_slices(4, 20, 31)
    uniforms = np.array([NOTHING, (0.1, 0.9, 0.5, 0.5), (0.9, 0.1, 0.5, 0.5), (0.49, 0.49, 0.5, 0.5)])
    moved_images, moved_labels = augment_affine(images, labels, uniforms)
    for moved, before in ((moved_images, images), (moved_labels, labels)):
        np.testing.assert_array_equal(moved[0], before[0])
        np.testing.assert_array_equal(moved[1], before[1][:, ::-1])
        np.testing.assert_array_equal(moved[2], before[2][::-1])
        np.testing.assert_array_equal(moved[3], before[3][::-1, ::-1])


def test_a_quarter_turn_is_clockwise():
    images, labels, _ = random_slices(1, 21, 21)
    moved, _ = augment_affine(images, labels, np.array([(0.9, 0.9, 0.75, 0.5)]))
    inner = (slice(1, -1), slice(1, -1))  # a border pixel may fall outside by rounding
    np.testing.assert_allclose(moved[0][inner], np.rot90(images[0], -1)[inner], atol=1e-5)


def test_scale_changes_the_area_by_its_square_and_pads_with_zeros():
    rows, columns = np.mgrid[:101, :101] - 50
    labels = (rows**2 + columns**2 <= 20**2).astype(np.uint8)[None].repeat(3, axis=0)
    uniforms = np.array([(0.9, 0.9, 0.5, 0.0), (0.9, 0.9, 0.3, 0.5), (0.9, 0.9, 0.5, 1 - 1e-9)])
    images = np.ones(labels.shape, np.float32)
    moved_images, moved = augment_affine(images, labels, uniforms)
    areas = moved.sum(axis=(1, 2)) / labels[0].sum()
    np.testing.assert_allclose(areas, [0.25, 1.0, 2.25], rtol=0.02)
    # At half its size the slice covers the middle 50 x 50 pixels; what surrounds it is 0.
    assert moved_images[0].sum() == pytest.approx(51**2, rel=0.02)
    assert not moved_images[0][:24].any()
    assert (moved_images[2] == 1).all()


def test_probability_and_ranges_can_be_others():
    images, labels, _ = random_slices(1, 16, 16)
    moved, _ = augment_affine(images, labels, np.array([(0.1, 0.1, 0.1, 0.1)]), flip=0.0, rotation=0.0, scale=(1, 1))
    np.testing.assert_array_equal(moved, images)


def test_shapes_that_do_not_belong_together_are_refused():
    images, labels, uniforms = random_slices(2, 16, 16)
    with pytest.raises(ValueError, match="Received: images"):
        augment_affine(images, labels, uniforms[:1])
