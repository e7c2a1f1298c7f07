"""The faults: each a function of a `Trial` that brings it about and tells what came of it, or raises WrongError."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from fault_child import Under
from fault_trials import SAID, SAME, Trial, WrongError

LONGEST = 4  # kills in a row
MEMORY = (2**20, 600 * 2**20)
SHOWN = 16 * 1024  # bytes that a command may print at least, for that is a file too


def killed(trial: Trial, times: int = LONGEST) -> list[str]:
    """kill -9 at a random moment, up to `times` in a row; then undisturbed to the end. An outcome for each kill."""
    kills = 0
    for _ in range(trial.rng.randint(1, times)):
        before = trial.finished()
        running = trial.start(more=trial.command.again)
        ended = running.wait(trial.rng.uniform(0, trial.seconds))
        if ended is not None and trial.judge(ended, before) == SAME:
            break
        if ended is not None:
            raise WrongError(f"does not go on: {ended.err[-600:]}")
        kills += running.kill()
        trial.check_kept(before)
    trial.go_on()
    return [SAME] * kills


def killed_at_move(trial: Trial) -> list[str]:
    """kill -9 just before or after a random one of the moves that put files in place."""
    number = trial.rng.randint(0, 24)
    before = trial.finished()
    ended = trial.start(Under(dies_at=(number, trial.rng.random() < 0.5))).wait(trial.patience)
    if ended is not None and ended.status == 0:  # it has fewer moves
        trial.check_same()
        return []
    if ended is None or ended.status != -signal.SIGKILL:
        raise WrongError(f"not killed: {ended}")
    trial.check_kept(before)
    trial.go_on()
    return [SAME]


def parent_killed(trial: Trial) -> list[str]:
    """kill -9 of the command alone while two workers train: they end too, and the next start goes on."""
    running = trial.start(more=("--workers", "2"))
    workers = _holders(trial, running)
    os.kill(running.pid, signal.SIGKILL)
    running.process.join()
    deadline = time.monotonic() + 60
    while any(_alive(worker) for worker in workers):
        if time.monotonic() > deadline:
            running.kill()
            raise WrongError("workers outlive the command that started them")
        time.sleep(0.05)
    trial.go_on()
    return [SAME]


def worker_killed(trial: Trial) -> list[str]:
    """kill -9 of one of two workers, as the system does where memory is short."""
    running = trial.start(more=("--workers", "2"))
    os.kill(next(iter(_holders(trial, running))), signal.SIGKILL)
    before = trial.finished()
    said = trial.judge(running.wait(trial.patience), before)
    trial.go_on()
    return [SAME if said == SAME else SAID]


def full_disk(trial: Trial) -> list[str]:
    """A disk that is full at some point: a small file system in memory; room is made before the next start."""
    size = sum(path.stat().st_size for path in trial.stage.done(trial.name).rglob("*") if path.is_file())
    trial.out.mkdir(exist_ok=True)
    there = trial.home / "there"
    shutil.copytree(trial.out, there)
    room = sum(path.stat().st_size + 4096 for path in there.rglob("*"))
    options = f"size={room + int(trial.rng.uniform(0.0, 1.1) * size)}"
    with mounted(trial.out, "-t", "tmpfs", "-o", options, "tmpfs"):
        shutil.copytree(there, trial.out, dirs_exist_ok=True)
        before = trial.finished()
        said = trial.judge(trial.start().wait(trial.patience), before)
        subprocess.run(["mount", "-o", "remount,size=1g", trial.out], check=True)
        trial.go_on()
    return [SAME if said == SAME else SAID]


def full_quota(trial: Trial) -> list[str]:
    """Files that may not grow beyond a limit; it is lifted before the next start."""
    sizes = sorted(path.stat().st_size for path in trial.stage.done(trial.name).rglob("*") if path.is_file())
    limit = int(trial.rng.uniform(SHOWN, sizes[-1]))
    before = trial.finished()
    said = trial.judge(trial.start(Under(file_bytes=limit)).wait(trial.patience), before)
    trial.go_on()
    return [SAME if said == SAME else SAID]


def read_only(trial: Trial) -> list[str]:
    """A folder that may only be read, empty or with half the work in it."""
    if trial.rng.random() < 0.5:
        running = trial.start()
        running.wait(trial.rng.uniform(0.5, 1) * trial.seconds)
        running.kill()
    trial.out.mkdir(exist_ok=True)
    before = trial.finished()
    with _closed(trial.out):
        ended = trial.start().wait(trial.patience)
        said = trial.judge(ended, before)
    trial.go_on()
    return [SAME if said == SAME else SAID]


def inputs_vanish(trial: Trial) -> list[str]:
    """The folder that is read vanishes at a random moment, and is back before the next start."""
    inputs, away = trial.home / trial.command.inputs, trial.home / "away"
    before = trial.finished()
    running = trial.start()
    ended = running.wait(trial.rng.uniform(0, 0.9) * trial.seconds)
    inputs.rename(away)
    said = trial.judge(ended or running.wait(trial.patience), before)
    if said == SAME and trial.rng.random() < 0.5:  # and is not there at the next start
        shutil.rmtree(trial.out)
        said = trial.judge(trial.start().wait(trial.patience), {})
        if said == SAME:
            raise WrongError("a result without any input")
    away.rename(inputs)
    trial.go_on()
    return [SAME if said == SAME else SAID]


def memory_short(trial: Trial) -> list[str]:
    """Memory that ends at some point; there is enough at the next start."""
    before = trial.finished()
    running = trial.start(Under(memory=int(trial.rng.uniform(*MEMORY))))
    ended = running.wait(trial.patience)
    if ended is None:
        if "/tensorflow/" not in (file := running.innermost()):
            raise WrongError(f"no end within {trial.patience:.0f} s, in {file}")
        trial.check_kept(before)
        trial.go_on()
        return ["hung within TensorFlow and was killed, then went on to the same result"]
    trial.check_kept(before)
    if ended is not None and ended.status in (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
        trial.go_on()
        return ["ended by TensorFlow without a word, then went on to the same result"]
    said = trial.judge(ended, before)
    trial.go_on()
    return [SAME if said == SAME else SAID]


def second_process(trial: Trial) -> list[str]:
    """A second process on the same run: it says who holds it, the first goes on unharmed."""
    first = trial.start()
    (holder,) = _holders(trial, first)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        ended = trial.start().wait(trial.patience)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    if ended is None or f"process {holder} " not in " ".join((ended.err + ended.out).split()):
        raise WrongError(f"the second does not say who holds it: {ended}")
    if trial.judge(first.wait(trial.patience), {}) != SAME:
        raise WrongError("the first did not end")
    return ["said who holds it, the first ended as ever"]


def clock_jumps(trial: Trial) -> list[str]:
    """A clock that jumps by years to and fro, with files that are older than 1980 or younger than now."""
    running = trial.start(Under(clock=trial.rng.getrandbits(32)))
    ended = running.wait(trial.rng.uniform(0.3, 1.5) * trial.seconds)
    running.kill()
    for path in (trial.home, *trial.home.rglob("*")):
        at = trial.rng.choice((0, 2**32))
        os.utime(path, (at, at))
    before = trial.finished()
    said = trial.judge(ended or trial.start(Under(clock=trial.rng.getrandbits(32))).wait(trial.patience), before)
    if said != SAME and "clock" not in said:
        raise WrongError(f"minds the clock: {said}")
    trial.go_on()
    for path in trial.out.rglob("result.json"):
        if not 0 <= json.loads(path.read_text())["seconds"] < 10 * trial.patience:
            raise WrongError(f"{path}: counts the jumps as working time")
    return [SAME if said == SAME else SAID]


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str):
    subprocess.run(["mount", *arguments, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def _closed(folder: Path):
    """Nothing below `folder` can be written, not even by root."""
    if os.geteuid() != 0:
        before = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        try:
            for path, mode in before.items():
                path.chmod(mode & ~0o222)
            yield
        finally:
            for path, mode in before.items():
                path.chmod(mode)
        return
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    return os.geteuid() == 0 and subprocess.run(["mount", "--fake", "-t", "tmpfs", "tmpfs", "/mnt"]).returncode == 0


def _holders(trial: Trial, running) -> set[int]:
    """The processes that work on runs, once there are any."""
    deadline = time.monotonic() + trial.patience
    while time.monotonic() < deadline:
        found = set()
        for path in (*trial.out.rglob("lock.json"), *trial.out.rglob(".*.lock.json")):
            if ".tmp." in path.name:  # not there yet
                continue
            with contextlib.suppress(OSError, ValueError):
                found.add(json.loads(path.read_text())["process"])
        if found:
            return found
        if running.wait(0.002) is not None:
            break
    raise WrongError("nobody holds a run")


def _alive(process: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
