"""Reading a user's scans, what is refused and how, and label files that lie on the scan."""

import gzip
import struct
import zlib

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless
from scan_files import dicom_slice, network_affine, save_dicom, save_nifti, unreadable

from unet_segnet.errors import InputError
from unet_segnet.scans import find_scans, read_scan, to_network, write_labels
from unet_segnet.scans.scan import voxel_spacing

VALUES = np.random.default_rng(5).integers(-1000, 900, (6, 10, 8)).astype(np.int16)  # (slice, row, column)
AFFINE = network_affine()[:, [1, 0, 2, 3]]  # upright pictures: rows P, columns L


@pytest.fixture
def nifti(tmp_path):
    return save_nifti(tmp_path / "case.nii.gz", np.moveaxis(VALUES, 0, 2), AFFINE)


@pytest.fixture
def series(tmp_path):
    return save_dicom(tmp_path / "series", VALUES, AFFINE)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in (10, 9, 1):
        Image.fromarray(np.full((5, 4), number, np.uint8)).save(tmp_path / f"pictures/{number}.png")
    return tmp_path / "pictures"


def change(series, index, **values):
    """Give one file of the series other header values; returns its path."""
    path = sorted(series.iterdir())[index]
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def by_position(series):
    return sorted(series.iterdir(), key=lambda path: -int(pydicom.dcmread(path).InstanceNumber))


def test_nifti_volume(nifti):
    scan = read_scan(nifti)
    np.testing.assert_array_equal(scan.array, np.moveaxis(VALUES, 0, 2))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)
    np.testing.assert_allclose(scan.spacing, (0.7, 0.8, 5.0), rtol=1e-5)
    assert (scan.name, scan.units, scan.is_volume, scan.source) == ("case", "HU", True, nifti)
    assert scan.array.dtype == np.float32 and scan.notes == ("values: Hounsfield units",)


def test_a_series_is_ordered_by_position_with_slope_intercept_and_affine(tmp_path):
    series = save_dicom(tmp_path / "series", VALUES, AFFINE, slope=0.5, intercept=-2000)
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.array, np.moveaxis(VALUES, 0, 2))
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-6)
    np.testing.assert_allclose(scan.spacing, (0.7, 0.8, 5.0), rtol=1e-6)
    assert scan.slice_names == ("100", "099", "098", "097", "096", "095") and to_network(scan).axes == "PLS"
    sideways = read_scan(save_dicom(tmp_path / "sideways", VALUES, network_affine()))  # its normal points to the feet
    np.testing.assert_array_equal(sideways.array, np.moveaxis(VALUES[::-1], 0, 2))
    np.testing.assert_array_equal(to_network(sideways).images, VALUES)
    one = read_scan(by_position(series)[2])
    np.testing.assert_array_equal(one.array[..., 0], VALUES[2])
    assert not one.is_volume and one.spacing == pytest.approx((0.7, 0.8, 5.0))


@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
def test_dicom_through_an_independent_reader_of_its_geometry(series):
    """nibabel reads a series by its own code; its array is (column, row, slice)."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    scan = read_scan(series)
    first = wrapper_from_file(by_position(series)[0])
    theirs = np.diag([-1, -1, 1, 1]) @ first.affine
    np.testing.assert_allclose(scan.affine[:, [0, 1, 3]], theirs[:, [0, 1, 3]], atol=1e-6)


def test_tilted_gantry_keeps_the_volume_of_a_voxel(tmp_path):
    sheared = np.array([[0, -0.7, 0, 0], [-0.8, 0, 1.5, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    scan = read_scan(save_dicom(tmp_path / "series", VALUES, sheared))
    np.testing.assert_allclose(scan.affine, sheared, atol=1e-6)
    assert np.prod(scan.spacing) == pytest.approx(0.8 * 0.7 * 5) == pytest.approx(abs(np.linalg.det(sheared)))
    assert voxel_spacing(np.diag([2, 3, 4, 1])) == (2, 3, 4)
    for order in ([2, 0, 1], [0, 2, 1], [2, 1, 0]):  # however the array lies, pixels are pixels and planes planes
        assert voxel_spacing(sheared[:, [*order, 3]]) == pytest.approx(np.array([0.8, 0.7, 5.0])[order])


def test_pictures_in_natural_order(pictures, tmp_path):
    scan = read_scan(pictures)
    assert scan.slice_names == ("1", "9", "10") and scan.array[0, 0].tolist() == [1, 9, 10]
    assert (scan.affine, scan.spacing, scan.is_volume, scan.units) == (None, None, False, "8-bit")
    grey = np.arange(20, dtype=np.uint8).reshape(5, 4)
    for name, picture in (
        ("equal.png", Image.fromarray(np.stack([grey] * 3, axis=-1))),
        ("alpha.png", Image.fromarray(grey).convert("LA")),
        ("palette.png", Image.fromarray(grey).convert("P")),
        ("grey.tiff", Image.fromarray(grey)),
    ):
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(read_scan(tmp_path / name).array[..., 0], grey)
    Image.fromarray(grey > 9).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_scan(tmp_path / "mask.png").array[..., 0], 255 * (grey > 9))
    Image.fromarray(grey.astype(np.float32) - 800).save(tmp_path / "hounsfield.tif")
    scan = read_scan(tmp_path / "hounsfield.tif")
    assert scan.units == "HU" and scan.array[2, 3, 0] == 11 - 800 and scan.name == "hounsfield"
    Image.fromarray(grey + 100).save(tmp_path / "lossy.jpg")
    assert np.abs(read_scan(tmp_path / "lossy.jpg").array[..., 0].astype(int) - grey - 100).max() < 12


def test_what_a_folder_holds(tmp_path, pictures, series):
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    files = [save_nifti(volumes / f"{name}.nii.gz", np.zeros((3, 3, 2), np.uint8), AFFINE) for name in ("a2", "a10")]
    (volumes / "README.txt").write_text("two scans")
    assert find_scans(volumes) == files and find_scans(files[0]) == files[:1]
    assert find_scans(pictures) == [pictures] and find_scans(series) == [series]
    for file in list(series.iterdir()):
        file.rename(file.with_suffix(""))  # as scanners write them
    (series / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert read_scan(series).array.shape == (10, 8, 6)
    with pytest.raises(InputError, match="holds 2 volume files"):
        read_scan(volumes)
    (volumes / "extra.png").write_bytes(b"")
    with pytest.raises(InputError, match="volume files and pictures"):
        find_scans(volumes)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / ".hidden.png").write_bytes(b"")
    with pytest.raises(InputError, match="nothing: no scan in this folder"):
        find_scans(tmp_path / "nothing")
    with pytest.raises(InputError, match="missing: no such file or folder"):
        find_scans(tmp_path / "missing")


@pytest.mark.parametrize(
    ("affine", "sform", "spacing", "note"),
    [
        (np.eye(4), 1, None, "identity"),
        (np.diag([-1, -1, 1, 1]), 1, None, "identity"),
        (np.diag([0.7, 0.7, 5, 1]), 0, (0.7, 0.7, 5), "neither sform nor qform: orientation RAS"),
        (np.eye(4), 0, None, "no affine: orientation and spacing unknown"),
    ],
)
def test_unknown_geometry(tmp_path, affine, sform, spacing, note):
    path = save_nifti(tmp_path / "case.nii.gz", np.moveaxis(VALUES, 0, 2), affine, sform, 0)
    scan = read_scan(path)
    assert scan.affine is None and any(note in line for line in scan.notes)
    assert scan.spacing == (None if spacing is None else pytest.approx(spacing))
    write_labels(tmp_path / "labels.nii.gz", np.ones(scan.array.shape, np.uint8), scan)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "labels.nii.gz").affine, nibabel.load(path).affine)


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (0, 1), (4, 0)])
def test_labels_lie_exactly_on_a_nifti_scan(tmp_path, codes):
    image = nibabel.Nifti1Image(np.moveaxis(VALUES, 0, 2), None)
    image.set_sform(AFFINE, code=codes[0])
    image.set_qform(network_affine((1, 2, 3)), code=codes[1])  # another one: registered elsewhere
    image.header["descrip"] = b"a name"
    nibabel.save(image, tmp_path / "case.nii")
    scan = read_scan(tmp_path / "case.nii")
    labels = np.moveaxis(VALUES > 0, 0, 2).astype(np.uint8)
    for name in ("one.nii.gz", "two.nii.gz"):
        write_labels(tmp_path / name, labels, scan)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    ours, theirs = nibabel.load(tmp_path / "one.nii.gz"), nibabel.load(tmp_path / "case.nii")
    np.testing.assert_array_equal(np.asarray(ours.dataobj), labels)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    np.testing.assert_array_equal(ours.get_qform(), theirs.get_qform())
    assert ours.header.get_zooms() == theirs.header.get_zooms() and ours.get_data_dtype() == np.uint8
    assert (int(ours.header["sform_code"]), int(ours.header["qform_code"])) == codes
    assert ours.header["descrip"].item() == b""
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(ValueError, match="labels must be uint8"):
        write_labels(tmp_path / "three.nii.gz", labels[1:], scan)


def test_labels_of_dicom_and_of_pictures(tmp_path, series, pictures):
    by_columns = AFFINE[:, [1, 0, 2, 3]]
    for source, affine in ((series, by_columns), (pictures, np.eye(4))):
        scan = read_scan(source)
        write_labels(tmp_path / "labels.nii.gz", np.ones(scan.array.shape, np.uint8), scan)
        image = nibabel.load(tmp_path / "labels.nii.gz")
        np.testing.assert_allclose(image.affine, affine, atol=1e-4)
        np.testing.assert_allclose(image.get_qform(), affine, atol=1e-3)
        assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)


def test_labels_of_a_tilted_gantry_have_one_geometry(tmp_path):
    sheared = np.array([[0, -0.7, 0, 0], [-0.8, 0, 1.5, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    scan = read_scan(save_dicom(tmp_path / "series", VALUES, sheared))
    write_labels(tmp_path / "labels.nii.gz", np.ones(scan.array.shape, np.uint8), scan)
    header = nibabel.load(tmp_path / "labels.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)
    np.testing.assert_allclose(header.get_best_affine(), scan.affine[:, [1, 0, 2, 3]], atol=1e-4)


def test_two_dimensions_four_dimensions_and_other_units_of_length(tmp_path):
    flat = read_scan(save_nifti(tmp_path / "flat.nii.gz", VALUES[0], AFFINE))
    assert flat.array.shape == (10, 8, 1) and not flat.is_volume
    write_labels(tmp_path / "labels.nii.gz", np.ones((10, 8, 1), np.uint8), flat)
    assert nibabel.load(tmp_path / "labels.nii.gz").shape == (10, 8, 1)
    np.testing.assert_allclose(nibabel.load(tmp_path / "labels.nii.gz").affine, AFFINE, atol=1e-4)
    assert flat.spacing == pytest.approx((0.7, 0.8, 5.0), rel=1e-4)
    plane = SimpleITK.GetImageFromArray(VALUES[0])  # of which nobody knows the thickness
    plane.SetSpacing((0.7, 0.8))
    SimpleITK.WriteImage(plane, str(tmp_path / "plane.nii.gz"))
    plane = read_scan(tmp_path / "plane.nii.gz")
    assert plane.spacing is None and "spacing unknown" in plane.notes[-1] and to_network(plane).is_measured
    four = save_nifti(tmp_path / "four.nii.gz", np.moveaxis(VALUES, 0, 2)[..., None], AFFINE)
    assert read_scan(four).array.shape == (10, 8, 6)
    image = nibabel.Nifti1Image(np.moveaxis(VALUES, 0, 2), AFFINE / [1000, 1000, 1000, 1])
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "metres.nii")
    assert read_scan(tmp_path / "metres.nii").spacing == pytest.approx((0.7, 0.8, 5.0), rel=1e-4)


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        read_scan(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message, message


def test_bad_nifti_files_each_get_one_clear_line(tmp_path, nifti):
    content = nifti.read_bytes()
    raw = gzip.decompress(content)
    huge = bytearray(raw)
    huge[42:48] = np.array([32767] * 3, "<i2").tobytes()
    odd = raw[:70] + np.array(-31795, "<i2").tobytes() + raw[72:]
    for name, data, words in (
        ("empty.nii.gz", b"", ["empty"]),
        ("cut.nii.gz", content[: len(content) // 2], ["damaged"]),
        ("short.nii", raw[:-100], ["cut off"]),
        ("text.nii", b"no scan" * 100, ["not a NIfTI file"]),
        ("huge.nii.gz", gzip.compress(bytes(huge)), ["voxels", "at most"]),
        ("odd.nii", odd, ["unknown type (-31795)"]),
        ("case.hdr", raw, ["unknown kind of file", "NIfTI"]),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, name, *words)
    values = np.moveaxis(VALUES, 0, 2).astype(np.float32)
    save_nifti(tmp_path / "series.nii.gz", np.stack([values] * 2, axis=-1), AFFINE)
    refused(tmp_path / "series.nii.gz", "series.nii.gz", "(10, 8, 6, 2)")
    values[3, 4, 5] = np.nan
    refused(save_nifti(tmp_path / "nan.nii.gz", values, AFFINE), "nan.nii.gz", "not finite in slice 6")
    refused(save_nifti(tmp_path / "raw.nii.gz", np.abs(VALUES) * 4, AFFINE), "raw.nii.gz", "Hounsfield")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"


def test_bad_pictures_each_get_one_clear_line(tmp_path, pictures):
    good = (pictures / "1.png").read_bytes()
    for name, data, words in (
        ("empty.png", b"", ["empty"]),
        ("text.png", b"no picture", ["not a picture"]),
        ("cut.png", good[:45], ["damaged"]),
        ("postscript.png", POSTSCRIPT, ["not a picture"]),  # Pillow would start Ghostscript for it
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, name, *words)
    colour = np.zeros((5, 4, 3), np.uint8)
    colour[2, 2, 1] = 9
    Image.fromarray(colour).save(tmp_path / "colour.png")
    refused(tmp_path / "colour.png", "colour.png", "in colour")
    nan = np.full((5, 4), np.nan, np.float32)
    Image.fromarray(nan).save(tmp_path / "nan.tif")
    refused(tmp_path / "nan.tif", "nan.tif", "not finite")
    page = Image.fromarray(nan)
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    refused(tmp_path / "pages.tif", "pages.tif", "several pages")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(pictures / "2.png")
    refused(pictures, "2.png", "4x4", "5x4")


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_pictures_that_are_stored_turned_are_refused(tmp_path, ending):
    """Viewers turn them, and so does Pillow with TIFF alone: left and right would depend on the format."""
    exif = Image.Exif()
    for orientation in (1, 3):
        exif[0x0112] = orientation
        Image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / f"{orientation}.{ending}", exif=exif)
    assert read_scan(tmp_path / f"1.{ending}").array.shape == (5, 4, 1)
    refused(tmp_path / f"3.{ending}", f"3.{ending} is stored turned or mirrored")


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_grey_in_several_channels_of_16_bits_is_refused(tmp_path, kind, channels):
    """Pillow drops the lower byte: raw values 0 to 4095 would come out as grey levels 0 to 15."""
    line = b"\0" + np.repeat(np.arange(1000, 1008), channels).astype(">u2").tobytes()
    header = struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(8 * line)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)
    (tmp_path / "deep.png").write_bytes(content)
    refused(tmp_path / "deep.png", "deep.png has several channels of 16 bits")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SeriesInstanceUID": "1.2.9"}, ["series: 10.00 mm between", "missing"]),
        ({"Rows": 9}, ["9x8", "10x8"]),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, ["another plane"]),
        ({"PixelSpacing": [0.9, 0.9]}, ["pixel spacing"]),
        ({"PixelSpacing": [0, 0]}, ["cannot be"]),
        ({"NumberOfFrames": 3}, ["3 frames"]),
        ({"PixelData": None}, ["no pixel data"]),
        ({"Rows": None}, ["no pixel data"]),
        ({"ImagePositionPatient": None}, ["no ImagePositionPatient"]),
        ({"PixelData": bytes(20)}, ["damaged pixel data"]),
        ({"PhotometricInterpretation": "RGB"}, ["RGB"]),
        ({"BitsStored": 12, "HighBit": 15}, ["elsewhere than in the lowest 12 bits"]),
    ],
)
def test_bad_series_each_get_one_clear_line(series, values, words):
    path = change(series, 3, **values)
    refused(series, "series" if "series" in words[0] else path.name, *words)


def test_missing_double_shifted_damaged_and_compressed_slices(tmp_path, series):
    files = by_position(series)
    content = files[2].read_bytes()
    files[2].unlink()
    refused(series, "10.00 mm", files[1].name, files[3].name, "missing")
    files[2].write_bytes(content)
    (series / "again.dcm").write_bytes(content)
    refused(series, "again.dcm", files[2].name, "same place")
    (series / "again.dcm").unlink()
    dataset = pydicom.dcmread(files[2])
    along_row = np.array(dataset.ImageOrientationPatient[:3], float)
    dataset.ImagePositionPatient = [f"{value:.8g}" for value in dataset.ImagePositionPatient + 3 * along_row]
    dataset.save_as(files[2])
    refused(series, files[2].name, "sideways")
    for data, words in ((b"", ["empty"]), (b"no dicom" * 50, ["not a DICOM file"])):
        files[2].write_bytes(data)
        refused(series, files[2].name, *words)
    dataset = dicom_slice(VALUES[2], AFFINE, 2)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(files[2], dataset)
    refused(series, files[2].name, "compressed (JPEG 2000", "dcm2niix")


@pytest.mark.parametrize(("percent", "is_refused"), [(0.3, False), (1.5, True)])
def test_distances_of_slices_may_differ_by_one_percent(series, percent, is_refused):
    path = by_position(series)[3]
    dataset = pydicom.dcmread(path)
    normal = np.cross(dataset.ImageOrientationPatient[:3], dataset.ImageOrientationPatient[3:])
    dataset.ImagePositionPatient = [f"{value:.8g}" for value in dataset.ImagePositionPatient + percent / 20 * normal]
    dataset.save_as(path)
    if is_refused:
        refused(series, path.name, "unevenly spaced")
    else:
        np.testing.assert_allclose(read_scan(series).affine, AFFINE, atol=1e-6)


def test_file_names_that_only_look_like_numbers(tmp_path):
    for name in ("\u00b2", "10", "9"):
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / f"{name}.png")
    assert read_scan(tmp_path).slice_names == ("9", "10", "\u00b2")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SliceThickness", "9" * 16), ("SliceThickness", "1e-300"), ("PixelSpacing", ["1e300", "1"]),
     ("ImagePositionPatient", ["1e300", "0", "0"])],
)  # fmt: skip
def test_dicom_with_an_impossible_place(tmp_path, keyword, value):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "far.dcm")
    with pytest.raises(InputError, match=r"far\.dcm has a place in the patient that cannot be"):
        read_scan(tmp_path)


@pytest.mark.parametrize("code", [0, 1])
def test_a_header_without_the_distance_of_slices_gives_no_spacing(tmp_path, code, capfd):
    """nibabel makes it 1 mm, and volumes in ml of it."""
    content = bytearray(save_nifti(tmp_path / "case.nii", np.moveaxis(VALUES, 0, 2), AFFINE, 0, code).read_bytes())
    for number, length in enumerate((5.0, 0.0)):
        content[88:92] = struct.pack("<f", length)  # pixdim[3]
        (tmp_path / f"{number}.nii").write_bytes(content)
    known, unknown = read_scan(tmp_path / "0.nii"), read_scan(tmp_path / "1.nii")
    assert known.spacing[2] == pytest.approx(5.0) and unknown.spacing is None
    assert (unknown.affine is None) == (code == 0)  # the directions are known all the same
    assert "the header does not tell the size of a voxel" in unknown.notes[-1]
    assert capfd.readouterr() == ("", "")


def test_a_slice_without_thickness_gives_no_spacing(tmp_path):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    for number, thickness in enumerate(("5", "")):
        dataset.SliceThickness = thickness
        pydicom.dcmwrite(tmp_path / f"{number}.dcm", dataset)
    known, unknown = read_scan(tmp_path / "0.dcm"), read_scan(tmp_path / "1.dcm")
    assert known.spacing == pytest.approx((0.7, 0.8, 5.0)) and unknown.spacing is None
    assert "thickness of the slice is not told" in unknown.notes[-1]
    np.testing.assert_allclose(unknown.affine[:, [0, 1, 3]], known.affine[:, [0, 1, 3]])


def test_voxels_that_no_body_has(tmp_path):
    """Millimetres said to be metres: every volume would be a billion times too large."""
    image = nibabel.Nifti1Image(np.moveaxis(VALUES, 0, 2), AFFINE)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "metres.nii")
    refused(tmp_path / "metres.nii", "metres.nii: claims voxels of 700 x 800 x 5e+03 mm; expected 0.01 to 100")
    series = save_dicom(tmp_path / "series", VALUES, AFFINE @ np.diag([500.0, 500.0, 1.0, 1.0]))
    refused(series, "series: claims voxels of")


def test_an_empty_file_beside_a_series_is_a_slice_that_is_missing(series):
    """At the end of a series the distances do not tell."""
    path = by_position(series)[-1]
    path.unlink()
    assert read_scan(series).array.shape[2] == 5
    path.with_suffix("").touch()
    refused(series, path.stem, "is empty: expected a DICOM file")


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("link", "is a link to nothing"),
        ("rights", r"cannot be read \(Permission denied\)"),
        ("zeros", "is cut off or filled with zeros"),
        ("short", "is cut off or filled with zeros"),
    ],
)
def test_a_slice_at_the_end_that_cannot_be_read_is_no_shorter_series(series, monkeypatch, end, suffix, loss, words):
    files = by_position(series)
    path = files[end].rename(files[end].with_suffix(suffix))
    content = path.read_bytes()
    if loss == "rights":
        unreadable(monkeypatch, path)
    elif loss == "link":
        path.unlink()
        path.symlink_to("../.git/annex/objects/not-fetched")
    else:
        path.write_bytes(bytes(len(content)) if loss == "zeros" else content[:100])
    with pytest.raises(InputError, match=rf"{path.name} {words}"):
        read_scan(series)
    with pytest.raises(InputError, match=words):
        find_scans(series)


def test_other_files_beside_a_series_are_no_slices_of_it(series):
    (series / "README.txt").symlink_to("not-fetched")
    (series / "preview.png").symlink_to("not-fetched")
    (series / "VERSION").write_text("3.1\n")
    (series / "viewer.exe").write_bytes(bytes(200))
    (series / "Thumbs.db").touch()
    (series / ".DS_Store").write_bytes(bytes(200))
    (series / "DICOMDIR").write_bytes(bytes(200))
    np.testing.assert_array_equal(read_scan(series).array, np.moveaxis(VALUES, 0, 2))


def test_a_picture_that_was_not_fetched_is_told(pictures):
    (pictures / "11.png").symlink_to("not-fetched")
    refused(pictures, "11.png is a link to nothing: get the file")


def test_dicom_that_swells_is_refused_unread(tmp_path):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(InputError, match=r"bomb\.dcm is deflated"):
        read_scan(tmp_path)


EMPTY = struct.pack("<HH2sH", 0x7FE1, 0x1000, b"SH", 0)
ITEM, SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
SEQUENCE = struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"SQ", 0, 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (EMPTY * 200_000, "too many elements"),
        (SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + EMPTY * 200_000, "too many elements"),
        (SEQUENCE + ITEM * 50_001 + SEQUENCE_END, "claims 50001 items"),
        (struct.pack("<HH2sHI", 0x7FE1, 0x1002, b"OB", 0, 2**22) + bytes(2**22), "besides its pixels"),
    ],
    ids=["elements", "nested", "items", "bytes"],
)
def test_dicom_that_would_be_read_for_minutes(tmp_path, behind, words):
    path = tmp_path / "long.dcm"
    dicom_slice(VALUES[0], AFFINE, 0).save_as(path)
    path.write_bytes(path.read_bytes() + behind)
    with pytest.raises(InputError, match=rf"long\.dcm .*{words}"):
        read_scan(path)


def test_dicom_of_a_large_header_and_of_pixels_that_are_a_sequence(tmp_path):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    dataset.add_new(0x00091000, "OB", bytes(2**22))
    dataset.save_as(tmp_path / "large.dcm")
    with pytest.raises(InputError, match=r"large\.dcm has \d+ bytes besides its pixels: expected at most 4194304"):
        read_scan(tmp_path / "large.dcm")
    path = tmp_path / "nested.dcm"
    dicom_slice(VALUES[0], AFFINE, 0).save_as(path)
    before, mark, pixels = path.read_bytes().partition(struct.pack("<HH", 0x7FE0, 0x10))
    path.write_bytes(before + mark + b"SQ" + pixels[2:])
    with pytest.raises(InputError, match=r"nested\.dcm has no pixel data"):
        read_scan(path)


def test_dicom_that_claims_a_huge_slice_takes_no_memory(tmp_path):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    dataset.Rows = dataset.Columns = 32767
    dataset.save_as(tmp_path / "huge.dcm")
    with pytest.raises(InputError, match="more than can be held"):
        read_scan(tmp_path)


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_a_word_of_the_file_is_shown_without_its_control_characters(tmp_path):
    dataset = dicom_slice(VALUES[0], AFFINE, 0)
    dataset.PhotometricInterpretation = "\x1b[2J"
    dataset.save_as(tmp_path / "odd.dcm")
    with pytest.raises(InputError, match=r"odd\.dcm is '\\x1b\[2J'"):
        read_scan(tmp_path)


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_scan(tmp_path / ("9" * 5000))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_transparency_hides_is_no_label(tmp_path, mode):
    """A mask may be drawn on a transparent ground that is white below."""
    mask = np.zeros((9, 8), np.uint8)
    mask[2:5, 3:6] = 255
    colours = 2 if mode == "LA" else 4
    for below, is_refused in ((0, False), (255, True)):
        if mode == "P":
            picture = Image.fromarray(mask // 255, "P")
            picture.putpalette([below] * 3 + [255] * 3)
            picture.save(tmp_path / "mask.png", transparency=0)
        else:
            values = np.stack([np.where(mask > 0, 255, below)] * (colours - 1) + [mask], axis=-1)
            Image.fromarray(values.astype(np.uint8), mode).save(tmp_path / "mask.png")
        if is_refused:
            with pytest.raises(InputError, match=r"mask\.png is transparent in part.*save it without"):
                read_scan(tmp_path / "mask.png")
        else:
            np.testing.assert_array_equal(read_scan(tmp_path / "mask.png").array[..., 0], mask)


def test_values_without_the_intercept_are_told_from_others(tmp_path):
    stored = np.abs(np.moveaxis(VALUES, 0, 2)) + 200
    with pytest.raises(InputError, match="without the intercept of DICOM"):
        read_scan(save_nifti(tmp_path / "stored.nii", stored.astype(np.int16), AFFINE))
    with pytest.raises(InputError, match=r"or a mask\)$"):
        read_scan(save_nifti(tmp_path / "shares.nii", (stored / 4096).astype(np.float32), AFFINE))
