"""The script for an hour on a GPU: which commands it starts, in which order and within which time."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/usr/bin/env bash
if [ "$1" = -c ]; then echo "$DEVICE"; exit; fi
echo "$KERAS_BACKEND $*" >>"$LOG"
[ "$2" != "$FAILS" ] || exit "${STATUS:-2}"
"""


@pytest.fixture
def script(tmp_path):
    """The script with a stand-in for Python that writes down what it is asked for: its result and these lines."""
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def run(**environment):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        known = {key: value for key, value in os.environ.items() if key not in ("KERAS_BACKEND", "REHEARSE")}
        given = {"PYTHON": python, "LOG": log, "RUNS": tmp_path / "runs", "DEVICE": "a GPU", **environment}
        done = subprocess.run(
            [ROOT / "experiments" / "on_a_gpu.sh"],
            env={**known, **{key: str(value) for key, value in given.items()}},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done, log.read_text().splitlines() if log.exists() else []

    if shutil.which("bash") is None:
        pytest.skip("no bash")
    return run


def option(line, name):
    words = line.split()
    return words[words.index(name) + 1]


def test_the_order_is_that_of_worth_and_all_comes_last(script):
    done, lines = script()
    assert done.returncode == 0, done.stderr
    assert [line.split()[:3] for line in lines] == [
        ["jax", "-m", f"experiments.{name}"]
        for name in ("study", "study", "compare", "study", "study", "bench", "determinism")
    ]
    plans = [Path(option(line, "--plan")).name for line in lines if "--plan" in line]
    assert plans == ["plan.csv", "side_study.csv", "plan.csv", "the_nine.csv"]
    assert all(option(line, "--workers") == "4" for line in lines[:5])
    assert all("--skip-published" in line for line in lines[:5] if "study" in line.split()[2])


def test_trainings_have_the_time_without_the_reserve(script):
    _, lines = script(MINUTES=30, RESERVE=10)
    budgets = [float(option(line, "--budget")) for line in lines if "--budget" in line]
    assert len(budgets) == 4 and all(19 < budget <= 20 for budget in budgets)
    _, lines = script(MINUTES=9)
    assert [6 < float(option(line, "--budget")) <= 7 for line in lines if "--budget" in line] == [True] * 4
    done, lines = script(MINUTES=10, RESERVE=10)
    assert (done.returncode, lines) == (2, [])
    assert done.stderr.startswith("error: no time for a training in 10 minutes") and done.stderr.count("\n") == 1


def test_a_training_that_takes_longer_than_was_estimated_is_interrupted(script, tmp_path):
    slow = tmp_path / "timeout"
    slow.write_text('#!/usr/bin/env bash\necho "$*" >>"$LOG.timeout"\nexit 124\n')
    slow.chmod(0o755)
    done, _ = script(PATH=f"{tmp_path}:{os.environ['PATH']}", MINUTES=60)
    first = (tmp_path / "log.timeout").read_text().splitlines()[0].split()
    assert "--signal=INT" in first and 53 * 60 < int(first[3]) <= 54 * 60  # of twelve minutes six are left
    assert done.returncode == 0 and "cut off: the time is over" in done.stdout


def test_what_fails_does_not_stop_the_others_and_is_told(script):
    done, lines = script(FAILS="experiments.compare")
    assert len(lines) == 7 and done.returncode == 1
    assert done.stderr == "error: failed: second study\n"
    assert script(FAILS="experiments.compare", STATUS=124)[0].returncode == 0  # cut off by the time


def test_an_interruption_stops_all(script):
    done, lines = script(FAILS="experiments.study", STATUS=130)
    assert done.returncode == 130 and len(lines) == 1


def test_without_a_gpu_it_stops_before_anything_begins(script):
    done, lines = script(DEVICE="")
    assert (done.returncode, lines) == (2, [])
    assert done.stderr.startswith("error: jax finds no GPU here") and done.stderr.count("\n") == 1


def test_the_rehearsal_is_tiny_and_needs_no_gpu(script, tmp_path):
    done, lines = script(DEVICE="", REHEARSE=1, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr
    assert len(lines) == 6 and all(line.startswith("tensorflow ") for line in lines)
    assert all("phantom" in line and option(line, "--size") == "32" for line in lines[:4])
    rows = [(tmp_path / f"runs/{name}.csv").read_text().count("\n") for name in ("first", "side", "second")]
    assert rows == [2, 3, 2]


def test_finished_runs_are_packed(script, tmp_path):
    run = tmp_path / "runs/grid/released-binary-unet/exp4-seed0"
    other = tmp_path / "runs/compare/lung/unet-resnet18-none/seed0"
    for folder in (run, other):
        folder.mkdir(parents=True)
        for name in ("result.json", "model.keras", "state.json"):
            (folder / name).touch()
    _, lines = script()
    packing = [line for line in lines if "--pack" in line]
    assert len(packing) == 5 and all(option(line, "--pack").endswith("packed/first_study.zip") for line in packing)
    archive = tmp_path / "runs/packed/second_study.tar.gz"
    names = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in names if not name.endswith("/")] == ["compare/lung/unet-resnet18-none/seed0/result.json"]
