"""The training commands from end to end on very small slices, and what they say when something is wrong."""

import functools
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from forked import run_command
from tables import read_records

from experiments.saood2021.options import check_options, training_parser
from unet_segnet.errors import InputError
from unet_segnet.networks.facts import read_facts
from unet_segnet.networks.load import load_model
from unet_segnet.processor import is_x86

ROOT = Path(__file__).parents[2]
RELEASED = ["--variant", "released", "--size", "16"]


command = functools.partial(run_command, UNET_SEGNET_DATA="/nonexistent")


def grid(data, out, *more, **options):
    return command("grid", "--net", "segnet", *RELEASED, "--data", data, "--out", out, *more, **options)


@pytest.fixture(scope="session")
def finished(twenty_slices, tmp_path_factory):
    """Two configurations trained for two epochs."""
    out = tmp_path_factory.mktemp("runs")
    return grid(
        twenty_slices, out, "--only", "4,5", "--epochs", "2", shrunk=True
    ), out / "grid" / "released-binary-segnet"


def test_grid_prints_both_tables_and_leaves_the_run_folders(finished):
    result, folder = finished
    assert result.returncode == 0, result.stderr
    assert "Table 3." in result.stdout
    assert "Table 4." in result.stdout
    assert "all background" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 160
    tables = [line for line in result.stdout.splitlines() if line.startswith("SegNet")]
    assert tables and all(len(line) <= 100 for line in tables)
    for experiment in (4, 5):
        files = {path.name for path in (folder / f"exp{experiment}-seed0").iterdir()} - {"lock"}
        assert files == {
            "config.json", "history.npz", "history.csv", "counts.npz", "last_epochs.npz", "model.keras", "result.json",
        }  # fmt: skip
    assert {path.name for path in folder.glob("*.*")} == {
        "table3.csv",
        "table3.md",
        "table4.csv",
        "table4.md",
        "training.png",
        "segmentations.png",
    }


def test_counts_are_those_of_the_saved_network(finished, twenty_slices):
    from unet_segnet.data import load_slices, paper_split
    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures import metrics

    folder = finished[1] / "exp4-seed0"
    slices = load_slices(str(twenty_slices), "binary", size=16)
    test = slices.subset(paper_split(20).test)
    model = load_model(folder / "model.keras")
    with np.load(folder / "counts.npz", allow_pickle=False) as counts:
        assert tuple(counts["test_names"]) == test.names
        expected = metrics.confusion_matrices(test.labels, predict(model, test.images), 2)
        np.testing.assert_array_equal(counts["test_confusion"], expected)
        assert counts["test_confusion"].sum() == len(test) * 16 * 16
        rows = read_records(finished[1] / "table3.csv")
        (row,) = (row for row in rows if (row["network"], row["exp."]) == ("SegNet", "4"))
        mean = metrics.global_accuracy(counts["test_confusion"]).mean()
        assert float(row["reproduced mean"]) == pytest.approx(mean)


def test_the_network_knows_its_classes_window_and_data(finished, twenty_slices):
    from unet_segnet.cohort.seen import slice_marks
    from unet_segnet.data import load_slices, paper_split
    from unet_segnet.measures.baselines import class_histograms, fit_thresholds

    facts = read_facts(finished[1] / "exp4-seed0" / "model.keras")
    assert facts["class_names"] == ["not infected", "infected"] and facts["window"] == [-1100.0, 400.0]
    assert facts["data"] == json.loads((finished[1] / "exp4-seed0" / "config.json").read_text())["data"]["name"]
    train = load_slices(str(twenty_slices), "binary", size=16).subset(paper_split(20).train)
    assert facts["slices"] == slice_marks(train.images)
    assert facts["thresholds"] == list(fit_thresholds(class_histograms(train.images, train.labels, 2)))


def test_configuration_and_provenance_are_written_beside_the_result(finished):
    folder = finished[1] / "exp4-seed0"
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["learning_rate"] == 1e-3
    assert config["recipe"]["epochs"] == 2
    assert len(config["data"]["sha256"]) == 64
    assert len(config["split"]["train"]) == 14
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["parameters"] == load_model(folder / "model.keras").count_params()
    assert {"versions", "device", "threads", "seconds", "command"} <= result.keys()


def test_finished_runs_are_left_alone_and_more_are_added(finished, twenty_slices):
    _, folder = finished
    before = (folder / "exp4-seed0" / "model.keras").stat().st_mtime_ns
    result = grid(twenty_slices, folder.parents[1], "--only", "4", "--epochs", "2")
    assert result.returncode == 0
    assert "1 finished, 0 to do" in result.stdout
    assert (folder / "exp4-seed0" / "model.keras").stat().st_mtime_ns == before


def test_other_settings_in_the_same_folder_are_refused(finished, twenty_slices):
    result = grid(twenty_slices, finished[1].parents[1], "--only", "4", "--epochs", "3")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "recipe.epochs: 2 there, 3 asked for" in result.stderr


def test_a_run_of_another_machines_data_type_is_gone_on_with_unless_told_otherwise(finished, twenty_slices, tmp_path):
    folder = tmp_path / "grid" / "released-binary-segnet" / "exp4-seed0"
    shutil.copytree(finished[1] / "exp4-seed0", folder)
    config = json.loads((folder / "config.json").read_text())
    here = config["recipe"]["dtype"]
    config["recipe"]["dtype"] = "float32" if here == "mixed_bfloat16" else "mixed_bfloat16"
    (folder / "config.json").write_text(json.dumps(config))
    arguments = (twenty_slices, tmp_path, "--only", "4", "--epochs", "2")
    result = grid(*arguments)
    assert result.returncode == 0 and "1 finished, 0 to do" in result.stdout
    result = grid(*arguments, "--dtype", here)
    assert result.returncode == 2 and "recipe.dtype" in result.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(start, twenty_slices, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = ["--net", "unet", *RELEASED, "--only", "4", "--epochs", "2", "--data", str(twenty_slices)]
    run = Path("grid", "released-binary-unet", "exp4-seed0")
    assert command("grid", *options, "--out", whole).returncode == 0
    process = start("grid", *options, "--out", str(killed))
    deadline = time.monotonic() + 300
    while not (killed / run / "state.weights.h5").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / run / "result.json").exists()
    assert command("grid", *options, "--out", killed).returncode == 0
    assert same_weights(whole / run / "model.keras", killed / run / "model.keras")


def same_weights(one, other):
    weights = [load_model(path).get_weights() for path in (one, other)]
    return all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


@pytest.mark.slow
def test_workers_train_two_seeds(twenty_slices, tmp_path):
    """That they give the same bits as one process alone is a matter of the tests of determinism."""
    result = grid(twenty_slices, tmp_path, "--only", "4", "--epochs", "2", "--workers", "2", "--seeds", "0,1")
    assert result.returncode == 0, result.stderr
    assert "seeds 0, 1" in result.stdout
    losses = []
    for seed in (0, 1):
        path = tmp_path / "grid" / "released-binary-segnet" / f"exp4-seed{seed}" / "history.npz"
        with np.load(path, allow_pickle=False) as history:
            losses.append(history["loss"])
    assert not np.array_equal(*losses)


@pytest.mark.slow
def test_kfold_tests_each_slice_once(twenty_slices, tmp_path):
    arguments = ["--net", "unet", *RELEASED, "--epochs", "1", "--data", twenty_slices, "--out", tmp_path]
    result = command("kfold", *arguments, "--problem", "multiclass")
    assert result.returncode == 0, result.stderr
    assert "Table 7." in result.stdout
    names = []
    for folder in sorted((tmp_path / "kfold" / "released-multiclass-unet").glob("fold*")):
        with np.load(folder / "counts.npz", allow_pickle=False) as counts:
            names += counts["test_names"].tolist()
            assert counts["test_confusion"].shape == (4, 4, 4)
    assert sorted(names) == sorted(set(names))
    assert len(names) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data found in /nonexistent"),
        (["--data", "nowhere"], "no data set 'nowhere'"),
        (
            ["--encoder-weights", "imagenet", "--variant", "released"],
            "--encoder-weights: none of these networks has such an encoder, which segnet of variant paper has",
        ),
        (["--encoder-weights", "missing.h5"], "missing.h5: no such file"),
        (["--out", "pyproject.toml/runs"], "cannot be written"),
        (["--size", "20"], "--size 20: segnet needs at least 32 pixels"),
        (["--size", "101", "--net", "unet", "--variant", "released"], "unet needs a multiple of 4 pixels"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    result = command("grid", "--net", "segnet", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--only", "10"], ["--only", "x"], ["--seeds", "-1"], ["--epochs", "0"]])
def test_bad_options_are_refused_by_name(arguments):
    result = command("grid", "--net", "segnet", *arguments)
    assert result.returncode == 2
    assert arguments[0] in result.stderr


def test_a_second_process_on_the_same_run_says_who_holds_it(tmp_path):
    from unet_segnet.output.locks import HeldError, alone

    run, lock = tmp_path / "run", tmp_path / "run" / "lock"
    expected = pytest.raises(HeldError, match=rf"process {os.getpid()} .* works on it")
    with alone(run, lock), expected, alone(run, lock):
        pass
    expected = pytest.raises(HeldError, match=r"process \? on \? works on it")
    with alone(run, lock), expected:
        (run / "lock.json").write_text("cut")
        with alone(run, lock):
            pass
    with pytest.raises(ZeroDivisionError), alone(run, lock):
        raise ZeroDivisionError
    assert [path.name for path in run.iterdir()] == ["lock"]


@pytest.mark.parametrize("file", ["config.json", "counts.npz"])
def test_a_damaged_run_folder_is_one_clear_error(finished, file, tmp_path):
    from experiments.saood2021.runs import read_finished

    copy = tmp_path / "copy"
    shutil.copytree(finished[1] / "exp4-seed0", copy)
    content = (copy / file).read_bytes()
    for damaged in (b"", content[: len(content) // 2]):
        (copy / file).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{file}: cannot be read"):
            read_finished(copy)
    (copy / file).unlink()
    with pytest.raises(InputError, match=file):
        read_finished(copy)


@pytest.mark.parametrize(
    ("dtype", "setting"), [("auto", "0"), ("float32", "0"), ("mixed_bfloat16", "1" if is_x86() else None)]
)
def test_a_replay_is_exact_but_in_bfloat16(tmp_path, monkeypatch, dtype, setting):
    """Without oneDNN's kernels a step in bfloat16 takes minutes."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    arguments = ["--stream", "matlab", "--dtype", dtype, "--out", str(tmp_path)]
    options = training_parser("grid", "").parse_args(arguments)
    check_options(options, [("segnet", options.variant)])
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == setting
