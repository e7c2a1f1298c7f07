"""What keeps finished work: files and folders that appear whole, locks, checks of runs, one line on a refusal."""

import errno
import os
import signal
import subprocess
import sys
import zipfile
from argparse import Namespace

import fault_child
import fault_files
import numpy as np
import pytest
from fault_commands import ROOT
from run_folders import contents, make_run, spec

from experiments.bizopoulos2021 import runs as second
from experiments.saood2021 import runs as first
from unet_segnet.commands import predict_settings
from unet_segnet.commands.predict_inputs import find_items
from unet_segnet.errors import DivergedError, InputError
from unet_segnet.networks.save import save_network
from unet_segnet.output import locks
from unet_segnet.output import records as files
from unet_segnet.output.console import run_command
from unet_segnet.output.files import reserve, whole_file
from unet_segnet.output.locks import HeldError, alone
from unet_segnet.output.whole_folder import sweep, whole_folder
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.reading import check_finished

MARKS = ("page", "file")


@pytest.fixture(autouse=True)
def to_the_disk(monkeypatch, real_fsync):
    """Here files are written as they are for users."""
    monkeypatch.setattr(os, "fsync", real_fsync)


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
        save_network(Network(), tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_room_is_looked_for_before_a_library_begins_to_write(tmp_path):
    reserve(tmp_path / "a", 100_000)
    assert (tmp_path / "a").stat().st_size in (0, 100_000)
    code = (
        "import resource, sys; from pathlib import Path; from unet_segnet.output.files import reserve\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: reserve(Path(sys.argv[1]), 2000)\n"
        "except OSError as error: print(error.errno, error.filename)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "b")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"{errno.EFBIG} {tmp_path / 'b'}\n"


def test_a_file_that_cannot_be_written_is_told_of_once():
    code = (
        "from unet_segnet.output.console import run_command\n"
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
    with whole_folder(out, MARKS) as new:
        (new / "page").write_text("first")
    pid = os.fork()
    if pid == 0:  # replaces the folder and is killed before, or between, the two moves
        try:
            with whole_folder(out, MARKS) as new:
                (new / "page").write_text("second")
                if moved:
                    fault_child._die_at_move(0, after=True)
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert out.exists() is not moved
    with pytest.raises(ZeroDivisionError), whole_folder(out, MARKS):
        assert (out / "page").read_text() == "first"
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [out] and (out / "page").read_text() == "first"


def test_what_is_no_result_is_never_replaced(tmp_path):
    scan = tmp_path / "scan"
    scan.mkdir()
    (scan / "slice1.dcm").write_text("precious")
    said = r"something other than results .*no page or file.* not even with `force`"
    with pytest.raises(InputError, match=said), whole_folder(scan, MARKS):
        raise AssertionError("it went on")
    assert [path.name for path in tmp_path.iterdir()] == ["scan"]
    assert (scan / "slice1.dcm").read_text() == "precious"


def test_a_link_to_results_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(real)
    for content in ("first", "second", "third"):
        with whole_folder(link, MARKS) as new:
            (new / "page").write_text(content)
    assert link.is_symlink() and (real / "page").read_text() == "third"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_two_processes_do_not_make_the_same_folder(tmp_path):
    with whole_folder(tmp_path / "a" / "case", MARKS) as new:
        expected = pytest.raises(HeldError, match=f"process {os.getpid()} on .* works on it since .*; wait for it")
        with expected, whole_folder(tmp_path / "a" / "case", MARKS):
            pass
        (new / "file").write_text("first")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["case"]
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "b" / "case", MARKS):
        raise ZeroDivisionError
    assert not (tmp_path / "b").exists()


def test_what_a_kill_left_beside_a_finished_folder_is_swept_away(tmp_path):
    out = tmp_path / "case"
    out.mkdir()
    (tmp_path / ".case.new").mkdir()
    for name in (".case.lock", ".case.lock.json"):
        (tmp_path / name).write_text("{}")
    with alone(out, tmp_path / ".case.lock"):
        sweep(out)  # another works there
        assert (tmp_path / ".case.new").exists()
    sweep(out)
    assert list(tmp_path.iterdir()) == [out]
    sweep(out)


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
        (RuntimeError("can't start new thread"), "memory has run out"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory has run out"),
        (ResourceExhaustedError("OOM"), "memory has run out"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4 bytes."), "memory has run out"),  # JAX
        (RuntimeError("Status: 1, message: could not create a primitive, in"), "memory has run out"),  # oneDNN
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
    from unet_segnet.training.class_weighted import HISTORY_KEYS
    from unet_segnet.training.soft_dice import HISTORY_KEYS as OF_THE_SECOND

    assert set(first.KIND.history) == set(HISTORY_KEYS)
    assert set(second.KIND.history) == set(OF_THE_SECOND)


@pytest.mark.parametrize("damage", fault_files.DAMAGES)
@pytest.mark.parametrize("file", fault_files.OF_A_RUN)
def test_a_damaged_run_is_found_before_more_is_trained(tmp_path, file, damage):
    folder = make_run(tmp_path / "runs", spec(), network=500)
    assert check_finished([folder], first.KIND) == []
    fault_files.DAMAGES[damage](folder.path / file)
    before = contents(tmp_path)
    if file == "model.keras" and damage == "missing":  # runs come without it in archives
        assert check_finished([folder], first.KIND) == [str(folder.path)]
    elif file == "model.keras" and damage == "of another version":  # sound, and not needed for tables
        assert check_finished([folder], first.KIND) == []
    elif file == "result.json" and damage == "missing":
        assert not folder.finished
    else:
        with pytest.raises(InputError, match="remove the run's folder to train it again") as caught:
            check_finished([folder], first.KIND)
        assert str(folder.path / file) in str(caught.value)
    assert contents(tmp_path) == before


def test_what_a_kill_left_beside_a_finished_run_is_cleared_away_unless_somebody_is_at_it(tmp_path):
    folder = make_run(tmp_path / "runs", spec())
    left = folder.path / "state.weights.h5"
    left.write_bytes(b"left")
    with folder.lock():
        assert check_finished([folder], first.KIND) and left.exists()
    assert check_finished([folder], first.KIND) and not left.exists()


def test_a_state_without_settings_is_not_gone_on_with(tmp_path):
    folder = make_run(tmp_path / "runs", spec())
    folder.result.unlink()
    folder.config.unlink()
    (folder.path / "state.weights.h5").write_bytes(b"of another run, perhaps")
    seen = []

    def train():
        seen.append(sorted(path.name for path in folder.path.iterdir()))
        raise DivergedError(1, {})

    folder.complete({"format": 1}, train)
    assert seen == [["config.json", "lock", "lock.json", "state.sessions.json"]]


@pytest.mark.parametrize("known", [True, False])
def test_the_result_of_a_training_that_was_gone_on_with_tells_its_sessions(tmp_path, known):
    folder, finished = RunFolder(tmp_path, spec()), DivergedError(2, {"epoch_seconds": np.ones(2)})

    def stopped():
        files.write_arrays(folder.state.with_suffix(".history.npz"), {"epoch_seconds": np.ones(1)})
        raise KeyboardInterrupt

    def ends():
        raise finished

    def refused():
        raise InputError("a state that cannot be read")

    with pytest.raises(KeyboardInterrupt):
        folder.complete({"format": 1}, stopped)
    if not known:  # begun by an earlier version
        folder.sessions.unlink()
    before = contents(tmp_path)
    with pytest.raises(InputError, match="a state that cannot be read"):
        folder.complete({"format": 1}, refused)
    assert contents(tmp_path) == before
    folder.complete({"format": 1}, ends)
    found = files.read_json(folder.result)
    assert len(found["sessions"]) == 2 and not folder.sessions.exists()
    assert [bool(session["versions"]) for session in found["sessions"]] == [known, True]
    assert found["sessions"][1] == {key: found[key] for key in ("command", "commit", "device", "versions")}


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
    with pytest.raises(InputError, match=r"is there already.*remove that folder") as caught:
        predict_settings.check_settings(folder, made_with)
    assert str(folder) in str(caught.value)


def test_settings_know_the_files_of_a_scan_by_their_contents(tmp_path):
    scan, truth = tmp_path / "series", tmp_path / "truth"
    for folder in (scan, truth):
        folder.mkdir()
    for name in ("1.dcm", "2.dcm", ".hidden"):
        (scan / name).write_bytes(name.encode())
    options = Namespace(
        network_sha256="0" * 64, series=None, orientation=None, classes=None, window=(-1100, 400), probabilities=False,
        tta=False, disagreement=False,
    )  # fmt: skip

    def made_with(lungs="auto"):
        (item,) = find_items([scan], lungs, truth).items
        return predict_settings.settings(item, options)

    def changed(change):
        before = made_with()
        change()
        after = made_with()
        return {key for key in before if before[key] != after[key]}

    assert not changed(lambda: (scan / ".hidden").write_bytes(b"other"))
    assert changed(lambda: (scan / "2.dcm").write_bytes(b"3.dcm")) == {"scan"}
    (scan / "segmented" / "series").mkdir(parents=True)  # its results

    def segmented():
        for name in predict_settings.MARKS:
            (scan / "segmented" / "series" / name).write_text("{}")

    assert not changed(segmented)
    assert changed(lambda: (scan / "2.dcm").rename(scan / "3.dcm")) == {"scan"}
    assert changed(lambda: (truth / "series.nii.gz").write_bytes(b"labels")) == {"truth"}
    assert changed(lambda: (truth / "series.nii.gz").write_bytes(b"others")) == {"truth"}
    assert not changed(lambda: (truth / "another.nii.gz").write_bytes(b"labels"))
    with pytest.raises(InputError, match=r"lungs\.nii\.gz: cannot be read"):
        made_with(str(tmp_path / "lungs.nii.gz"))


def test_files_that_were_added_to_a_segmented_scan_are_not_hidden(case):
    folder, made_with = case
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"with another file, notes\.txt; move it elsewhere"):
        predict_settings.check_settings(folder, made_with)


def test_files_that_were_added_to_a_segmented_scan_are_never_removed(case):
    """A user's corrected labels, say; what Windows and macOS leave in a folder is nobody's."""
    folder, made_with = case
    for name in (".DS_Store", "._labels.nii.gz", "Thumbs.db"):
        (folder / name).write_text("of the system")
    predict_settings.check_settings(folder, made_with)
    with whole_folder(folder, predict_settings.MARKS) as new:
        (new / "labels.nii.gz").write_bytes(b"others")
        predict_settings.write_settings(new, made_with)
    assert contents(folder).keys() == {"labels.nii.gz", "settings.json"}
    (folder / "labels_corrected.nii.gz").write_bytes(b"precious")
    said = "holds 'labels_corrected.nii.gz', which this command did not write and never removes, not even with `force`"
    with pytest.raises(InputError, match=said), whole_folder(folder, predict_settings.MARKS):
        raise AssertionError("it went on")
    assert (folder / "labels_corrected.nii.gz").read_bytes() == b"precious"
    assert (folder / "labels.nii.gz").read_bytes() == b"others"
    (folder / "labels_corrected.nii.gz").rename(folder.parent / "labels_corrected.nii.gz")
    (folder / "settings.json").write_text("{}")  # made by another version: nobody knows what it wrote
    with whole_folder(folder, predict_settings.MARKS):
        pass
