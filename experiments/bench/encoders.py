"""The part of `experiments.bench` about the second study's networks, beside segmentation_models_pytorch."""

from importlib.metadata import version

from experiments.bench.session import (
    NAMES,
    OURS,
    SMP,
    TASKS,
    WAY_NOTES,
    Session,
    measure,
    memory_ratio,
    speed_ratio,
)
from experiments.bench.speed import percent, short
from unet_segnet.output.tabular import Table


def encoders(session: Session) -> dict[str, Table]:
    """Training steps, the first of them, inference and memory of each network, ours and PyTorch's by turns."""
    for net in session.options.networks:
        measure(session, net, None, TASKS, session.options.processes)
    settings = [setting for setting in session.memory if setting.variant is None]
    rows = []
    for setting in settings:
        step, inference = (session.timings.get((task, setting)) for task in TASKS)
        ratios = [None, None, None]
        if setting.way == OURS:
            ratios = [*(speed_ratio(session, task, setting) for task in TASKS), memory_ratio(session, setting)]
        rows.append(
            (
                setting.net, short(setting.dtype), NAMES[setting.way],
                step.first, 1000 * step.median, percent(step.spread), ratios[0],
                1000 * inference.median if inference else None, ratios[1],
                round(session.memory[setting]), ratios[2],
            )
        )  # fmt: skip
    columns = (
        "network", "dtype", "run by", "step: first s", "step: ms", "step: spread", "step: ratio", "inference: ms",
        "inference: ratio", "memory: MiB", "memory: ratio",
    )  # fmt: skip
    size, batch = session.options.size, session.options.encoder_batch
    title = f"The second study's networks, slices of {size}x{size}, mini-batches of {batch}."
    return {"encoders": Table(title, columns, tuple(rows), _notes(session, settings))}


def _medians(options):
    """Of what medians are given."""
    of_turns = f"medians of {options.repeats}"
    return f"in {options.processes} processes each, medians of their {of_turns}" if options.processes > 1 else of_turns


def _notes(session, settings):
    ways = dict.fromkeys(setting.way for setting in settings)
    notes = [
        f"By turns, {_medians(session.options)}. A step is network, soft Dice loss and Adam, in PyTorch too; "
        "no augmentation. spread: largest less smallest, % of the median. Our inference is of the network with its "
        "normalisation folded, as `predict` applies it.",
        *(WAY_NOTES[way] for way in ways if way in WAY_NOTES),
        "first: the first step, with tracing, compilation and first use of memory, on a GPU of all our steps that are "
        "executed at once; building the network is not in it. memory: the most that the process held in training, or "
        "on a GPU the most that was used there.",
    ]
    if len(ways) > 1:
        notes.insert(
            1,
            f"PyTorch: {SMP} {version(SMP)}. ratio: to PyTorch's fastest row for the network, in any data type, above "
            "1 ours is faster; of memory, to its least, above 1 ours takes more.",
        )
    failed = {}
    for setting, reason in session.refused.items():
        if setting.variant is None:
            failed.setdefault(reason, []).append(setting.net)
    return (*notes, *(f"Nothing to compare with: {reason} ({', '.join(nets)})." for reason, nets in failed.items()))
