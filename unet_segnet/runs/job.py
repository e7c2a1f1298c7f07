"""One training as the loop and its executors see it: carried out, and how that ended."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.console import MEMORY_ADVICE, Progress, import_keras, out_of_memory
from unet_segnet.output.locks import HeldError
from unet_segnet.runs.folder import RunFolder, Spec, Trained


class Job(Protocol):
    """One training: which, and how. Handed to other processes, so it can be pickled, and so can its data.

    Attributes:
        spec: which.
        recipe: how; has `epochs`.
    """

    spec: Spec
    recipe: object

    def config(self, data) -> dict:
        """Everything that determines the run, ready for JSON."""

    def train(self, data, folder: RunFolder, progress: Callable[[int, str], Progress]) -> Trained:
        """Train and test.

        Arguments:
            data: what all jobs of a command share.
            folder: its `state` is gone on with, and kept after each epoch.
            progress: gives a bar for so many steps of something that is called so.

        Raises:
            DivergedError: the loss is no number any more.
        """


def label(job: Job) -> str:
    """Of a job, for progress."""
    return f"{job.spec.group.name} {job.spec.name}"


def complete(
    job: Job, data, out: Path, force: bool = False, plain: bool = False, tensorboard: Path | None = None
) -> Path:
    """Train a run, or go on with it, or leave it alone if it is finished; returns its folder.

    Arguments:
        job: the training.
        data: what its `config` and `train` take.
        out: folder of all runs.
        force: throw a finished or different run away.
        plain: progress as lines, also on a terminal.
        tensorboard: folder for what TensorBoard shows, or None.

    Raises:
        InputError: the folder holds a run with other settings.
        HeldError: another process works on it.
    """
    import_keras()

    folder, progress = RunFolder(out, job.spec, tensorboard), partial(Progress, plain=plain)
    return folder.complete(job.config(data), lambda: job.train(data, folder, progress), force)


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        kind: "finished"; "held", another process works on it; "failed", this run cannot be trained; "stopped", a
            fault that the next run would meet too, such as a full disk.
        message: one line, empty where it finished.
    """

    kind: str
    message: str = ""


def attempt(job: Job, data, options, plain: bool = False) -> Outcome:
    """Train one run and say how it ended; faults of ours are raised.

    Arguments:
        job: the training.
        data: what it takes.
        options: the command's; `out`, `force` and `tensorboard` are used.
        plain: progress as lines, also on a terminal.
    """
    try:
        complete(job, data, options.out, options.force, plain, options.tensorboard)
    except HeldError as error:
        return Outcome("held", str(error))
    except InputError as error:
        return Outcome("failed", str(error))
    except Exception as error:
        folder = RunFolder(options.out, job.spec).path
        if out_of_memory(error):
            return Outcome("failed", f"{folder}: {MEMORY_ADVICE}")
        if not isinstance(error, OSError):
            raise
        return Outcome("stopped", f"{folder}: {one_line(error)}; make room or mend it and start the same command again")
    return Outcome("finished")
