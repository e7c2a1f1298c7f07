"""Networks of all folds from the command line: trained, then together on a scan and on labelled ones."""

import csv
import functools
import json
import shutil

import nibabel
import numpy as np
import pytest
from forked import run_command
from made_folds import LEVELS, infected, write_folds
from own_data import write_cohort
from scan_files import network_affine, save_dicom
from sklearn.metrics import f1_score

predict = functools.partial(run_command, "predict")


@pytest.fixture(scope="session")
def folds(tmp_path_factory):
    return write_folds(tmp_path_factory.mktemp("own") / "data-net", size=64)


@pytest.fixture(scope="session")
def segmented(scan, folds, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    result = predict(
        scan / "chest.nii.gz", "--lungs", scan / "lungs.nii.gz", "--model", folds, "--out", out, "--probabilities",
        "--disagreement",
    )  # fmt: skip
    return result, out / "chest"


def test_a_scan_has_the_mean_of_the_folds_and_a_map_of_disagreement(segmented, scan, phantom):
    from unet_segnet.data.preprocess import window_to_8bit

    result, folder = segmented
    assert result.returncode == 0, result.stderr
    image = nibabel.load(scan / "chest.nii.gz")
    maps, spread = (nibabel.load(folder / f"{name}.nii.gz") for name in ("probabilities", "disagreement"))
    np.testing.assert_array_equal(spread.affine, image.affine)
    assert spread.shape == image.shape and spread.get_data_dtype() == np.float32
    grey = np.where(phantom.lungs, window_to_8bit(phantom.images.astype(np.int16)), 0)  # 64 x 64: nothing is resized
    of_each = np.moveaxis([infected(grey, level) for level in LEVELS], 1, 3)
    np.testing.assert_allclose(maps.get_fdata()[..., 1], of_each.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(spread.get_fdata(), of_each.std(axis=0), atol=2e-3)
    assert spread.get_fdata().max() > 0.3


def test_it_is_said_on_the_console_in_json_and_on_the_page(segmented):
    result, folder = segmented
    said = "network: the mean of the probabilities of 3 networks (fold1-seed0, fold2-seed0, fold3-seed0)"
    assert said in " ".join(result.stdout.split())
    assert said in json.loads((folder / "severity.json").read_text())["notes"]
    assert said in (folder / "index.html").read_text(encoding="utf-8")


def test_the_same_command_goes_on_and_another_ensemble_is_told(segmented, scan, folds, tmp_path):
    arguments = ("--lungs", scan / "lungs.nii.gz", "--out", segmented[1].parent, "--probabilities", "--disagreement")
    result = predict(scan / "chest.nii.gz", "--model", folds / "folds-seed0", *arguments)
    assert result.returncode == 0 and "is there already, made from this scan with these settings" in result.stdout
    result = predict(scan / "chest.nii.gz", "--model", folds, *arguments[:-1])
    assert result.returncode == 2 and "made with another disagreement" in result.stderr
    result = predict(scan / "chest.nii.gz", "--model", folds, *arguments, "--tta")
    assert result.returncode == 2 and "made with another tta" in result.stderr
    other = shutil.copytree(folds, tmp_path / "data-net")
    shutil.copy(other / "fold1-seed0" / "model.keras", other / "fold2-seed0" / "model.keras")
    result = predict(scan / "chest.nii.gz", "--model", other, *arguments)
    assert result.returncode == 2 and "made with another network" in result.stderr


def test_of_a_dicom_series_too(phantom, folds, tmp_path):
    upright = phantom.images.transpose(0, 2, 1)
    save_dicom(tmp_path / "series", np.rint(upright), network_affine()[:, [1, 0, 2, 3]])
    result = predict(
        tmp_path / "series", "--lungs", "none", "--model", folds, "--out", tmp_path / "out", "--disagreement", "--tta"
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "series"
    labels, spread = (nibabel.load(folder / f"{name}.nii.gz") for name in ("labels", "disagreement"))
    np.testing.assert_allclose(spread.affine, labels.affine)
    assert spread.shape == labels.shape and spread.get_fdata().max() > 0.3
    assert "test-time augmentation: mean over each slice and 1 mirror images of it" in (" ".join(result.stdout.split()))


def test_what_cannot_be_asked_is_one_line(scan, network, folds, tmp_path):
    out = tmp_path / "out"
    for model, option, line in (
        (network, "--disagreement", "one network; --disagreement is for several"),
        (network, "--tta", "--tta averages over mirror images, and this network does not say"),
    ):
        result = predict(scan / "chest.nii.gz", "--lungs", "none", "--model", model, "--out", out, option)
        assert result.returncode == 2 and result.stderr.count("\n") == 1 and line in result.stderr
    other = shutil.copytree(folds, tmp_path / "data-net")
    (other / "fold3-seed0" / "result.json").unlink()
    result = predict(scan / "chest.nii.gz", "--lungs", "none", "--model", other, "--out", out)
    assert result.returncode == 2 and "fold3-seed0 of 3 folds not finished" in result.stderr and not out.exists()
    for verb, arguments in (
        ("train", ("--init", folds, "--data", tmp_path, "--out", out)),
        ("export", (folds, "--format", "saved_model", "--out", out)),
    ):
        result = run_command(verb, *arguments)
        assert result.returncode == 2 and "is a folder" in result.stderr and "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two folds of four patients, and what was printed when they were scored on all of them."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_cohort(folder / "own", 4)
    result = run_command(
        "train", "--data", data, "--net", "unet", "--variant", "released", "--size", 16, "--folds", 2, "--epochs", 2,
        "--batch-size", 2, "--validation-share", 0, "--out", folder / "runs", shrunk=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    group = folder / "runs" / "own" / "own-released-unet"
    result = run_command("evaluate", group, "--data", data, "--out", folder / "evaluation", "--tta")
    assert result.returncode == 0, result.stderr
    return data, group, result.stdout, folder / "evaluation"


def test_an_ensemble_is_scored_beside_its_members(trained):
    from unet_segnet.cohort.load import load_cohort
    from unet_segnet.networks.load import load_model

    data, group, _, out = trained
    cohort = load_cohort(data, size=16)
    images, truth = cohort.slices.images, cohort.slices.labels > 0

    def mean_of_two(network):
        mirrored = network.predict_on_batch(images[:, ::-1, :, None])[:, ::-1]
        return (network.predict_on_batch(images[..., None])[..., 1] + mirrored[..., 1]) / 2

    maps = {f"fold{n}-seed0": mean_of_two(load_model(group / f"fold{n}-seed0" / "model.keras")) for n in (1, 2)}
    maps["network"] = (maps["fold1-seed0"] + maps["fold2-seed0"]) / 2
    with (out / "scores.csv").open(newline="") as stream:
        rows = {row["method"]: row for row in csv.DictReader(stream) if row["over"] == "all pixels"}
    assert list(rows)[:3] == ["network", "fold1-seed0", "fold2-seed0"]
    for name, found in maps.items():
        expected = f1_score(truth.ravel(), (found > 0.5).ravel())
        assert float(rows[name]["Dice value"]) == pytest.approx(expected, abs=2e-3), name


def test_scores_on_what_the_folds_were_trained_on_are_said_to_be_too_high(trained):
    _, group, printed, out = trained
    text = " ".join(printed.split())
    assert "WARNING: networks of this ensemble were trained on" in text
    assert "Each fold's network on patients that it had not seen:" in text
    assert str(group / "folds-seed0" / "scores.csv") in (out / "scores.md").read_text()
    assert (group / "folds-seed0" / "scores.csv").is_file()


def test_what_is_not_fitted_is_not_said_to_be_fitted_on_each_fold(trained):
    assert "all background: every pixel is not infected." in (trained[1] / "folds-seed0" / "scores.md").read_text()
