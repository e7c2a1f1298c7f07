"""One training = one folder. See `RunFolder` for its files."""

import json
from collections.abc import Callable
from pathlib import Path

from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError, one_line
from unet_segnet.output.files import read_small, weights_sha256
from unet_segnet.output.locks import alone
from unet_segnet.output.records import write_json

FORMAT = 1


ENDS = ("finished", "diverged")


AGAIN = "remove the run's folder to train it again"


PARTS = ("train", "validation", "test")


class RunFolder:
    """The files of one run. Everything is written to a temporary file first and moved into place.

    Arguments:
        out: folder of all runs.
        spec: `RunSpec`, or another study's with a `group` and a `name`.
    """

    def __init__(self, out: Path, spec):
        self.path = Path(out) / spec.group / spec.name
        self.config, self.result = self.path / "config.json", self.path / "result.json"
        self.history, self.counts = self.path / "history.npz", self.path / "counts.npz"
        self.model, self.state = self.path / "model.keras", self.path / "state"
        self.first_layer = self.path / "first_layer.npz"  # of the second study

    @property
    def finished(self) -> bool:
        """Whether the run ended; it may have diverged."""
        return self.result.exists()

    def check(self, config: dict, force: bool) -> None:
        """Hold the folder's configuration against the one asked for.

        Raises:
            InputError: the folder belongs to a run with other settings, and `force` is not given.
        """
        if not self.config.exists() or force:
            return
        found = read_json(self.config)
        different = sorted(_differences(found, json.loads(json.dumps(config))))
        if different:
            raise InputError(
                f"{self.config}: this folder holds a run with other settings ({', '.join(different)}); "
                "give another folder with --out, or --force to throw that run away"
            )

    def dtype(self) -> str | None:
        """The data type in which the run was begun; None where there is none, or its settings cannot be read."""
        try:
            return dtype_in(read_json(self.config))
        except InputError:
            return None

    def epochs_done(self) -> int:
        """Epochs that the saved state of an unfinished run holds; 0 where there is none, or none that can be read."""
        try:
            return len(read_arrays(self.state.with_suffix(".history.npz"), ("epoch_seconds",))["epoch_seconds"])
        except (InputError, TypeError):
            return 0

    def lock(self):
        """A context in which this process alone works on the run.

        Raises:
            HeldError: another process does, on entering.
            InputError: the folder cannot be written.
            OSError: the disk is full.
        """
        return alone(self.path, self.path / "lock")

    def complete(self, config: dict, train: Callable[[], None], force: bool = False) -> Path:
        """Train a run, or go on with it, or leave it alone if it is finished.

        Arguments:
            config: everything that determines it.
            train: called alone in the folder; goes on from `state` where there is one and writes the result.
            force: throw a finished or different run away.

        Returns:
            The run's folder.

        Raises:
            InputError: the folder holds a run with other settings.
            HeldError: another process works on it.
        """
        self.check(config, force)
        if self.finished and not force:
            return self.path
        with self.lock():
            self.check(config, force)  # again: another process may have been here meanwhile
            if self.finished and not force:
                return self.path
            if force or not self.config.exists():  # without it, nobody knows what a state belongs to
                self.clear()
            write_json(self.config, config)
            train()
        return self.path

    def clear(self) -> None:
        """Remove what an earlier run left; the result first, so that half a removal is an unfinished run."""
        for path in (self.result, self.config, self.history, self.counts, self.model, self.first_layer):
            path.unlink(missing_ok=True)
        self.remove_state()

    def remove_state(self) -> None:
        """Remove what only an unfinished run needs, and what a killed one left half written."""
        for path in self.left_over():
            path.unlink(missing_ok=True)

    def left_over(self) -> list[Path]:
        """The files of which `remove_state` tells."""
        return [*self.path.glob("state.*"), *self.path.glob("*.tmp*")]


def dtype_in(config: dict) -> str | None:
    """The data type that a run's settings name; None where they name none that there is."""
    recipe = config.get("recipe")
    dtype = recipe.get("dtype") if isinstance(recipe, dict) else None
    return dtype if dtype in DTYPES else None


def _differences(found, wanted, prefix=""):
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            yield from _differences(found.get(key), wanted.get(key), f"{prefix}{key}.")
    elif found != wanted:
        yield f"{prefix.rstrip('.')}: {_short(found)} there, {_short(wanted)} asked for"


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."


def read_json(path: Path) -> dict:
    """Read one of a run folder's JSON files.

    Raises:
        InputError: it is missing, damaged, or not an object.
    """
    try:
        content = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {AGAIN}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings; {AGAIN}")
    return content


def read_config(folder: Path) -> dict:
    """The settings of a run.

    Raises:
        InputError: the file is missing, damaged, or of another version.
    """
    path = folder / "config.json"
    config = read_json(path)
    if config.get("format") != FORMAT:
        found = config.get("format")
        raise InputError(f"{path}: written by another version (format {found}, expected {FORMAT}); {AGAIN}")
    return config


def read_result(folder: Path) -> dict:
    """The result of a run that ended; its "status" is "finished" or "diverged".

    Raises:
        InputError: the file is missing or damaged, or does not say how the run ended, or how long it took as a number.
    """
    path = folder / "result.json"
    result = read_json(path)
    if result.get("status") not in ENDS:
        raise InputError(f"{path}: does not say how the run ended; {AGAIN}")
    seconds = result.get("training_seconds", 1.0)
    if not is_time(seconds):
        raise InputError(f"{path}: training_seconds is no time ({seconds!r:.40}); {AGAIN}")
    return result


def is_time(seconds) -> bool:
    """Can it be how long a training took?"""
    return type(seconds) in (int, float) and 0 < seconds < 1e12


def read_arrays(path: Path, names: tuple[str, ...]) -> dict:
    """Read named arrays of an .npz file.

    Raises:
        InputError: it is missing, damaged, or lacks one of them.
    """
    from unet_segnet.output.npz import read_npz

    try:
        return read_npz(path, names)
    except Exception as error:  # a damaged .npz raises a dozen kinds
        reason = one_line(error)
        raise InputError(f"{path}: cannot be read ({reason}); {AGAIN}") from error


def weights_by_content(source: str | None) -> dict:
    """What a run's settings say of the file that its encoder started from: the name and the SHA-256, not the path.

    Arguments:
        source: None, "imagenet" (one file, which Keras knows by its checksum) or a file.

    Raises:
        InputError: the file cannot be read.
    """
    if source in (None, "imagenet"):
        return {"encoder_weights": source}
    return {"encoder_weights": Path(source).name, "encoder_weights_sha256": weights_sha256(source)}
