"""The augmentation against a per-pixel reference and the authors' released normalisation means."""

import math

import numpy as np
import pytest
from skimage.io import imread

from unet_segnet.matlab import RandomStream
from unet_segnet.training.translations import UNLABELLED, augment


def slow_augment(image, label, uniforms):
    """One slice pixel by pixel: grey levels before rounding, and labels."""
    height, width = image.shape
    x_centre, y_centre = (width - 1) / 2, (height - 1) / 2
    shear = np.array(
        [
            [1, math.tan(math.radians(20 * uniforms[2] - 10))],
            [math.tan(math.radians(20 * uniforms[3] - 10)), 1],
        ]
    )
    flip = np.diag([1, -1 if uniforms[0] < 0.5 else 1])
    back = np.linalg.inv(flip @ shear)
    grey = np.zeros((height, width))
    moved = np.full((height, width), UNLABELLED, np.uint8)
    for row in range(height):
        for column in range(width):
            x, y = back @ (column - x_centre, row - y_centre) + (x_centre, y_centre)
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                continue
            for r in (math.floor(y), math.floor(y) + 1):
                for c in (math.floor(x), math.floor(x) + 1):
                    if r < height and c < width:
                        grey[row, column] += (1 - abs(y - r)) * (1 - abs(x - c)) * image[r, c]
            moved[row, column] = label[math.floor(y + 0.5), math.floor(x + 0.5)]
    return grey, moved


def random_slices(num_slices, height, width, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (num_slices, height, width), dtype=np.uint8)
    return images, generator.integers(0, 4, images.shape, dtype=np.uint8), generator.random((num_slices, 8))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 37)])
def test_equals_the_per_pixel_reference(height, width):
    images, labels, uniforms = random_slices(6, height, width)
    uniforms[:, 0] = [0.1, 0.9, 0.49999, 0.5, 0.2, 0.8]
    uniforms[4:, 2:4] = [[0, 0.999], [0.999, 0]]
    moved_images, moved_labels = augment(images, labels, uniforms)
    assert moved_images.dtype == moved_labels.dtype == np.uint8
    for n in range(6):
        grey, expected = slow_augment(images[n], labels[n], uniforms[n])
        assert np.abs(moved_images[n] - grey).max() <= 0.5 + 1e-9
        np.testing.assert_array_equal(moved_labels[n], expected)


def test_no_shear_and_no_reflection_leaves_the_slice_as_it_is():
    images, labels, _ = random_slices(2, 20, 31)
    moved_images, moved_labels = augment(images, labels, np.full((2, 8), 0.5))
    np.testing.assert_array_equal(moved_images, images)
    np.testing.assert_array_equal(moved_labels, labels)


def test_reflection_alone_turns_the_slice_upside_down():
    images, labels, _ = random_slices(1, 20, 31)
    uniforms = np.full((1, 8), 0.5)
    uniforms[0, 0] = 0.49
    moved_images, moved_labels = augment(images, labels, uniforms)
    np.testing.assert_array_equal(moved_images, images[:, ::-1])
    np.testing.assert_array_equal(moved_labels, labels[:, ::-1])


def test_only_the_corners_that_a_shear_brings_in_are_unlabelled_and_black():
    images, labels = np.full((1, 101, 101), 200, np.uint8), np.zeros((1, 101, 101), np.uint8)
    uniforms = np.full((1, 8), 0.5)
    uniforms[0, 2] = 1 - 1e-12  # x' = x + tan(10 degrees) y
    moved_images, moved_labels = augment(images, labels, uniforms)
    expected = np.ceil(math.tan(math.radians(10)) * np.abs(np.arange(101) - 50))
    np.testing.assert_array_equal((moved_labels[0] == UNLABELLED).sum(axis=1), expected)
    assert (moved_labels[0, -1, :8] == UNLABELLED).all() and (moved_labels[0, 0, -8:] == UNLABELLED).all()
    np.testing.assert_array_equal(moved_images == 0, moved_labels == UNLABELLED)


def test_image_and_labels_move_alike():
    labels = np.zeros((4, 64, 64), np.uint8)
    labels[:, 12:30, 20:50] = 1
    moved_images, moved_labels = augment(labels * 200, labels, random_slices(4, 1, 1, seed=3)[2])
    labelled = moved_labels != UNLABELLED
    disagree = labelled & ((moved_images > 100) != (moved_labels == 1))
    assert disagree.sum() < 20  # ties on the outline
    assert (moved_labels == 1).sum() > 4 * 17 * 29


def test_each_row_of_uniforms_moves_its_own_slice():
    images, labels, uniforms = random_slices(3, 16, 16)
    together = augment(images, labels, uniforms)
    for n in range(3):
        alone = augment(images[n : n + 1], labels[n : n + 1], uniforms[n : n + 1])
        np.testing.assert_array_equal(alone[0][0], together[0][n])
        np.testing.assert_array_equal(alone[1][0], together[1][n])


def test_unused_uniforms_change_nothing():
    images, labels, uniforms = random_slices(2, 16, 16)
    others = uniforms.copy()
    others[:, [1, 4, 5, 6, 7]] = 0.123
    for one, other in zip(augment(images, labels, uniforms), augment(images, labels, others), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(2, 7), (1, 8)])
def test_uniforms_of_another_shape_are_refused(shape):
    images, labels, _ = random_slices(2, 16, 16)
    with pytest.raises(ValueError, match="Received: images"):
        augment(images, labels, np.zeros(shape))


@pytest.mark.parametrize(("num_classes", "released"), [(2, 21.986183), (4, 21.974686)])
def test_one_augmented_pass_has_the_released_mean(real_data, num_classes, released):
    stream = RandomStream(0)
    training = stream.randperm(100)[:72]
    for channels in [(1, 64), *[(64, 64)] * 10, (64, num_classes)]:
        stream.randn(3, 3, *channels)
    stream.rand(32)
    uniforms = stream.rand(8, 72).T
    images = np.stack([imread(real_data / f"dataset/im/256/i{slice_:03d}.png") for slice_ in training])
    moved, _ = augment(images, np.zeros_like(images), uniforms)
    assert moved.mean() == pytest.approx(released, abs=1e-4)
