"""One training = one folder, whatever trained it.

    config.json    everything that determines the run
    history.npz    what was watched while it trained, by iteration or by epoch
    history.csv    the same by epoch, for other programs
    counts.npz     a confusion matrix per test and validation slice, the truth in rows
    model.keras    the trained network
    result.json    how it came about (versions, device, time); its presence means that the run ended; of one that was
                   gone on with, "sessions" tells all parts, everything else the last one
    state.*        the state of an unfinished run, removed at the end
    training.png   of one that takes a while: its curves, drawn while it trains

A kind of run may have further .npz files (`unet_segnet.runs.reading.RunKind`). A run that diverged has a history and a
result that says so.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from unet_segnet.devices import DTYPES
from unet_segnet.errors import DivergedError, InputError, one_line
from unet_segnet.output.files import weights_sha256
from unet_segnet.output.locks import alone
from unet_segnet.output.records import read_json, write_arrays, write_json
from unet_segnet.runs.history import history_table
from unet_segnet.training import PICTURE

FORMAT = 1
SESSION = ("command", "commit", "device", "versions")
AGAIN = "remove the run's folder to train it again"


class Spec(Protocol):
    """What distinguishes one training from another of its kind.

    Attributes:
        group: folder of the runs that belong together, below the output folder.
        name: of the run's own folder in it.
    """

    group: Path
    name: str


@dataclass
class Trained:
    """What a training leaves behind.

    Attributes:
        model: the `keras.Model`.
        history: arrays by name.
        counts: arrays by name.
        summary: for result.json, beside where it was computed.
        facts: what the network's own file says of it (`unet_segnet.networks.facts`), or None.
        further: arrays by name, by the stem of a further .npz file.
    """

    model: object
    history: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]
    summary: dict
    facts: dict | None = None
    further: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


class RunFolder:
    """The files of one run. Everything is written to a temporary file first and moved into place.

    Arguments:
        out: folder of all runs.
        spec: `Spec` of the run.
        tensorboard: folder for what TensorBoard shows of all runs, or None.
    """

    def __init__(self, out: Path, spec: Spec, tensorboard: Path | None = None):
        self.path = Path(out) / spec.group / spec.name
        self.config, self.result = self.path / "config.json", self.path / "result.json"
        self.history, self.counts = self.path / "history.npz", self.path / "counts.npz"
        self.model, self.state = self.path / "model.keras", self.path / "state"
        self.sessions = self.path / "state.sessions.json"
        self.tensorboard = None if tensorboard is None else Path(tensorboard) / spec.group / spec.name

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
        found = read_json(self.config, AGAIN)
        different = sorted(_differences(found, json.loads(json.dumps(config))))
        if different:
            raise InputError(
                f"{self.config}: this folder holds a run with other settings ({', '.join(different)}); "
                "give another folder with `out`, or `force` to throw that run away"
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

    def callbacks(self) -> list:
        """Keras' callbacks that follow the training: for TensorBoard, where that is asked for."""
        if self.tensorboard is None:
            return []
        import keras

        return [keras.callbacks.TensorBoard(self.tensorboard, write_graph=False)]

    def lock(self):
        """A context in which this process alone works on the run.

        Raises:
            HeldError: another process does, on entering.
            InputError: the folder cannot be written.
            OSError: the disk is full.
        """
        return alone(self.path, self.path / "lock")

    def complete(self, config: dict, train: Callable[[], Trained], force: bool = False) -> Path:
        """Train a run, or go on with it, or leave it alone if it is finished.

        Arguments:
            config: everything that determines it.
            train: called alone in the folder; goes on from `state` where there is one.
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
            self._carry_out(train)
        return self.path

    def _carry_out(self, train: Callable[[], Trained]) -> None:
        """Train and write what came out; the result last, for its presence means that all else is there."""
        import keras

        from unet_segnet.networks.save import save_network
        from unet_segnet.runs.provenance import begin, provenance

        started = begin()
        now = provenance(started)
        sessions = [*self._earlier_sessions(), {key: now[key] for key in SESSION}]
        before = self.sessions.read_bytes() if self.sessions.exists() else None
        write_json(self.sessions, {"sessions": sessions})
        told = {"sessions": sessions} if len(sessions) > 1 else {}
        try:
            trained = train()
        except DivergedError as error:
            self._write_history(error.history, error.epoch)
            write_json(self.result, {"status": "diverged", "epoch": error.epoch, **provenance(started), **told})
        except InputError:  # such as a state that cannot be read: this was no session
            self.sessions.unlink()
            if before is not None:
                self.sessions.write_bytes(before)
            raise
        else:
            save_network(trained.model, self.model, trained.facts)
            self._write_history(trained.history, len(trained.history["epoch_seconds"]))
            write_arrays(self.counts, trained.counts)
            for stem, arrays in trained.further.items():
                write_arrays(self.path / f"{stem}.npz", arrays)
            write_json(self.result, {"status": "finished", **trained.summary, **provenance(started), **told})
        self.remove_state()
        keras.utils.clear_session(free_memory=True)

    def _earlier_sessions(self) -> list[dict]:
        """Where and with what the epochs that are there already were trained; of the result it is the last part."""
        if not self.epochs_done():
            return []
        try:
            sessions = read_json(self.sessions).get("sessions")
        except InputError:
            sessions = None
        # Of an earlier version, or damaged: known is that there was one.
        return sessions if isinstance(sessions, list) else [dict.fromkeys(SESSION)]

    def _write_history(self, history: Mapping[str, np.ndarray], num_epochs: int) -> None:
        write_arrays(self.history, history)
        history_table(history, num_epochs).to_csv(self.history.with_suffix(".csv"))

    def clear(self) -> None:
        """Remove what an earlier run left; the result first, so that half a removal is an unfinished run."""

        table, picture = self.history.with_suffix(".csv"), self.path / PICTURE
        for path in (self.result, self.config, self.model, table, picture, *self.path.glob("*.npz"), *self._events()):
            path.unlink(missing_ok=True)
        self.remove_state()

    def remove_state(self) -> None:
        """Remove what only an unfinished run needs, and what a killed one left half written."""
        for path in self.left_over():
            path.unlink(missing_ok=True)

    def _events(self) -> list[Path]:
        """What was written for TensorBoard."""
        return [] if self.tensorboard is None else [*self.tensorboard.glob("*/events.out.tfevents.*")]

    def left_over(self) -> list[Path]:
        """The files of which `remove_state` tells."""
        return [*self.path.glob("state.*"), *self.path.glob("*.tmp*")]


def dtype_in(config: dict) -> str | None:
    """The data type that a run's settings name; None where they name none that there is."""
    recipe = config.get("recipe")
    dtype = recipe.get("dtype") if isinstance(recipe, dict) else None
    return dtype if dtype in DTYPES else None


def weights_by_content(source: str | None) -> dict:
    """What a run's settings say of the file that its encoder started from: the name and the SHA-256, not the path.

    Arguments:
        source: None, "imagenet" or a file. "imagenet" is told by its name: for the first study's networks it is one
            file, which Keras knows by its checksum; of other encoders add `imagenet_sha256`.

    Raises:
        InputError: the file cannot be read.
    """
    if source in (None, "imagenet"):
        return {"encoder_weights": source}
    return {"encoder_weights": Path(source).name, "encoder_weights_sha256": weights_sha256(source)}


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read named arrays of a run's .npz file.

    Raises:
        InputError: it is missing, damaged, or lacks one of them.
    """
    from unet_segnet.output.npz import read_npz

    try:
        return read_npz(path, names)
    except Exception as error:  # a damaged .npz raises a dozen kinds
        raise InputError(f"{path}: cannot be read ({one_line(error)}); {AGAIN}") from error


def _differences(found, wanted, prefix="") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            yield from _differences(found.get(key), wanted.get(key), f"{prefix}{key}.")
    elif found != wanted:
        yield f"{prefix.rstrip('.')}: {_short(found)} there, {_short(wanted)} asked for"


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."
