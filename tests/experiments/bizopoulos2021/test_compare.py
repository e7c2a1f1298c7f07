"""`python -m experiments.compare` from end to end: on a stand-in network, and (slow) on one of the study's."""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_comparison import made_run

from experiments.bizopoulos2021.data import open_data
from experiments.bizopoulos2021.options import PLAN, PLAN_COLUMNS, compare_parser, planned_options, selection
from experiments.bizopoulos2021.runs import CompareSpec, start_of
from experiments.compare import compare, follow
from unet_segnet.errors import InputError
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.ray_cluster import RayCluster

ROOT = Path(__file__).parents[3]
SPEC = CompareSpec("lesion_b", "unet", "resnet18")


@pytest.fixture
def stand_in(monkeypatch):
    """Two convolutions in place of the study's networks."""
    import keras

    def build(spec, size):
        inputs = keras.Input((size, size, 1))
        first = keras.initializers.HeNormal(seed=spec.seed)
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=first, name="one")(inputs)
        last = keras.initializers.HeNormal(seed=spec.seed + 1)
        outputs = keras.layers.Conv2D(1, 1, activation="sigmoid", kernel_initializer=last, name="two")(x)
        return keras.Model(inputs, outputs)

    monkeypatch.setattr("experiments.bizopoulos2021.runs.build", build)


def options_for(data, out, *more):
    arguments = [
        "--only", "architecture=unet,encoder=resnet18", "--experiment", "lesion_b", "--size", "32", "--epochs", "3",
        "--data", str(data), "--out", str(out),
    ]  # fmt: skip
    return compare_parser("").parse_args([*arguments, *map(str, more)])


def arrays(path):
    with np.load(path, allow_pickle=False) as saved:
        return dict(saved)


def test_a_run_leaves_its_folder(volumes_data, tmp_path, stand_in, capsys):
    import keras

    from unet_segnet.measures.metrics import confusion_matrices
    from unet_segnet.training.soft_dice import predict_foreground

    assert compare(options_for(volumes_data, tmp_path)) == 0
    folder = tmp_path / "compare" / "lesion_b" / "unet-resnet18-none" / "seed0"
    files = {path.name for path in folder.iterdir()} - {"lock"}
    assert files == {
        "config.json", "history.npz", "history.csv", "counts.npz", "first_layer.npz", "model.keras", "result.json",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert (config["format"], config["study"], config["encoder_weights"]) == (1, "compare", None)
    assert (config["experiment"], config["architecture"], config["encoder"]) == ("lesion_b", "unet", "resnet18")
    assert config["recipe"]["epochs"] == 3
    assert config["split"]["train"] == [f"{number:03}" for number in range(1, 9)]
    assert config["split"]["validation"] == ["009", "010"]
    assert config["split"]["test"] == ["1", "2"]
    assert config["data"] | {"sha256": 0} == {
        "name": "tiny", "size": 32, "scored_at": 32, "units": "HU", "normalise": "hu", "sha256": 0,
    }  # fmt: skip
    history = arrays(folder / "history.npz")
    assert {key: value.shape for key, value in history.items()} == dict.fromkeys(
        ("loss", "validation_loss", "epoch_seconds", "validation_seconds"), (3,)
    )
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["parameters"] == 45
    assert result["multiply_adds"] == 32 * 32 * (36 + 4)
    assert result["best_epoch"] == history["validation_loss"].argmin() + 1
    counts = arrays(folder / "counts.npz")
    assert counts["test_names"].tolist() == ["1-001", "1-002", "1-003", "2-001", "2-002", "2-003"]
    assert counts["test_volumes"].tolist() == ["1"] * 3 + ["2"] * 3
    assert result["one_class_only"] == ((counts["test_confusion"].sum(axis=(0, 1)) > 0).sum() == 1)
    model = keras.saving.load_model(folder / "model.keras")
    data = open_data(str(volumes_data), 32)
    expected = [
        confusion_matrices(volume.masks, predict_foreground(model, volume.images), 2)
        for volume in data.volumes("lesion_b")
    ]
    np.testing.assert_array_equal(counts["test_confusion"], np.concatenate(expected))
    assert counts["validation_confusion"].shape == (2, 2, 2)
    kernels = arrays(folder / "first_layer.npz")
    assert kernels["before"].shape == kernels["after"].shape == (3, 3, 1, 4)
    np.testing.assert_array_equal(kernels["after"], model.get_layer("one").get_weights()[0])

    before = (folder / "model.keras").stat().st_mtime_ns
    capsys.readouterr()
    assert compare(options_for(volumes_data, tmp_path)) == 0
    assert "1 finished, 0 to do" in capsys.readouterr().out
    assert (folder / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"recipe.epochs: 3 there, 2 asked for"):
        compare(options_for(volumes_data, tmp_path, "--epochs", 2))


def test_a_run_tested_elsewhere_has_a_folder_of_its_own(volumes_data, tmp_path, stand_in, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(volumes_data / "rp_im", other / "rp_im")
    shutil.copytree(volumes_data / "rp_msk", other / "rp_msk")
    shutil.copytree(volumes_data / "rp_lung_msk", other / "rp_lung_msk")
    (other / "rp_im" / "1.nii.gz").rename(other / "rp_im" / "7.nii.gz")
    for kind in ("rp_msk", "rp_lung_msk"):
        (other / kind / "1.nii.gz").rename(other / kind / "7.nii.gz")
    for more in ((), ("--test", other)):
        assert compare(options_for(volumes_data, tmp_path, *more)) == 0
    group = tmp_path / "compare" / "lesion_b" / "unet-resnet18-none"
    assert {path.name for path in group.iterdir()} == {"seed0", "seed0-tiny-other-32"}
    counts = [arrays(group / name / "counts.npz") for name in ("seed0", "seed0-tiny-other-32")]
    assert [list(dict.fromkeys(of["test_volumes"].tolist())) for of in counts] == [["1", "2"], ["2", "7"]]
    np.testing.assert_array_equal(counts[0]["test_confusion"][:3], counts[1]["test_confusion"][3:])
    config = json.loads((group / "seed0-tiny-other-32" / "config.json").read_text())
    assert config["data"]["test"]["name"] == "other" and config["split"]["test"] == ["2", "7"]


def test_a_plan_is_gone_through_row_by_row(volumes_data, tmp_path, stand_in, capsys):
    plan = tmp_path / "plan.csv"
    row = f"{{}},{{}},{{}},resnet18,{volumes_data},{volumes_data},32,3,{{}},float32\n"
    header = ",".join(PLAN_COLUMNS) + "\n"
    plan.write_text(header + row.format("b", '"lung,lesion_b"', "unet", 1) + row.format("a", "lung", "fpn", '"0,1"'))
    given = ["--plan", str(plan), "--out", str(tmp_path / "runs"), "--epochs", "1"]
    assert follow(plan, given) == 0
    begun = [line.split()[1] for line in capsys.readouterr().out.splitlines() if re.match(r"\d/\d ", line)]
    assert begun == [
        "compare/lung/unet-resnet18-none/seed1-tiny-tiny-32",
        "compare/lesion_b/unet-resnet18-none/seed1-tiny-tiny-32",
        "compare/lung/fpn-resnet18-none/seed0-tiny-tiny-32",
        "compare/lung/fpn-resnet18-none/seed1-tiny-tiny-32",
    ]
    recipes = [json.loads(path.read_text())["recipe"]["epochs"] for path in tmp_path.rglob("config.json")]
    assert recipes == [1] * 4  # what is given goes before the plan
    assert follow(plan, given) == 0
    assert not re.search(r"^\d/\d ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("x,lungs,unet,resnet18,a,b,32,3,0,float32\n", r"line 2: .*--experiment: expected some of lung"),
        ("x,lung,unet,resnet18,a,b,33,3,0,float32\n", "line 2: .*multiple of 32"),
        ("x,lung,unet,resnet18,,b,32,3,0,float32\n", "line 2: expected a value for each of part, experiment"),
        ("x,lung,unet\n", "line 2: expected a value"),
        ("", "plans no training"),
    ],
)
def test_what_is_no_plan_is_one_line(tmp_path, rows, told):
    plan = tmp_path / "plan.csv"
    plan.write_text(",".join(PLAN_COLUMNS) + "\n" + rows)
    with pytest.raises(InputError, match=rf"plan\.csv: {told}") as caught:
        planned_options(plan, [])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        planned_options(tmp_path / "none.csv", [])


def test_the_projects_own_plan_is_one(monkeypatch):
    """36 models with two seeds each, lesion B on the slices of A, then three more encoders; a folder for each run."""
    import experiments.bizopoulos2021.plan as plan

    monkeypatch.setattr(plan, "place_of", lambda options: f"{options.data}-{options.test}-{options.size}")
    numbers, folders = Counter(), set()
    for part, options in planned_options(PLAN, []):
        assert options.dtype == "float32"
        options.dtype_given = True
        jobs = plan.planned_jobs(options)
        numbers[part] += len(jobs)
        folders |= {job.spec.group / job.spec.name for job in jobs}
        assert {job.recipe.epochs for job in jobs} == {30} and options.test == "medseg9"
        assert options.data in ("COVID19-DL", "ct20")[options.experiment != ("lesion_b",) :]
    assert numbers == {"first seed": 36, "second seed": 36, "masks alone": 24, "six encoders": 48}
    assert len(folders) == 144


def test_an_interrupted_run_goes_on_and_ends_the_same(volumes_data, tmp_path, stand_in, monkeypatch):
    from unet_segnet.output.console import Progress

    class Interrupting(Progress):
        def update(self, done, note=""):
            if done == 2:
                raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert compare(options_for(volumes_data, whole)) == 0
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("unet_segnet.runs.job.Progress", Interrupting)
        compare(options_for(volumes_data, broken))
    folders = [RunFolder(out, SPEC) for out in (whole, broken)]
    assert not folders[1].finished
    assert folders[1].epochs_done() in (1, 2)
    assert compare(options_for(volumes_data, broken)) == 0
    for name in ("counts", "first_layer", "history"):
        one, other = (arrays(folder.path / f"{name}.npz") for folder in folders)
        for key in one.keys() - {"validation_seconds", "epoch_seconds"}:
            np.testing.assert_array_equal(one[key], other[key])
    assert not list(folders[1].path.glob("state*"))


def test_a_diverged_run_is_recorded_and_left_alone(volumes_data, tmp_path, stand_in, monkeypatch, capsys):
    from unet_segnet.training import soft_dice as encoder_training

    real = encoder_training.EncoderRecipe
    monkeypatch.setattr(encoder_training, "EncoderRecipe", lambda **more: real(learning_rate=float("inf"), **more))
    assert compare(options_for(volumes_data, tmp_path)) == 0
    folder = RunFolder(tmp_path, SPEC)
    result = json.loads(folder.result.read_text())
    assert result["status"] == "diverged"
    assert len(arrays(folder.history)["loss"]) == result["epoch"]
    assert f"diverged in epoch {result['epoch']}" in capsys.readouterr().out
    assert not folder.counts.exists()
    assert compare(options_for(volumes_data, tmp_path)) == 0
    assert "1 finished, 0 to do" in capsys.readouterr().out


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, capsys):
    more = ["--only", "architecture=pspnet,encoder=resnet18", "--experiment", "lung,lesion_a", "--dry-run"]
    assert compare(options_for("phantom", tmp_path / "out", *more)) == 0
    printed = capsys.readouterr().out
    assert "830113" in printed  # parameters of the article's network that PSPNet uses
    assert re.search(r"2 runs: 0 finished, 2 left, about \d+", printed)
    assert not (tmp_path / "out").exists()


def test_what_is_forced_begins_anew_in_the_plan_too(tmp_path, monkeypatch, capsys):
    from experiments.bizopoulos2021 import estimates, plan

    monkeypatch.setattr(plan, "rates", lambda *_: {None: estimates.Rate(1e-7, "what was measured")})
    monkeypatch.setattr(plan, "network_cost", lambda *_: estimates.Cost(1, 10**6, 3 * 10**6, 1))
    monkeypatch.setattr(RunFolder, "epochs_done", lambda folder: 2)  # of 3
    seconds = {}
    for force in ((), ("--force",)):
        assert compare(options_for("phantom", tmp_path / "out", "--dry-run", *force)) == 0
        seconds[bool(force)] = int(re.search(r"1 left, about (\d+) s", capsys.readouterr().out).group(1))
    assert 2 * seconds[False] < seconds[True] < 3 * seconds[False]  # three epochs for one, and the test slices


def test_costs_of_a_network_counted_by_hand():
    import keras

    from experiments.bizopoulos2021.estimates import model_cost

    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    outputs = keras.layers.Conv2D(1, 1)(x)
    cost = model_cost(keras.Model(inputs, outputs), batch_size=2)
    assert cost.parameters == 36 + 36 + 5
    assert cost.inference == 16 * (36 + 36 + 4)
    assert cost.step == 3 * cost.inference - 16 * 36
    assert cost.memory == 16 * 77 + 2 * 4 * (64 + 64 + 64 + 16)


def test_times_come_from_runs_of_this_machine(tmp_path):
    from experiments.bizopoulos2021.estimates import rates
    from unet_segnet.output.records import read_json, write_arrays, write_json
    from unet_segnet.runs.timing import Machine

    machine = Machine("a device", "tensorflow", 2, "float32", 32)
    where = {"backend": "tensorflow", "threads": 2, "multiply_adds": 500}
    for encoder, device, seconds in (("resnet18", "a device", 9.0), ("resnet34", "a device", 3.0), ("vgg11", "x", 1.0)):
        folder = made_run(tmp_path, encoder=encoder, device=device, **where)
        config = read_json(folder / "config.json")
        recipe = config["recipe"] | {"dtype": "float32"}
        write_json(folder / "config.json", config | {"recipe": recipe, "split": {"train": ["1", "2", "3"]}})
        write_arrays(folder / "history.npz", {"epoch_seconds": np.array([100.0, seconds, seconds])})
    found = rates(tmp_path, machine)
    assert found.keys() == {("unet", "resnet18"), ("unet", "resnet34"), None}
    assert found["unet", "resnet18"].seconds == pytest.approx(9 / (2 * 3 * 500))
    assert found[None].seconds == pytest.approx(6 / (2 * 3 * 500))


def test_several_values_are_selected():
    assert selection("architecture=fpn,unet,encoder=resnet18") == {
        "architecture": ("fpn", "unet"),
        "encoder": ("resnet18",),
    }
    assert selection("encoder=vgg11,encoder=vgg13") == {"encoder": ("vgg11", "vgg13")}
    for wrong in ("fpn", "decoder=fpn", "encoder=", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            selection(wrong)


def test_a_start_from_a_file_is_named_by_its_content(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    assert start_of(None, None) == "none"
    assert start_of("imagenet", None) == "imagenet"
    assert start_of(str(path), None) == "encoder-9a129038"
    assert start_of(None, str(path)) == "model-9a129038"
    with pytest.raises(InputError, match="cannot be read"):
        start_of(str(tmp_path / "missing.keras"), None)


def test_a_whole_network_can_be_what_a_run_starts_from(tmp_path):
    from experiments.bizopoulos2021.runs import build

    path = tmp_path / "model.keras"
    before = build(CompareSpec("lung", "pspnet", "vgg11", seed=1), 32)
    before.save(path)
    after = build(CompareSpec("lesion_a", "pspnet", "vgg11", seed=2, start="model-1", init=str(path)), 64)
    for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match=r"model\.keras: .* missing"):
        build(CompareSpec("lesion_a", "pspnet", "vgg13", start="model-1", init=str(path)), 64)


@pytest.mark.parametrize("wrong", ["-1", "1.5", "x", "nan"])
def test_gpus_are_parts_of_one_or_whole(wrong, capsys):
    with pytest.raises(SystemExit):
        compare_parser("").parse_args(["--gpus-per-run", wrong])
    assert "expected a part of a GPU or a whole number of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "encoder=resnet19"], "--only encoder=resnet19: expected some of vgg11"),
        (["--data", "nowhere"], "no data set 'nowhere'"),
        (["--init", "a.keras", "--encoder-weights", "imagenet"], "give one of them"),
        (["--encoder-weights", "missing.keras"], "missing.keras: cannot be read"),
        (["--gpus-per-run", "1"], "use it with --executor ray"),
        (["--out", "pyproject.toml/runs"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(volumes_data, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setenv("UNET_SEGNET_DATA", "/nonexistent")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        compare(options_for(volumes_data, tmp_path, *arguments))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_ray_that_is_missing_is_one_line(volumes_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"`pip install ray` \(versions: requirements-ray\.txt\)"):
        compare(options_for(volumes_data, tmp_path, "--executor", "ray"))


class FakeRay:
    """As much of Ray as is used: one machine without GPUs, on which a job is lost once."""

    def __init__(self):
        self.shut_down, self.handed_over = False, []
        self.exceptions = types.SimpleNamespace(RayError=RuntimeError)

    def init(self, **settings):
        pass

    def put(self, data):
        return data

    def shutdown(self):
        self.shut_down = True

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, function):
        def call(job, data, options, arguments):
            self.handed_over.append(options)
            with contextlib.suppress(KeyboardInterrupt):  # its worker is lost
                return function(job, data, options, arguments)
            return function(job, data, options, arguments)

        task = types.SimpleNamespace(remote=call)
        return types.SimpleNamespace(options=lambda **settings: task)

    def wait(self, running):
        return running[:1], running[1:]

    def get(self, done):
        return done


@pytest.fixture
def fake_ray(monkeypatch):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return ray


def test_more_gpus_than_there_are_is_one_line(volumes_data, tmp_path, fake_ray, monkeypatch):
    asked = options_for(volumes_data, tmp_path, "--executor", "ray", "--gpus-per-run", "1")
    with pytest.raises(InputError, match=r"`gpus_per_run` 1: Ray finds 0 GPUs on this machine"):
        RayCluster(1, None, asked)
    assert fake_ray.shut_down
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # a cluster may have some later
    RayCluster(1, None, asked)


def test_a_forced_run_whose_worker_was_lost_goes_on(volumes_data, tmp_path, stand_in, fake_ray, monkeypatch):
    from unet_segnet.output.console import Progress

    told = []

    class Losing(Progress):
        def update(self, done, note=""):
            told.append(done)
            if told == [1, 2]:
                raise KeyboardInterrupt

    folder = RunFolder(tmp_path, SPEC)
    assert compare(options_for(volumes_data, tmp_path, "--epochs", "2")) == 0
    monkeypatch.setattr("unet_segnet.runs.job.Progress", Losing)
    assert compare(options_for(volumes_data, tmp_path, "--executor", "ray", "--force")) == 0
    assert told[:2] == [1, 2] and told[2] > 1
    assert json.loads(folder.config.read_text())["recipe"]["epochs"] == 3 and folder.finished
    assert [options.force for options in fake_ray.handed_over] == [False]


def test_a_forced_run_that_another_process_works_on_is_left_alone(volumes_data, tmp_path, stand_in, fake_ray, capsys):
    assert compare(options_for(volumes_data, tmp_path, "--epochs", "1")) == 0
    folder = RunFolder(tmp_path, SPEC)
    with folder.lock():
        assert compare(options_for(volumes_data, tmp_path, "--executor", "ray", "--force")) == 2
    assert "left alone: " in capsys.readouterr().out
    assert folder.finished and not fake_ray.handed_over


def test_the_configuration_knows_imagenet_weights_by_their_content(volumes_data, tmp_path, monkeypatch):
    from experiments.bizopoulos2021.runs import CompareJob
    from unet_segnet.training.soft_dice import EncoderRecipe

    data, imagenet = (
        open_data(str(volumes_data), 32),
        CompareSpec("lung", "unet", "resnet18", 0, "imagenet", "imagenet"),
    )
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path))
    with pytest.raises(InputError, match="no ImageNet weights of resnet18"):
        CompareJob(imagenet, EncoderRecipe()).config(data)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "resnet18.safetensors").write_bytes(b"weights")
    config = CompareJob(imagenet, EncoderRecipe()).config(data)
    assert config["encoder_weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    # A run from random weights that an earlier version wrote is the same run.
    random, folder = CompareJob(SPEC, EncoderRecipe()).config(data), RunFolder(tmp_path, SPEC)
    folder.path.mkdir(parents=True)
    folder.config.write_text(json.dumps({key: value for key, value in random.items() if key[-7:] != "_sha256"}))
    folder.check(random, force=False)


def test_the_report_is_another_command():
    result = subprocess.run(
        [sys.executable, "-m", "experiments.compare", "report", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "experiments.compare report" in result.stdout


PIPED = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


def arguments(data, out, *more):
    return ["compare", "--size", "32", "--data", data, "--out", out, *more]


def wait_for(condition, process, seconds=1200):
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.slow
def test_a_killed_run_of_the_study_ends_with_the_same_weights(start, volumes_data, tmp_path):
    import keras

    import unet_segnet.models  # noqa: F401  the layers

    # Batch normalisation and dropout, and soon built.
    more = ["--only", "architecture=pspnet,encoder=resnet18", "--experiment", "lung", "--epochs", "2"]
    spec = CompareSpec("lung", "pspnet", "resnet18")
    whole, killed = RunFolder(tmp_path / "whole", spec), RunFolder(tmp_path / "killed", spec)
    process = start(*arguments(volumes_data, tmp_path / "whole", *more), **PIPED)
    assert process.wait() == 0, process.stdout.read()
    process = start(*arguments(volumes_data, tmp_path / "killed", *more), **PIPED)
    state = killed.state.with_suffix(".weights.h5")
    assert wait_for(state.exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.finished
    process = start(*arguments(volumes_data, tmp_path / "killed", *more), **PIPED)
    assert process.wait() == 0, process.stdout.read()
    weights = [keras.saving.load_model(folder.model).get_weights() for folder in (whole, killed)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_two_ray_workers_finish_four_runs_though_one_is_killed(start, volumes_data, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-ray.txt")
    more = ["--only", "architecture=pspnet,encoder=vgg11,resnet18", "--experiment", "lung,lesion_a", "--epochs", "30"]
    process = start(*arguments(volumes_data, tmp_path, *more, "--executor", "ray", "--workers", "2"), **PIPED)
    specs = [CompareSpec(task, "pspnet", encoder) for task in ("lung", "lesion_a") for encoder in ("vgg11", "resnet18")]
    folders = [RunFolder(tmp_path, spec) for spec in specs]

    def under_way():
        return [f for f in folders if f.state.with_suffix(".weights.h5").exists() and not f.finished]

    assert wait_for(under_way, process), process.stdout.read()
    victim = under_way()[0]
    os.kill(json.loads((victim.path / "lock.json").read_text())["process"], signal.SIGKILL)
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output
    assert victim.finished
    for folder in folders:
        result = json.loads(folder.result.read_text())
        assert result["status"] == "finished", output
        assert "--executor ray" in result["command"]
        assert len(arrays(folder.history)["loss"]) == 30
