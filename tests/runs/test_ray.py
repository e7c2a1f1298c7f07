"""Trainings on Ray: where its processes look, how many begin at once, and the same bits as in processes of our own."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from forked import run_command
from own_data import write_cohort

from unet_segnet.data.phantom import write_phantom
from unet_segnet.errors import InputError
from unet_segnet.runs import ray_cluster

TINY = ["--variant", "released", "--size", "32", "--epochs", "1", "--workers", "2"]
COMMANDS = {
    "grid": ["--net", "segnet", "--only", "4,5"],
    "study": ["--net", "unet", "--problem", "binary", "--parts", "best", "--budget", "60"],
    "train": ["--net", "unet", "--folds", "2"],
}


def test_an_installed_package_does_not_go_before_pythons_own_modules(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert ray_cluster.python_path(Path("/checkout")) == "/checkout"
    assert ray_cluster.python_path(Path(sysconfig.get_path("purelib"))) == ""
    monkeypatch.setenv("PYTHONPATH", "/more")
    assert ray_cluster.python_path(Path(sysconfig.get_path("purelib"))) == "/more"
    assert ray_cluster.python_path(Path("/checkout")).startswith("/checkout") and ray_cluster.ROOT.is_dir()


@pytest.mark.parametrize(
    ("address", "gpus", "share", "expected"),
    [(None, 0, None, 3), (None, 1, None, 1), (None, 1, 0.5, 2), ("auto", 1, None, 8)],
)
def test_this_machine_begins_as_many_as_it_does_at_once_and_a_cluster_takes_all(
    monkeypatch, address, gpus, share, expected
):
    given = {}
    ray = SimpleNamespace(
        init=lambda **settings: given.update(settings),
        put=lambda data: data,
        cluster_resources=lambda: {"CPU": 3.0, "GPU": float(gpus)},
        remote=lambda function: SimpleNamespace(options=lambda **needs: given.update(needs)),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_ADDRESS", address or "")
    if address is None:
        monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    cluster = ray_cluster.RayCluster(8, "data", SimpleNamespace(workers=3, gpus_per_run=share))
    assert cluster.workers == expected and given["num_gpus"] == (min(gpus, 1) if share is None else share)
    assert given["runtime_env"]["env_vars"]["KERAS_BACKEND"] == "jax"
    assert given["address"] == (None if address else "local")


def test_a_budget_is_nothing_for_a_cluster(monkeypatch):
    from experiments.study import study

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(InputError, match="--budget: a cluster takes all runs at once"):
        study(SimpleNamespace(budget=1.0, executor="ray"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Phantom slices for the study's commands, labelled scans for the tool's."""
    folder = tmp_path_factory.mktemp("data")
    write_phantom(folder / "phantom", num_slices=20, seed=1, size=64)
    write_cohort(folder / "own", 4, size=32)
    return {"grid": folder / "phantom", "study": folder / "phantom", "train": folder / "own"}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_ray_gives_the_bits_of_processes_of_our_own(name, data, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-ray.txt")
    arguments = [*COMMANDS[name], *TINY, "--data", data[name]]
    done = run_command(name, *arguments, "--out", tmp_path / "pool")
    assert done.returncode == 0, done.stderr
    words = ["unet_segnet", name] if name == "train" else [f"experiments.{name}"]
    command = [sys.executable, "-m", *words, *map(str, arguments), "--out", str(tmp_path / "ray"), "--executor", "ray"]
    done = subprocess.run(command, cwd=ray_cluster.ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    ours, theirs = ({run.parent.relative_to(out): contents(run.parent) for run in out.rglob("result.json")}
                    for out in (tmp_path / "pool", tmp_path / "ray"))  # fmt: skip
    assert ours.keys() == theirs.keys() and len(ours) == (1 if name == "study" else 2)
    for run, of_ours in ours.items():
        assert of_ours.keys() == theirs[run].keys()
        for array, values in of_ours.items():
            np.testing.assert_array_equal(values, theirs[run][array], err_msg=f"{run} {array}")
    (result, *_) = (tmp_path / "ray").rglob("result.json")
    assert json.loads(result.read_text())["command"].endswith("--executor ray")


def contents(run):
    """Counts, losses and weights of a run by name: all but the seconds."""
    found = {}
    for file in ("counts.npz", "history.npz"):
        with np.load(run / file, allow_pickle=False) as arrays:
            found |= {f"{file} {name}": arrays[name] for name in arrays.files if name != "epoch_seconds"}
    with zipfile.ZipFile(run / "model.keras") as saved:
        weights = h5py.File(BytesIO(saved.read("model.weights.h5")))
        weights.visititems(lambda name, value: found.update({name: value[()]} if hasattr(value, "shape") else {}))
    return found
