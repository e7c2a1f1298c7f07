"""Class sizes and median-frequency weights against the released networks' and a plain count."""

import numpy as np
import pytest

from unet_segnet.data import Slices, class_sizes, load_slices, median_frequency_weights

RELEASED_BINARY = [0.53768872, 7.13328367]
RELEASED_MULTICLASS = [0.04103409, 0.80288489, 1.32539608, 7.27038567]


def test_sizes_and_weights_equal_a_plain_count():
    labels = np.random.default_rng(0).choice(4, size=(6, 5, 7), p=[0.7, 0.2, 0.06, 0.04]).astype(np.uint8)
    labels[:2][labels[:2] == 3] = 0
    pixels, image_pixels = class_sizes(labels, 4)
    frequencies = []
    for index in range(4):
        count = sum(int((label == index).sum()) for label in labels)
        around = sum(label.size for label in labels if (label == index).any())
        assert (pixels[index], image_pixels[index]) == (count, around)
        frequencies.append(count / around)
    expected = np.median(frequencies) / np.array(frequencies)
    np.testing.assert_allclose(median_frequency_weights(labels, 4), expected, rtol=1e-12)


def test_absent_class_has_no_weight_and_leaves_the_median_alone():
    labels = np.zeros((2, 4, 4), np.uint8)
    labels[0, 0, 0] = 2
    frequencies = np.array([31 / 32, 1 / 16])
    expected = np.median(frequencies) / frequencies
    np.testing.assert_allclose(median_frequency_weights(labels, 4), [expected[0], 0, expected[1], 0])


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(ValueError, match="below 2"):
        class_sizes(np.full((1, 2, 2), 2, np.uint8), 2)


def test_weights_equal_the_released_networks(real_data):
    slices = load_slices(str(real_data))
    np.testing.assert_allclose(median_frequency_weights(slices.labels, 4), RELEASED_MULTICLASS, rtol=1e-7)
    binary = slices.binary()
    np.testing.assert_allclose(median_frequency_weights(binary.labels, 2), RELEASED_BINARY, rtol=1e-8)


def test_slices_refuse_arrays_that_do_not_fit():
    images = np.zeros((2, 4, 4), np.uint8)
    names = ("001", "002")
    for change in (
        {"images": images[0]},
        {"images": images.astype(np.float32)},
        {"labels": images[:1]},
        {"labels": images + 4},
        {"lungs": images},
        {"names": ("001", "001")},
        {"units": "kelvin"},
    ):
        with pytest.raises(ValueError, match="must be"):
            Slices(**{"images": images, "labels": images, "lungs": None, "names": names, **change})


def test_slices_subset_binary_and_hash():
    images = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    labels = (images % 4).astype(np.uint8)
    slices = Slices(images, labels, images > 5, ("001", "002", "003"))
    picked = slices.subset([2, 0])
    assert picked.names == ("003", "001")
    np.testing.assert_array_equal(picked.images, images[[2, 0]])
    np.testing.assert_array_equal(picked.lungs, images[[2, 0]] > 5)
    binary = slices.binary()
    assert binary.num_classes == 2
    np.testing.assert_array_equal(binary.labels, labels > 0)
    hashes = {slices.sha256(), binary.sha256(), picked.sha256()}
    assert len(hashes) == 3
    assert Slices(images.copy(), labels.copy(), None, slices.names).sha256() == slices.sha256()
