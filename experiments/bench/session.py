"""What a call of `experiments.bench` measures, one network after the other by turns, and holds for its tables."""

import importlib.util
import statistics
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from experiments.bench.workers import Timing, Worker, alternate, of_processes
from experiments.saood2021.protocol import NETS
from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError

OURS = "ours"
PROCESSOR = "processor"
NAMES = {OURS: "ours", PROCESSOR: "ours, processor", "eager": "PyTorch", "compile": "compiled", "kept": "kept"}
"""Ways to run a network, as they are called in the tables."""

WAY_NOTES = {
    "compile": "compiled: PyTorch with torch.compile.",
    "kept": "kept: PyTorch where glibc keeps freed memory, as in our training.",
}

TASKS = ("step", "inference")

SMP = "segmentation_models_pytorch"
"""The package whose networks those of the second study are compared with."""

NO_ACCELERATOR = {
    "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu",
}  # fmt: skip
"""With these each backend computes on the processor, whatever else there is."""


@dataclass(frozen=True)
class Setting:
    """A network and how it is run.

    Attributes:
        net, dtype, batch, size: as in the options; of the second study, net is "unet/resnet18" or the like.
        variant: as in the options; None for a network of the second study.
        way: one of `NAMES`.
    """

    net: str
    variant: str | None
    dtype: str
    batch: int
    size: int
    way: str = OURS

    def __str__(self):
        return " ".join(filter(None, (self.net, self.variant, self.dtype, NAMES[self.way])))

    @property
    def arguments(self) -> dict:
        """For a worker."""
        return {name: value for name, value in asdict(self).items() if name != "way"}


class Session:
    """What one call of the command has measured, for the parts that build on others.

    Arguments:
        options: of `bench_parser`.
        machine: the answer of `keras_networks.machine`.

    Attributes:
        timings: a `Timing` by (task, setting).
        memory: peak in MiB by setting.
        work: multiply-adds of a slice, of inference and of a step, by network and variant.
        refused: why PyTorch did not run, by setting.
        peaks: multiply-adds per second of matrix products by data type.
        epoch_factor: seconds of a whole epoch over those of its bare steps; None if not measured.
    """

    def __init__(self, options, machine):
        self.options, self.machine = options, machine
        self.timings, self.memory, self.work, self.refused, self.peaks = {}, {}, {}, {}, {}
        self.epoch_factor = None

    @property
    def nets(self) -> tuple[str, ...]:
        """The networks asked for."""
        return self.options.nets or NETS

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The data types asked for; by default those that the machine has units for."""
        return self.options.dtypes or (DTYPES if self.machine["bfloat16"] else ("float32",))

    @property
    def ways(self) -> tuple[str, ...]:
        """How PyTorch is run: as asked for, by default also compiled on a GPU."""
        return self.options.against or (("eager", "compile") if self.accelerated else ("eager",))

    @property
    def accelerated(self) -> bool:
        """Whether the backend computes on a GPU."""
        return self.machine["device"] != "cpu"

    @property
    def paper_batch(self) -> int:
        """Slices in a mini-batch of the paper's networks."""
        return self.options.paper_batch or (self.options.batch if self.accelerated else 2)

    @property
    def epoch_size(self) -> int:
        """Height and width of the slices of whole epochs."""
        return self.options.epoch_size or (self.options.size if self.accelerated else 96)

    @property
    def peak_size(self) -> int:
        """Rows of the matrices that are multiplied."""
        return self.options.peak_size or (8192 if self.accelerated else 2048)

    def setting(self, net, variant, dtype, way=OURS, **other) -> Setting:
        """A setting with the mini-batch and the size that the options give."""
        batches = {"paper": self.paper_batch, None: self.options.encoder_batch}
        batch = batches.get(variant, self.options.batch)
        return Setting(net, variant, dtype, **{"batch": batch, "size": self.options.size, "way": way} | other)

    def worker(self, setting: Setting, **more) -> Worker:
        """A process that holds the network; `more` are further arguments of the worker's function."""
        if setting.way in (OURS, PROCESSOR):
            hidden = NO_ACCELERATOR if setting.way == PROCESSOR else None
            return Worker(str(setting), "keras_networks", "network", hidden, **setting.arguments, **more)
        torch = {"device": self.machine["device"], "way": setting.way}
        module = "torch_networks" if setting.variant else "torch_encoders"
        return Worker(str(setting), module, "network", **setting.arguments, **torch, **more)

    def step(self, setting: Setting) -> Timing:
        """The timing of a training step, measured now if it has not been."""
        if ("step", setting) not in self.timings:
            with self.worker(setting) as worker:
                found = alternate(
                    {setting: worker}, "step", self.options.repeats, f"bench: {setting}, batch {setting.batch}"
                )
            self.timings["step", setting] = found[setting]
        return self.timings["step", setting]


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def why_no_rival(variant: str | None) -> str | None:
    """What is not installed that a network of this variant would be compared with; None if all is there."""
    if not has_torch():
        return "PyTorch is not installed"
    if variant is None and importlib.util.find_spec(SMP) is None:
        return f"{SMP} is not installed"
    return None


def measure(session: Session, net: str, variant: str | None, tasks: tuple[str, ...], processes: int = 1) -> None:
    """Measure one network by turns, ours and PyTorch's; what was found is in the session.

    Arguments:
        processes: for each setting, one after the other; medians over them count.

    Raises:
        InputError: ours failed.
    """
    missing = why_no_rival(variant)
    ways = (OURS,) if missing else (OURS, *session.ways)
    settings = [session.setting(net, variant, dtype, way) for way in ways for dtype in session.dtypes]
    if missing:
        session.refused[session.setting(net, variant, session.dtypes[0], "eager")] = missing
    timings, memory = defaultdict(list), defaultdict(list)
    for number in range(processes):
        of_several = f"{number + 1}/{processes}" if processes > 1 else None
        with ExitStack() as stack:
            refused = {}
            workers = _begun(session, settings, stack, refused)
            _leave_out(session, workers, refused)
            session.work[net, variant] = workers[settings[0]].run("multiply-adds")
            for task in tasks:
                label = " ".join(filter(None, ("bench:", net, variant, task, of_several)))
                for setting, timing in alternate(workers, task, session.options.repeats, label, 1, refused).items():
                    timings[task, setting].append(timing)
                    if task == tasks[0]:
                        memory[setting].append(workers[setting].run("memory"))
                _leave_out(session, workers, refused)
    session.timings |= {key: of_processes(found) for key, found in timings.items()}
    session.memory |= {setting: statistics.median(found) for setting, found in memory.items()}


def _begun(session, settings, stack, refused):
    """A worker by setting, each begun before the next starts up: none starts up beside another's first step."""
    workers = {}
    for setting in settings:
        workers[setting] = stack.enter_context(session.worker(setting))
        try:
            workers[setting].run("memory")
        except InputError as error:
            refused[setting] = str(error)
    return workers


def _leave_out(session, workers, refused):
    """Go on without those that failed, whose reasons the session is told; not without one of ours."""
    for setting, reason in refused.items():
        if setting.way == OURS:
            raise InputError(reason)
        session.refused[setting] = reason
        workers.pop(setting, None)


def speed_ratio(session: Session, task: str, setting: Setting) -> float | None:
    """How many times as fast as PyTorch's fastest row for the same network this is; None where there is none."""
    rivals = [
        timing.median
        for (timed, rival), timing in session.timings.items()
        if timed == task and _is_rival(rival, setting)
    ]
    if not rivals or (task, setting) not in session.timings:
        return None
    return min(rivals) / session.timings[task, setting].median


def memory_ratio(session: Session, setting: Setting) -> float | None:
    """How many times the memory of PyTorch's most sparing row for the same network this takes; None likewise."""
    rivals = [memory for rival, memory in session.memory.items() if _is_rival(rival, setting)]
    return session.memory[setting] / min(rivals) if rivals and setting in session.memory else None


def _is_rival(other, setting):
    """Whether this is PyTorch with the same network on the same slices, in any data type."""
    return other.way != OURS and all(
        getattr(other, name) == getattr(setting, name) for name in ("net", "variant", "batch", "size")
    )
