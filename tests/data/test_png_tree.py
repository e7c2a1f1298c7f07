"""The released PNG tree: what is read, what is mended, what is refused."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unet_segnet.data.mask_fit import find_exchanges, outside_fraction
from unet_segnet.data.png_tree import inspect_png_tree, read_png_tree
from unet_segnet.errors import InputError

LEVELS = np.array([0, 85, 170, 255], np.uint8)


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def tree(tmp_path):
    """Four slices of 16x16: lung number k in quadrant k, its lesion inside."""
    for number in range(4):
        top, left = 8 * (number // 2), 8 * (number % 2)
        image, label = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8)
        image[top : top + 8, left : left + 8] = 60 + number
        label[top + 2 : top + 6, left + 2 : left + 6] = 1 + number % 3
        save(image, tmp_path / f"dataset/im/256/i00{number + 1}.png")
        save(LEVELS[label], tmp_path / f"dataset/mask/multi/256/tr_mask_z00{number + 1}.png")
        save((label > 0).astype(np.uint8) * 255, tmp_path / f"dataset/mask/binary/256/tr_mask_z00{number + 1}.png")
    return tmp_path


def mask_path(tree, number, kind="multi"):
    return tree / f"dataset/mask/{kind}/256/tr_mask_z00{number}.png"


def exchange(tree, first, second):
    for kind in ("multi", "binary"):
        one, other = (mask_path(tree, number, kind) for number in (first, second))
        held = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(held)


def test_reads_images_labels_and_names(tree):
    slices = read_png_tree(tree)
    assert slices.names == ("001", "002", "003", "004")
    assert slices.units == "8-bit" and slices.lungs is None and slices.notes == ()
    assert slices.images.max(axis=(1, 2)).tolist() == [60, 61, 62, 63]
    assert slices.labels.max(axis=(1, 2)).tolist() == [1, 2, 3, 1]
    assert (slices.labels > 0).sum() == 4 * 16
    assert read_png_tree(tree / "dataset").sha256() == slices.sha256()


def test_binary_masks_alone_give_two_classes(tree):
    for path in (tree / "dataset/mask/multi/256").iterdir():
        path.unlink()
    (tree / "dataset/mask/multi/256").rmdir()
    slices = read_png_tree(tree)
    assert slices.class_names == ("not infected", "infected")
    assert slices.labels.max() == 1


@pytest.mark.parametrize("pair", [(1, 2), (2, 4)])
def test_exchanged_masks_are_found_wherever_they_are_and_put_back(tree, pair):
    sound = read_png_tree(tree)
    exchange(tree, *pair)
    as_it_is = read_png_tree(tree, mend=False)
    assert find_exchanges(as_it_is) == [(pair[0] - 1, pair[1] - 1)]
    mended = read_png_tree(tree)
    np.testing.assert_array_equal(mended.labels, sound.labels)
    assert len(mended.notes) == 1
    assert f"masks 00{pair[0]} and 00{pair[1]}" in mended.notes[0]


def test_a_misfit_without_partner_is_left_alone(tree):
    label = np.zeros((16, 16), np.uint8)
    label[0:4, 12:16] = 85  # in no slice's lung but the second's, whose own mask fits
    save(label, mask_path(tree, 3))
    save((label > 0).astype(np.uint8) * 255, mask_path(tree, 3, "binary"))
    slices = read_png_tree(tree)
    assert slices.notes == ()
    np.testing.assert_allclose(outside_fraction(slices), [0, 0, 1, 0])


def test_three_way_confusion_is_not_guessed(tree):
    # Each of the first three masks misses its own lung and fits both other lungs: no pair is the right one.
    quadrants = [np.zeros((16, 16), np.uint8) for _ in range(3)]
    for number, quadrant in enumerate(quadrants):
        top, left = 8 * (number // 2), 8 * (number % 2)
        quadrant[top : top + 8, left : left + 8] = 1
    for number, quadrant in enumerate(quadrants):
        save((sum(quadrants) - quadrant) * np.uint8(50), tree / f"dataset/im/256/i00{number + 1}.png")
    slices = read_png_tree(tree)
    np.testing.assert_allclose(outside_fraction(slices), [1, 1, 1, 0])
    assert slices.notes == ()


def missing_mask(tree):
    mask_path(tree, 2).unlink()
    return "no file for slice 002"


def additional_mask(tree):
    save(np.zeros((16, 16), np.uint8), mask_path(tree, 9))
    return "no file for slice 009"


def other_size(tree):
    save(np.zeros((8, 16), np.uint8), mask_path(tree, 2))
    return "8x16"


def other_image_size(tree):
    save(np.zeros((8, 8), np.uint8), tree / "dataset/im/256/i003.png")
    return "8x8"


def unknown_level(tree):
    save(np.full((16, 16), 128, np.uint8), mask_path(tree, 2))
    return r"unknown values \(128\)"


def contradiction(tree):
    save(np.zeros((16, 16), np.uint8), mask_path(tree, 2, "binary"))
    return "disagree"


def damaged(tree):
    path = tree / "dataset/im/256/i002.png"
    path.write_bytes(path.read_bytes()[:40])
    return "cannot be read as PNG"


def empty_file(tree):
    mask_path(tree, 2).write_bytes(b"")
    return "cannot be read as PNG"


def colour(tree):
    save(np.zeros((16, 16, 3), np.uint8), tree / "dataset/im/256/i002.png")
    return "mode RGB"


def no_number(tree):
    save(np.zeros((16, 16), np.uint8), tree / "dataset/im/256/lung.png")
    return "number of the slice"


@pytest.mark.parametrize(
    "damage",
    [
        missing_mask,
        additional_mask,
        other_size,
        other_image_size,
        unknown_level,
        contradiction,
        damaged,
        empty_file,
        colour,
        no_number,
    ],
)
def test_bad_trees_are_one_clear_line_and_the_rest_is_still_examined(tree, damage):
    message = damage(tree)
    with pytest.raises(InputError, match=message) as error:
        read_png_tree(tree)
    assert "\n" not in str(error.value)
    slices, problems = inspect_png_tree(tree)
    assert len(problems) == 1
    assert len(slices) >= 3


def test_folders_without_slices_or_masks(tmp_path):
    with pytest.raises(InputError, match="no slices in"):
        read_png_tree(tmp_path)
    save(np.zeros((4, 4), np.uint8), tmp_path / "dataset/im/256/i001.png")
    with pytest.raises(InputError, match="no masks in"):
        read_png_tree(tmp_path)


def test_the_release_has_one_exchange(real_data):
    slices = read_png_tree(real_data)
    assert slices.images.shape == (100, 256, 256)
    assert slices.names == tuple(f"{number:03}" for number in range(1, 101))
    assert len(slices.notes) == 1 and "masks 033 and 039" in slices.notes[0]
    assert np.nanmax(outside_fraction(slices)) < 0.06
    counts = np.bincount(slices.labels.ravel())
    assert counts.tolist() == [6098507, 299217, 147271, 8605]
    assert find_exchanges(read_png_tree(real_data, mend=False)) == [(32, 38)]


def test_a_tree_of_more_pixels_than_can_be_held_is_refused_on_the_way(tree, monkeypatch):
    monkeypatch.setattr("unet_segnet.data.png_tree.MAX_VOXELS", 3 * 256)
    with pytest.raises(InputError, match="holds more than 768 pixels: give fewer or smaller slices"):
        read_png_tree(tree)
    monkeypatch.setattr("unet_segnet.data.png_tree.MAX_VOXELS", 4 * 256)
    assert len(read_png_tree(tree)) == 4


def test_a_claim_of_more_than_memory_is_one_line(tree, monkeypatch):
    """As of a chunk of 4 GiB, which Pillow asks for where the system allows it."""

    def load(_):
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_end", load)
    with pytest.raises(InputError, match="it claims more than there is memory"):
        read_png_tree(tree)
