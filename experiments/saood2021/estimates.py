"""How long the first study's trainings will take, by finished ones of this machine or a few steps."""

import math
import operator
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.saood2021.runs import KIND
from unet_segnet.errors import InputError
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import Job
from unet_segnet.runs.reading import read_run
from unet_segnet.runs.timing import Machine, epoch_times


@dataclass(frozen=True)
class Speed:
    """How fast one training went: seconds per slice of an epoch, and seconds besides the epochs."""

    threads: int
    problem: str
    batch_size: int
    seconds_per_slice: float
    extra_seconds: float


@dataclass(frozen=True)
class Estimate:
    """Seconds that a training will take, and what they were measured on."""

    seconds: float
    source: str


class Estimates:
    """Times of trainings on one machine, from runs and steps that were measured there.

    A run is estimated from finished runs of its own kind, problem and batch size; where there are none, from those of
    its kind by their seconds per slice; else from steps timed by `time_steps`. Of a kind are runs of one network,
    variant, data type, stream and validation schedule: not every run of a command has the machine's data type, for one
    that was begun in another keeps it, and MATLAB's stream is replayed in float32 without oneDNN's kernels, which
    takes twice as long.
    Where the finished runs had more threads than the coming ones will, their times are lengthened in proportion,
    until one has been measured as it will be.
    """

    def __init__(self, machine: Machine):
        self.machine = machine
        self.runs: dict[tuple[str, ...], list[Speed]] = {}  # by kind
        self.steps: dict[tuple[str, ...], Speed] = {}

    def add_finished(self, *outs: Path) -> None:
        """Measure all finished runs below these folders."""
        for out in outs:
            for folder in KIND.folders(out):
                self.add(folder)

    def add(self, folder: Path) -> None:
        """Measure a finished run; one of another machine, or that cannot be read, is passed over."""
        try:
            run = read_run(folder, KIND)
            config, result, recipe = run.config, run.result, run.config["recipe"]
            where = (result["device"], result["backend"], config["data"]["size"])
            if where != (self.machine.device, self.machine.backend, self.machine.size):
                return
            per_epoch, trained, epochs = epoch_times(run)
            # A run that was resumed states the seconds of its last part alone.
            extra = max(result["seconds"] - epochs * per_epoch, 0.0)
            if not (extra < math.inf and type(result["threads"]) is int):
                return
            speed = Speed(result["threads"], config["problem"], recipe["batch_size"], per_epoch / trained, extra)
            kind = config["net"], config["variant"], recipe["dtype"], config["stream"], recipe["validation"]
            self.runs.setdefault(kind, []).append(speed)
        except (InputError, KeyError, TypeError, ValueError):
            return

    def of(self, job: Job, epochs_done: int = 0) -> Estimate | None:
        """How long a training will take from here, or None where nothing was measured that tells."""
        spec, recipe = job.spec, job.recipe
        measured = self.runs.get(_kind(job), [])
        measured = [speed for speed in measured if speed.threads == self.machine.threads] or measured
        alike = [s for s in measured if (s.problem, s.batch_size) == (spec.problem, recipe.batch_size)]
        slices = len(job.split.train) // recipe.batch_size * recipe.batch_size * (recipe.epochs - epochs_done)
        if measured:
            chosen, source = (alike, "runs alike") if alike else (measured, "runs of this network")
            slower = [max(speed.threads / self.machine.threads, 1.0) for speed in chosen]
            per_slice = statistics.fmean(map(operator.mul, slower, (speed.seconds_per_slice for speed in chosen)))
            extra = statistics.fmean(map(operator.mul, slower, (speed.extra_seconds for speed in chosen)))
            return Estimate(extra + slices * per_slice, source)
        if speed := self.steps.get(_kind(job)):
            return Estimate(speed.extra_seconds + slices * speed.seconds_per_slice, "timed steps")
        return None

    def time_steps(self, job: Job, slices, crowd: int = 1) -> None:
        """Time three training steps of a job's network, after two that are not counted, and as much inference.

        Arguments:
            job: gives network, variant, batch size and data type.
            slices: all slices of the job's problem.
            crowd: trainings that will share one device, each of which will be as much slower at the worst.
        """
        import keras

        from unet_segnet.data import median_frequency_weights
        from unet_segnet.models import build_model
        from unet_segnet.training.class_weighted import VALIDATION_FREQUENCY, AugmentedBatches, compile_model
        from unet_segnet.training.compilation import dtype_policy
        from unet_segnet.training.streams import NumpyStream

        began = time.perf_counter()
        spec, recipe = job.spec, job.recipe
        train = slices.subset(job.split.train)
        batch_size = min(recipe.batch_size, len(train))
        with dtype_policy(recipe.dtype):
            model = build_model(
                spec.net,
                variant=spec.variant,
                num_classes=slices.num_classes,
                input_shape=(*slices.images.shape[1:], 1),
            )
        compile_model(model, recipe, median_frequency_weights(slices.labels, slices.num_classes), 1)
        batches = AugmentedBatches(train.images, train.labels, batch_size, NumpyStream(0))
        images = train.images[:batch_size, ..., None]

        def seconds(call):
            for _ in range(2):
                call()
            measured = []
            for _ in range(3):
                start = time.perf_counter()
                call()
                measured.append(time.perf_counter() - start)
            return statistics.median(measured) / batch_size * crowd

        step = seconds(lambda: model.train_on_batch(*batches[0]))
        inference = seconds(lambda: model.predict_on_batch(images))
        # All validation slices are looked at after an epoch, or more often; both parts at the end.
        times = 1 if recipe.validation == "epoch" else len(batches) / VALIDATION_FREQUENCY
        per_slice = step + inference * len(job.split.validation) * times / (len(batches) * batch_size)
        at_the_end = inference * (len(job.split.validation) + len(job.split.test))
        extra = time.perf_counter() - began + at_the_end
        speed = Speed(self.machine.threads, spec.problem, batch_size, per_slice, extra)
        self.steps[_kind(job)] = speed
        keras.utils.clear_session(free_memory=True)


def _kind(job):
    return job.spec.net, job.spec.variant, job.recipe.dtype, job.spec.stream, job.recipe.validation


def time_left(job: Job, estimates: Estimates, out: Path, again: bool = False) -> Estimate | None:
    """The `Estimate` of a training from where its saved state is, or of one `again` from the beginning."""
    done = 0 if again else RunFolder(out, job.spec).epochs_done()
    return estimates.of(job, min(done, job.recipe.epochs))
