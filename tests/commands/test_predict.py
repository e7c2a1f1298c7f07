"""Segmenting scans from the command line: the same labels from every format, in place, with figures that add up."""

import csv
import functools
import hashlib
import json
import shutil

import nibabel
import numpy as np
import pytest
from forked import run_command
from PIL import Image
from pixel_networks import save_pixel_network

import unet_segnet.scans
from unet_segnet.commands.predict import main

predict = functools.partial(run_command, "predict")


@pytest.fixture(scope="session")
def segmented(scan, network, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    result = predict(
        scan / "chest.nii.gz", "--lungs", scan / "lungs.nii.gz", "--model", network, "--out", out, "--probabilities",
        "--truth", scan / "lesions.nii.gz",
    )  # fmt: skip
    return result, out / "chest"


def test_everything_is_written(segmented):
    result, folder = segmented
    assert result.returncode == 0, result.stderr
    assert {path.name for path in folder.iterdir()} == {
        "labels.nii.gz", "probabilities.nii.gz", "severity.json", "severity.csv", "slices.csv", "agreement.json",
        "agreement.csv", "agreement_slices.csv", "overview.png", "index.html", "settings.json", "labels.seg.nrrd",
        "labels.label", "lungs.nii.gz",
    }  # fmt: skip
    assert "8 slices" in result.stdout and "Dice" in result.stdout
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page and 'class="viewer"' in page


def test_labels_lie_where_the_bright_lung_is(segmented, scan, phantom):
    _, folder = segmented
    labels = nibabel.load(folder / "labels.nii.gz")
    image = nibabel.load(scan / "chest.nii.gz")
    np.testing.assert_array_equal(labels.affine, image.affine)
    assert labels.shape == image.shape and labels.header.get_zooms() == image.header.get_zooms()
    values = np.asarray(labels.dataobj)
    assert values.dtype == np.uint8
    # Above -512 HU: grey level 100 of the window, where the network's two scores are equal.
    bright = (image.get_fdata() > -512) & np.moveaxis(phantom.lungs, 0, 2)
    overlap = 2 * (bright & (values > 0)).sum() / (bright.sum() + (values > 0).sum())
    assert overlap > 0.85  # resized to 256 and back


def test_lungs_are_written_with_their_sides(segmented, scan):
    lungs, given = nibabel.load(segmented[1] / "lungs.nii.gz"), nibabel.load(scan / "lungs.nii.gz")
    values = np.asarray(lungs.dataobj)
    np.testing.assert_array_equal(lungs.affine, given.affine)
    np.testing.assert_array_equal(values > 0, np.asarray(given.dataobj) > 0)
    towards_right = nibabel.affines.apply_affine(lungs.affine, np.argwhere(values == 2)).mean(axis=0)[0]
    assert towards_right > nibabel.affines.apply_affine(lungs.affine, np.argwhere(values == 1)).mean(axis=0)[0]


def test_lungs_and_lesions_are_found_by_the_project_s_networks(scan, tmp_path):
    result = predict(scan / "chest.nii.gz", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "chest" / "severity.json").read_text())
    assert found["network"] == "lesions" and set(found["grey_levels"]) >= {"healthy_hu", "median_level", "grain"}
    assert {"lungs: found by Hounsfield units and a network"} <= set(found["notes"])
    found, given = (
        np.asarray(nibabel.load(path).dataobj) > 0
        for path in (tmp_path / "chest" / "lungs.nii.gz", scan / "lungs.nii.gz")
    )
    assert 2 * (found & given).sum() / (found.sum() + given.sum()) > 0.85


def test_volumes_are_counts_times_voxel_size(segmented):
    _, folder = segmented
    labels = nibabel.load(folder / "labels.nii.gz")
    voxel_ml = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
    with (folder / "severity.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    whole = next(row for row in rows if (row["class"], row["region"]) == ("all lesions", "whole scan"))
    count = int((np.asarray(labels.dataobj) > 0).sum())
    assert int(whole["voxels"]) == count
    assert float(whole["volume_ml"]) == pytest.approx(count * voxel_ml, rel=0.01)
    found = json.loads((folder / "severity.json").read_text())
    assert found["notes"] is not None and "not for clinical use" in found["for"]


def test_probabilities_decide_the_labels(segmented):
    _, folder = segmented
    image, labels = (nibabel.load(folder / f"{name}.nii.gz") for name in ("probabilities", "labels"))
    probabilities, marked = image.get_fdata(), np.asarray(labels.dataobj)
    assert probabilities.shape == (*marked.shape, 2) and 0 < (marked == 1).mean() < 1
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=2e-3)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), marked)
    np.testing.assert_array_equal(image.affine, labels.affine)


def test_nothing_is_replaced_without_force(segmented, scan, network):
    _, folder = segmented
    before = (folder / "labels.nii.gz").read_bytes()
    result = predict(scan / "chest.nii.gz", "--model", network, "--out", folder.parent)
    assert result.returncode == 2 and "is there already" in result.stderr
    assert (folder / "labels.nii.gz").read_bytes() == before


def test_what_is_done_is_passed_over_by_the_same_command(segmented, scan, network):
    _, folder = segmented
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    arguments = ("--lungs", scan / "lungs.nii.gz", "--model", network, "--out", folder.parent, "--probabilities")
    result = predict(scan / "chest.nii.gz", *arguments, "--truth", scan / "lesions.nii.gz")
    assert result.returncode == 0, result.stderr
    assert "chest: is there already, made from this scan with these settings" in result.stdout
    result = predict(scan / "chest.nii.gz", *arguments)
    assert result.returncode == 2 and "made with another truth" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_was_made_of_other_contents_is_not_passed_over(segmented, scan, network):
    """The scan, its lungs and its truth by what is in them."""
    _, folder = segmented
    arguments = ("--lungs", scan / "lungs.nii.gz", "--model", network, "--out", folder.parent, "--probabilities")
    for name, told in (("chest", "scan"), ("lungs", "lungs"), ("lesions", "truth")):
        whole = (scan / f"{name}.nii.gz").read_bytes()
        (scan / f"{name}.nii.gz").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        result = predict(scan / "chest.nii.gz", *arguments, "--truth", scan / "lesions.nii.gz")
        (scan / f"{name}.nii.gz").write_bytes(whole)
        assert result.returncode == 2 and f"made with another {told};" in result.stderr


def replacing(monkeypatch, path, content):
    """Let a file be replaced just before the first scan is read."""
    read = unet_segnet.scans.read_scan

    def replaced(*arguments, **more):
        path.write_bytes(content)
        return read(*arguments, **more)

    monkeypatch.setattr(unet_segnet.scans, "read_scan", replaced)


def here(capsys, *arguments):
    """Call the command in this process: its exit status, and what it printed."""
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return left.value.code, printed.out + printed.err


def test_labels_are_of_the_network_that_their_settings_name(scan, network, tmp_path, monkeypatch, capsys):
    """A network that is replaced once it is loaded, as a training that ends replaces its own."""
    mine = tmp_path / "mine.keras"
    shutil.copy(network, mine)
    other = save_pixel_network(tmp_path / "other.keras", 0.1, 1000)  # nothing is that bright
    arguments = (scan / "chest.nii.gz", "--lungs", scan / "lungs.nii.gz", "--model", mine, "--out", tmp_path / "out")
    with monkeypatch.context() as patched:
        replacing(patched, mine, other.read_bytes())
        assert here(capsys, *arguments)[0] == 0
    made_with = json.loads((tmp_path / "out" / "chest" / "settings.json").read_text())["settings"]
    assert made_with["network"] == hashlib.sha256(network.read_bytes()).hexdigest()
    assert np.asarray(nibabel.load(tmp_path / "out" / "chest" / "labels.nii.gz").dataobj).any()
    status, printed = here(capsys, *arguments)
    assert status == 2 and "made with another network" in printed


def test_a_scan_that_is_replaced_while_it_is_read_is_told(scan, network, tmp_path, monkeypatch, capsys):
    mine = tmp_path / "chest.nii.gz"
    shutil.copy(scan / "chest.nii.gz", mine)
    other = nibabel.load(mine)
    nibabel.save(nibabel.Nifti1Image(other.get_fdata()[::-1], other.affine), tmp_path / "other.nii.gz")
    replacing(monkeypatch, mine, (tmp_path / "other.nii.gz").read_bytes())
    status, printed = here(capsys, mine, "--lungs", "none", "--model", network, "--out", tmp_path / "out")
    assert status == 2 and "chest.nii.gz: was changed while it was read" in printed and "Traceback" not in printed
    assert not (tmp_path / "out" / "chest").exists()


def test_a_truth_that_is_not_there_is_said(scan, network, tmp_path):
    (tmp_path / "truth").mkdir()
    arguments = ("--model", network, "--lungs", "none", "--truth", tmp_path / "truth", "--out")
    result = predict(scan / "chest.nii.gz", *arguments, tmp_path / "out")
    assert result.returncode == 1
    assert f"error: {tmp_path / 'truth'}: no true labels by the name of chest" in result.stderr.splitlines()[0]
    assert (tmp_path / "out" / "chest" / "labels.nii.gz").is_file()
    assert not (tmp_path / "out" / "chest" / "agreement.json").exists()
    for name, source in (("one.nii.gz", "chest"), ("two.nii.gz", "chest"), ("truth/two.nii.gz", "lesions")):
        shutil.copy(scan / f"{source}.nii.gz", tmp_path / name)
    result = predict(tmp_path / "one.nii.gz", tmp_path / "two.nii.gz", *arguments, tmp_path / "some")
    assert result.returncode == 0, result.stderr
    (note,) = [line for line in result.stderr.splitlines() if line.startswith("note:")]
    assert "no true labels by the name of one" in note and result.stdout.count("against the truth") == 1


def test_one_bad_scan_among_good_ones_is_skipped(scan, network, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"")
    arguments = ("--model", network, "--lungs", "none", "--out", tmp_path / "out")
    result = predict(tmp_path / "bad.nii.gz", scan / "chest.nii.gz", *arguments)
    assert result.returncode == 1, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "bad.nii.gz" in errors[0]
    assert "1 of 2 inputs failed" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["chest"]


def test_slices_of_lungs_alone_keep_their_own_grey_levels(network, tmp_path):
    image = np.zeros((256, 256), np.uint8)
    image[40:110, 60:200], image[150:220, 60:200] = 60, 60
    image[60:80, 100:120] = 180
    Image.fromarray(image).save(tmp_path / "slice.png")
    result = predict(tmp_path / "slice.png", "--model", network, "--out", tmp_path / "out", "--orientation", "network")
    assert result.returncode == 0, result.stderr
    labels = np.asarray(nibabel.load(tmp_path / "out" / "slice" / "labels.nii.gz").dataobj)
    assert int((labels > 0).sum()) == 400
    facts = json.loads((tmp_path / "out" / "slice" / "severity.json").read_text())
    assert facts["spacing_mm"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "missing.keras"], "missing.keras: no such file"),
        (["--lungs", "missing.nii.gz"], "no such lung mask"),
        (["--truth", "missing"], "no such file or folder of true labels"),
        (["--window", "10", "-10"], "must be the larger"),
        (["--window", "nan", "400"], "must be the larger"),
        (["--window", "-1000", "inf"], "--window -1000 inf: expected Hounsfield units"),
        (["--window", " -inf", "inf"], "--window -inf inf: expected Hounsfield units"),
        (["--window", "0", "1e300"], "expected Hounsfield units"),
        (["--batch-size", "0"], "expected a whole number above 0"),
    ],
)
def test_what_cannot_work_is_one_line(scan, tmp_path, arguments, message):
    result = predict(scan / "chest.nii.gz", "--out", tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_without_scans_is_one_line(tmp_path, network):
    (tmp_path / "empty").mkdir()
    result = predict(tmp_path / "empty", "--out", tmp_path / "out", "--model", network)
    assert result.returncode == 2 and "empty" in result.stderr and "Traceback" not in result.stderr


def test_a_network_that_takes_no_grey_slices_is_one_line(scan, tmp_path):
    import keras

    inputs = keras.Input((16, 16, 3))
    keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)).save(tmp_path / "three.keras")
    out = tmp_path / "out"
    result = predict(scan / "chest.nii.gz", scan / "lungs.nii.gz", "--model", tmp_path / "three.keras", "--out", out)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and not out.exists()
    assert "three.keras: the network takes 16x16x3; expected square slices of one grey channel" in result.stderr


def test_the_folder_of_the_scan_is_never_replaced(scan, network, tmp_path):
    slices = tmp_path / "patients" / "anna"
    slices.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(np.full((64, 64), 90, np.uint8)).save(slices / f"{number}.png")
    before = {path.name: path.read_bytes() for path in slices.iterdir()}
    for more in ((), ("--force",)):
        result = predict(slices, "--model", network, "--lungs", "none", "--out", slices.parent, *more)
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert "anna: holds something other than results" in result.stderr and "remove" not in result.stderr
        assert {path.name: path.read_bytes() for path in slices.iterdir()} == before


@pytest.mark.parametrize("name", ["..nii.gz", ".nii.gz", "...nii.gz", ".chest.new.nii.gz"])
def test_scans_without_a_name_are_refused(scan, network, tmp_path, name):
    (tmp_path / name).write_bytes((scan / "chest.nii.gz").read_bytes())
    result = predict(tmp_path / name, "--model", network, "--out", tmp_path / "out", "--force")
    assert result.returncode == 2 and "error: " in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
