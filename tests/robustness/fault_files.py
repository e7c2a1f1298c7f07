"""Files of run folders that are missing, empty, cut, or of another version."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
from fault_commands import files_below
from fault_trials import SAID, SAME, Trial, WrongError

OF_A_RUN = ("config.json", "history.npz", "counts.npz", "model.keras", "result.json")
OF_A_REPORTED_RUN = ("config.json", "history.npz", "counts.npz", "result.json")
OF_A_STATE = ("config.json", "state.weights.h5", "state.history.npz", "lock.json")
OF_A_SCAN = ("labels.nii.gz", "severity.json", "slices.csv", "overview.png", "index.html", "settings.json")


def another_version(path: Path) -> None:
    """Make a file what another version of the project might have written."""
    content = path.read_bytes()
    if path.suffix == ".json":
        found = {"format": 0, "version": 2} if path.name == "result.json" else {**json.loads(content), "format": 0}
        path.write_text(json.dumps(found))
    elif path.suffix == ".npz":
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            renamed = {f"{name}_2": arrays[name] for name in arrays.files}
        np.savez(path, **renamed)
    elif path.suffix == ".keras":
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b'"Conv2D"', b'"Conv2D2"'))
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            file["layers/of_another_network"] = np.zeros(3)
    else:
        path.write_bytes(content[:-1] + b"?")


DAMAGES = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "of another version": another_version,
}


def damaged_run(trial: Trial, file: str, damage: str) -> list[str]:
    """One file of the first finished run is damaged; where a line says to remove a folder, that is done."""
    below = trial.home / "runs" if trial.name == "report" else trial.out
    path = sorted(below.rglob(file))[0]
    DAMAGES[damage](path)
    if (file, damage) == ("model.keras", "missing"):  # runs come without it in archives
        return [_without_network(trial, path)]
    return [_next_start(trial, below, path)]


def damaged_state(trial: Trial, file: str, damage: str) -> list[str]:
    """One file of an unfinished run is damaged."""
    running = trial.start()
    while not (found := sorted(trial.out.rglob("state.weights.h5"))):
        if running.wait(0.001) is not None:
            raise WrongError("there was no state")
    running.kill()
    path = found[0].parent / file
    if not path.exists() or (found[0].parent / "result.json").exists():
        return []
    DAMAGES[damage](path)
    return [_next_start(trial, path.parent, path)]  # other runs go on


def _without_network(trial: Trial, path: Path) -> str:
    before = trial.finished()
    ended = trial.start().wait(trial.patience)
    if ended is None or ended.status != 0 or "without the network (model.keras)" not in " ".join(ended.out.split()):
        raise WrongError(f"does not say that the network is not there: {ended}")
    trial.check_kept(before)
    trial.check_same(but=path)
    return "went on to the same result and said what is missing"


def _next_start(trial: Trial, below: Path, path: Path) -> str:
    before = _contents(below)
    ended = trial.start().wait(trial.patience)
    said = trial.judge(ended, trial.finished() if trial.name == "report" else {})
    if said == SAME:
        return SAME
    if str(path.parent.relative_to(trial.home)) not in said:
        raise WrongError(f"does not name the run: {said}")
    if (after := _contents(below)) != before:
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise WrongError(f"said {said!r}, but changed {', '.join(changed)}")
    trial.go_on(_follow(said, path))
    return SAID


def _contents(folder: Path) -> dict[str, str]:
    return {name: digest for name, (digest, _) in files_below(folder).items()}


def _follow(advice: str, path: Path) -> tuple[str, ...]:
    """Do what the line says; returns what is to be added to the command."""
    if re.search("remove (the|that|the run's|its) folder", advice):
        shutil.rmtree(path.parent)
    elif "remove it and its history" in advice:
        for state in path.parent.glob("state.*"):
            state.unlink()
    elif "--force to throw that run away" in advice:
        return ("--force",)
    else:
        raise WrongError(f"does not say what to do: {advice}")
    return ()
