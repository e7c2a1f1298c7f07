"""Lungs found in Hounsfield units, held against the phantom's own, and told apart."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from unet_segnet.data.phantom import phantom_slices
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import (
    LEFT,
    RIGHT,
    external_lung_masks,
    lung_like_components,
    lung_masks,
    midlines,
    slices_cut_off,
    split_left_right,
)


@pytest.fixture(scope="module")
def phantom():
    return phantom_slices(12, seed=0, size=256)


@pytest.fixture(scope="module")
def found(phantom):
    return lung_masks(phantom.images, adjoining=False)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_lungs_of_the_phantom(phantom, found):
    """Reached: mean Dice 0.971, worst slice 0.905, 0.825 of all lesion pixels inside."""
    each = [dice(ours > 0, truth) for ours, truth in zip(found, phantom.lungs, strict=True)]
    assert np.mean(each) > 0.96 and min(each) > 0.9
    lesions = phantom.labels > 0
    assert (lesions & (found > 0)).sum() > 0.81 * lesions.sum()


def test_left_is_below_the_middle_and_right_above(phantom, found):
    for sides in (found, split_left_right(phantom.lungs)):
        rows = [np.nonzero(sides == side)[1] for side in (LEFT, RIGHT)]
        assert rows[0].min() > 100 and rows[1].max() < 156
    np.testing.assert_array_equal(split_left_right(phantom.lungs) > 0, phantom.lungs)


def test_known_spacing_gives_the_same_lungs_as_a_chest_of_usual_size(phantom, found):
    pixel = 350 / 256
    np.testing.assert_array_equal(lung_masks(phantom.images, (5.0, pixel, pixel), adjoining=False), found)


def test_air_that_is_not_lung_is_left_out(phantom):
    image = phantom.images[:1].copy()
    image[0, 126:132, 150:156] = -990  # an airway between the lungs
    image[:, :, 250:] = -1000  # outside
    lungs = lung_masks(image, adjoining=False)
    assert not lungs[0, 126:132, 150:156].any() and not lungs[0, :, 240:].any()


def test_a_pocket_of_air_far_below_the_lungs_is_no_lung(phantom):
    scan = np.repeat(phantom.images[:1], 6, axis=0)
    tissue = np.full_like(scan[0], -1000)
    rows, columns = np.mgrid[:256, :256]
    tissue[np.hypot(rows - 128, columns - 128) < 100] = 40
    bowel = tissue.copy()
    bowel[100:120, 60:80] = -950
    lungs = lung_masks(np.stack([bowel, tissue, *scan]), (5, 1.4, 1.4))
    assert not lungs[:2].any() and lungs[2:].any(axis=(1, 2)).all()


def disc(row, column, radius):
    rows, columns = np.mgrid[:256, :256]
    return np.hypot(rows - row, columns - column) < radius


def chest(dense):
    """A body with two round lungs and something as dense as tissue in them; (1, 256, 256) HU."""
    image = np.full((256, 256), -1000, np.float32)
    image[disc(128, 128, 110)] = 40
    image[disc(80, 128, 42) | disc(176, 128, 42)] = -850
    image[dense] = 50
    return image[None]


def test_the_dome_of_the_liver_is_not_filled():
    dome = disc(76, 116, 30)  # 42 mm: a crescent of lung is left around it, at the side and at the back
    lungs = lung_masks(chest(dome), (5, 1.4, 1.4))
    assert (lungs[0][disc(76, 116, 15)] == 0).all()
    assert (lungs[0][disc(80, 128, 42) & ~disc(76, 116, 32)] == RIGHT).mean() > 0.95


def test_lesions_at_the_chest_wall_and_inside_are_filled():
    lesions = disc(60, 163, 9) | disc(176, 128, 9)  # 25 mm across, one at the back and one all around in lung
    lungs = lung_masks(chest(lesions), (5, 1.4, 1.4))
    inside = disc(80, 128, 41) | disc(176, 128, 41)
    assert (lungs[0][lesions & inside] > 0).mean() > 0.95


@pytest.mark.parametrize(("side", "row", "other"), [(RIGHT, 80, 176), (LEFT, 176, 80)])
def test_a_lung_that_stands_alone_is_one_lung(side, row, other):
    opaque = chest(disc(other, 128, 42))
    lungs = lung_masks(opaque, (5, 1.4, 1.4))
    assert set(np.unique(lungs)) == {0, side}
    assert dice(lungs[0] == side, disc(row, 128, 42)) > 0.98
    given = split_left_right(disc(row, 128, 42)[None], midlines(opaque))
    assert set(np.unique(given)) == {0, side}
    scan = np.concatenate([chest(disc(0, 0, 1))] * 3 + [opaque] * 3)
    np.testing.assert_array_equal(lung_masks(scan, (5, 1.4, 1.4))[3:], np.concatenate([lungs] * 3))


def test_the_midline_is_that_of_the_body_or_unknown():
    image = chest(disc(176, 128, 42))
    np.testing.assert_allclose(midlines(np.roll(image, -10, axis=1)), 118, atol=0.1)
    assert np.isnan(midlines(np.full((2, 32, 32), -1000.0))).all()
    assert np.isnan(midlines(np.where(disc(30, 30, 8)[None], 40.0, -1000.0), adjoining=False)).all()


def test_lungs_at_the_edge_of_the_picture_are_counted():
    whole = chest(disc(0, 0, 1))
    assert slices_cut_off(whole, (5, 1.4, 1.4)) == 0
    cropped = np.concatenate([whole, whole])[:, 60:]
    assert slices_cut_off(cropped, (5, 1.4, 1.4)) == 2
    lungs = (cropped < -500) & (np.arange(cropped.shape[1])[:, None] < 60)  # a network's, in the first slice alone
    lungs[1] = False
    assert slices_cut_off(cropped, (5, 1.4, 1.4), lungs) == 1
    assert RIGHT not in lung_masks(cropped, (5, 1.4, 1.4))


def test_connected_lungs_are_cut_in_the_middle():
    joined = np.zeros((1, 60, 60), bool)
    joined[0, 5:55, 20:40] = True
    sides = split_left_right(joined)
    assert (sides[0, 6:29, 30] == RIGHT).all() and (sides[0, 31:54, 30] == LEFT).all()
    assert not split_left_right(np.zeros((1, 4, 4), bool)).any()


@pytest.mark.parametrize("value", [-1000.0, 40.0])
def test_no_lung_is_one_line(value):
    with pytest.raises(InputError, match="no lung was found"):
        lung_masks(np.full((2, 32, 32), value, np.float32))


def test_a_package_that_is_not_there_is_one_line(monkeypatch, phantom):
    monkeypatch.setitem(sys.modules, "lungmask", None)
    with pytest.raises(InputError, match="pip install lungmask"):
        external_lung_masks(phantom.images[:1])


def test_the_packages_sides_and_axes_are_turned_into_ours(monkeypatch):
    """It sees the patient's right in the first columns, the front in the first rows, and calls the right lung 1."""
    seen = {}

    class Inferer:
        def __init__(self, modelname):
            seen["model"] = modelname

        def apply(self, image):
            found = np.zeros(image.array.shape, np.uint8)
            found[:, :, :3], found[:, :2, 5:] = 1, 2
            return found

    def as_image(array):
        return SimpleNamespace(array=array, SetSpacing=lambda spacing: seen.update(spacing=spacing))

    monkeypatch.setitem(sys.modules, "lungmask", SimpleNamespace(LMInferer=Inferer))
    monkeypatch.setitem(sys.modules, "SimpleITK", SimpleNamespace(GetImageFromArray=as_image))
    sides = external_lung_masks(np.zeros((2, 8, 6), np.float32), spacing=(5.0, 0.7, 0.8))
    expected = np.zeros((2, 8, 6), np.uint8)
    expected[:, :3], expected[:, 5:, :2] = RIGHT, LEFT
    np.testing.assert_array_equal(sides, expected)
    assert seen == {"model": "R231", "spacing": (0.7, 0.8, 5.0)}  # of x, y, z: our rows, columns, slices


def test_pieces_of_a_scan_are_those_of_its_volume():
    """Against labels of the whole volume, on random blobs of every size, also of one slice and of none."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        noise = ndimage.uniform_filter(rng.random(rng.integers(1, 16, 3)), int(rng.integers(1, 5)))
        air = noise > rng.uniform(0, 0.9)
        pieces, _ = ndimage.label(air)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        expected = (sizes >= max(sizes.max() / 10, 1))[pieces]
        np.testing.assert_array_equal(lung_like_components(air), expected)
