"""What happens where people share folders and disks: each a function of a `Trial`, as in `fault_kinds`.

Two people write into one folder at once, the disk fills up in the middle of a page, and the file of a network is
replaced while it is read.
"""

import io
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from fault_commands import result, weights_of
from fault_kinds import mounted
from fault_trials import SAID, SAME, Ended, Trial, WrongError

BLOCK = 4096  # bytes of a file system in memory
OTHER = {
    "predict": ("--window", "-1000", "300"),
    "look": ("--orientation", "upright"),
}  # what the second person asks for
PAGE = ("index.html", "settings.json")  # what is written last: the page, and what comes after it


def two_people(trial: Trial) -> list[str]:
    """Two people start the same command on one folder at once, with other options; each result is one's, whole."""
    other = OTHER[trial.name]
    more = (*other, "--force") if trial.rng.random() < 0.5 else other
    of_two = (trial.stage.results[trial.name], _undisturbed(trial, "other options", other))
    first = trial.start()
    time.sleep(trial.rng.uniform(0, 0.5) * trial.seconds)
    second = trial.start(more=more)
    ended = [running.wait(trial.patience) for running in (first, second)]
    said = [_said(trial, one) for one in ended]
    _check_whole(trial, of_two)
    return ["each result is one of the two's, whole; who came late is told" if any(said) else "one after the other"]


def full_disk_in_page(trial: Trial) -> list[str]:
    """A disk that is full in the middle of a page; room is made before the next start."""
    done = trial.stage.done(trial.name)
    page = trial.rng.choice(sorted(done.rglob("index.html")))
    before = [path for path in done.rglob("*") if path.is_file() and path.parent < page.parent]
    beside = [path for path in page.parent.iterdir() if path.is_file() and path.name not in PAGE]
    blocks = sum(-(-path.stat().st_size // BLOCK) for path in (*before, *beside)) + 2  # two for the lock
    blocks += max(1, int(trial.rng.uniform(0.1, 0.9) * page.stat().st_size / BLOCK))
    shared = trial.home / "shared"  # a disk is no folder that could be replaced
    shared.mkdir()
    trial.out = shared / "out"
    with mounted(shared, "-t", "tmpfs", "-o", f"size={blocks * BLOCK}", "tmpfs"):
        ended = trial.start(more=("--out", "shared/out")).wait(trial.patience)
        said = trial.judge(ended, {})
        if said == SAME or "No space left" not in said:
            raise WrongError(f"did not meet a full disk: {said}")
        whole = {path.parent.relative_to(trial.out) for path in trial.out.rglob("index.html")}
        if page.parent.relative_to(done) in whole or [path for path in shared.rglob("*.new") if path.exists()]:
            raise WrongError("half a page is left")
        subprocess.run(["mount", "-o", "remount,size=1g", shared], check=True)
        trial.go_on(("--out", "shared/out"))
    return [SAID]


def network_swapped(trial: Trial) -> list[str]:
    """The file of the network is replaced at some moment, at once or piece by piece; each result is one network's."""
    model, other = trial.home / "model.keras", trial.stage.folder / "other.keras"
    if not other.exists():
        _negated(trial.stage.inputs / "model.keras", other)
    of_two = (
        trial.stage.results[trial.name],
        _undisturbed(trial, "other network", (), lambda: shutil.copy(other, model)),
    )
    shutil.copy(trial.stage.inputs / "model.keras", model)
    shutil.rmtree(trial.out, ignore_errors=True)
    running = trial.start()
    time.sleep(trial.rng.uniform(0, 0.8) * trial.seconds)
    if trial.rng.random() < 0.5:
        shutil.copy(other, copy := model.with_suffix(".copy"))
        os.replace(copy, model)
    else:
        content = other.read_bytes()
        with model.open("wb") as stream:
            stream.write(content[: len(content) // 2])
            stream.flush()
            time.sleep(trial.rng.uniform(0, 0.2) * trial.seconds)
            stream.write(content[len(content) // 2 :])
    said = _said(trial, running.wait(trial.patience))
    _check_whole(trial, of_two, all_there=said is None)
    again = _said(trial, trial.start().wait(trial.patience))
    if again is not None and "network" not in again:
        raise WrongError(f"does not say that the network is another: {again}")
    _check_whole(trial, of_two)
    if (replaced := _said(trial, trial.start(more=("--force",)).wait(trial.patience))) is not None:
        raise WrongError(f"does not go on: {replaced}")
    _check_whole(trial, of_two[1:])
    return ["each result is one network's, whole; the next start says which" if again else SAME]


def _undisturbed(trial: Trial, name: str, more: tuple[str, ...], prepare: Callable[[], object] = lambda: None) -> dict:
    """The result of the command with other options or inputs, made once."""
    key = f"{trial.name}, {name}"
    if key not in trial.stage.results:
        prepare()
        ended = trial.start(more=more).wait(trial.patience)
        if ended is None or ended.status != 0:
            raise RuntimeError(f"{key} does not run: {ended}")
        trial.stage.results[key] = result(trial.out)
        shutil.rmtree(trial.out)
    return trial.stage.results[key]


def _said(trial: Trial, ended: Ended | None) -> str | None:
    """What a command said that did not do all; None where it did."""
    if ended is None:
        raise WrongError(f"no end within {trial.patience:.0f} s")
    if "Traceback" in ended.err + ended.out:
        raise WrongError(f"a traceback: {' '.join(ended.err.split())[-600:]}")
    return None if ended.status == 0 else trial.said(ended)


def _check_whole(trial: Trial, results: tuple[dict, ...], all_there: bool = True) -> None:
    """Raises WrongError where what is in a folder is not one of these results as a whole, or something else is there.

    Arguments:
        trial: whose out/ is looked at.
        results: that are right, as `result` gives them.
        all_there: whether no folder may be missing.
    """
    found = result(trial.out) if trial.out.exists() else {}
    folders = {str(Path(name).parent) for of in (found, *results) for name in of}
    for folder in sorted(folders):
        here, *rights = (_of_folder(of, folder) for of in (found, *results))
        if here not in rights and (here or all_there):
            raise WrongError(f"{folder}: neither the one result nor the other: {sorted(here)}")


def _of_folder(found: dict, folder: str) -> dict:
    return {name: digest for name, digest in found.items() if str(Path(name).parent) == folder}


def _negated(model: Path, other: Path) -> None:
    """Write a network with the opposite weights, which labels everything otherwise."""
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, _negated_weights(content) if name == "model.weights.h5" else content)


def _negated_weights(content: bytes) -> bytes:
    import h5py

    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        for name in weights_of(content):
            if not name.endswith("vars/3"):  # a normalisation's variances
                file[name][...] = -file[name][()]
    return stream.getvalue()
