"""Two ways of finding lungs put together, and what is said where they differ."""

import threading
from pathlib import Path

import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.inference import find_lungs as module
from unet_segnet.inference.find_lungs import both_lung_masks
from unet_segnet.inference.segmentation import prepare
from unet_segnet.scans import Scan, write_labels

SPACING = (5.0, 1.0, 1.0)


def masks(*boxes):
    """(2, 40, 40) of boxes, (side, rows, columns)."""
    found = np.zeros((2, 40, 40), np.uint8)
    for side, rows, columns in boxes:
        found[:, slice(*rows), slice(*columns)] = side
    return found


def scan_of(values):
    """Rows from right to left, columns to the back, slices to the head: as the networks take them."""
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    units = "8-bit" if values.dtype == np.uint8 else "HU"
    return Scan("case", np.moveaxis(values, 0, 2), affine, units, (1.0, 1.0, 5.0), Path("case.nii.gz"))


def test_hounsfield_units_draw_the_border_and_the_network_chooses():
    classical = masks((2, (5, 15), (10, 30)), (1, (25, 35), (10, 30)), (1, (37, 40), (2, 5)))  # the last is bowel
    network = masks((2, (6, 14), (11, 29)), (1, (25, 36), (10, 30)), (1, (25, 35), (30, 34)))  # one too far back
    both = both_lung_masks(classical, network, SPACING)
    assert both[:, 5:15, 10:30].all()  # the border of the first, a pixel beyond the second
    assert both[:, 35, 10:30].all() and not both[:, 36:].any()  # one pixel more by the second
    assert both[:, 25:35, 30].all() and not both[:, 25:35, 31:].any()  # of what has no air, one pixel
    coarse = both_lung_masks(classical, network, (5.0, 0.5, 0.5))
    assert coarse[:, 25:35, 31].all()  # which is 1 mm


@pytest.fixture
def found(monkeypatch):
    """Sets what each of the two ways finds; None: nothing."""

    def set_to(classical, network):
        def give(result):
            def find(*arguments, **options):
                if result is None:
                    raise InputError("no lung was found")
                return result

            return find

        monkeypatch.setattr(module, "lung_masks", give(classical))
        monkeypatch.setattr(module, "_by_network", give(network))
        return prepare(scan_of(np.full((2, 40, 40), 40, np.float32)), "auto").lungs

    return set_to


LUNGS = masks((2, (5, 15), (10, 30)), (1, (25, 35), (10, 30)))


def test_sides_are_kept_and_agreement_is_not_worth_a_note(found):
    lungs = found(LUNGS, LUNGS)
    np.testing.assert_array_equal(lungs.sides, LUNGS)
    assert lungs.notes(2) == ("lungs: found by Hounsfield units and a network",)


def test_what_the_network_leaves_out_is_said(found):
    lungs = found(LUNGS, np.where(LUNGS == 2, LUNGS, 0))
    assert (lungs.sides == 1).sum() == 0
    assert any("50 % of what is like lung by its Hounsfield units is none for the network" in n for n in lungs.notes(2))


def test_lung_without_air_is_said(found):
    lungs = found(np.where(LUNGS == 2, LUNGS, 0), LUNGS)
    assert (lungs.sides == 1).sum() == 0
    assert any("50 % of what is lung for the network has no air and is left out" in note for note in lungs.notes(2))


def test_one_way_is_taken_where_the_other_finds_none(found):
    for classical, network, alone in ((LUNGS, None, "Hounsfield units"), (None, LUNGS, "a network")):
        lungs = found(classical, network)
        np.testing.assert_array_equal(lungs.sides, LUNGS)
        assert any(f"found by {alone} alone" in note for note in lungs.notes(2))
    with pytest.raises(InputError, match=r"case\.nii\.gz: no lung was found"):
        found(None, None)
    with pytest.raises(InputError, match="is no lung for the network"):
        found(masks((1, (0, 4), (0, 4))), LUNGS)


def test_keras_is_there_before_both_ways_go_side_by_side(found, monkeypatch):
    threads = []
    monkeypatch.setattr(module, "import_keras", lambda: threads.append(threading.active_count()))
    before = threading.active_count()
    found(LUNGS, LUNGS)
    assert threads == [before]


def test_what_goes_wrong_beside_the_network_is_not_lost(found, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise MemoryError("of the thread")

    found(LUNGS, LUNGS)
    monkeypatch.setattr(module, "lung_masks", out_of_memory)
    with pytest.raises(MemoryError, match="of the thread"):
        prepare(scan_of(np.full((2, 40, 40), 40, np.float32)), "auto")


def test_a_lung_that_is_missing_is_said(found):
    alone = np.where(LUNGS == 1, LUNGS, 0)
    assert any("the right lung is not there" in note for note in found(alone, alone).notes(2))
    remnant = alone.copy()
    remnant[:, 5:7, 10:28] = 2
    assert any("the right lung is only 18 %" in note for note in found(remnant, remnant).notes(2))


def test_lungs_in_front_of_each_other_are_said(found):
    turned = masks((1, (10, 30), (5, 15)), (1, (10, 30), (25, 35)))
    assert any("in front of each other" in note for note in found(turned, turned).notes(2))


def given(tmp_path, values, dark):
    """Lungs of a scan by a mask of its dark places."""
    scan = scan_of(values)
    write_labels(tmp_path / "lungs.nii.gz", np.moveaxis(values == dark, 0, 2).astype(np.uint8), scan)
    return prepare(scan, tmp_path / "lungs.nii.gz").lungs


def test_a_body_cut_off_on_one_side_is_said(tmp_path):
    for first_row, is_said in ((0, True), (4, False)):
        values = np.full((2, 40, 40), -1000, np.float32)
        values[:, first_row:36, 4:36] = 40
        values[:, 10:16, 10:30] = values[:, 24:30, 10:30] = -850
        notes = given(tmp_path, values, -850).notes(2)
        assert any("cuts the body off" in note for note in notes) == is_said


def test_a_mask_of_one_lung_in_grey_levels_is_on_the_bodys_side(tmp_path):
    for body, sides in ((180, {0, 2}), (0, {0, 1, 2})):  # cut out: nothing says where the body's middle is
        values = np.full((2, 40, 40), body, np.uint8)
        values[:, :2] = values[:, -2:] = values[:, :, :2] = values[:, :, -2:] = 0
        values[:, 8:17, 10:30] = 60
        values[:, 12, 20] = 61  # two values would be those of a mask
        assert set(np.unique(given(tmp_path, values, 60).sides)) == sides


def test_sides_of_a_given_mask_are_not_taken_and_that_is_said(tmp_path):
    values = np.full((2, 40, 40), -1000, np.float32)
    values[:, 4:36, 4:36] = 40
    values[:, 10:16, 10:30] = values[:, 24:30, 10:30] = -850
    scan = scan_of(values)
    for right, said in ((1, 0), (2, 1)):
        mask = np.where(values == -850, np.where(np.arange(40)[:, None] < 20, right, 1), 0).astype(np.uint8)
        write_labels(tmp_path / "lungs.nii.gz", np.moveaxis(mask, 0, 2), scan)
        notes = prepare(scan, tmp_path / "lungs.nii.gz").lungs.notes(2)
        assert sum("told apart by the body's middle, not by its values" in note for note in notes) == said
