"""The parts of `experiments.bench` about whole trainings: epochs, memory over many of them, the whole study."""

import statistics
from collections import Counter
from contextlib import ExitStack

from experiments.bench.session import Session, Setting
from experiments.bench.workers import Worker, alternate, once
from experiments.saood2021.protocol import EPOCHS, PROBLEMS
from unet_segnet.output.tabular import Table

SLICES = {"grid": 72, "kfold": 70}
"""Training slices of a run of each study."""

NUM_VALIDATION = 10

BARE_STEPS = 6


def epoch(session: Session) -> dict[str, Table]:
    """A whole epoch with shuffling, augmentation and validation, against its bare training steps."""
    setting = _small(session)
    num_slices = max(SLICES["grid"], setting.batch)
    num_steps = num_slices // setting.batch
    with ExitStack() as stack:
        workers = {"bare": stack.enter_context(session.worker(setting))}
        for validation in ("epoch", "matlab"):
            more = {"num_slices": num_slices, "num_validation": NUM_VALIDATION, "validation": validation}
            worker = Worker(f"epochs of {setting}", "keras_networks", "epochs", **setting.arguments, **more)
            workers[validation] = stack.enter_context(worker)
        found = alternate(workers, "step", session.options.repeats, "bench: epoch", BARE_STEPS)
    bare = num_steps * found["bare"].median
    session.epoch_factor = found["epoch"].median / bare
    names = {
        "bare": f"{num_steps} bare steps",
        "epoch": "epoch, one validation",
        "matlab": "epoch, MATLAB's schedule",
    }
    rows = []
    for name, timing in found.items():
        times = num_steps if name == "bare" else 1
        seconds = times * timing.median
        row = (names[name], setting.net, setting.variant, setting.dtype, setting.batch, setting.size)
        rows.append((*row, seconds, round(100 * timing.spread), seconds / bare))
    columns = ("what", "network", "variant", "dtype", "batch", "size", "s", "spread %", "ratio")
    notes = (
        f"An epoch shuffles, augments, trains on {num_slices} slices and looks at {NUM_VALIDATION} validation slices, "
        "once at its end or after each ten iterations (MATLAB).",
        f"By turns, {BARE_STEPS} bare steps a turn.",
    )
    return {"epoch": Table("A whole epoch against its bare training steps.", columns, tuple(rows), notes)}


def _small(session):
    """The first network asked for, on slices that make whole epochs affordable."""
    return session.setting(session.nets[0], session.options.variants[0], session.dtypes[0], size=session.epoch_size)


def memory(session: Session) -> dict[str, Table]:
    """Memory and time over a training of many epochs, with some slices and with twice as many."""
    setting, num_epochs = _small(session), session.options.epochs
    rows = []
    for num_slices in (setting.batch, 2 * setting.batch):
        more = {"num_slices": num_slices, "num_epochs": num_epochs}
        found = once(f"memory of {setting}", "keras_networks", "long_run", **setting.arguments, **more)
        held = found["memory"]
        epochs = [after - before for before, after in zip(found["seconds"], found["seconds"][1:], strict=False)]
        half = len(epochs) // 2
        halves = [statistics.mean(epochs[:half]), statistics.mean(epochs[half:])]
        row = (setting.net, setting.variant, setting.batch, setting.size, num_slices, num_epochs)
        rows.append((*row, *halves, *(round(held[at]) for at in (1, len(held) // 2, -1)), round(found["peak"])))
    ratio = (rows[1][6] + rows[1][7]) / (rows[0][6] + rows[0][7])
    columns = (
        "network", "variant", "batch", "size", "slices", "epochs", "s/epoch: 1st half", "s/epoch: 2nd half",
        "MiB after epoch: 2", "MiB after epoch: half", "MiB after epoch: last", "memory: peak",
    )  # fmt: skip
    notes = (
        "One validation slice an epoch; the first epoch, which traces and compiles, is not in the halves.",
        f"Twice the slices take {ratio:.2f} times as long an epoch.",
    )
    return {"memory": Table("Time and memory over a training.", columns, tuple(rows), notes)}


def study_trainings(net: str) -> Counter:
    """The trainings of a network in one variant: how many have (slices in a mini-batch, training steps).

    Both problems: nine configurations of Table 2 on 72 slices, and the best one on five folds.
    """
    from experiments.saood2021.published import BEST_EXPERIMENT, hyperparameters

    settings, found = hyperparameters(net), Counter()
    for problem in PROBLEMS:
        batches = [("grid", setting.mini_batch) for setting in settings.values()]
        batches += 5 * [("kfold", settings[BEST_EXPERIMENT[net, problem]].mini_batch)]
        found.update((batch, EPOCHS * (SLICES[study] // batch)) for study, batch in batches)
    return found


def project(session: Session) -> dict[str, Table]:
    """The time of the study's trainings from measured steps: exact mini-batches on a GPU, by slices on a processor."""
    rows = []
    for variant in session.options.variants:
        for net in session.nets:
            steps = compilation = seconds = trainings = 0
            for (batch, num_steps), times in study_trainings(net).items():
                step, first = _seconds_per_step(session, net, variant, batch)
                trainings += times
                steps += times * num_steps
                compilation += times * (first - step)
                seconds += times * num_steps * step
            training = seconds * (session.epoch_factor or 1.0)
            rows.append((variant, net, trainings, steps, training / steps, training / 3600, compilation / 3600))
    total = [sum(row[i] for row in rows) for i in range(7) if i > 1]
    total[2] = None
    rows.append(("all", "", *total))
    rows = [(*row, row[-1] + row[-2]) for row in rows]
    columns = (
        "variant", "network", "trainings", "steps", "s/step",
        "hours: training", "hours: compilation", "hours: together",
    )  # fmt: skip
    how = (
        "Each mini-batch of Table 2 measured."
        if session.accelerated
        else f"Measured at mini-batches of {session.options.batch} (paper: {session.paper_batch}), others in "
        "proportion to their slices."
    )
    factor = (
        f"Steps count {session.epoch_factor:.2f} times, for augmentation and validation."
        if session.epoch_factor
        else "Bare steps; with --parts epoch,project augmentation and validation are counted."
    )
    title = f"The study's trainings of {EPOCHS} epochs one after the other, extrapolated from measured steps."
    notes = (how, factor, "Measured with two classes; four have the same layers but the last.")
    return {"project": Table(title, columns, tuple(rows), notes)}


def _seconds_per_step(session, net, variant, batch) -> tuple[float, float]:
    """Of a step and of the first one, in the fastest data type."""
    timings = []
    for dtype in session.dtypes:
        setting: Setting = session.setting(net, variant, dtype)
        scale = 1.0
        if session.accelerated:
            setting = session.setting(net, variant, dtype, batch=batch)
        else:
            scale = batch / setting.batch
        timing = session.step(setting)
        timings.append((scale * timing.median, timing.first + (scale - 1) * timing.median))
    return min(timings)
