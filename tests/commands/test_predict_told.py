"""What `predict` tells of what it assumed and of what went wrong, and what it leaves behind then."""

import functools
import json
import re
import shutil

import nibabel
import numpy as np
import pydicom
import pytest
from forked import run_command
from pixel_networks import save_pixel_network
from scan_files import save_dicom

from unet_segnet.networks.facts import write_facts

predict = functools.partial(run_command, "predict")


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """A network that calls what is dark infected, so also all that lies outside the lungs and is black to it."""
    return save_pixel_network(tmp_path_factory.mktemp("network") / "dark.keras", -0.1, -2)


def test_what_was_assumed_is_said_everywhere(scan, network, tmp_path):
    result = predict(scan / "chest.nii.gz", "--model", network, "--lungs", scan / "lungs.nii.gz", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stdout.split())
    notes = json.loads((tmp_path / "chest" / "severity.json").read_text())["notes"]
    page = (tmp_path / "chest" / "index.html").read_text()
    for note in ("values: Hounsfield units", "orientation: LPS by the affine", "lungs: from lungs.nii.gz"):
        assert note in said and note in notes and note in page


def test_what_a_network_did_not_learn_from_is_a_warning_of_its_own(scan, network, tmp_path):
    path = shutil.copy(network, tmp_path / "whole.keras")
    write_facts(path, {"learnt_from": "whole slices"})
    result = predict(scan / "chest.nii.gz", "--model", path, "--lungs", scan / "lungs.nii.gz", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  WARNING: ")]
    assert "learnt from whole slices" in line and "--lungs none leaves them out" in " ".join(result.stdout.split())


def test_the_millilitres_are_those_of_the_label_file(scan, dark, tmp_path):
    """And what of them lies outside the lungs is told."""
    result = predict(scan / "chest.nii.gz", "--model", dark, "--lungs", scan / "lungs.nii.gz", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    file = nibabel.load(tmp_path / "chest" / "labels.nii.gz")
    labels, lungs = (np.asarray(image.dataobj) > 0 for image in (file, nibabel.load(scan / "lungs.nii.gz")))
    voxel_ml = abs(np.linalg.det(file.affine[:3, :3])) / 1000
    told = re.search(
        r"([\d.]+) ml: ([\d.]+) ml in the lungs \(([\d.]+) % of both\), ([\d.]+) ml outside", result.stdout
    )
    sizes = [mask.sum() * voxel_ml for mask in (labels, labels & lungs, labels & ~lungs)]
    expected = (*sizes[:2], 100 * labels[lungs].mean(), sizes[2])
    np.testing.assert_allclose([float(figure) for figure in told.groups()], expected, atol=0.06)
    assert sizes[2] > 0.5 * sizes[0]


def test_notes_are_said_once_where_scans_are_alike(scan, network, tmp_path):
    for name in ("a", "b"):
        shutil.copy(scan / "chest.nii.gz", tmp_path / f"{name}.nii.gz")
    paths = [tmp_path / f"{name}.nii.gz" for name in "ab"]
    result = predict(*paths, "--model", network, "--lungs", "none", "--out", tmp_path / "out")
    assert result.stdout.count("Hounsfield units") == 1 and result.stdout.count("notes: as above") == 1


def test_a_truth_that_does_not_fit_is_told_before_and_the_scan_is_segmented(scan, network, tmp_path):
    lesions = nibabel.load(scan / "lesions.nii.gz")
    away = lesions.affine.copy()
    away[0, 3] += 30
    nibabel.save(nibabel.Nifti1Image(np.asarray(lesions.dataobj), away), tmp_path / "away.nii.gz")
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out", "--truth", tmp_path / "away.nii.gz")
    result = predict(scan / "chest.nii.gz", *arguments)
    assert result.returncode == 1
    first, progress, last = result.stderr.splitlines()
    assert first.startswith("error: ") and "away.nii.gz: lies up to 30" in first and "without scores" in first
    assert progress.startswith("1/1 chest") and "not compared with the truth" in last
    case = tmp_path / "out" / "chest"
    assert (case / "labels.nii.gz").is_file() and not (case / "agreement.json").exists()
    assert any("not compared" in note for note in json.loads((case / "severity.json").read_text())["notes"])
    again = predict(scan / "chest.nii.gz", *arguments)
    assert again.returncode == 1 and "is there already" in again.stdout and "lies up to 30" in again.stderr


def test_labels_of_which_two_could_be_meant_are_told_and_no_input_failed(scan, network, tmp_path):
    shutil.copy(scan / "chest.nii.gz", tmp_path / "p01.nii.gz")
    (tmp_path / "truth").mkdir()
    for name in ("p01.nii.gz", "p01.nii"):
        nibabel.save(nibabel.load(scan / "lesions.nii.gz"), tmp_path / "truth" / name)
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out", "--truth", tmp_path / "truth")
    result = predict(tmp_path / "p01.nii.gz", *arguments)
    assert result.returncode == 1 and (tmp_path / "out" / "p01" / "labels.nii.gz").is_file()
    first, progress, last = result.stderr.splitlines()
    assert "several files are called p01; expected one per scan (segmented all the same" in first
    assert progress.startswith("1/1 p01") and last == "it was segmented, but not compared with the truth"


def test_what_is_wrong_with_many_is_told_once(scan, network, tmp_path):
    lesions = nibabel.load(scan / "lesions.nii.gz")
    (tmp_path / "truth").mkdir()
    for name in ("a", "b"):
        shutil.copy(scan / "chest.nii.gz", tmp_path / f"{name}.nii.gz")
        values = np.asarray(lesions.dataobj) * np.uint8(4)
        values[0, 0, 0] = 7
        nibabel.save(nibabel.Nifti1Image(values, lesions.affine), tmp_path / "truth" / f"{name}.nii.gz")
    paths = [tmp_path / f"{name}.nii.gz" for name in "ab"]
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out", "--truth", tmp_path / "truth")
    result = predict(*paths, *arguments)
    assert result.returncode == 1 and (tmp_path / "out" / "b" / "labels.nii.gz").is_file()
    first, second = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "classes.csv" in first and second.endswith("b.nii.gz: as before")
    assert result.stderr.splitlines()[-1].startswith("2 of 2 scans were segmented, but not compared")


def test_lungs_that_do_not_fit_are_told_before_anything_is_segmented(scan, network, tmp_path):
    lungs = nibabel.load(scan / "lungs.nii.gz")
    nibabel.save(lungs.slicer[:, :, 1:], tmp_path / "lungs.nii.gz")
    arguments = ("--model", network, "--lungs", tmp_path / "lungs.nii.gz", "--out", tmp_path / "out")
    result = predict(scan / "chest.nii.gz", *arguments)
    assert result.returncode == 2 and not (tmp_path / "out").exists()
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and "lungs.nii.gz is 64x64x7, the scan is 64x64x8" in line


def test_what_is_no_scan_among_scans_is_told_and_the_rest_is_done(scan, network, tmp_path):
    shutil.copy(scan / "chest.nii.gz", tmp_path / "chest.nii.gz")
    (tmp_path / "participants.tsv").write_text("id\n")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out")
    result = predict(*sorted(tmp_path.glob("*.*")), *arguments)
    assert result.returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["chest"]
    assert "participants.tsv: unknown kind" in result.stderr and "broken.nii.gz" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("2 of 3 inputs failed")
    result = predict(tmp_path / "participants.tsv", tmp_path / "broken.nii.gz", *arguments)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "all 2 inputs failed: nothing was segmented"


def test_patients_with_their_lungs_and_labels_in_folders(scan, network, tmp_path):
    for patient in ("anna", "ben"):
        for folder, name in (("scans", "chest"), ("lungs", "lungs"), ("labels", "lesions")):
            target = tmp_path / folder / (f"{patient}/ct.nii.gz" if folder == "scans" else f"{patient}.nii.gz")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scan / f"{name}.nii.gz", target)
    folders = ("--lungs", tmp_path / "lungs", "--truth", tmp_path / "labels")
    result = predict(tmp_path / "scans", "--model", network, *folders, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"anna", "ben"}
    assert result.stdout.count("against the truth") == 2 and "truth: from" not in result.stdout
    for patient in ("anna", "ben"):
        used = json.loads((tmp_path / "out" / patient / "settings.json").read_text())["settings"]
        assert used["lungs"]["path"] == str(tmp_path / "lungs" / f"{patient}.nii.gz")
        assert used["truth"]["path"] == str(tmp_path / "labels" / f"{patient}.nii.gz")


def test_the_meaning_of_labels_can_be_given(scan, network, tmp_path):
    lesions = nibabel.load(scan / "lesions.nii.gz")
    values = np.asarray(lesions.dataobj) * np.uint8(4)
    values[0, 0, 0] = 7  # of something else
    nibabel.save(nibabel.Nifti1Image(values, lesions.affine), tmp_path / "truth.nii.gz")
    (tmp_path / "classes.csv").write_text("value,name\n0,background\n7,background\n4,infected\n")
    given = ("--model", network, "--lungs", scan / "lungs.nii.gz", "--out", tmp_path / "out")
    result = predict(
        scan / "chest.nii.gz", *given, "--truth", tmp_path / "truth.nii.gz", "--classes", tmp_path / "classes.csv"
    )
    assert result.returncode == 0, result.stderr
    agreement = json.loads((tmp_path / "out" / "chest" / "agreement.json").read_text())
    rows = {row["class"]: row for row in agreement["scan"]}
    assert rows["all lesions"]["true_voxels"] == np.count_nonzero(values == 4)
    beside = predict(
        scan / "chest.nii.gz", *given[:-1], tmp_path / "beside", "--truth", tmp_path / "truth.nii.gz"
    )  # where classes.csv lies
    assert beside.returncode == 0 and "classes: by classes.csv" in " ".join(beside.stdout.split())
    same = json.loads((tmp_path / "beside" / "chest" / "agreement.json").read_text())
    assert same["scan"] == agreement["scan"]
    result = predict(scan / "chest.nii.gz", *given, "--classes", tmp_path / "classes.csv")
    assert result.returncode == 2 and "give them with --truth" in result.stderr


def test_a_network_by_the_folder_of_its_run(scan, network, tmp_path):
    runs = tmp_path / "runs"
    for fold in ("seed0", "seed1"):
        (runs / fold).mkdir(parents=True)
        shutil.copy(network, runs / fold / "model.keras")
        settings = {"data": {"classes": ["healthy", "lesion"], "window": [-1000.0, 200.0], "name": "here"}}
        (runs / fold / "config.json").write_text(json.dumps(settings))
    arguments = (scan / "chest.nii.gz", "--lungs", "none", "--out", tmp_path / "out")
    result = predict(*arguments, "--model", runs)
    assert result.returncode == 2 and not (tmp_path / "out").exists()
    assert "holds the networks of 2 runs (seed0, seed1); give one of these folders" in result.stderr
    result = predict(*arguments, "--model", runs / "seed1")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "out" / "chest" / "severity.json").read_text())
    assert found["class_names"] == ["healthy", "lesion"] and found["window"] == [-1000.0, 200.0]
    shutil.rmtree(runs / "seed0")
    result = predict(*arguments, "--model", runs)
    assert result.returncode == 0 and "is there already" in result.stdout


def test_a_series_gets_a_dicom_segmentation_or_a_note(phantom, network, tmp_path):
    affine = np.array([[0, -0.7, 0, 0], [-0.7, 0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    series = save_dicom(tmp_path / "anna", np.rint(phantom.images.transpose(0, 2, 1)), affine)
    arguments = (series, "--model", network, "--lungs", "none", "--out")
    result = predict(*arguments, tmp_path / "without")
    assert result.returncode == 0 and "no DICOM segmentation was written" in " ".join(result.stdout.split())
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.3.5"
        dataset.save_as(file)
    result = predict(*arguments, tmp_path / "with")
    assert result.returncode == 0 and "no DICOM" not in result.stdout
    labels = np.asarray(nibabel.load(tmp_path / "with" / "anna" / "labels.nii.gz").dataobj)
    written = pydicom.dcmread(tmp_path / "with" / "anna" / "labels.dcm")
    assert written.pixel_array.sum() == np.count_nonzero(labels) > 0
    assert [segment.SegmentLabel for segment in written.SegmentSequence] == ["infected"]


def test_a_series_can_be_chosen(phantom, network, tmp_path):
    affine = np.array([[0, -0.7, 0, 0], [-0.7, 0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    images = np.rint(phantom.images.transpose(0, 2, 1))
    for number, some in ((1, images), (2, images[:5])):
        series = save_dicom(tmp_path / f"s{number}", some, affine, series=f"1.2.{number}")
        for file in series.iterdir():
            dataset = pydicom.dcmread(file)
            dataset.SeriesNumber, dataset.StudyInstanceUID = number, "1.2.3"
            (tmp_path / "anna").mkdir(exist_ok=True)
            dataset.save_as(tmp_path / "anna" / f"{number}-{file.name}")
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out")
    result = predict(tmp_path / "anna", *arguments)
    assert result.returncode == 0 and "anna: 8 slices" in result.stdout and "left out: series 2" in result.stdout
    result = predict(tmp_path / "anna", *arguments, "--series", "2")
    assert result.returncode == 2 and "made with another series" in result.stderr
    result = predict(tmp_path / "anna", *arguments, "--series", "2", "--force")
    assert result.returncode == 0 and "anna: 5 slices" in result.stdout


def test_a_series_of_what_is_no_dicom_is_refused(scan, network, tmp_path):
    result = predict(scan / "chest.nii.gz", "--series", "2", "--model", network, "--out", tmp_path / "out")
    assert result.returncode == 2 and "chest.nii.gz: is no DICOM; --series chooses among" in result.stderr


def test_results_among_the_scans_are_no_scans(scan, network, tmp_path):
    """The same command in the folder of the scans, once more."""
    for patient in ("anna", "ben"):
        (tmp_path / patient).mkdir()
        shutil.copy(scan / "chest.nii.gz", tmp_path / patient / "ct.nii.gz")
    arguments = (tmp_path, "--model", network, "--lungs", "none", "--probabilities", "--out", tmp_path / "segmented")
    assert predict(*arguments).returncode == 0
    again = predict(*arguments)
    assert again.returncode == 0 and not again.stderr
    assert again.stdout.count("is there already") == 2
    result = predict(tmp_path / "segmented", *arguments[1:])
    assert result.returncode == 2 and "holds results of this command and no scan" in result.stderr


def test_the_studys_classes_are_called_by_what_they_are(phantom, tmp_path):
    """C1 says nothing to a radiologist, in 3D Slicer or in a table."""
    import keras
    import SimpleITK

    inputs = keras.Input((64, 64, 1))
    keras.Model(inputs, keras.layers.Conv2D(4, 1, activation="softmax")(inputs)).save(tmp_path / "four.keras")
    image = nibabel.Nifti1Image(np.moveaxis(phantom.images.astype(np.int16), 0, 2), np.diag([-0.7, -0.7, 5, 1]))
    nibabel.save(image, tmp_path / "chest.nii.gz")
    arguments = ("--model", tmp_path / "four.keras", "--lungs", "none", "--out", tmp_path / "out")
    result = predict(tmp_path / "chest.nii.gz", *arguments)
    assert result.returncode == 0, result.stderr
    assert "C1 ground glass, C2 consolidation, C3 pleural effusion" in " ".join(result.stdout.split())
    written = SimpleITK.ReadImage(str(tmp_path / "out" / "chest" / "labels.seg.nrrd"))
    names = [written.GetMetaData(f"Segment{number}_Name") for number in range(3)]
    assert names == ["ground glass", "consolidation", "pleural effusion"]
    assert '"pleural effusion"' in (tmp_path / "out" / "chest" / "labels.label").read_text()
