"""Which of a NIfTI header's geometries counts, what is noted about it, and files that are not what they are called."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from scan_files import network_affine, save_nifti

from unet_segnet.errors import InputError
from unet_segnet.scans import read_scan, to_network, write_labels

VALUES = np.random.default_rng(5).integers(-1000, 900, (10, 8, 6)).astype(np.int16)
AFFINE = network_affine()[:, [1, 0, 2, 3]]  # PLS, voxels of 0.7 x 0.8 x 5 mm
ZEROS = np.diag([0.0, 0.0, 0.0, 1.0])
FLAT = np.array([[1.0, 1, 0, 5], [1, 1, 0, 5], [0, 0, 2, 5], [0, 0, 0, 1]])
NOT_FINITE = np.diag([np.nan, 1, 1, 1])
MOVED = np.eye(4) + np.array([[0, 0, 0, 9.0]] * 3 + [[0] * 4])
BACK = np.diag([-1.0, -1.0, 1.0, 1.0])  # the identity of ITK's coordinates


def save(path, sform, sform_code, qform, qform_code, **fields):
    """A file with a header as given: nibabel would mend it on saving."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(VALUES.shape)
    header.set_xyzt_units("mm")
    header.set_qform(qform, code=qform_code)
    header.set_sform(sform, code=sform_code)
    for name, value in {"vox_offset": 352, "magic": b"n+1", **fields}.items():
        header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + VALUES.tobytes(order="F"))
    return path


@pytest.mark.parametrize(
    ("sform", "code", "word"),
    [
        (AFFINE, 1, None),
        (AFFINE, 0, None),  # the qform, which is the same
        (ZEROS, 1, "sform cannot be inverted"),
        (FLAT, 2, "sform cannot be inverted"),
        (NOT_FINITE, 1, "sform cannot be inverted"),
        (np.eye(4), 1, "sform is the identity"),
        (BACK, 1, "sform is the identity"),
        (MOVED, 1, "sform is the identity"),
    ],
)
def test_a_qform_counts_where_the_sform_tells_nothing(tmp_path, sform, code, word):
    scan = read_scan(save(tmp_path / "case.nii", sform, code, AFFINE, 1))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
    assert scan.spacing == pytest.approx((0.7, 0.8, 5.0), rel=1e-5) and to_network(scan).is_measured
    notes = scan.notes[1:]
    assert notes == () if word is None else (len(notes) == 1 and word in notes[0])
    write_labels(tmp_path / "labels.nii.gz", np.ones(VALUES.shape, np.uint8), scan)
    # Another reader, which takes the sform as it stands, finds the labels where the scan is.
    np.testing.assert_allclose(nibabel.load(tmp_path / "labels.nii.gz").affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("lengths", [(0.7, 0.8, 5.0), (2.0, 2.0, 2.0)])
def test_lengths_alone_are_the_standards_method_1(tmp_path, lengths):
    """x = i * pixdim[1], towards the right; y towards the front; z towards the head."""
    scan = read_scan(save(tmp_path / "case.nii", ZEROS, 0, np.diag([*lengths, 1.0]), 0))
    assert scan.affine is None and scan.spacing == pytest.approx(lengths) and "neither sform nor qform" in scan.notes[1]
    slices = to_network(scan)
    assert slices.axes == "RAS" and not slices.is_measured and "assumed" in slices.notes[0]
    np.testing.assert_array_equal(slices.images, np.moveaxis(VALUES, 2, 0)[:, ::-1, ::-1])


def test_a_qform_that_is_no_rotation_is_none(tmp_path):
    for code, axes in ((1, "PLS"), (0, "RAS")):
        scan = read_scan(save(tmp_path / f"{code}.nii", AFFINE, code, AFFINE, 1, quatern_b=3.0))
        assert "qform cannot be inverted" in scan.notes[1] and to_network(scan).axes == axes


@pytest.mark.parametrize(
    ("qform", "words"),
    [
        (AFFINE @ np.diag([-1.0, 1, 1, 1]), "as mirror images (PLS and ALS)"),
        (AFFINE[:, [1, 2, 0, 3]], "about the axes (PLS and LSP)"),
        (AFFINE + np.array([[0, 0, 0, 30.0], *[[0] * 4] * 3]), "by up to 30 mm"),
        (AFFINE + np.array([[0, 0, 0, 3.0], *[[0] * 4] * 3]), None),
    ],
)
def test_sform_and_qform_that_disagree_are_noted(tmp_path, qform, words):
    scan = read_scan(save(tmp_path / "case.nii", AFFINE, 1, qform, 1))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
    assert len(scan.notes) == (1 if words is None else 2)
    assert words is None or f"disagree, {words}; the sform is taken" in scan.notes[1]


def test_a_sform_alone_whose_voxels_are_not_those_of_pixdim_is_noted(tmp_path):
    unit = AFFINE / np.append(np.linalg.norm(AFFINE[:3, :3], axis=0), 1)
    for affine, said in ((unit, True), (AFFINE, False)):
        scan = read_scan(save(tmp_path / "case.nii", affine, 2, AFFINE, 0))
        assert any("the sform is taken, as usual, but other programs" in note for note in scan.notes) == said
        assert scan.spacing == pytest.approx(np.linalg.norm(affine[:3, :3], axis=0), rel=1e-4)


def test_files_that_are_not_what_they_are_called(tmp_path):
    plain = save_nifti(tmp_path / "plain.nii", VALUES, AFFINE).read_bytes()
    second = nibabel.Nifti2Image(VALUES, AFFINE).to_bytes()
    far = plain[:108] + struct.pack("<f", 389) + plain[112:352] + bytes(37) + plain[352:]
    unsaid = plain[:108] + struct.pack("<f", 0) + plain[112:]
    big = nibabel.Nifti1Image(VALUES, AFFINE, nibabel.Nifti1Header(endianness=">")).to_bytes()
    big2 = nibabel.Nifti2Image(VALUES, AFFINE, nibabel.Nifti2Header(endianness=">")).to_bytes()
    for name, content in (
        ("plain.nii.gz", plain),
        ("packed.nii", gzip.compress(plain)),
        ("second.nii", second),
        ("second.nii.gz", gzip.compress(second)),
        ("far.nii", far),
        ("unsaid.nii.gz", gzip.compress(unsaid)),
        ("big.nii", big),
        ("big2.nii", big2),
    ):
        (tmp_path / name).write_bytes(content)
        scan = read_scan(tmp_path / name)
        np.testing.assert_array_equal(scan.array, VALUES)
        np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
        write_labels(tmp_path / "labels.nii.gz", np.ones(VALUES.shape, np.uint8), scan)
        np.testing.assert_allclose(nibabel.load(tmp_path / "labels.nii.gz").affine, AFFINE, atol=1e-4)


def test_labels_off_by_rounding_are_whole_numbers(tmp_path):
    labels = np.arange(4, dtype=np.uint8).repeat(120).reshape(10, 8, 6)
    for name, values in (("near", labels * np.float32(0.9999)), ("exact", labels.astype(np.float64))):
        scan = read_scan(save_nifti(tmp_path / f"{name}.nii", values, AFFINE))
        np.testing.assert_array_equal(scan.array, labels)
        assert scan.units == "8-bit"
    scaled = nibabel.Nifti1Image((labels.astype(np.int16) * 255), AFFINE)
    scaled.header.set_slope_inter(np.float32(1 / 255), 0)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    np.testing.assert_array_equal(read_scan(tmp_path / "scaled.nii").array, labels)
    with pytest.raises(InputError, match=r"has values from 0 to 2\.7: expected Hounsfield units"):
        read_scan(save_nifti(tmp_path / "off.nii", labels * np.float32(0.9), AFFINE))


@pytest.mark.parametrize(
    ("slope", "intercept", "factors"),
    [(0, 0, (1, 0)), (0, 7, (1, 0)), (np.nan, np.nan, (1, 0)), (1, np.nan, (1, 0)), (2, -5, (2, -5))],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_no_scale_factor_is_none(tmp_path, slope, intercept, factors, dtype):
    path = save(tmp_path / "case.nii", AFFINE, 1, AFFINE, 1, scl_slope=slope, scl_inter=intercept)
    header = nibabel.Nifti1Header(path.read_bytes()[:348])
    header.set_data_dtype(dtype)
    path.write_bytes(header.binaryblock + bytes(4) + VALUES.astype(dtype).tobytes(order="F"))
    np.testing.assert_array_equal(read_scan(path).array, VALUES * np.float32(factors[0]) + np.float32(factors[1]))
