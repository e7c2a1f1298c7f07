"""Slices cropped to the body, what was seen put back in its place, and what is refused or told apart in grey levels."""

import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.inference.network_lungs import body_boxes, crop, crop_labels, network_lung_masks, uncrop


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


class Darkest:
    """Takes the darker part of what it is shown, away from its edges, for lung."""

    window, threshold, input_shape = (-1350.0, 150.0), 0.5, (None, 64, 64, 1)

    def __init__(self, inverted=False):
        self.inverted = inverted

    def predict_on_batch(self, images):
        values = 1 - images[..., 0] if self.inverted else images[..., 0]
        dark = (values < 0.5).astype(np.float32)
        for edge in (np.s_[:, :16], np.s_[:, -16:], np.s_[:, :, :12], np.s_[:, :, -12:]):
            dark[edge] = 0
        return np.stack([1 - dark, dark], axis=-1)


def picture(background=0, body=200, lungs=((45, 60),)):
    """(1, 128, 128) 8-bit grey levels: a body from row 20 to 108 with lungs in these rows."""
    image = np.full((1, 128, 128), background, np.uint8)
    image[:, 20:108, 24:104] = body
    for first, last in lungs:
        image[:, first:last, 50:90] = 60
    return image


@pytest.mark.parametrize(("rows", "side"), [((45, 60), 2), ((68, 83), 1)])
def test_a_lung_alone_in_grey_levels_is_on_the_bodys_side(rows, side):
    sides = network_lung_masks(picture(lungs=(rows,)), Darkest(), adjoining=False)
    assert np.unique(sides[0, rows[0] + 2 : rows[1] - 2, 60:80]).tolist() == [side]
    assert np.unique(sides).tolist() == [0, side]


@pytest.mark.parametrize("finds_lungs", [True, False])
def test_an_inverted_picture_is_refused(finds_lungs):
    inverted = 255 - picture(lungs=((35, 60), (68, 93)))  # where lungs are not found, the body is taken for them
    with pytest.raises(InputError, match="inverted"):
        network_lung_masks(inverted, Darkest(inverted=finds_lungs), adjoining=False)
