"""Labels with names and colours, read back by other libraries: SimpleITK, and pydicom and highdicom."""

import re

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom.color import CIELabColor
from scan_files import network_affine, save_dicom, save_enhanced, save_nifti

from unet_segnet.errors import InputError
from unet_segnet.scans import (
    read_scan,
    write_dicom_segmentation,
    write_label_descriptions,
    write_labels,
    write_seg_nrrd,
)

NAMES = ("background", 'ground "glass"', "pleural effusion")
COLOURS = (None, "#E69F00", "#0072B2")
AFFINE = network_affine()
HU = np.arange(5 * 7 * 6, dtype=float).reshape(5, 7, 6) - 500  # (slice, row, column)


def hospital_series(folder, affine=AFFINE, **more):
    """A series that names its study, as scanners write it."""
    save_dicom(folder, HU, affine)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.3.5"
        dataset.PatientID, dataset.PatientName = "P7", "Doe^Jane"
        for keyword, value in more.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)
    return folder


def some_labels(shape):
    labels = np.zeros(shape, np.uint8)
    labels[1, 2, 1], labels[3, 1:4, 2], labels[4, 4, 4] = 1, 2, 1
    return labels


def by_sitk(series):
    """The series as SimpleITK reads it."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    return reader.Execute()


def on_the_grid_of(image, other):
    assert image.GetSize() == other.GetSize()
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(image, get)(), getattr(other, get)(), atol=1e-4)


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.seg.nrrd"])
def test_labels_of_a_series_lie_voxel_by_voxel_on_what_others_read(tmp_path, name):
    series = hospital_series(tmp_path / "series")
    scan = read_scan(series)
    labels = some_labels(scan.array.shape)
    if name.endswith("nrrd"):
        write_seg_nrrd(tmp_path / name, labels, scan, NAMES, COLOURS)
    else:
        write_labels(tmp_path / name, labels, scan)
    image, written = by_sitk(series), SimpleITK.ReadImage(str(tmp_path / name))
    on_the_grid_of(written, image)
    values, marked = SimpleITK.GetArrayFromImage(image), SimpleITK.GetArrayFromImage(written)
    for index in (1, 2):
        assert set(values[marked == index]) == set(scan.array[labels == index])


@pytest.mark.parametrize("affine", [AFFINE, AFFINE @ np.diag([-1, 1, 1, 1]), None])
def test_a_segmentation_for_slicer_has_names_colours_and_the_scans_geometry(tmp_path, affine):
    path = save_nifti(tmp_path / "ct.nii.gz", HU.astype(np.int16), np.eye(4) if affine is None else affine)
    scan = read_scan(path)
    labels = some_labels(scan.array.shape)
    for name in ("labels", "again"):
        write_seg_nrrd(tmp_path / f"{name}.seg.nrrd", labels, scan, NAMES, COLOURS)
    assert (tmp_path / "labels.seg.nrrd").read_bytes() == (tmp_path / "again.seg.nrrd").read_bytes()
    written = SimpleITK.ReadImage(str(tmp_path / "labels.seg.nrrd"))
    if affine is not None:
        on_the_grid_of(written, SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels.transpose(2, 1, 0))
    fields = {key: written.GetMetaData(key) for key in written.GetMetaDataKeys() if key.startswith("Segment")}
    assert [fields[f"Segment{n}_Name"] for n in (0, 1)] == list(NAMES[1:])
    assert [fields[f"Segment{n}_LabelValue"] for n in (0, 1)] == ["1", "2"]
    assert [fields[f"Segment{n}_Layer"] for n in (0, 1)] == ["0", "0"]
    colour = np.array(fields["Segment0_Color"].split(), float)
    np.testing.assert_allclose(colour, np.array([0xE6, 0x9F, 0x00]) / 255, atol=1e-5)
    assert fields["Segment1_Extent"] == "0 4 0 6 0 5" and "Segment2_Name" not in fields


@pytest.mark.parametrize("lengths", [(0.7, 0.8, 5.0), (1.0, 1.0, 1.0)])
def test_a_segmentation_lies_on_a_scan_with_neither_sform_nor_qform(tmp_path, lengths):
    """Where 3D Slicer shows it, by ITK; the standard's axes, which the analysis takes, are others."""
    path = save_nifti(tmp_path / "ct.nii.gz", HU.astype(np.int16), np.diag([*lengths, 1.0]), 0, 0)
    scan = read_scan(path)
    labels = some_labels(scan.array.shape)
    write_labels(tmp_path / "labels.nii.gz", labels, scan)
    write_seg_nrrd(tmp_path / "labels.seg.nrrd", labels, scan, NAMES, COLOURS)
    for name in ("labels.nii.gz", "labels.seg.nrrd"):
        written = SimpleITK.ReadImage(str(tmp_path / name))
        on_the_grid_of(written, SimpleITK.ReadImage(str(path)))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels.transpose(2, 1, 0))


def test_label_descriptions_for_itk_snap(tmp_path):
    write_label_descriptions(tmp_path / "labels.label", NAMES, COLOURS)
    rows = [line for line in (tmp_path / "labels.label").read_text().splitlines() if not line.startswith("#")]
    found = [
        re.fullmatch(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+([01])\s+"([^"]*)"', row) for row in rows
    ]
    assert [match.groups() for match in found] == [
        ("0", "0", "0", "0", "0", "0", "0", "Clear Label"),
        ("1", "230", "159", "0", "1", "1", "1", "ground 'glass'"),
        ("2", "0", "114", "178", "1", "1", "1", "pleural effusion"),
    ]


def test_a_dicom_segmentation_lies_on_its_series(tmp_path):
    series = hospital_series(tmp_path / "series")
    scan = read_scan(series)
    labels = some_labels(scan.array.shape)
    write_dicom_segmentation(tmp_path / "labels.dcm", labels, scan, NAMES, COLOURS)
    dataset = pydicom.dcmread(tmp_path / "labels.dcm")
    source = {file.SOPInstanceUID: file for file in map(pydicom.dcmread, series.iterdir())}
    first = next(iter(source.values()))
    assert dataset.Modality == "SEG" and dataset.SOPInstanceUID not in source
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "Rows", "Columns"):
        assert dataset[keyword].value == first[keyword].value
    assert dataset.SeriesInstanceUID != first.SeriesInstanceUID
    assert [(s.SegmentNumber, s.SegmentLabel) for s in dataset.SegmentSequence] == [(1, NAMES[1]), (2, NAMES[2])]
    segmentation = highdicom.seg.segread(tmp_path / "labels.dcm")
    colour = CIELabColor.from_dicom_value(dataset.SegmentSequence[0].RecommendedDisplayCIELabValue).to_rgb()
    np.testing.assert_allclose(colour, (0xE6, 0x9F, 0x00), atol=1)
    # Each frame is the segment on the slice that it names, at that slice's place.
    seen = np.zeros(scan.array.shape, np.uint8)
    stored = dict(zip(scan.files, range(len(scan.files)), strict=True))
    index_of = {pydicom.dcmread(file).SOPInstanceUID: index for file, index in stored.items()}
    frames = np.atleast_3d(dataset.pixel_array.T).T
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        uid = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, source[uid].ImagePositionPatient, atol=1e-6)
        seen[..., index_of[uid]] += frame * np.uint8(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    np.testing.assert_array_equal(seen, labels)
    volume = segmentation.get_volume(combine_segments=True)
    points = np.argwhere(volume.array > 0)
    expected = nibabel.affines.apply_affine(np.diag([-1, -1, 1, 1]) @ scan.affine, np.argwhere(labels > 0))
    found = nibabel.affines.apply_affine(volume.affine, points)
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-3)


def test_a_scan_without_lesions_has_a_dicom_segmentation_too(tmp_path):
    scan = read_scan(hospital_series(tmp_path / "series"))
    write_dicom_segmentation(tmp_path / "labels.dcm", np.zeros(scan.array.shape, np.uint8), scan, NAMES, COLOURS)
    dataset = pydicom.dcmread(tmp_path / "labels.dcm")
    assert len(dataset.SegmentSequence) == 2 and not dataset.pixel_array.any()


def test_frames_of_enhanced_ct_have_a_dicom_segmentation(tmp_path):
    """One file, its frames in another order than the slices lie."""
    save_enhanced(tmp_path / "ct.dcm", HU, AFFINE, (3, 1, 0, 4, 2))
    dataset = pydicom.dcmread(tmp_path / "ct.dcm")
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.3.5"
    dataset.save_as(tmp_path / "ct.dcm")
    scan = read_scan(tmp_path / "ct.dcm")
    labels = some_labels(scan.array.shape)
    write_dicom_segmentation(tmp_path / "labels.dcm", labels, scan, NAMES, COLOURS)
    written = pydicom.dcmread(tmp_path / "labels.dcm")
    frames = written.pixel_array
    for frame, group in zip(frames, written.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.append(np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1), 1)
        index = round((np.linalg.inv(scan.affine) @ place)[2])
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        np.testing.assert_array_equal(frame, labels[..., index] == segment)
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == dataset.SOPInstanceUID
    assert frames.sum() == np.count_nonzero(labels)


def test_tilted_and_single_slices_have_a_dicom_segmentation(tmp_path):
    tilted = np.array([[0, -0.7, 0, 0], [-0.8, 0, 1.5, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    for name, affine in (("tilted", tilted), ("single", AFFINE)):
        series = hospital_series(tmp_path / name, affine)
        for file in sorted(series.iterdir())[1:] if name == "single" else ():
            file.unlink()
        scan = read_scan(series)
        labels = np.zeros(scan.array.shape, np.uint8)
        labels[2, 3, -1] = 2
        write_dicom_segmentation(tmp_path / f"{name}.dcm", labels, scan, NAMES, COLOURS)
        dataset = pydicom.dcmread(tmp_path / f"{name}.dcm")
        (group,) = dataset.PerFrameFunctionalGroupsSequence
        assert group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 2
        place = pydicom.dcmread(scan.files[-1]).ImagePositionPatient
        np.testing.assert_allclose(group.PlanePositionSequence[0].ImagePositionPatient, place, atol=1e-6)
        assert np.argwhere(dataset.pixel_array.reshape(7, 6)).tolist() == [[2, 3]]


def test_headers_that_hospitals_write_are_no_obstacle(tmp_path):
    scan = read_scan(hospital_series(tmp_path / "series", PatientSex="U", StudyID=""))
    write_dicom_segmentation(tmp_path / "labels.dcm", some_labels(scan.array.shape), scan, NAMES, COLOURS)
    assert pydicom.dcmread(tmp_path / "labels.dcm").PatientSex == ""


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_series_that_no_dicom_segmentation_can_be_on_is_told(tmp_path, keyword):
    scan = read_scan(hospital_series(tmp_path / "series", **{keyword: ""}))
    with pytest.raises(InputError, match=f"does not tell its {keyword}"):
        write_dicom_segmentation(tmp_path / "labels.dcm", some_labels(scan.array.shape), scan, NAMES, COLOURS)
    assert not (tmp_path / "labels.dcm").exists()
