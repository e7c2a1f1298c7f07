"""What goes wrong around a command: nothing finished is lost, the next start goes on or says in one line what to do.

`python tests/faults.py` tries each fault many times; here each is tried a few times, and its parts without a training.
"""

import errno
import os
import random
import signal
import subprocess
import sys
import zipfile

import fault_child
import fault_files
import fault_kinds
import faults
import numpy as np
import pytest
from fault_commands import COMMANDS, ROOT, result
from fault_trials import SAID, SAME, Ended, Trial, WrongError
from test_archive import contents, make_run, spec

from experiments import files, locks, predict_settings
from experiments.console import run_command
from experiments.locks import HeldError, alone
from experiments.run_checks import HISTORY, check_finished
from experiments.whole_folder import whole_folder
from unet_segnet.errors import InputError
from unet_segnet.files import reserve, whole_file

# The parts, without any training


def dead_process():
    """The number of a process that was."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_files_left_by_a_killed_process_go_and_those_of_a_living_one_stay(tmp_path):
    with whole_file(tmp_path / "table.csv") as temporary:
        temporary.write_text("one")
    machine = temporary.name.split(".")[1]
    dead = tmp_path / f".{machine}.{dead_process()}.tmp.table.csv"
    living = tmp_path / f".{machine}.{os.getppid()}.tmp.table.csv"
    elsewhere = tmp_path / f".other.{dead_process()}.tmp.table.csv"
    for left in (dead, living, elsewhere):
        left.write_text("half")
    with whole_file(tmp_path / "table.csv") as temporary:
        temporary.write_text("two")
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", living.name, elsewhere.name}
    assert (tmp_path / "table.csv").read_text() == "two"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda number: done.append("written"))
    move = os.replace
    monkeypatch.setattr(os, "replace", lambda *places: (done.append("named"), move(*places)))
    files.write_text(tmp_path / "a.txt", "a")
    assert done == ["written", "named"]


def test_a_network_is_not_lost_to_a_clock_that_is_not_set(tmp_path):
    class Network:
        def save(self, path):
            zipfile.ZipInfo("weights", date_time=(1970, 1, 1, 0, 0, 0))

    with pytest.raises(InputError, match=r"model\.keras: .*clock stands before 1980; set it"):
        files.save_network(Network(), tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_room_is_looked_for_before_a_library_begins_to_write(tmp_path):
    reserve(tmp_path / "a", 100_000)
    assert (tmp_path / "a").stat().st_size in (0, 100_000)
    code = (
        "import resource, sys; from pathlib import Path; from unet_segnet.files import reserve\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: reserve(Path(sys.argv[1]), 2000)\n"
        "except OSError as error: print(error.errno, error.filename)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "b")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"{errno.EFBIG} {tmp_path / 'b'}\n"


def test_a_file_that_cannot_be_written_is_told_of_once():
    code = (
        "from experiments.console import run_command\n"
        "class Held:\n"
        "    def __del__(self): raise self.error\n"
        "def command():\n"
        "    held, other = Held(), Held()\n"
        "    held.error, other.error = RuntimeError('cannot close, errno = 28, full'), RuntimeError('ours')\n"
        "run_command(command)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "ours" in done.stderr and "errno" not in done.stderr


@pytest.mark.parametrize("moved", [False, True])
def test_a_folder_that_a_kill_left_half_replaced_is_mended_at_the_next_start(tmp_path, moved):
    out = tmp_path / "report"
    with whole_folder(out) as new:
        (new / "page").write_text("first")
    pid = os.fork()
    if pid == 0:  # replaces the folder and is killed before, or between, the two moves
        with whole_folder(out) as new:
            (new / "page").write_text("second")
            if moved:
                fault_child._die_at_move(0, after=True)
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert out.exists() is not moved
    with pytest.raises(ZeroDivisionError), whole_folder(out):
        assert (out / "page").read_text() == "first"
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [out] and (out / "page").read_text() == "first"


def test_two_processes_do_not_make_the_same_folder(tmp_path):
    with whole_folder(tmp_path / "a" / "case") as new:
        expected = pytest.raises(HeldError, match=f"process {os.getpid()} on .* works on it since .*; wait for it")
        with expected, whole_folder(tmp_path / "a" / "case"):
            pass
        (new / "file").write_text("first")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["case"]
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "b" / "case"):
        raise ZeroDivisionError
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("number", "raised", "message"),
    [
        (errno.ENOSPC, OSError, "No space left"),
        (errno.EDQUOT, OSError, "(?i)quota"),
        (errno.EROFS, InputError, "cannot be written"),
        (errno.EACCES, InputError, "cannot be written"),
    ],
)
def test_a_lock_that_cannot_be_written(tmp_path, monkeypatch, number, raised, message):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks, "write_json", refuse)
    with pytest.raises(raised, match=message), alone(tmp_path, tmp_path / "lock"):
        pass
    monkeypatch.undo()
    with alone(tmp_path, tmp_path / "lock"):  # it is not held
        pass


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a.npz"),
            "runs/a.npz: No space left on device; make room",
        ),
        (OSError("Unable to write:\n errno = 28"), "Unable to write: errno = 28; make room"),
        (FileNotFoundError(errno.ENOENT, "No such file", "runs/a"), "runs/a: No such file; make room or mend it"),
        (MemoryError(), "memory has run out"),
        (ResourceExhaustedError("OOM"), "memory has run out"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, message, capsys):
    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(command)
    printed = capsys.readouterr().err
    assert end.value.code == 2 and message in printed and printed.count("\n") == 1
    assert "start the same command again" in printed


def test_the_arrays_of_a_finished_run_are_those_that_training_writes():
    from unet_segnet.training import HISTORY_KEYS

    assert set(HISTORY) == set(HISTORY_KEYS)


@pytest.mark.parametrize("damage", fault_files.DAMAGES)
@pytest.mark.parametrize("file", fault_files.OF_A_RUN)
def test_a_damaged_run_is_found_before_more_is_trained(tmp_path, file, damage):
    folder = make_run(tmp_path / "runs", spec(), network=500)
    assert check_finished([folder]) == []
    fault_files.DAMAGES[damage](folder.path / file)
    before = contents(tmp_path)
    if file == "model.keras" and damage == "missing":  # runs come without it in archives
        assert check_finished([folder]) == [str(folder.path)]
    elif file == "model.keras" and damage == "of another version":  # sound, and not needed for tables
        assert check_finished([folder]) == []
    elif file == "result.json" and damage == "missing":
        assert not folder.finished
    else:
        with pytest.raises(InputError, match="remove the run's folder to train it again") as caught:
            check_finished([folder])
        assert str(folder.path / file) in str(caught.value)
    assert contents(tmp_path) == before


def test_what_a_kill_left_beside_a_finished_run_is_cleared_away_unless_somebody_is_at_it(tmp_path):
    folder = make_run(tmp_path / "runs", spec())
    left = folder.path / "state.weights.h5"
    left.write_bytes(b"left")
    with folder.lock():
        assert check_finished([folder]) and left.exists()
    assert check_finished([folder]) and not left.exists()


def test_a_state_without_settings_is_not_gone_on_with(tmp_path):
    folder = make_run(tmp_path / "runs", spec())
    folder.result.unlink()
    folder.config.unlink()
    (folder.path / "state.weights.h5").write_bytes(b"of another run, perhaps")
    seen = []
    folder.complete({"format": 1}, lambda: seen.append(sorted(path.name for path in folder.path.iterdir())))
    assert seen == [["config.json", "lock", "lock.json"]]


@pytest.fixture
def case(tmp_path):
    """A segmented scan's folder, and what it was made with."""
    made_with = {"scan": "/scans/a.nii", "window": [-1100.0, 400.0], "lungs": "auto"}
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "labels.nii.gz").write_bytes(b"labels")
    (folder / "index.html").write_text("page")
    predict_settings.write_settings(folder, made_with)
    return folder, made_with


def test_a_segmented_scan_is_taken_as_done_where_settings_and_files_are_the_same(case):
    folder, made_with = case
    predict_settings.check_settings(folder, made_with)
    with pytest.raises(InputError, match="made with another lungs, window; give another folder"):
        predict_settings.check_settings(folder, {**made_with, "window": [-1000.0, 400.0], "lungs": "none"})


@pytest.mark.parametrize("damage", fault_files.DAMAGES)
@pytest.mark.parametrize("file", ["labels.nii.gz", "index.html", "settings.json"])
def test_a_segmented_scan_that_is_not_whole_is_not_taken_as_done(case, file, damage):
    folder, made_with = case
    fault_files.DAMAGES[damage](folder / file)
    with pytest.raises(InputError, match=r"is there already.*--force") as caught:
        predict_settings.check_settings(folder, made_with)
    assert str(folder) in str(caught.value)


def test_files_that_were_added_to_a_segmented_scan_are_not_hidden(case):
    folder, made_with = case
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"with another file, notes\.txt"):
        predict_settings.check_settings(folder, made_with)


# The judge of the faults can find fault


class Judged(Trial):
    """A trial without a process."""

    def __init__(self, out, results):
        self.out, self.home, self.name, self.command, self.patience = out, out.parent, "grid", COMMANDS["grid"], 1.0
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
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": folder})


# The commands themselves


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Where grid and predict meet faults."""
    return faults.Stage(tmp_path_factory.mktemp("faults") / "stage", ["grid", "predict"])


def outcomes(stage, name, command, times):
    """The outcomes of a fault that is tried so often; there are none of ours."""
    (fault,) = [fault for fault in faults.FAULTS if fault.name.startswith(name) and command in fault.commands]
    if fault.mounts and not fault_kinds.can_mount():
        pytest.skip("file systems can be mounted by root alone")
    found = faults.bring_about(stage, fault, command, times, seed=1)
    assert not [what for what in found if what.startswith("WRONG")]
    assert found.total() >= times
    return found


def test_a_second_process_says_who_holds_the_run(stage):
    assert outcomes(stage, "second process", "predict", 1)


def test_a_killed_command_goes_on(stage):
    assert outcomes(stage, "kill -9 at a random", "predict", 1) == {SAME: 1}


@pytest.mark.slow
def test_five_kills(stage):
    assert outcomes(stage, "kill -9 at a random", "grid", 3) == {SAME: 3}
    assert outcomes(stage, "kill -9 at a random", "predict", 2) == {SAME: 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command", "times"),
    [
        ("kill -9 as a file", "grid", 2),
        ("kill -9 of the command", "grid", 1),
        ("kill -9 of one of two", "grid", 1),
        ("disk full", "grid", 2),
        ("disk full", "predict", 2),
        ("quota full", "grid", 1),
        ("folder read-only", "grid", 1),
        ("folder read-only", "predict", 1),
        ("input folder vanishes", "grid", 1),
        ("input folder vanishes", "predict", 1),
        ("memory short", "predict", 2),
        ("second process", "grid", 1),
        ("clock jumps", "grid", 1),
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
