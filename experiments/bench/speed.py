"""The parts of `experiments.bench` about networks: matrix products, steps and inference, kinds of layers."""

import statistics
from contextlib import ExitStack

from experiments.bench.session import (
    NAMES,
    NO_ACCELERATOR,
    OURS,
    PROCESSOR,
    TASKS,
    WAY_NOTES,
    Session,
    has_torch,
    measure,
    memory_ratio,
    speed_ratio,
)
from experiments.bench.workers import SHORTEST_TURN, Worker, alternate, once
from unet_segnet.devices import DTYPES
from unet_segnet.errors import InputError
from unet_segnet.output.console import progress
from unet_segnet.output.tabular import Table


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
