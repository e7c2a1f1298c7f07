"""Slices cropped to the body, and maps of what was seen put back in their place."""

import numpy as np
import pytest

from unet_segnet.inference.network_lungs import body_boxes, crop, crop_labels, uncrop


def a_scan(shape=(96, 128), rows=(20, 70), columns=(30, 110)):
    """A body of 40 HU in air, with a thin table behind it and one slice of air alone."""
    images = np.full((3, *shape), -1000, np.float32)
    images[:2, rows[0] : rows[1], columns[0] : columns[1]] = 40
    images[:, :, shape[1] - 3] = 200
    return images


def test_boxes_are_squares_around_the_body():
    boxes = body_boxes(a_scan())
    for top, left, side in boxes[:2]:
        assert 80 <= side <= 88
        assert abs(top + side / 2 - 45) <= 1.5 and abs(left + side / 2 - 70) <= 1.5
    assert boxes[2].tolist() == [-16, 0, 128]  # nothing but air and a table: the whole slice, made square


@pytest.mark.parametrize("at", [((20, 70), (30, 110)), ((0, 50), (0, 90)), ((60, 96), (70, 128))])
def test_what_is_seen_comes_back_in_place(at):
    images = a_scan(rows=at[0], columns=at[1])
    masks = images > -200
    masks[:, :, -3] = False
    boxes = body_boxes(images)
    seen = crop_labels(masks, boxes, 64)
    assert seen.shape == (3, 64, 64) and seen.dtype == bool
    back = uncrop(seen.astype(np.float32), boxes, masks.shape[1:]) > 0.5
    assert (back != masks).mean() < 0.02
    shown = crop(images, boxes, 64, -1350)
    assert shown.shape == (3, 64, 64) and shown.min() >= -1350
    assert np.median(np.abs(shown[seen] - 40)) < 1


def test_a_box_of_the_networks_size_changes_nothing():
    images = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32)
    boxes = np.array([(0, 0, 16)] * 2)
    np.testing.assert_array_equal(crop(images, boxes, 16, 0), images)
    np.testing.assert_array_equal(uncrop(images, boxes, (16, 16)), images)
