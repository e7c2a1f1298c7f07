"""Changes that make one scanner's slices look like another's."""

import numpy as np
import pytest

from unet_segnet.training.scanners import (
    LEAST_FIELD,
    WINDOW_HIGH,
    WINDOW_LOW,
    change_grey,
    cut_field,
    random_window,
)


def a_slice(size=32):
    return np.random.default_rng(5).uniform(0, 1, (size, size)).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_a_window_is_linear_between_its_ends(seed):
    image = np.array([[-3024.0, WINDOW_LOW[1] + 10, -200.0, -100.0, WINDOW_HIGH[1], 3000.0]], np.float32)
    shown = random_window(image, np.random.default_rng(seed))
    assert shown.dtype == np.float32
    assert shown[0, 0] == 0 and shown[0, -1] == shown[0, -2] == 1
    slope = (shown[0, 3] - shown[0, 2]) / 100
    assert 1 / (WINDOW_HIGH[1] - WINDOW_LOW[0]) <= slope <= 1 / (WINDOW_HIGH[0] - WINDOW_LOW[1])


@pytest.mark.parametrize("largest", [1.0, 2.0])
def test_grey_levels_change_within_their_range_and_by_the_generator_alone(largest):
    image = largest * a_slice()
    seen = []
    for seed in range(120):
        changed = change_grey(image, np.random.default_rng(seed), largest)
        assert changed.shape == image.shape and changed.dtype == np.float32
        assert changed.min() >= 0 and changed.max() <= largest
        np.testing.assert_array_equal(changed, change_grey(image, np.random.default_rng(seed), largest))
        seen.append(float(np.abs(changed - image).mean()))
    assert min(seen) < 1e-6 < 0.02 * largest < max(seen) < 0.4 * largest  # some slices stay as they are
    np.testing.assert_array_equal(image, largest * a_slice())


def test_a_cut_field_takes_image_and_labels_alike():
    image, labels = 0.1 + a_slice(40), np.full((40, 40), 255, np.uint8)
    cut = 0
    for seed in range(200):
        shown, marked = cut_field(image, labels, np.random.default_rng(seed))
        inside = marked == 255
        np.testing.assert_array_equal(shown, np.where(inside, image, 0))
        assert inside.mean() > 0.7 * LEAST_FIELD**2
        assert shown.dtype == image.dtype and marked.dtype == labels.dtype
        cut += not inside.all()
    assert 10 < cut < 60
