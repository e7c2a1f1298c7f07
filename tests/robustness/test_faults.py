"""What goes wrong around a command: nothing finished is lost, the next start goes on or says in one line what to do.

`python tests/robustness/faults.py` tries each fault many times, here each is tried a few times; see `test_kept.py` too.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import fault_child
import fault_files
import fault_kinds
import faults
import numpy as np
import pytest
from fault_commands import COMMANDS, ROOT, result
from fault_trials import SAID, SAME, Ended, Trial, WrongError
from run_folders import make_run, spec

from unet_segnet.runs import provenance

# The judge of the faults can find fault


class Judged(Trial):
    """A trial without a process."""

    def __init__(self, out, results):
        self.out, self.home, self.name, self.patience = out, out.parent, "grid", 1.0
        self.command = replace(COMMANDS["grid"], several_lines=False)
        self.stage = type("Stage", (), {"results": {"grid": results}})


@pytest.fixture
def judged(tmp_path):
    """A finished run and its judge."""
    make_run(tmp_path / "out", spec(), network=0)
    return Judged(tmp_path / "out", result(tmp_path / "out"))


def test_the_judge_knows_the_same_result(judged):
    before = judged.finished()
    assert len(before) == 4
    assert judged.judge(Ended(0, "", ""), before) == SAME
    line = "error: grid/x: cannot be read; remove the run's folder"
    assert judged.judge(Ended(2, "", f"grid exp4 3/3  0:01\n{line}\n"), before) == line


@pytest.mark.parametrize(
    ("ended", "message"),
    [
        (None, "no end"),
        (Ended(1, "", "Traceback (most recent call last):"), "a traceback"),
        (Ended(2, "", ""), "status 2, said ''"),
        (Ended(1, "", "error: one"), "status 1"),
        (Ended(2, "", "error: one\nerror: two"), "said"),
        (Ended(2, "", "oh dear"), "said"),
        (Ended(-9, "", ""), "status -9"),
    ],
)
def test_the_judge_finds_what_is_unclear(judged, ended, message):
    with pytest.raises(WrongError, match=message):
        judged.judge(ended, judged.finished())


def test_the_judge_finds_what_is_lost_or_changed(judged):
    before = judged.finished()
    counts = next(judged.out.rglob("counts.npz"))
    kept = counts.read_bytes()
    counts.write_bytes(kept[:-1])
    with pytest.raises(WrongError, match=r"changed: .*counts\.npz"):
        judged.judge(Ended(2, "", "error: a"), before)
    counts.unlink()
    with pytest.raises(WrongError, match=r"lost: .*counts\.npz"):
        judged.judge(Ended(2, "", "error: a"), before)
    with pytest.raises(WrongError, match=r"another result: .*counts\.npz"):
        judged.judge(Ended(0, "", ""), {})
    np.savez(counts, test_names=np.zeros(3))
    with pytest.raises(WrongError, match=r"another result: .*counts\.npz"):
        judged.judge(Ended(0, "", ""), {})


def test_unfinished_runs_may_change(judged):
    before = judged.finished()
    next(judged.out.rglob("result.json")).unlink()
    assert judged.finished() == {} and before


def test_times_are_no_part_of_a_result_but_seeds_are(tmp_path):
    outs = [tmp_path / name for name in ("one", "two", "three")]
    for out, seconds, right in zip(outs, (9.0, 7.0, 7.0), (90, 90, 91), strict=True):
        make_run(out, spec(), right, epoch_seconds=(seconds, 2.0, 2.0), seconds=seconds)
    one, two, three = map(result, outs)
    assert one == two
    assert [name.rpartition("/")[2] for name in one if one[name] != three[name]] == ["counts.npz"]


def test_every_fault_is_for_commands_that_there_are_and_has_a_name_of_its_own():
    rows = [(fault.name, command) for fault, command in faults.chosen([], [])]
    assert len(set(rows)) == len(rows) and {command for _, command in rows} == set(COMMANDS)
    pairs = faults.chosen(["kill -9 at"], ["grid", "predict"])
    assert [command for _, command in pairs] == ["grid", "predict"]


def test_the_table_grows_row_by_row(tmp_path, monkeypatch):
    readme, out = tmp_path / "README.md", tmp_path / "faults.csv"
    readme.write_text("<!-- faults:begin -->\n<!-- faults:end -->\n")
    options = argparse.Namespace(out=out, readme=readme)
    rows = [("disk full", "grid", Counter({SAME: 2, SAID: 1})), (faults.KILLS, "kfold", Counter({SAME: 9}))]
    rows.append(("disk full", "kfold", Counter({SAID: 4})))
    monkeypatch.setattr(provenance, "device_name", lambda: "a processor")
    for row in rows:
        faults.write(row, options)
    assert faults.table_of(out) == [rows[1], rows[0], rows[2]]
    assert "16 trials, 0 of them with a fault of ours" in readme.read_text()
    assert f"| disk full | grid, kfold | 7 | 5 {SAID}; 2 {SAME} |" in readme.read_text()
    assert set(json.loads(out.with_suffix(".json").read_text())) == {", ".join(row[:2]) for row in rows}
    assert faults.table_of(tmp_path / "none.csv") == []


def test_the_committed_table_has_every_row_and_no_fault_of_ours():
    results = ROOT / "experiments" / "results"
    rows = faults.table_of(results / "faults.csv")
    assert [row[:2] for row in rows] == [(fault.name, command) for fault, command in faults.chosen([], [])]
    assert all(outcomes and not any("WRONG" in what for what in outcomes) for *_, outcomes in rows)
    assert sum(outcomes.total() for fault, _, outcomes in rows if fault == faults.KILLS) >= 50
    shown = faults.as_table(faults.by_fault(rows)).to_markdown()
    assert shown in (results / "README.md").read_text(encoding="utf-8")


def test_the_clock_of_the_faults_jumps_by_years():
    code = (
        "import random, time, fault_child\n"
        "true = time.monotonic\n"
        "fault_child._jumping_clock(random.Random(1))\n"
        "seen = [time.time() for _ in range(200)]\n"
        "assert min(seen) < 86400 and max(seen) - min(seen) > 20 * fault_child.YEAR\n"
        "assert time.monotonic is true and len({time.gmtime().tm_year for _ in range(200)}) > 2\n"
    )
    folder = os.path.dirname(fault_child.__file__)
    path = os.pathsep.join((folder, str(ROOT / "tests" / "helpers"), str(ROOT)))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


# The commands themselves


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Where grid, predict and look meet faults; grid with the network that is the sooner compiled."""
    grid = COMMANDS["grid"]
    arguments = tuple("unet" if argument == "segnet" else argument for argument in grid.arguments)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(COMMANDS, "grid", replace(grid, arguments=arguments))
        yield faults.Stage(tmp_path_factory.mktemp("faults") / "stage", ["grid", "predict", "look"])


def outcomes(stage, name, command, times):
    """The outcomes of a fault that is tried so often; there are none of ours."""
    (fault,) = [fault for fault in faults.FAULTS if fault.name.startswith(name) and command in fault.commands]
    if fault.mounts and not fault_kinds.can_mount():
        pytest.skip("file systems can be mounted by root alone")
    found = faults.bring_about(stage, fault, command, times, seed=1)
    assert not [what for what in found if what.startswith("WRONG")]
    assert found.total() >= times
    return found


@pytest.mark.slow
def test_five_kills(stage):
    assert outcomes(stage, "kill -9 at a random", "grid", 3) == {SAME: 3}
    assert outcomes(stage, "kill -9 at a random", "predict", 2) == {SAME: 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command", "times"),
    [
        ("kill -9 as a file", "grid", 1),
        ("kill -9 of the command", "grid", 1),
        ("kill -9 of one of two", "grid", 1),
        ("disk full", "grid", 1),
        ("disk full", "predict", 1),
        ("quota full", "grid", 1),
        ("folder read-only", "grid", 1),
        ("folder read-only", "predict", 1),
        ("input folder vanishes", "grid", 1),
        ("input folder vanishes", "predict", 1),
        ("memory short", "predict", 1),
        ("second process", "grid", 1),
        ("second process", "predict", 1),
        ("clock jumps", "grid", 1),
        ("two people", "predict", 3),
        ("two people", "look", 3),
        ("page cut short", "predict", 2),
        ("page cut short", "look", 2),
        ("network replaced", "predict", 4),
    ],
)
def test_a_fault_does_no_lasting_harm(stage, name, command, times):
    outcomes(stage, name, command, times)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.json", "model.keras"])
def test_a_damaged_file_of_a_finished_run(stage, file):
    found = outcomes(stage, f"{file} missing", "grid", 4)
    assert found[SAID] >= 2


@pytest.mark.slow
def test_a_damaged_state_of_an_unfinished_run(stage):
    trial = Trial(stage, "grid", random.Random(0))
    assert fault_files.damaged_state(trial, "state.weights.h5", "cut") == [SAID]
