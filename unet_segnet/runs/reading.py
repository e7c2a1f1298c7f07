"""Reads and checks the folder of a run that ended: the one way back from files to numbers."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.locks import HeldError
from unet_segnet.output.records import read_json
from unet_segnet.runs.folder import AGAIN, FORMAT, RunFolder, dtype_in, read_arrays

ENDS = ("finished", "diverged")


@dataclass(frozen=True)
class RunKind:
    """What the runs of one study have in their folders.

    Attributes:
        studies: values of "study" in config.json, which are the names of the folders below the output folder.
        depth: folders between that of the study and that of a run, both left out.
        history, counts: arrays of history.npz and counts.npz.
        needed: those of counts.npz that tables are made from; None: all.
        further, optional: file -> arrays, of further .npz files; the optional ones are missing in some runs.
        check: called with settings, result and the needed counts of a run that finished; raises ValueError for what
            no run of this kind has.
    """

    studies: tuple[str, ...]
    history: tuple[str, ...]
    counts: tuple[str, ...]
    depth: int = 1
    needed: tuple[str, ...] | None = None
    further: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: Callable[[dict, dict, Mapping[str, np.ndarray]], None] = lambda config, result, counts: None

    def folders(self, out: Path) -> list[Path]:
        """The folders of all runs of this kind that ended, below an output folder, sorted.

        Raises:
            InputError: the folder cannot be read.
        """
        pattern = "/".join(["*"] * (self.depth + 1) + ["result.json"])
        try:
            return sorted(
                result.parent
                for study in self.studies
                for result in (Path(out) / study).glob(pattern)
                if not result.parent.name.startswith(".")
            )
        except OSError as error:  # such as a name that is too long
            raise InputError(f"{out}: cannot be read ({error.strerror}); give another folder") from error


@dataclass(frozen=True)
class Run:
    """A run that ended.

    Attributes:
        folder: where its files are.
        config: what determined it (config.json).
        result: how it came about (result.json).
        counts: arrays by name; None where it diverged.
    """

    folder: Path
    config: dict
    result: dict
    counts: Mapping[str, np.ndarray] | None

    @property
    def place(self) -> str:
        """Group and name, for texts: runs of two networks have the same folder names."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def dtype(self) -> str | None:
        """The data type of its layers, where that is known."""
        return dtype_in(self.config)

    @property
    def weights(self) -> Path | None:
        """The trained network, where it was kept."""
        path = self.folder / "model.keras"
        return path if path.is_file() else None

    def history(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Arrays of history.npz.

        Raises:
            InputError: one is not there.
        """
        return read_arrays(self.folder / "history.npz", names)


def read_run(folder: Path, kind: RunKind) -> Run:
    """A run that ended.

    Raises:
        InputError: one of its files is missing, damaged, of another version or kind, or they contradict each other.
    """
    folder = Path(folder)
    config, result = read_json(folder / "config.json", AGAIN), read_json(folder / "result.json", AGAIN)
    for file, content, check in (("config.json", config, check_config), ("result.json", result, check_result)):
        try:
            check(content)
        except ValueError as error:
            raise InputError(f"{folder / file}: {error}; {AGAIN}") from error
    if config.get("study") not in kind.studies:
        raise InputError(
            f"{folder / 'config.json'}: is no run of {' or '.join(kind.studies)} (study {config.get('study')!r}); "
            "give the folder of one"
        )
    if result["status"] != "finished":
        return Run(folder, config, result, None)
    counts = read_arrays(folder / "counts.npz", kind.needed or kind.counts)
    try:
        kind.check(config, result, counts)
    except (KeyError, ValueError) as error:
        raise InputError(f"{folder}: config.json and counts.npz do not belong together ({error}); {AGAIN}") from error
    return Run(folder, config, result, counts)


def check_config(config: dict) -> None:
    """Whether settings are of this version.

    Raises:
        ValueError: they are not.
    """
    if config.get("format") != FORMAT:
        raise ValueError(f"written by another version (format {config.get('format')!r}, expected {FORMAT})")


def check_result(result: dict) -> None:
    """Whether a result says how its run ended, and how long it took as a number.

    Raises:
        ValueError: it does not.
    """
    if result.get("status") not in ENDS:
        raise ValueError("does not say how the run ended")
    seconds = result.get("training_seconds", 1.0)
    if not (type(seconds) in (int, float) and 0 < seconds < 1e12):
        raise ValueError(f"training_seconds is no time ({seconds!r:.40})")


def check_finished(folders: list[RunFolder], kind: RunKind) -> list[str]:
    """Look at all files of runs that ended, and remove what a killed process left beside them.

    Arguments:
        folders: of these runs.
        kind: of all of them.

    Returns:
        The folders of those that have no network (model.keras), as runs that came in an archive may.

    Raises:
        InputError: a file is missing, damaged, or of another version.
    """
    without = []
    for folder in folders:
        finished = check_arrays(folder.path, kind)
        _check_network(folder.model)
        _remove_left_over(folder)
        if finished and not folder.model.exists():
            without.append(str(folder.path))
    return without


def check_arrays(folder: Path, kind: RunKind) -> bool:
    """Read all arrays of a run that ended; returns whether it finished, which one that diverged did not.

    Raises:
        InputError: a file is missing, damaged, or of another version.
    """
    finished = read_run(folder, kind).counts is not None
    read_arrays(folder / "history.npz", kind.history)
    if finished:
        there = {file: names for file, names in kind.optional.items() if (folder / file).exists()}
        for file, names in {"counts.npz": kind.counts, **kind.further, **there}.items():
            read_arrays(folder / file, names)
    return finished


def _check_network(path: Path) -> None:
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a damaged archive raises many kinds
        raise InputError(f"{path}: is damaged ({one_line(error)}); {AGAIN}") from error
    if damaged:
        raise InputError(f"{path}: is damaged ({damaged} in it); {AGAIN}")


def _remove_left_over(folder: RunFolder) -> None:
    if not folder.left_over():
        return
    try:
        with folder.lock():
            folder.remove_state()
    except (HeldError, OSError, InputError):  # it does no harm there
        return
