"""The MedSeg NIfTI layout: orientation, units, damage; and what becomes of the slices before training."""

import gzip
import struct
import tracemalloc

import nibabel
import numpy as np
import pytest

from unet_segnet.data import Slices
from unet_segnet.data.nifti import (
    read_medseg_slices,
    read_volume,
    read_volumes,
    volume_names,
    write_volume,
)
from unet_segnet.data.nifti_file import read_image
from unet_segnet.data.preprocess import prepare, window_to_8bit
from unet_segnet.errors import InputError

AFFINE = np.array([[-0.7, 0, 0, 100], [0, -0.7, 0, 90], [0, 0, 5.0, -40], [0, 0, 0, 1]])


def save(array, path, affine=AFFINE, **header):
    """Write with nibabel alone, array as (rows, columns, slices)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.fixture
def medseg(tmp_path):
    """Six slices of 20x24 in Hounsfield units."""
    random = np.random.default_rng(0)
    save(random.uniform(-1000, 300, (20, 24, 6)).astype(np.float32), tmp_path / "tr_im.nii.gz")
    labels = np.zeros((20, 24, 6))
    labels[6:10, 5:9] = 3
    save(labels, tmp_path / "tr_mask.nii.gz")
    lungs = np.zeros((20, 24, 6), np.int16)
    lungs[4:16, 4:12], lungs[4:16, 14:20] = 1, 2
    save(lungs, tmp_path / "tr_lungmasks_updated.nii.gz")
    return tmp_path


def test_slices_lie_as_in_the_file(medseg):
    slices = read_medseg_slices(medseg)
    array = nibabel.load(medseg / "tr_im.nii.gz").get_fdata()
    assert slices.names == ("001", "002", "003", "004", "005", "006")
    assert (slices.units, slices.images.dtype) == ("HU", np.float32)
    np.testing.assert_array_equal(slices.images[4], array[:, :, 4].astype(np.float32))
    assert slices.labels[2, 7, 6] == 3 and slices.labels.sum() == 6 * 16 * 3
    assert slices.lungs[0, 5, 15] and slices.lungs.sum() == 6 * (12 * 8 + 12 * 6)


def test_uncompressed_files_scaled_values_and_missing_masks(medseg):
    array = np.arange(20 * 24 * 6, dtype=np.int16).reshape(20, 24, 6)
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_slope_inter(0.5, -1000)
    (medseg / "tr_im.nii.gz").unlink()
    (medseg / "tr_mask.nii.gz").unlink()
    # nibabel stores (value - inter) / slope; read through it to know what the file says
    nibabel.save(image, medseg / "tr_im.nii")
    slices = read_medseg_slices(medseg)
    expected = np.moveaxis(nibabel.load(medseg / "tr_im.nii").get_fdata(), 2, 0)
    np.testing.assert_allclose(slices.images, expected, atol=1e-3)
    assert slices.labels is None and slices.lungs is not None


def test_volumes_of_any_size_come_one_by_one_with_their_affine(tmp_path):
    random = np.random.default_rng(1)
    shapes = {"10": (9, 11, 2), "2": (12, 8, 3), "patient": (5, 5, 1)}
    for name, shape in shapes.items():
        save(random.integers(-1000, 200, shape).astype(np.int16), tmp_path / f"rp_im/{name}.nii.gz")
        save(random.integers(0, 3, shape).astype(np.uint8), tmp_path / f"rp_msk/{name}.nii.gz")
    save(np.ones((9, 11, 2), np.uint8), tmp_path / "rp_lung_msk/10.nii.gz")
    assert volume_names(tmp_path) == ["2", "10", "patient"]
    volumes = list(read_volumes(tmp_path))
    for volume in volumes:
        rows, columns, num_slices = shapes[volume.name]
        assert volume.images.shape == (num_slices, rows, columns) == volume.labels.shape
        np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)
        assert volume.units == "HU"
    assert [volume.lungs is None for volume in volumes] == [True, False, True]


def test_a_written_volume_is_read_back(tmp_path):
    images = np.random.default_rng(2).integers(-1000, 300, (3, 6, 7)).astype(np.int16)
    write_volume(tmp_path / "scan.nii.gz", images, AFFINE)
    volume = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.images, images)
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)
    assert volume.name == "scan"
    np.testing.assert_array_equal(nibabel.load(tmp_path / "scan.nii.gz").get_fdata()[:, :, 1], images[1].astype(float))
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_grey_levels_are_recognised(tmp_path):
    grey = np.arange(5 * 6 * 2).reshape(5, 6, 2)
    save(grey.astype(np.float64), tmp_path / "tr_im.nii.gz")
    slices = read_medseg_slices(tmp_path)
    assert (slices.units, slices.images.dtype) == ("8-bit", np.uint8)
    for values in (grey / 60, grey * 50.0):  # scaled to 0..1, and a scanner's values without intercept
        save(values, tmp_path / "tr_im.nii.gz")
        with pytest.raises(InputError, match="expected Hounsfield units"):
            read_medseg_slices(tmp_path)


def test_two_classes_are_recognised(medseg):
    save((np.arange(20 * 24 * 6).reshape(20, 24, 6) % 2).astype(np.uint8), medseg / "tr_mask.nii.gz")
    assert read_medseg_slices(medseg).class_names == ("not infected", "infected")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-60])
    return "damaged|cut off"


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF  # the checksum that ends the gzip stream
    path.write_bytes(content)
    return "damaged"


def empty(path):
    path.write_bytes(b"")
    return "empty"


def not_gzip(path):
    path.write_bytes(b"<html>quota exceeded</html>" * 40)
    return "damaged"


def not_nifti(path):
    path.write_bytes(gzip.compress(b"<html>quota exceeded</html>" * 40))
    return "not a NIfTI"


def four_dimensions(path):
    save(np.zeros((4, 4, 2, 3), np.float32), path)
    return "shape"


def colour(path):
    rgb = np.zeros((4, 4, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    save(rgb, path)
    return "type"


def not_finite(path):
    save(np.full((20, 24, 6), np.nan, np.float32), path)
    return "not finite"


def missing(path):
    path.unlink()
    return "no slices|does not exist"


@pytest.mark.parametrize(
    "damage",
    [truncated, flipped, empty, not_gzip, not_nifti, four_dimensions, colour, not_finite, missing],
)
def test_damaged_images_are_one_clear_line(medseg, damage):
    message = damage(medseg / "tr_im.nii.gz")
    with pytest.raises(InputError, match=message) as error:
        read_medseg_slices(medseg)
    assert "\n" not in str(error.value)


def test_a_header_that_claims_too_much_allocates_nothing(medseg):
    path = medseg / "tr_im.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    for dims in ((3, 30000, 30000, 30000), (3, 2000, 2000, 200), (3, -5, 24, 6)):
        header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
        header["dim"][:4] = dims
        path.write_bytes(gzip.compress(header.binaryblock + bytes(content[348:])))
        tracemalloc.start()
        with pytest.raises(InputError, match=r"claims|shape|cut off|not a NIfTI"):
            read_medseg_slices(medseg)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((20, 24, 6), 4.0), "label 4"),
        (np.full((20, 24, 6), 0.5), "whole numbers"),
        (np.full((20, 24, 6), -1.0), "whole numbers"),
        (np.zeros((24, 20, 6)), "24x20x6"),
        (np.zeros((20, 24, 5)), "20x24x5"),
    ],
)
def test_masks_that_cannot_be_are_refused(medseg, mask, message):
    save(mask, medseg / "tr_mask.nii.gz")
    with pytest.raises(InputError, match=message):
        read_medseg_slices(medseg)


def test_default_window_is_the_calibrated_one():
    assert window_to_8bit(np.array([-741, -429, -112])).tolist() == [61, 114, 168]
    assert window_to_8bit(np.array([-3000, -1100, 400, 3000])).tolist() == [0, 0, 255, 255]
    assert window_to_8bit(np.array([-50.0, 0, 50]), (-50, 50)).tolist() == [0, 128, 255]
    for window in ((400, -1100), (0, 0), (float("nan"), 1)):
        with pytest.raises(InputError, match="window"):
            window_to_8bit(np.zeros(3), window)


def test_prepare_keeps_lungs_alone_and_resizes(medseg):
    slices = read_medseg_slices(medseg)
    ready = prepare(slices, size=20)
    assert ready.images.shape == ready.labels.shape == ready.lungs.shape == (6, 20, 20)
    assert (ready.images.dtype, ready.units) == (np.uint8, "8-bit")
    assert ready.images[:, :, :2].max() == 0 and ready.images[:, :3].max() == 0
    inside = ready.images[:, 6:14, 5:9]
    assert inside.min() > 0


def test_prepare_passes_8_bit_values_through():
    images = np.random.default_rng(3).integers(0, 256, (2, 16, 16)).astype(np.uint8)
    lungs = np.zeros((2, 16, 16), bool)
    lungs[:, 4:12] = True
    slices = Slices(images, images // 64, lungs, ("001", "002"))
    ready = prepare(slices, window=(-10, 10), size=16)
    np.testing.assert_array_equal(ready.images, images * lungs)
    untouched = prepare(Slices(images, None, None, ("001", "002")), size=16)
    np.testing.assert_array_equal(untouched.images, images)


def test_prepare_needs_lungs_for_hounsfield_units():
    slices = Slices(np.zeros((1, 8, 8), np.float32), None, None, ("001",), units="HU")
    with pytest.raises(InputError, match="no lung masks"):
        prepare(slices)


def test_ct20_is_read(ct20_data):
    slices = read_medseg_slices(ct20_data)
    assert slices.images.shape == (100, 256, 256)
    assert (slices.units, slices.class_names) == ("8-bit", ("not infected", "infected"))
    assert slices.labels[~slices.lungs].sum() < 0.01 * slices.labels.sum()
    first = next(iter(read_volumes(ct20_data)))
    assert first.images.shape == (11, 256, 256) and first.lungs is not None
    np.testing.assert_array_equal(first.affine, np.eye(4))


@pytest.mark.parametrize("offset", [float("inf"), float("-inf"), float("nan"), 1e30])
def test_values_that_begin_nowhere_are_refused(tmp_path, offset):
    content = bytearray(nibabel.Nifti1Image(np.zeros((4, 4, 2), np.int16), np.eye(4)).to_bytes())
    content[108:112] = np.float32(offset).tobytes()
    (tmp_path / "odd.nii").write_bytes(content)
    with pytest.raises(InputError, match=r"odd\.nii"):
        read_image(tmp_path / "odd.nii", np.float32)


@pytest.mark.parametrize("shape", [(1024, 1024, 1024), (16384, 16384, 1)])
def test_more_than_memory_is_refused_by_the_header(tmp_path, shape):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["magic"], header["vox_offset"] = b"n+1", 352
    (tmp_path / "huge.nii").write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(InputError, match=r"huge\.nii claims .* voxels"):
        read_image(tmp_path / "huge.nii", np.uint8)


def test_names_of_volumes_that_only_look_like_numbers(tmp_path):
    (tmp_path / "rp_im").mkdir()
    for name in ("\u00b2", "10", "9"):
        (tmp_path / "rp_im" / f"{name}.nii.gz").touch()
    assert volume_names(tmp_path) == ["9", "10", "\u00b2"]


def test_a_slope_beyond_float32_is_told(tmp_path):
    path = tmp_path / "steep.nii"
    write_volume(path.with_suffix(".nii.gz"), np.full((2, 3, 4), 9, np.int16))
    content = bytearray(gzip.decompress(path.with_suffix(".nii.gz").read_bytes()))
    content[112:116] = struct.pack("<f", 3e38)  # scl_slope
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"steep\.nii has values that are not finite in slice 1"):
        read_image(path, np.float32)
