"""How long trainings will take: measured on finished runs of this machine, or on a few steps; none is typed in."""

import math
import os
import statistics
from dataclasses import dataclass

from unet_segnet.runs.reading import Run


@dataclass(frozen=True)
class Machine:
    """What a measured time holds for.

    Attributes:
        device: as `unet_segnet.runs.provenance.device_name` calls it.
        backend: of Keras.
        threads: of one training.
        dtype: of the layers.
        size: height and width of a slice, pixels.
    """

    device: str
    backend: str
    threads: int
    dtype: str
    size: int


def this_machine(options) -> Machine:
    """The machine as the trainings of this command will find it."""
    import keras

    from unet_segnet.runs.provenance import device_name

    threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count() or 1
    return Machine(device_name(), keras.config.backend(), threads, options.dtype, options.size)


def duration(seconds: float) -> str:
    """Seconds for the eye: "35 s", "12 min", "3 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def epoch_times(run: Run) -> tuple[float, int, int]:
    """Seconds of an epoch of a finished run, the slices it trained on in one, and the number of epochs.

    Raises:
        InputError, KeyError, TypeError, ValueError: its files do not tell.
    """
    seconds = run.history(("epoch_seconds",))["epoch_seconds"].tolist()
    batch_size = run.config["recipe"]["batch_size"]
    trained = len(run.config["split"]["train"]) // batch_size * batch_size
    per_epoch = statistics.fmean(seconds[1:] or seconds)  # the first holds the compilation
    if not (0 < per_epoch < math.inf and trained):
        raise ValueError("no time of an epoch")
    return per_epoch, trained, len(seconds)
