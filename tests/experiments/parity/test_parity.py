"""`python -m experiments.parity`: what it prints, writes and refuses; the real networks where they are at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matio.utils.matclass import MatlabOpaqueArray
from PIL import Image
from saved_networks import save, saved, structure
from scipy.io import savemat
from tables import read_records

from experiments.parity import __main__ as parity
from experiments.parity import checks as parity_checks
from experiments.parity import network as parity_network
from experiments.parity import replay as parity_replay
from experiments.parity.checks import Check
from experiments.parity.network import Evaluation
from experiments.parity.replay import Replay
from experiments.saood2021 import published
from unet_segnet.data import load_slices, paper_split
from unet_segnet.output.console import run_command

ROOT = Path(__file__).parents[3]

PROJECT = Path(__file__).parents[3]
RESULTS = PROJECT / "experiments" / "results"

KERNEL, BIAS, MEAN = (0.0, 0.1, 0.2, 0.3), (0.0, 2.0, -3.0, -12.0), 21.5


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Twenty slices of 32x32 with four classes, in the layout of the release."""
    folder, rng = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for number in range(1, 21):
        label = np.kron(rng.integers(0, 4, (4, 4)), np.ones((8, 8), np.uint8)).astype(np.uint8)
        image = (60 * label + rng.integers(0, 60, label.shape)).astype(np.uint8)
        for name, array in ((f"im/256/i{number:03}", image), (f"mask/multi/256/tr_mask_z{number:03}", label * 85)):
            path = folder / "dataset" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return folder


def write_network(path, num_classes=4, size=(32, 32)):
    """A network of one 1x1 convolution."""
    package = "nnet.cnn.layer."
    rates = {"LearnRateFactor": 1.0, "L2Factor": 1.0}
    kernel = np.array(KERNEL[:num_classes], "float32").reshape(1, 1, 1, -1)
    bias = np.array(BIAS[:num_classes], "float32").reshape(1, 1, -1)
    layers = [
        saved(
            package + "ImageInputLayer",
            Name="picture",
            InputSize=[[*map(float, size), 1.0]],
            Normalization=structure(Type="zerocenter", AverageImage=np.array([[MEAN]], "float32")),
        ),
        saved(
            package + "Convolution2DLayer",
            Name="scores",
            FilterSize=[[1.0, 1.0]],
            NumChannels=1.0,
            NumFilters=float(num_classes),
            Stride=[[1.0, 1.0]],
            DilationFactor=[[1.0, 1.0]],
            PaddingMode="same",
            Weights=structure(Value=kernel, **rates),
            Bias=structure(Value=bias, **rates),
        ),
        saved(package + "SoftmaxLayer", Version=1.0, Name="shares"),
        saved(
            package + "PixelClassificationLayer",
            Name="classes",
            Categories=pd.Categorical([f"k{number}" for number in range(num_classes)]),
            ClassWeights=np.ones((num_classes, 1)),
        ),
    ]
    array = np.empty((len(layers), 1), dtype=object)
    array[:, 0] = layers
    content = {"trained": saved("SeriesNetwork", Version=1.0, Layers=MatlabOpaqueArray(array, package + "Layer"))}
    classes = ["SeriesNetwork", package + "Layer", *{layer.classname for layer in layers}]
    save(path, content, "v7", classes)
    return path


def run(capsys, *arguments):
    """Exit status, standard output and standard error of one command line."""
    with pytest.raises(SystemExit) as left:
        run_command(lambda: parity.main([str(argument) for argument in arguments]))
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


def refused(capsys, *arguments):
    """The one line that a bad input gives."""
    status, out, err = run(capsys, *arguments)
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, (status, out, err)
    return err


# network


@pytest.mark.parametrize("num_classes", [2, 4])
def test_any_network_is_evaluated_on_the_test_slices(num_classes, tree, tmp_path, capsys):
    file = write_network(tmp_path / "some_network.mat", num_classes)
    status, out, _ = run(capsys, "network", file, "--json", tmp_path / "out.json", "--data", tree)
    assert status == 0
    content = json.loads((tmp_path / "out.json").read_text())

    slices = load_slices(str(tree), "binary" if num_classes == 2 else "multiclass", size=32)
    test = slices.subset(paper_split(20).test)
    grey = test.images[..., None].astype(float) - MEAN
    predicted = (grey * KERNEL[:num_classes] + BIAS[:num_classes]).argmax(-1)
    pairs = np.array(
        [[np.sum((test.labels == a) & (predicted == b)) for b in range(num_classes)] for a in range(num_classes)]
    )
    assert content["confusion_matrix"] == pairs.tolist()
    assert len(np.unique(predicted)) == num_classes  # the network does tell them all apart
    assert content["global_accuracy_per_slice"] == pytest.approx((predicted == test.labels).mean(axis=(1, 2)))
    assert content["mean_global_accuracy"] == pytest.approx((predicted == test.labels).mean())
    assert content["classes"] == [f"k{number}" for number in range(num_classes)]
    assert content["slices"] == list(test.names)
    assert "released_run" not in content and "not the slices of the study" in out
    assert all(str(count) in out for count in pairs.ravel()) and max(map(len, out.splitlines()[5:])) <= 100


@pytest.mark.parametrize(("num_classes", "size", "reason"), [(3, (32, 32), "3 classes"), (2, (16, 32), "16x32")])
def test_networks_that_do_not_fit_the_slices(num_classes, size, reason, tree, tmp_path, capsys):
    file = write_network(tmp_path / "other.mat", num_classes, size)
    assert reason in refused(capsys, "network", file, "--data", tree)


def test_files_that_hold_no_network(tmp_path, capsys):
    whole = write_network(tmp_path / "whole.mat").read_bytes()
    savemat(tmp_path / "numbers.mat", {"net": np.eye(3)})
    contents = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "text": b"this is not MATLAB\n" * 40,
        "wrong variable": (tmp_path / "numbers.mat").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / "bad.mat").write_bytes(content)
        line = refused(capsys, "network", tmp_path / "bad.mat", "--json", tmp_path / "out.json")
        assert "bad.mat" in line and "DAGNetwork" in line, name
    assert "no such file" in refused(capsys, "network", tmp_path / "absent.mat")
    assert not (tmp_path / "out.json").exists()


def test_a_bad_file_from_the_shell(tmp_path):
    (tmp_path / "empty.mat").touch()
    done = subprocess.run(
        [sys.executable, "-m", "experiments.parity", "network", str(tmp_path / "empty.mat")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "absent" / "out.json"):
        assert "cannot be written" in refused(capsys, "network", "any.mat", "--json", path)


def test_the_command_starts_without_the_heavy_packages():
    heavy = "{'keras', 'tensorflow', 'matplotlib', 'skimage', 'nibabel', 'scipy'}"
    code = f"import sys, experiments.parity; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


# Which released run a network is


def evaluation_of(pooled, class_names=("no", "yes")):
    scores = {name: np.full(18, 0.5) for name in parity_network.IMAGE_METRICS}
    return Evaluation(class_names, tuple("abcdefghijklmnopqr"), np.asarray(pooled)[None], scores)


def found(name, evaluation):
    released = parity_network.find_released_run(Path(name), evaluation)
    return released and (released.net, released.experiment, released.found_by)


def test_the_confusion_matrix_decides_over_the_name():
    near = np.add(published.confusion_matrix("unet", 4), [[-3, 3], [2, -2]])
    assert found("unet2_256_0.001_2_160.mat", evaluation_of(near)) == ("unet", 4, "its confusion matrix")
    assert parity_network.differing_pixels(near, published.confusion_matrix("unet", 4)) == 5


def test_the_name_decides_where_no_matrix_is_near():
    far = evaluation_of([[1_000_000, 95_247], [40_000, 44_401]])
    assert found("segnet2_256_0.001_4_160.mat", far) == ("segnet", 4, "the file's name")
    assert found("segnet2_256_1e-4_12_160.mat", far) == ("segnet", 3, "the file's name")
    for name in ("segnet4_256_0.001_4_160.mat", "segnet2_256_0.002_4_160.mat", "mine.mat", "segnet2.mat"):
        assert found(name, far) is None


def test_four_classes_have_their_table_and_no_matrix():
    evaluation = evaluation_of(np.eye(4, dtype=int), ("C0", "C1", "C2", "C3"))
    released = parity_network.find_released_run(Path("segnet4_256_0.003_4_160.mat"), evaluation)
    assert (released.net, released.experiment, released.confusion) == ("segnet", 7, None)
    assert released.mean_global_accuracy == published.global_accuracy("segnet", "multiclass")[7].mean
    assert released.scores[3] == published.class_scores("segnet", "multiclass")["C3"]
    text = "".join(
        make(evaluation, released).to_text()
        for make in (parity_network.confusion_table, parity_network.image_table, parity_network.score_table)
    )
    assert "No released confusion matrix" in text and "0.57400" in text
    content = parity_network.to_json(evaluation, released)
    assert content["released_run"] == {"net": "segnet", "experiment": 7} and "differing_pixels" not in content
    worse = parity_network.find_released_run(Path("segnet4_256_0.001_4_160.mat"), evaluation)
    assert worse.experiment == 4 and worse.scores == {}


# replay


@pytest.fixture(scope="module")
def replayed(tree):
    """Two epochs of three iterations, SegNet experiment 1, and the slices."""
    slices = load_slices(str(tree), "multiclass", size=32)
    return parity_replay.replay("segnet", 1, 4, slices), slices


@pytest.mark.slow
def test_the_replay_is_a_training_of_as_many_iterations(replayed):
    done, _ = replayed
    assert done.replayed.shape == (4,) and np.isfinite(done.replayed).all()
    assert len(set(done.replayed.tolist())) == 4 and (done.net, done.problem, done.experiment) == (
        "segnet",
        "multiclass",
        1,
    )
    assert done.released is None and done.rmse is None


@pytest.mark.slow
def test_the_first_loss_is_that_of_the_replay(replayed):
    done, slices = replayed
    assert parity_replay.first_loss("segnet", 4, slices) == pytest.approx(done.replayed[0], rel=1e-5)


def test_replays_print_and_write_their_losses(tree, tmp_path, capsys, monkeypatch):
    curve = published.training_curves("segnet", 1)["training_loss"][:3].astype(float)
    ours = np.add(curve, [0.03, 0.0, -0.04])
    results = {
        "binary": Replay("segnet", "binary", 1, curve, ours),
        "multiclass": Replay("segnet", "multiclass", 1, None, curve),
    }
    monkeypatch.setattr(
        parity_replay,
        "replay",
        lambda net, experiment, iterations, slices, report: results[
            "binary" if slices.num_classes == 2 else "multiclass"
        ],
    )
    common = ("replay", "--net", "segnet", "--experiment", 1, "--iterations", 3, "--data", tree)
    common += ("--json", tmp_path / "out.json", "--csv", tmp_path / "replays.csv")
    status, out, _ = run(capsys, *common, "--problem", "binary")
    content = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and content["released"] == curve.tolist() and content["replayed"] == ours.tolist()
    assert content["rmse"] == pytest.approx(np.sqrt((0.03**2 + 0.04**2) / 3))
    assert "0.7757" in out and "0.8057" in out and "+0.0300" in out and "RMSE over 3 iterations: 0.0288" in out

    status, out, _ = run(capsys, *common, "--problem", "multiclass")
    content = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and content["released"] is None and content["rmse"] is None and "No released curve" in out
    rows = read_records(tmp_path / "replays.csv")
    assert [(row["problem"], row["iteration"]) for row in rows] == [
        (p, n) for p in ("binary", "multiclass") for n in "123"
    ]
    assert rows[0]["released"] == "0.775709" and rows[0]["replayed"] == "0.805709" and rows[3]["released"] == ""


def test_a_replay_takes_the_place_of_an_earlier_one_in_the_table(tmp_path):
    file = tmp_path / "replays.csv"
    assert parity_replay.read_csv(file) == []
    for done in (
        Replay("segnet", "binary", 4, None, np.array([3.0, 2.0, 1.0])),
        Replay("segnet", "binary", 1, None, np.array([9.0])),
        Replay("segnet", "binary", 4, np.array([5.0, 4.0]), np.array([6.0, 5.0])),
    ):
        file.write_text(parity_replay.csv_with(parity_replay.read_csv(file), done))
    assert parity_replay.read_csv(file) == [
        ["segnet", "binary", "1", "1", "", "9.000000"],
        ["segnet", "binary", "4", "1", "5.000000", "6.000000"],
        ["segnet", "binary", "4", "2", "4.000000", "5.000000"],
    ]


def test_replays_that_cannot_be(tree, tmp_path, capsys):
    common = ("replay", "--net", "segnet", "--experiment", 1, "--data", tree)
    assert "480 iterations (160 epochs of 3)" in refused(capsys, *common, "--iterations", 481)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    assert "no table of replays" in refused(capsys, *common, "--csv", tmp_path / "notes.csv")
    assert (tmp_path / "notes.csv").read_text() == "a,b\n1,2\n"
    assert "no data set" in refused(capsys, *common[:-1], tmp_path / "absent")
    for bad in (("--iterations", 0), ("--experiment", 10), ("--net", "vgg")):
        status, _, err = run(capsys, *common, *bad)
        assert status == 2 and "Traceback" not in err


# all, and the table in the README


@pytest.fixture
def checks(monkeypatch):
    """Checks that take no time: two groups and a slow one."""

    def first(material):
        yield Check("one", "1.5", "1.5", 0.0, 1e-3)

    def second(material):
        yield Check("two", "18", "17", 1, 0)

    def slow(material):
        yield Check("three", "mean 0.5", "mean 0.5", 0.001, 0.003)

    monkeypatch.setattr(parity_checks.Material, "of", classmethod(lambda cls, data: None))
    monkeypatch.setattr(parity_checks, "GROUPS", (first, second))
    monkeypatch.setattr(parity_checks, "SLOW_GROUPS", (slow,))


def test_a_failed_check_is_written_and_gives_status_1(checks, tmp_path, capsys):
    status, out, _ = run(capsys, "all", "--out", tmp_path / "results")
    assert status == 1 and "2 of 3 checks passed" in out
    rows = read_records(tmp_path / "results" / "parity.csv")
    assert [(row["check"], row["result"]) for row in rows] == [("one", "pass"), ("two", "FAIL"), ("three", "pass")]
    assert rows[1] == {
        "check": "two",
        "MATLAB": "18",
        "ours": "17",
        "difference": "1",
        "tolerance": "0",
        "result": "FAIL",
    }
    origin = json.loads((tmp_path / "results" / "parity.json").read_text())
    assert (
        origin["failed"] == ["two"] and origin["checks"] == 3 and origin["versions"]["keras"] and origin["seconds"] >= 0
    )


def test_status_0_if_all_pass_and_quick_neither_trains_nor_writes(checks, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parity_checks, "GROUPS", parity_checks.GROUPS[:1])
    status, out, _ = run(capsys, "all", "--quick", "--out", tmp_path / "results")
    assert status == 0 and "1 of 1 checks passed" in out and not (tmp_path / "results").exists()
    status, out, _ = run(capsys, "all", "--out", tmp_path / "results")
    assert status == 0 and "2 of 2 checks passed" in out
    (tmp_path / "file").touch()
    assert "cannot be made" in refused(capsys, "all", "--out", tmp_path / "file" / "results")


def test_what_is_undefined_fails():
    assert not Check("nothing", "1", "nan", float("nan"), 1.0).passed
    check = parity_checks._worst("scores", [1.0, 2.0, 3.0], [1.0, np.nan, 5.0], 9.0, ".1f")
    assert (check.matlab, check.ours, check.passed) == ("2.0", "nan", False)
    check = parity_checks._worst("scores", [1.0, 2.0, 3.0], [1.0, 2.5, 2.9], 0.5, ".1f")
    assert (check.matlab, check.ours, check.difference, check.passed) == ("2.0", "2.5", 0.5, True)


def test_all_needs_the_released_data(tree, tmp_path, capsys):
    assert "phantom" in refused(capsys, "all", "--quick", "--data", "phantom")
    assert "no data set" in refused(capsys, "all", "--quick", "--data", tmp_path / "absent")
    assert "tr_mask.nii.gz: no such file" in refused(capsys, "all", "--quick", "--data", tree)


def test_the_table_goes_between_the_markers_of_the_readme(checks, tmp_path, capsys):
    run(capsys, "all", "--out", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- parity:begin -->\nold\n<!-- parity:end -->\n\nThe rest.\n")
    command = ("table", "--results", tmp_path, "--readme", readme)
    assert run(capsys, *command)[0] == 0
    text = readme.read_text()
    assert text.startswith("# Title\n\n<!-- parity:begin -->\n") and text.endswith(
        "\n<!-- parity:end -->\n\nThe rest.\n"
    )
    assert "| two | 18 | 17 | 1 | 0 | FAIL |" in text and "2 of 3 checks passed" in text and "old" not in text
    assert run(capsys, *command)[0] == 0 and readme.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "parity.csv", "parity.json"]


def test_the_results_readme_shows_the_committed_checks(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_bytes((RESULTS / "README.md").read_bytes())
    command = ("table", "--results", RESULTS, "--readme", readme)
    assert run(capsys, *command)[0] == 0
    assert readme.read_bytes() == (RESULTS / "README.md").read_bytes()


def test_a_readme_without_markers_or_a_missing_table_is_left_alone(checks, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- parity:end -->\n<!-- parity:begin -->\n")
    assert "parity all" in refused(capsys, "table", "--results", tmp_path, "--readme", readme)
    run(capsys, "all", "--out", tmp_path)
    assert "parity:begin" in refused(capsys, "table", "--results", tmp_path, "--readme", readme)
    assert readme.read_text() == "<!-- parity:end -->\n<!-- parity:begin -->\n"
    assert "cannot be read" in refused(capsys, "table", "--results", tmp_path, "--readme", tmp_path / "absent.md")
    (tmp_path / "parity.csv").write_text("a,b\n")
    assert "no table of parity checks" in refused(capsys, "table", "--results", tmp_path, "--readme", readme)


# What was measured


def test_the_committed_results_say_what_they_should():
    table = parity_checks.read_parity_table(RESULTS / "parity.csv")
    assert len(table.rows) == 29 and {row[-1] for row in table.rows} == {"pass"}
    assert json.loads((RESULTS / "parity.json").read_text())["failed"] == []
    losses, shares = {}, {}
    for net, problem, experiment, _, released, replayed in parity_replay.read_csv(RESULTS / "replays.csv"):
        losses.setdefault((net, problem, int(experiment)), []).append(float(replayed) - float(released))
        shares.setdefault((net, int(experiment)), []).append(abs(float(replayed) / float(released) - 1))
    rmse = {run: float(np.sqrt(np.mean(np.square(values)))) for run, values in losses.items()}
    assert {run for run in rmse if run[0] == "segnet"} == {("segnet", "binary", k) for k in (1, 2, 3, 4, 7)}
    assert len(losses["segnet", "binary", 1]) == 24 and rmse["segnet", "binary", 1] <= 0.003
    for experiment in (1, 4):  # apart by the random numbers of its dropout
        assert len(shares["unet", experiment]) == 12 and np.mean(shares["unet", experiment]) <= 0.05


@pytest.mark.slow
def test_the_released_network_whatever_its_file_is_called(real_data, tmp_path, capsys):
    file = tmp_path / "renamed.mat"
    file.write_bytes((real_data / parity_checks.RELEASED_NETWORK).read_bytes())
    status, out, _ = run(capsys, "network", file, "--json", tmp_path / "out.json", "--data", real_data)
    content = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and "segnet, experiment 4, by its confusion matrix" in out
    difference = np.abs(np.subtract(content["confusion_matrix"], [[1045094, 50153], [3700, 80701]])).sum() / 2
    assert difference <= 4 and difference == content["differing_pixels"]
    released = published.image_metrics("segnet", 4)
    assert [int(name) for name in content["slices"]] == list(released)
    accuracies = [row.global_accuracy for row in released.values()]
    np.testing.assert_allclose(content["global_accuracy_per_slice"], accuracies, atol=5e-5)
    bf = [row.mean_bf_score for row in released.values()]
    np.testing.assert_allclose(content["image_metrics"]["mean_bf_score"], bf, atol=2e-3)


@pytest.mark.slow
def test_all_checks_that_need_no_training_pass(real_data):
    """In a process of its own: how TensorFlow rounds is settled when it is imported."""
    command = [sys.executable, "-m", "experiments.parity", "all", "--quick", "--data", str(real_data)]
    settings = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "27 of 27 checks passed" in done.stdout, done.stdout + done.stderr
