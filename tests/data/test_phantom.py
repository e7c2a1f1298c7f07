"""The phantom: reproducible, in the proportions of the study's slices, and no easier than they are."""

import nibabel
import numpy as np
import pytest

from unet_segnet.data.nifti import read_medseg_slices
from unet_segnet.data.phantom import phantom_slices, write_phantom
from unet_segnet.data.preprocess import prepare
from unet_segnet.errors import InputError
from unet_segnet.scans import read_scan, to_network

# Pixels of each class in the 100 slices (Table 1, the last one mended) and the slices that contain it.
REAL_PIXELS = np.array([24394464, 1196461, 589210, 34265]) / 26214400
REAL_SLICES = (0.96, 0.78, 0.25)


@pytest.fixture(scope="module")
def hundred():
    return phantom_slices(100, seed=0, size=96)


def test_slices_are_the_same_each_time_whatever_their_number():
    few, more = phantom_slices(2, seed=5, size=64), phantom_slices(3, seed=5, size=64)
    for part in ("images", "labels", "lungs"):
        np.testing.assert_array_equal(getattr(few, part), getattr(more, part)[:2])
    assert few.names == ("001", "002")
    other = phantom_slices(2, seed=6, size=64)
    assert not np.array_equal(few.labels, other.labels)


def test_classes_occur_as_often_as_in_the_study(hundred):
    pixels = np.bincount(hundred.labels.ravel(), minlength=4) / hundred.labels.size
    assert np.all(np.abs(np.log(pixels / REAL_PIXELS)) < np.log(1.5)), pixels
    for label, share in zip((1, 2, 3), REAL_SLICES, strict=True):
        found = np.mean((hundred.labels == label).any(axis=(1, 2)))
        assert abs(found - share) < 0.12, (label, found)


def test_attenuation_is_that_of_the_tissues(hundred):
    expected = {0: -741, 1: -429, 2: -112, 3: 12}  # HU; the first three as calibrated on the released slices
    for label, median in expected.items():
        inside = (hundred.labels == label) & hundred.lungs
        assert abs(np.median(hundred.images[inside]) - median) < 110, label
    assert hundred.units == "HU"
    assert hundred.images.min() >= -1024


def test_lesions_lie_in_the_lungs(hundred):
    assert not np.any((hundred.labels > 0) & ~hundred.lungs)
    assert 0.15 < hundred.lungs.mean() < 0.35  # 0.26 in the released slices
    assert hundred.lungs.any(axis=(1, 2)).all()


def test_the_patient_lies_sideways_with_effusion_at_the_back(hundred):
    rows, columns = np.nonzero(hundred.lungs.mean(axis=0) > 0.3)
    assert rows.min() < 48 < rows.max()
    assert not (hundred.lungs.mean(axis=0)[46:50] > 0.5).any()  # the mediastinum between the two lungs
    effusion = np.nonzero(hundred.labels == 3)[2]
    assert np.median(effusion) > np.median(columns)


def test_no_grey_threshold_solves_it(hundred):
    """On the real slices the best threshold reaches a lesion Dice of 0.67."""
    slices = prepare(hundred, size=96)
    truth = slices.labels > 0
    dices = [
        2 * np.sum((slices.images >= level) & truth) / (np.sum(slices.images >= level) + truth.sum())
        for level in range(40, 220, 4)
    ]
    assert 0.5 < max(dices) < 0.8


def test_written_files_give_the_same_slices_back(tmp_path):
    write_phantom(tmp_path, num_slices=3, seed=2, size=64, volumes=1, volume_slices=4)
    expected = phantom_slices(3, seed=2, size=64)
    found = read_medseg_slices(tmp_path)
    for part in ("images", "labels", "lungs"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))
    volume = nibabel.load(tmp_path / "rp_im" / "1.nii.gz")
    assert volume.shape == (64, 64, 4)
    assert volume.header.get_zooms() == pytest.approx((350 / 64, 350 / 64, 8.0))
    lungs = nibabel.load(tmp_path / "rp_lung_msk" / "1.nii.gz").get_fdata()
    labels = nibabel.load(tmp_path / "rp_msk" / "1.nii.gz").get_fdata()
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert not np.any((labels > 0) & (lungs == 0))
    overlap = np.sum(lungs[..., 1] * lungs[..., 2]) / np.sum(lungs[..., 1:3].max(axis=-1))
    assert overlap > 0.6  # one patient, level by level
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "tr_im.nii.gz",
        "tr_lungmasks_updated.nii.gz",
        "tr_mask.nii.gz",
    ]


def test_the_affine_says_where_the_drawn_patient_lies(tmp_path):
    """By anatomy: the liver's dome stands in the right lung near its base, and fluid at the back."""
    write_phantom(tmp_path, num_slices=30, seed=2, size=64, volumes=1, volume_slices=8)
    slices = to_network(read_scan(tmp_path / "tr_im.nii.gz"))
    expected = phantom_slices(30, seed=2, size=64)
    assert slices.axes == "LPS" and slices.spacing == pytest.approx((8, 350 / 64, 350 / 64))
    np.testing.assert_array_equal(slices.images, expected.images)  # as the networks know them
    assert np.median(np.nonzero(expected.labels == 3)[2]) > 32  # columns run to the back
    volume = to_network(read_scan(tmp_path / "rp_im" / "1.nii.gz"))
    lungs = to_network(read_scan(tmp_path / "rp_lung_msk" / "1.nii.gz"), like=volume).images > 0
    assert volume.axes == "LPI" and volume.names[0] == "008"
    right, left = lungs[:, :32].sum(axis=(1, 2)), lungs[:, 32:].sum(axis=(1, 2))  # rows run to the left
    assert right[0] < 0.7 * right[1] and left[0] > 0.8 * left[1]  # slices run from foot to head


@pytest.mark.parametrize(("num_slices", "size"), [(0, 64), (1, 16)])
def test_impossible_sizes_are_named(num_slices, size):
    with pytest.raises(InputError, match=f"Received: {num_slices} of {size}"):
        phantom_slices(num_slices, size=size)
