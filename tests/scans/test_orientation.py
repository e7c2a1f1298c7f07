"""Scans in any orientation become the same network slices, and labels come back in place."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel.orientations as nio
import numpy as np
import pytest
from PIL import Image
from scan_files import SPACING, network_affine, save_dicom, save_nifti
from scipy import ndimage

from unet_segnet.data import load_slices
from unet_segnet.data.normalise import lung_levels
from unet_segnet.data.phantom import phantom_slices
from unet_segnet.data.preprocess import prepare, window_to_8bit
from unet_segnet.errors import InputError
from unet_segnet.inference.lungs import LEFT, RIGHT, split_left_right
from unet_segnet.scans import (
    Scan,
    fit,
    fit_labels,
    fit_whole,
    from_network,
    lay_on,
    read_scan,
    to_network,
    unfit,
    unfit_smooth,
)
from unet_segnet.scans.scan import voxel_spacing


@pytest.fixture(scope="module")
def phantom():
    slices = phantom_slices(7, seed=3, size=64)
    return replace(slices, **{name: getattr(slices, name)[:, :, :56] for name in ("images", "labels", "lungs")})


def scan_of(array, affine=None, **fields):
    units = "8-bit" if array.dtype == np.uint8 else "HU"
    spacing = None if affine is None else voxel_spacing(affine)
    return Scan("case", array, affine, units, spacing, Path("case.nii.gz"), **fields)


def test_all_48_orientations_give_the_same_slices_and_labels_come_back_in_place(phantom):
    base, affine = np.moveaxis(phantom.images, 0, 2), network_affine()
    labels = np.moveaxis(phantom.labels, 0, 2)
    seen = set()
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turn = np.column_stack([order, flips])
            array = nio.apply_orientation(base, turn)
            scan = scan_of(array, affine @ nio.inv_ornt_aff(turn, base.shape))
            slices = to_network(scan)
            np.testing.assert_array_equal(slices.images, phantom.images)
            np.testing.assert_allclose(slices.spacing, SPACING)
            back = from_network(phantom.labels, slices)
            assert back.dtype == np.uint8
            np.testing.assert_array_equal(back, nio.apply_orientation(labels, turn))
            seen.add(slices.axes)
            given = to_network(replace(scan, affine=None), slices.axes.lower())
            np.testing.assert_array_equal(given.images, phantom.images)
    assert len(seen) == 48


def test_nifti_dicom_and_pictures_of_one_patient_give_the_same_slices(phantom, tmp_path):
    affine = network_affine()
    # NIfTI as converters write it: (column, row, slice) of the upright picture, rows from the back.
    turn = np.array([[0, -1], [1, -1], [2, 1]])
    array = np.moveaxis(phantom.images, 0, 2)
    save_nifti(
        tmp_path / "case.nii.gz",
        nio.apply_orientation(array, turn).astype(np.int16),
        affine @ nio.inv_ornt_aff(turn, array.shape),
    )
    upright = phantom.images.transpose(0, 2, 1)
    save_dicom(tmp_path / "series", upright, affine[:, [1, 0, 2, 3]], slope=0.5)
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(window_to_8bit(upright), start=5):  # 5 to 11: natural order matters
        Image.fromarray(image).save(tmp_path / f"pictures/slice{number}.png")
    expected = prepare(
        replace(
            phantom,
            images=np.pad(phantom.images, ((0, 0), (0, 0), (4, 4))),
            labels=None,
            lungs=np.pad(phantom.lungs, ((0, 0), (0, 0), (4, 4))),
        ),
        size=48,
    ).images
    assert expected.max() > 150
    for name, orientation, spacing in (
        ("case.nii.gz", None, SPACING),
        ("series", None, SPACING),
        ("pictures", "upright", None),
    ):
        scan = read_scan(tmp_path / name)
        slices = to_network(scan, orientation)
        np.testing.assert_array_equal(fit(slices.images, phantom.lungs, size=48), expected)
        assert slices.spacing is spacing is None or np.allclose(slices.spacing, spacing)
        assert (scan.units, scan.is_volume) == (("8-bit", False) if name == "pictures" else ("HU", True))
    assert slices.names == tuple(f"slice{number}" for number in range(5, 12))


def test_named_orientations_and_what_is_assumed_without_geometry(phantom):
    array = np.ascontiguousarray(np.moveaxis(window_to_8bit(phantom.images), 0, 2))
    upright = array.transpose(1, 0, 2)
    for given, name in ((array, "network"), (upright, "upright"), (upright[::-1], "upside-down")):
        np.testing.assert_array_equal(np.moveaxis(to_network(scan_of(given), name).images, 0, 2), array)
    full = to_network(scan_of(upright + (upright == 0)))
    assert full.axes == "PLS" and "assumed upright" in full.notes[0] and "give the orientation" in full.notes[0]
    alone = to_network(scan_of(array * np.moveaxis(phantom.lungs, 0, 2)))
    assert alone.axes == "LPS" and "assumed network" in alone.notes[0]
    soft = np.moveaxis(window_to_8bit(phantom.images, (-160, 240)), 0, 2).transpose(1, 0, 2)
    assert (soft == 0).mean() > 0.5  # a body with black lungs in black air shows no lungs alone
    assert to_network(scan_of(soft)).axes == "PLS"
    # Masks are mostly black: they lie as the scan they belong to.
    mask = np.moveaxis(phantom.labels, 0, 2).transpose(1, 0, 2)
    np.testing.assert_array_equal(to_network(scan_of(mask), like=full).images, phantom.labels)
    for wrong in ("LPX", "LRS", "sideways", ""):
        with pytest.raises(InputError, match="expected network, upright"):
            to_network(scan_of(array), wrong)


def test_a_coronal_series_is_one_line(phantom):
    """Its axial slices are not square: 0.8 mm from side to side, 4 mm from front to back."""
    coronal = np.array([[-0.8, 0, 0, 0], [0, 0, 4.0, 0], [0, -0.8, 0, 0], [0, 0, 0, 1]])
    with pytest.raises(InputError, match=r"pixels of 0\.8 x 4 mm \(LIA\); expected square ones: give the axial series"):
        to_network(scan_of(phantom.images, coronal))


def test_a_given_orientation_wins_over_the_affine_and_says_so(phantom):
    scan = scan_of(np.moveaxis(phantom.images, 0, 2), network_affine())
    assert to_network(scan).notes == ("orientation: LPS by the affine",)
    given = to_network(scan, "RPI")
    np.testing.assert_array_equal(given.images, phantom.images[::-1, ::-1])
    assert given.notes == ("orientation: RPI as given; the affine says LPS",)
    assert given.names[0] == "007" and not given.is_measured
    # A mask lies as the scan that it was laid on.
    mask = np.moveaxis(phantom.labels, 0, 2)
    flipped = nio.inv_ornt_aff(np.array([[0, -1], [1, 1], [2, 1]]), mask.shape)
    laid = lay_on(scan, scan_of(mask[::-1], network_affine() @ flipped))
    np.testing.assert_array_equal(to_network(laid, like=to_network(scan)).images, phantom.labels)
    np.testing.assert_array_equal(to_network(scan_of(mask), like=given).images, phantom.labels[::-1, ::-1])


def test_fit_leaves_prepared_slices_alone_and_unfit_goes_back():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 256, 256), dtype=np.uint8)
    np.testing.assert_array_equal(fit(images, None), images)
    lungs = random.random(images.shape) > 0.5
    np.testing.assert_array_equal(fit(images, lungs), images * lungs)
    hounsfield = np.full((1, 20, 30), 400.0, np.float32)
    fitted = fit(hounsfield, None, (-1100, 400), 30)
    assert fitted[0, 5:25].min() == 255 and fitted[0, :5].max() == 0 == fitted[0, 25:].max()
    maps = random.integers(0, 4, (2, 30, 30), dtype=np.uint8)
    np.testing.assert_array_equal(unfit(maps, (20, 30)), maps[:, 5:25])
    np.testing.assert_array_equal(unfit(maps, (60, 59)), np.kron(maps, np.ones((1, 2, 2), np.uint8))[:, :, :59])
    chances = random.random((2, 30, 30, 4)).astype(np.float32)
    found = np.stack([unfit(chances[..., index], (41, 67)) for index in range(4)], axis=-1)
    np.testing.assert_array_equal(found.argmax(-1), unfit(chances.argmax(-1), (41, 67)))


def test_the_orientation_of_the_100_slices_by_anatomy(real_data):
    """Fluid gathers at the back, and the right lung is the larger one: columns run P, rows L."""
    slices = load_slices(str(real_data))
    lungs = np.stack([ndimage.binary_fill_holes(image > 0) for image in slices.images])
    effusion = slices.labels == 3
    number = [index for index in range(len(slices)) if effusion[index].any()]
    behind = [np.nonzero(effusion[index])[1].mean() > np.nonzero(lungs[index])[1].mean() for index in number]
    assert len(number) == 25 and sum(behind) == 25
    sides = split_left_right(lungs)
    larger = (sides == RIGHT).sum(axis=(1, 2)) > (sides == LEFT).sum(axis=(1, 2))
    assert larger.sum() >= 85
    rows = [np.nonzero(sides == side)[1].mean() for side in (RIGHT, LEFT)]
    assert rows[0] < rows[1]


def test_the_orientations_of_ct20_by_anatomy(ct20_data):
    """Its slices stand upright, its volumes upside down, the right lung on the left in both: it is the larger one."""
    cases = [(ct20_data / "tr_lungmasks_updated.nii.gz", "upright")]
    cases += [(ct20_data / "rp_lung_msk" / f"{number}.nii.gz", "upside-down") for number in range(1, 10)]
    for path, name in cases:
        lungs = to_network(read_scan(path), name).images > 0
        sides = split_left_right(lungs)
        assert (sides == RIGHT).sum() > (sides == LEFT).sum(), path.name


@pytest.mark.parametrize("shape", [(40, 40), (40, 56)])
def test_levels_and_maps_come_back_in_place(shape):
    generator = np.random.default_rng(1)
    lungs = np.zeros((2, *shape), bool)
    lungs[:, 8:30, 10:34] = True
    images = np.where(lungs, generator.normal(-800, 60, lungs.shape), 30).astype(np.float32)
    shown, inside = fit_whole(images, 64), fit_labels(lungs, 64)
    levels = lung_levels(shown, inside)
    assert shown.shape == (2, 64, 64) and shown.dtype == np.float32
    assert 0.2 < np.median(levels[inside]) < 0.8
    other = lung_levels(fit_whole(0.1 * images + 200, 64), inside)
    np.testing.assert_allclose(other, levels, atol=1e-4)  # whatever the window
    back = unfit_smooth(fit_labels(lungs, 64).astype(np.float32), shape)
    assert back.shape == lungs.shape
    assert ((back > 0.5) != lungs).mean() < 0.03
