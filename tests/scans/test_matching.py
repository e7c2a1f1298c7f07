"""Masks and labels on their scan's grid: however their arrays are stored, by where each voxel lies."""

import itertools

import nibabel
import nibabel.orientations as nio
import numpy as np
import pytest
from scan_files import network_affine, save_dicom, save_nifti

from unet_segnet.errors import InputError
from unet_segnet.scans import lay_on, read_scan

AFFINE = network_affine()[:, [1, 0, 2, 3]]
VALUES = np.random.default_rng(6).integers(-1000, 900, (6, 10, 8)).astype(np.int16)  # (slice, row, column)
LABELS = np.random.default_rng(7).integers(0, 4, (10, 8, 6)).astype(np.uint8)
TURNS = [
    np.array(list(zip(axes, flips, strict=True)))
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]


@pytest.fixture(params=["nifti", "dicom"])
def scan(request, tmp_path):
    if request.param == "nifti":
        return read_scan(save_nifti(tmp_path / "scan.nii.gz", np.moveaxis(VALUES, 0, 2), AFFINE))
    return read_scan(save_dicom(tmp_path / "series", VALUES, AFFINE))


def stored(path, labels, turn, affine=AFFINE):
    return save_nifti(path, nio.apply_orientation(labels, turn), affine @ nio.inv_ornt_aff(turn, labels.shape))


def test_labels_stored_in_any_order_and_direction(scan, tmp_path):
    for turn in TURNS:
        mask = read_scan(stored(tmp_path / "labels.nii", LABELS, turn))
        laid = lay_on(scan, mask)
        np.testing.assert_array_equal(laid.array, LABELS)
        assert laid.affine is scan.affine and laid.notes == mask.notes


def test_labels_of_a_cube_are_not_taken_by_their_axes(tmp_path):
    """Nothing but the place tells how a cube is stored."""
    values, labels = VALUES[:6, :6, :6], LABELS[:6, :6, :6]
    scan = read_scan(save_dicom(tmp_path / "series", values, AFFINE))
    for turn in TURNS[::5]:
        laid = lay_on(scan, read_scan(stored(tmp_path / "labels.nii", labels, turn)))
        np.testing.assert_array_equal(laid.array, labels)


def test_a_series_as_labels_of_a_nifti_scan(tmp_path):
    scan = read_scan(stored(tmp_path / "scan.nii", np.moveaxis(VALUES, 0, 2), TURNS[17]))
    series = save_dicom(tmp_path / "series", np.moveaxis(LABELS, 2, 0), AFFINE, intercept=0)
    laid = lay_on(scan, read_scan(series))
    np.testing.assert_array_equal(laid.array, nio.apply_orientation(LABELS, TURNS[17]))


@pytest.mark.parametrize(
    ("shift", "away"), [((0.5, 0, 0), "0.40"), ((0, 0.5, 0), "0.35"), ((0, 0, 0.5), "2.5"), ((0, 0, 1), "5.0")]
)
def test_labels_beside_their_scan_are_refused_with_the_distance(scan, tmp_path, shift, away):
    moved = AFFINE.copy()
    moved[:3, 3] += AFFINE[:3, [1, 0, 2]] @ shift  # 0.8, 0.7 and 5 mm
    for turn in TURNS[::7]:
        mask = read_scan(stored(tmp_path / "labels.nii", LABELS, turn, moved))
        with pytest.raises(InputError, match=rf"labels\.nii: lies up to {away} mm away.*resample it to the scan"):
            lay_on(scan, mask)


def test_headers_rounded_to_hundredths_are_the_same_grid(scan, tmp_path):
    mask = read_scan(save_nifti(tmp_path / "labels.nii", LABELS, AFFINE.round(2), qform=0))
    np.testing.assert_array_equal(lay_on(scan, mask).array, LABELS)


def test_another_grid_over_the_same_body_is_refused(scan, tmp_path):
    half = AFFINE @ np.diag([0.5, 1, 2, 1])
    with pytest.raises(InputError, match="is 20x8x3, the scan is 10x8x6: expected equal sizes; resample"):
        lay_on(scan, read_scan(save_nifti(tmp_path / "half.nii", np.zeros((20, 8, 3), np.uint8), half)))
    turned = network_affine((30, 0, 0))[:, [1, 0, 2, 3]]
    with pytest.raises(InputError, match="mm away from the scan"):
        lay_on(scan, read_scan(save_nifti(tmp_path / "turned.nii", LABELS, turned)))
    swapped = AFFINE[:, [1, 0, 2, 3]]  # equal sizes, other voxels: rows of columns' length
    with pytest.raises(InputError, match="mm away from the scan"):
        lay_on(scan, read_scan(save_nifti(tmp_path / "swapped.nii", LABELS, swapped)))


def test_labels_that_do_not_tell_their_place(scan, tmp_path):
    """The arrays of two NIfTI files are taken as they lie, with a note; DICOM's rows are not NIfTI's first axis."""
    mask = read_scan(save_nifti(tmp_path / "labels.nii", LABELS, np.eye(4)))
    if scan.rows_first:
        with pytest.raises(InputError, match=r"labels\.nii: which of its voxels lie on which.*cannot be known"):
            lay_on(scan, mask)
    else:
        laid = lay_on(scan, mask)
        np.testing.assert_array_equal(laid.array, LABELS)
        assert "taken voxel by voxel, as their arrays lie" in laid.mask_notes[-1]
        assert nibabel.aff2axcodes(laid.affine) == nibabel.aff2axcodes(scan.affine)
