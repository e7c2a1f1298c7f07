"""DICOM as hospitals and archives send it: trees, other objects beside the scan, compressions, rounded positions."""

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTStructureSetStorage
from scan_files import compress_dicom, dicom_slice, network_affine, save_dicom, save_enhanced

from unet_segnet.errors import InputError
from unet_segnet.scans import dicom_file, find_scans, read_scan

VALUES = np.random.default_rng(5).integers(-1000, 900, (6, 10, 8)).astype(np.int16)  # (slice, row, column)
AFFINE = network_affine()[:, [1, 0, 2, 3]]
LEVEL = np.diag([-0.7, -0.8, 5.0, 1.0])[:, [1, 0, 2, 3]]  # no turn
ARRAY = np.moveaxis(VALUES, 0, 2)


def write(folder, values=VALUES, affine=AFFINE, series="1.2.3.4", name="IM{:02}.dcm", **fields):
    """A series with elements of one's own; a function gives a slice's own value."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(values):
        dataset = dicom_slice(image, affine, index, series=series)
        for key, value in fields.items():
            setattr(dataset, key, value(index) if callable(value) else value)
        pydicom.dcmwrite(folder / name.format(index), dataset)
    return folder


def structures(path, series="1.2.3.9"):
    dataset = dicom_slice(VALUES[0], AFFINE, 0, series=series)
    for key in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, key)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.Modality, dataset.SeriesDescription = "RTSTRUCT", "contours"
    pydicom.dcmwrite(path, dataset)


def localizer(path, series="1.2.3.8", **fields):
    coronal = np.array([[0, -0.7, 0, 0], [0, 0, 5, 0], [-0.8, 0, 0, 0], [0, 0, 0, 1.0]])
    write(path.parent, VALUES[:1], coronal, series, path.name, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **fields)


def test_a_disc_with_an_index_a_tree_and_other_objects(tmp_path):
    disc = tmp_path / "disc"
    write(disc / "DICOM/PAT0/STU0/SER2", name="IM{:06}", SeriesNumber=2, SeriesDescription="chest 5 mm")
    write(disc / "DICOM/PAT0/STU0/SER3", VALUES[::3], series="1.2.3.5", name="IM{:06}", SeriesNumber=3)
    localizer(disc / "DICOM/PAT0/STU0/SER1/IM000000", SeriesNumber=1)
    structures(disc / "DICOM/PAT0/STU0/RS.dcm")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(disc / "logo.png")
    (disc / "README.TXT").write_text("a viewer")
    (disc / "empty.txt").touch()
    for index in (None, bytes(128) + b"DICM"):
        if index is not None:
            (disc / "DICOMDIR").write_bytes(index)
        path = disc if index is not None else disc / "DICOM"
        assert find_scans(path) == [path]
        scan = read_scan(path)
        np.testing.assert_array_equal(scan.array, ARRAY)
        np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-6)
        (note,) = scan.notes[1:]
        assert note.startswith("DICOM series 2 chest 5 mm (CT, 6 slices); left out: ")
        for words in ("series of RS.dcm contours (RTSTRUCT)", "series 1 (localizer)", "series 3 (CT, 2 slices)"):
            assert words in note, note


def test_objects_beside_the_slices(tmp_path):
    series = write(tmp_path / "series")
    structures(series / "RS.dcm")
    localizer(series / "scout.dcm")
    localizer(series / "scout2.dcm", series="1.2.3.4")  # called one series with the slices
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(series / "preview.png")
    (series / "notes.txt").touch()
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.array, ARRAY)
    assert "left out: " in scan.notes[1] and scan.notes[2] == "1 localizer in the series, left out"


@pytest.mark.parametrize("kind", ["header", "items", "elements", "deflated", "bytes"])
def test_large_objects_beside_the_slices_are_left_out_like_small_ones(tmp_path, monkeypatch, kind):
    """Contours of many structures, a report with its pictures: limits are for what is needed."""
    series = write(tmp_path / "series")
    path = series / "AA.dcm"  # the first of its folder
    structures(path)
    dataset = pydicom.dcmread(path)
    if kind == "deflated":
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = {"items": b"\xfe\xff\x00\xe0" * 50_001, "header": bytes(5 * 2**20)}.get(kind, bytes(2**12))
    dataset.add_new(0x00091000, "OB", content)
    if kind == "elements":
        dataset.update({(0x0009, 0x1001 + number): DataElement(0x00091001 + number, "SH", "") for number in range(200)})
        monkeypatch.setattr(dicom_file._Stream, "reads_left", 200)
    elif kind == "bytes":
        monkeypatch.setattr(dicom_file, "MAX_FILE_BYTES", 2**12)
    dataset.save_as(path)
    name = "AA.dcm contours (RTSTRUCT)" if kind == "header" else "AA.dcm (no modality)"
    assert find_scans(tmp_path) == [tmp_path]
    for source in (series, tmp_path):
        scan = read_scan(source)
        np.testing.assert_array_equal(scan.array, ARRAY)
        assert f"left out: series of {name}" in scan.notes[1]
    with pytest.raises(InputError, match=r"AA\.dcm (has|claims|is deflated)"):
        read_scan(path)


def test_which_series_is_taken_is_said_or_asked(tmp_path):
    write(tmp_path / "a", series="1.2.3.4", SeriesNumber=4, SeriesDescription="Lung 5.0")
    write(tmp_path / "b", VALUES[::-1], series="1.2.3.5", SeriesNumber=5, SeriesDescription="Soft 5.0")
    coronal = np.array([[0, -0.7, 0, 0], [0, 0, 5, 0], [-0.8, 0, 0, 0], [0, 0, 0, 1.0]])
    write(tmp_path / "c", np.concatenate([VALUES, VALUES]), coronal, "1.2.3.6", SeriesNumber=12)
    write(tmp_path / "d", VALUES[:5], series="1.2.3.7", Modality="PT", SeriesNumber=6)
    with pytest.raises(InputError, match=r"2 DICOM series: series 4 Lung 5.0 \(CT, 6 slices\), series 5.*`series`"):
        read_scan(tmp_path)
    for name, expected in (("4", ARRAY), ("lung", ARRAY), ("1.2.3.5", np.moveaxis(VALUES[::-1], 0, 2))):
        scan = read_scan(tmp_path, series=name)
        np.testing.assert_array_equal(scan.array, expected)
        assert "series 12 (CT, 12 slices)" in scan.notes[1]
    for name in ("5.0", "77", "0"):  # a number is no part of a description
        with pytest.raises(InputError, match=r"of its series are called.*series 4 Lung"):
            read_scan(tmp_path, series=name)
    with pytest.raises(InputError, match=r"d: holds no CT series, but series 6 \(PT, 5 slices\)"):
        read_scan(tmp_path / "d")


def test_several_patients_or_studies_are_asked_about(tmp_path):
    for what, key in (("patients", "PatientID"), ("studies", "StudyInstanceUID")):
        write(tmp_path / what / "1", series="1.2.1", **{key: "1.1"})
        write(tmp_path / what / "2", VALUES[:4], series="1.2.2", **{key: "1.2"})
        with pytest.raises(InputError, match=f"{what}: holds CT series of 2 {what}"):
            read_scan(tmp_path / what)
        with pytest.raises(InputError, match="of 2 patients or studies; name the folder of one"):
            find_scans(tmp_path / what)
        assert find_scans(tmp_path / what / "2") == [tmp_path / what / "2"]
        assert read_scan(tmp_path / what / "2").array.shape[2] == 4


def test_a_localizer_alone_and_other_objects_alone(tmp_path):
    (tmp_path / "scout").mkdir()
    localizer(tmp_path / "scout/scout.dcm")
    for path in (tmp_path / "scout", tmp_path / "scout/scout.dcm"):
        with pytest.raises(InputError, match=r"is a localizer \(scout\)"):
            read_scan(path)
    (tmp_path / "other").mkdir()
    structures(tmp_path / "other/RS.dcm")
    with pytest.raises(InputError, match=r"RS\.dcm has no pixel data"):
        read_scan(tmp_path / "other")


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("name", ["IM{:02}.dcm", "IM{:02}"])
def test_files_without_preamble_and_without_their_first_part(tmp_path, implicit, meta, name):
    series = write(tmp_path / "series", name=name)
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, implicit_vr=implicit, enforce_file_format=True)
        content = path.read_bytes()
        assert content[128:132] == b"DICM"
        length = 12 + int.from_bytes(content[140:144], "little")
        path.write_bytes(content[132:] if meta else content[132 + length :])
    np.testing.assert_array_equal(read_scan(series).array, ARRAY)


@pytest.mark.parametrize(
    "syntax",
    ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"],
)
@pytest.mark.parametrize("signed", [True, False])
def test_compressed_slices_are_decoded(tmp_path, syntax, signed):
    stored = VALUES if signed else (VALUES + 1024).astype(np.uint16)
    series = write(
        tmp_path / "series",
        PixelRepresentation=int(signed),
        RescaleIntercept="0" if signed else "-1024",
        PixelData=lambda index: stored[index].tobytes(),
    )
    for path in series.iterdir():
        compress_dicom(path, syntax)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.array, ARRAY)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-4)


def test_enhanced_ct_in_one_file(tmp_path):
    save_enhanced(tmp_path / "whole.dcm", VALUES, AFFINE, (3, 1, 0, 5, 4, 2))
    scan = read_scan(tmp_path / "whole.dcm")
    np.testing.assert_array_equal(scan.array, ARRAY)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-6)
    assert scan.spacing == pytest.approx((0.7, 0.8, 5.0))
    save_enhanced(tmp_path / "scaled.dcm", VALUES, AFFINE, range(6), factors=range(1, 7))
    factors = np.arange(1, 7)
    np.testing.assert_array_equal(read_scan(tmp_path / "scaled.dcm").array, (ARRAY + 1024) * factors - 1024.0)
    save_enhanced(tmp_path / "gap.dcm", VALUES, AFFINE, (0, 1, 2, 4, 5))
    with pytest.raises(InputError, match=r"10\.00 mm between"):
        read_scan(tmp_path / "gap.dcm")
    save_enhanced(tmp_path / "one.dcm", VALUES, AFFINE, (2,))
    np.testing.assert_array_equal(read_scan(tmp_path / "one.dcm").array, ARRAY[..., 2:3])


def chest():
    """Air around a body with lungs: a third of it is air or lung."""
    values = np.full((4, 12, 12), -1000, np.int16)
    values[:, 2:10, 2:10], values[:, 3:9, 3:5], values[0, 5, 5] = 40, -800, 900
    return values


@pytest.mark.parametrize(("signed", "bits"), [(False, 12), (False, 16), (True, 16)])
@pytest.mark.parametrize("inverted", [True, False])
def test_monochrome1_is_read_the_way_that_has_air(tmp_path, signed, bits, inverted):
    values = chest()
    stored = values.astype(np.int32) + (0 if signed else 1024)
    if inverted:
        stored = (-1 if signed else 2**bits - 1) - stored
    series = write(
        tmp_path / "series",
        values,
        LEVEL,
        PhotometricInterpretation="MONOCHROME1",
        PixelRepresentation=int(signed),
        BitsStored=bits,
        HighBit=bits - 1,
        RescaleIntercept="0" if signed else "-1024",
        PixelData=lambda index: stored[index].astype("<i2" if signed else "<u2").tobytes(),
    )
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.array, np.moveaxis(values, 0, 2))
    assert ("values are inverted" if inverted else "taken as stored") in scan.notes[2]


def test_monochrome1_that_could_be_either_is_refused(tmp_path):
    flat = np.full((2, 6, 6), 40, np.int16)
    flat[:, 0, 0] = -1000
    series = write(tmp_path / "series", flat, LEVEL, PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(InputError, match=r"MONOCHROME1, and whether its values are inverted cannot be told.*dcm2niix"):
        read_scan(series)


def placed(distance, decimals):
    return lambda index: ["-10", "-20", f"{-238 + distance * index:.{decimals}f}"]


@pytest.mark.parametrize(("distance", "decimals"), [(1.25, 1), (0.625, 1), (0.6, 1), (2.5, 0), (1.25, 0), (3.3333, 2)])
def test_positions_rounded_to_what_was_written(tmp_path, distance, decimals):
    number = 24
    values = np.random.default_rng(1).integers(-1000, 900, (number, 4, 5))
    series = write(tmp_path / "series", values, LEVEL, ImagePositionPatient=placed(distance, decimals))
    scan = read_scan(series)
    np.testing.assert_array_equal(scan.array, np.moveaxis(values, 0, 2))
    assert scan.spacing[2] == pytest.approx(distance, abs=10.0**-decimals / (number - 1))
    is_noted = decimals < 2 and round(distance, decimals) != distance
    assert (f"rounded to {10.0**-decimals:g} mm" in scan.notes[-1]) == is_noted
    for missing in (3, 11, 20):
        path = series / f"IM{missing:02}.dcm"
        content = path.read_bytes()
        path.unlink()
        if distance > 10.0**-decimals:  # else a slice that is missing cannot be told from rounding
            with pytest.raises(InputError, match="slices are missing"):
                read_scan(series)
        path.write_bytes(content)


def test_positions_with_many_digits_must_be_even(tmp_path):
    """The tolerance is that of the digits: 0.1 mm off is much where hundredths of a micrometre are written."""
    uneven = lambda index: ["-10", "-20", f"{-238 + 1.25 * index + (0.05 if index == 3 else 0):.5f}"]  # noqa: E731
    series = write(tmp_path / "series", affine=LEVEL, ImagePositionPatient=uneven)
    with pytest.raises(InputError, match="unevenly spaced"):
        read_scan(series)


def test_series_of_own_writer_needs_no_modality(tmp_path):
    series = save_dicom(tmp_path / "series", VALUES, AFFINE)
    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.Modality
        dataset.save_as(path)
    np.testing.assert_array_equal(read_scan(series).array, ARRAY)


@pytest.mark.parametrize("kind", ["MIP", "MINIP", "PROJECTION IMAGE"])
def test_projections_are_taken_only_where_there_is_nothing_else(tmp_path, kind):
    """They may have more slices than what they were made from, and values that no tissue has."""
    write(tmp_path / "study", SeriesNumber=2)
    many = np.repeat(VALUES, 2, axis=0)
    derived = {"series": "1.2.3.5", "SeriesNumber": 3, "ImageType": ["DERIVED", "SECONDARY", "AXIAL", kind]}
    write(tmp_path / "study", many, name="P{:02}.dcm", **derived)
    scan = read_scan(tmp_path / "study")
    np.testing.assert_array_equal(scan.array, ARRAY)
    assert "left out: series 3" in scan.notes[1]
    assert read_scan(tmp_path / "study", series="3").array.shape[2] == 12
    assert read_scan(write(tmp_path / "alone", many, **derived)).array.shape[2] == 12


def test_a_picture_in_colour_within_the_series(tmp_path):
    """As some scanners save the report of the dose; alone it is no scan."""
    dose = dicom_slice(VALUES[0], AFFINE, 0)
    dose.SOPInstanceUID = dose.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    dose.PhotometricInterpretation, dose.SamplesPerPixel, dose.PlanarConfiguration = "RGB", 3, 0
    dose.BitsAllocated, dose.BitsStored, dose.HighBit = 8, 8, 7
    dose.PixelData = bytes(3 * VALUES[0].size)
    del dose.ImagePositionPatient, dose.ImageOrientationPatient
    for folder in (write(tmp_path / "series"), tmp_path / "alone"):
        folder.mkdir(exist_ok=True)
        pydicom.dcmwrite(folder / "dose.dcm", dose)
    scan = read_scan(tmp_path / "series")
    np.testing.assert_array_equal(scan.array, ARRAY)
    assert scan.notes[-1] == "1 in colour in the series, left out: dose.dcm"
    with pytest.raises(InputError, match="expected CT slices"):
        read_scan(tmp_path / "alone")
