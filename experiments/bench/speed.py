"""The parts of `experiments.bench` about networks: matrix products, steps and inference, kinds of layers."""

import importlib.util
import statistics
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from experiments.bench.workers import SHORTEST_TURN, Timing, Worker, alternate, of_processes, once
from experiments.saood2021.protocol import NETS
from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError
from unet_segnet.output.console import progress
from unet_segnet.output.tabular import Table

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


def peak(session: Session) -> dict[str, Table]:
    """Matrix products by each library at hand: the most that this machine does."""
    size, device = session.peak_size, session.machine["device"]
    backend = session.machine["provenance"]["backend"]
    rows = []
    for dtype in session.dtypes:
        made = {f"Keras, {backend}": ("keras_networks", {}), "PyTorch": ("torch_networks", {"device": device})}
        if backend == "torch" or not has_torch():
            del made["PyTorch"]
        refused = {}
        with ExitStack() as stack:
            workers = {
                library: stack.enter_context(Worker(library, module, "matrix_product", size=size, dtype=dtype, **more))
                for library, (module, more) in made.items()
            }
            found = alternate(workers, "product", session.options.repeats, f"bench: matrix product {dtype}", 1, refused)
        if not found:
            raise InputError(next(iter(refused.values())))
        session.peaks[dtype] = max(size**3 / timing.median for timing in found.values())
        for library, timing in found.items():
            teraflops = 2 * size**3 / timing.median / 1e12
            rows.append((library, dtype, size, 1000 * timing.median, percent(timing.spread), teraflops))
    title = "Products of two square matrices: the most arithmetic that this machine does."
    columns = ("library", "dtype", "size", "ms", "spread %", "TFLOP/s")
    return {"peak": Table(title, columns, tuple(rows))}


def speed(session: Session, tasks: tuple[str, ...] = TASKS) -> dict[str, Table]:
    """Training steps and inference of each network, ours and PyTorch's by turns.

    Returns:
        "bench", our networks and how many times PyTorch's best they reach; "frameworks", every row that was timed.
    """
    for variant in session.options.variants:
        for net in session.nets:
            measure(session, net, variant, tasks)
    measured = dict.fromkeys([*(setting for _, setting in session.timings), *session.refused])
    settings = [setting for setting in measured if setting.variant]
    return {
        "frameworks": _framework_table(session, settings, tasks),
        "bench": _our_table(session, [setting for setting in settings if setting.way == OURS]),
    }


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


def _framework_table(session, settings, tasks):
    rows, notes = [], [WAY_NOTES[way] for way in WAY_NOTES if any(setting.way == way for setting in settings)]
    for setting in settings:
        row = [setting.net, setting.variant, short(setting.dtype), setting.batch, NAMES[setting.way]]
        for task in TASKS:
            timing = session.timings.get((task, setting))
            row += [1000 * timing.median, percent(timing.spread)] if timing else [None, None]
            if task == "step":
                row.append(timing.first if timing else None)
        row.append(round(session.memory[setting]) if setting in session.memory else None)
        if setting in session.refused:
            row[4] += ": none"
            notes.append(f"{setting}: {session.refused[setting]}.")
        rows.append(tuple(row))
    title = f"Training steps and inference by turns, slices of {session.options.size}x{session.options.size}."
    if len(tasks) == 1:
        title = title.replace("Training steps and inference", {"step": "Training steps"}.get(tasks[0], "Inference"))
    columns = (
        "network", "variant", "dtype", "batch", "run by",
        "step: ms", "step: spread", "step: first s", "inference: ms", "inference: spread", "memory: MiB",
    )  # fmt: skip
    notes.append(
        "spread: largest less smallest, % of the median. first: with tracing, compilation and first use of memory, on "
        "a GPU of all our steps that are executed at once."
    )
    return Table(title, columns, tuple(rows), tuple(dict.fromkeys(notes)))


def _our_table(session, settings):
    rows = []
    for setting in settings:
        step, inference = (session.timings.get((task, setting)) for task in TASKS)
        rows.append(
            (
                setting.net, setting.variant, setting.dtype, setting.batch,
                1000 * step.median if step else None,
                setting.batch / step.median if step else None,
                _of_peak(session, setting, step),
                speed_ratio(session, "step", setting),
                setting.batch / inference.median if inference else None,
                speed_ratio(session, "inference", setting),
                round(session.memory[setting]) if setting in session.memory else None,
                memory_ratio(session, setting),
            )
        )  # fmt: skip
    columns = (
        "network", "variant", "dtype", "batch",
        "training: ms/step", "training: slices/s", "training: peak %", "training: ratio",
        "inference: slices/s", "inference: ratio", "memory: MiB", "memory: ratio",
    )  # fmt: skip
    title = f"Our networks, slices of {session.options.size}x{session.options.size}."
    notes = [
        f"Medians of {session.options.repeats}. A step is network, loss, L2, Adam, dropout and the log of loss and "
        "accuracy, in PyTorch too; no augmentation.",
        "ratio: to PyTorch's fastest row for the network, in any data type, above 1 ours is faster; of memory, to its "
        "least, above 1 ours takes more.",
        "memory: the most that the process held, or on a GPU the most that was used there.",
    ]
    if session.peaks:
        notes.append(
            "peak %: multiply-adds of the convolutions alone, as direct sums, against the fastest matrix product; "
            "above 100 where fewer are done."
        )
    if len(session.dtypes) < len(DTYPES) and not session.machine["bfloat16"]:
        notes.append("This processor has no bfloat16 units; --dtypes measures bfloat16 nevertheless.")
    return Table(title, columns, tuple(rows), tuple(notes))


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


def _of_peak(session, setting, step):
    if step is None or setting.dtype not in session.peaks:
        return None
    work = setting.batch * session.work[setting.net, setting.variant][1]
    return percent(work / step.median / session.peaks[setting.dtype])


def processor(session: Session) -> dict[str, Table]:
    """The same training step on the accelerator and on the processor beside it; the article: "35 times"."""
    title = f"The same training step, slices of {session.options.size}x{session.options.size}."
    columns = (
        "network", "variant", "dtype", "batch", "processor: ms/step", "processor: spread", "accelerator: ms/step",
        "accelerator: spread", "ratio",
    )  # fmt: skip
    if not session.accelerated:
        return {"processor": Table(title, columns, (), ("There is no accelerator to compare the processor with.",))}
    rows, dtype = [], "float32"
    for variant in session.options.variants:
        for net in session.nets:
            settings = [session.setting(net, variant, dtype, way) for way in (PROCESSOR, OURS)]
            with ExitStack() as stack:
                workers = {setting: stack.enter_context(session.worker(setting)) for setting in settings}
                found = alternate(workers, "step", session.options.repeats, f"bench: processor, {net} {variant}")
            measured = [found[setting] for setting in settings]
            times = [number for timing in measured for number in (1000 * timing.median, percent(timing.spread))]
            ratio = measured[0].median / measured[1].median
            rows.append((net, variant, dtype, settings[0].batch, *times, ratio))
    beside = once("the processor", "keras_networks", "machine", environment=NO_ACCELERATOR)["provenance"]
    notes = (
        f"By turns, medians of {session.options.repeats}. Processor: {beside['device']}, {beside['threads']} threads. "
        f"Accelerator: {session.machine['provenance']['device']}, which may multiply float32 in fewer bits.",
    )
    return {"processor": Table(title, columns, tuple(rows), notes)}


def layers(session: Session) -> dict[str, Table]:
    """The share of a training step by kind of layer, of the first variant asked for."""
    title = "Training step by kind of layer: each layer alone, forward and backward."
    kinds = ("convolution", "norm. and ReLU", "pooling", "all else")
    columns = ("network", "variant", "dtype", "batch", "ms/step", *(f"share in %: {kind}" for kind in kinds))
    if session.machine["provenance"]["backend"] != "tensorflow":
        return {"layers": Table(title, columns, (), ("Only under the TensorFlow backend.",))}
    variant, batch = session.options.variants[0], session.paper_batch  # where steps are slow, a smaller mini-batch
    settings = [session.setting(net, variant, dtype, batch=batch) for net in session.nets for dtype in session.dtypes]
    rows = []
    for setting in progress(settings, "bench: layers"):
        alone = Worker(f"{setting} layers", "layers", "layer_kinds", **setting.arguments)
        with session.worker(setting) as whole, alone:
            whole.run("step")
            count = max(round(SHORTEST_TURN / sum(alone.run("pieces").values())), 1)
            turns = [(whole.run("step", count), alone.run("pieces", count)) for _ in range(session.options.repeats)]
        step = statistics.median(seconds for seconds, _ in turns)
        found = [statistics.median(pieces[kind] for _, pieces in turns) for kind in turns[0][1]]
        shares = [percent(seconds / step) for seconds in (*found, step - sum(found))]
        rows.append((setting.net, setting.variant, short(setting.dtype), setting.batch, 1000 * step, *shares))
    notes = (
        "By turns with the whole step. pooling: with unpooling. all else: what the whole step takes beyond the three "
        "(dropout, concatenation, softmax, loss, log, optimiser); below 0 where layers are faster together than alone.",
    )
    return {"layers": Table(title, columns, tuple(rows), notes)}


def short(dtype: str) -> str:
    """A data type as the tables have it."""
    return dtype.removeprefix("mixed_")


def percent(share: float) -> int:
    """A share as the tables have it."""
    return round(100 * share)
