"""Claims about training itself: mini-batches and time."""

from __future__ import annotations

import math
import statistics
from itertools import groupby

import numpy as np

from experiments.reporting.judgement import (
    DOES_NOT,
    REPLICATES,
    UNDECIDED,
    Judgement,
    Outcome,
    how_many,
)
from experiments.saood2021 import published
from experiments.saood2021.article import accelerator_speed_ups, step_milliseconds
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.selection import released_accuracies
from experiments.saood2021.tables.trainings import accuracy_matrix
from experiments.saood2021.verdicts.outcomes import across_variants
from unet_segnet.models.registry import NETWORKS
from unet_segnet.runs.folder import read_arrays

ENOUGH = 6  # comparisons of two mini-batches at one learning rate: a grid of both networks
VALIDATIONS = 10  # averaged, as a single one is noisy
ALIKE = 1.25  # training times that differ by less count as alike


def larger_batches_hurt(evidence: Evidence) -> Judgement:
    """Smallest against largest mini-batch at each learning rate: after equal epochs, and after equal updates.

    The claim holds where the largest is worse both ways, fails where it is not worse after equal epochs; where it
    is worse after equal epochs alone, the number of updates may be the reason. Own trainings judge where enough ran.
    """
    epochs, updates = _published_by_epochs(), _released_by_updates()
    text = (
        f"As printed and released, the largest mini-batch has the lower test accuracy in {_of(epochs)} pairs of equal "
        f"learning rate and epochs; but it then has {_released_updates()}. After equal updates the released validation "
        f"loss of the largest is the higher in {_of(updates)} (after more passes and at a lower "
        f"learning rate)."
    )
    own_epochs, own_updates = _own_by_epochs(evidence), _own_by_updates(evidence)
    if own_epochs:
        text += f" Own trainings: {_of(own_epochs)} after equal epochs"
        text += f", {_of(own_updates)} after equal updates." if own_updates else "."
    if len(own_epochs) >= ENOUGH:
        epochs, updates = own_epochs, own_updates
    if np.mean(epochs) <= 0.5:
        return Judgement(DOES_NOT, text)
    if len(updates) >= ENOUGH and np.mean(updates) >= 2 / 3:
        return Judgement(REPLICATES, text)
    return Judgement(
        UNDECIDED,
        text,
        "Trainings with equal numbers of updates and equal decay per update, such as mini-batch 12 for 480 epochs "
        "beside 4 for 160: mini-batch and updates never vary apart in this protocol.",
    )


def training_minutes(evidence: Evidence) -> Judgement:
    """Cannot be decided: the time of another machine."""
    minutes = [seconds / 60 for seconds in _seconds(evidence.runs)]
    text = "The authors released no times."
    if minutes:
        devices = sorted({_device(run) for run in evidence.runs if _seconds([run])})
        text += (
            f" Own trainings took {statistics.mean(minutes):.0f} minutes on average, {min(minutes):.0f} to "
            f"{max(minutes):.0f} (n={len(minutes)}; {'; '.join(devices)})."
        )
    return Judgement(
        UNDECIDED,
        text,
        f"Their machine and MATLAB R2020a; stated are {stated('training_minutes'):.0f} minutes for "
        f"{stated('epochs'):.0f} epochs on a GTX 1050 Ti.",
    )


def training_time_alike(evidence: Evidence) -> Judgement:
    """Holds where both networks, trained on one device, take times within a quarter of each other on average.

    Trainings without oneDNN's kernels, such as replays in float32, are compared with their like.
    """

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        runs = [run for run in evidence.runs if run.counts.variant == variant and _seconds([run])]
        texts, ratios = [], []
        for device, on_device in groupby(sorted(runs, key=_conditions), key=_conditions):
            seconds: dict[str, list[float]] = {}
            for run in on_device:
                seconds.setdefault(run.counts.net, []).extend(_seconds([run]))
            if len(seconds) < 2:
                continue
            segnet, unet = (statistics.mean(seconds[net]) / 60 for net in NETS)
            ratios.append(max(segnet, unet) / min(segnet, unet))
            numbers = " and ".join(str(len(seconds[net])) for net in NETS)
            texts.append(f"SegNet {segnet:.0f} and U-Net {unet:.0f} minutes ({numbers} trainings, {device})")
        if not ratios:
            return None
        return Outcome(max(ratios) <= ALIKE, "; ".join(texts))

    step = step_milliseconds()
    beside = (
        f"In the committed bench a training step of the released U-Net takes {step['unet'] / step['segnet']:.1f} times "
        f"that of the released SegNet at mini-batch 4 ({step['unet']:.0f} and {step['segnet']:.0f} ms)."
    )
    return across_variants(
        evidence, judge, "Both networks trained on one machine; theirs for the claim itself.", beside
    )


def gpu_speed_up(evidence: Evidence) -> Judgement:
    """Cannot be decided: the ratio of two other devices.

    Own ratios are told: of steps, where the committed bench has them, and where a training ran both on a processor and
    on an accelerator, by one backend, in one data type and both with or both without oneDNN's kernels.
    """
    seconds: dict[tuple, dict[bool, dict[str, float]]] = {}
    for run in evidence.runs:
        if found := _seconds([run]):
            counts = run.counts
            key = (counts.net, counts.problem, counts.variant, counts.experiment, counts.fold)
            key += (_exact(run), run.result.get("backend"), run.dtype)
            fastest = seconds.setdefault(key, {True: {}, False: {}})[_name(run).endswith(" cores")]
            fastest[_name(run)] = min(found[0], fastest.get(_name(run), math.inf))
    text = "The factor belongs to a GTX 1050 Ti beside an i5-9400F, and the authors released no times."
    for row in accelerator_speed_ups():
        text += (
            f" In the committed bench a training step of {NETWORKS[row['network']].title} ({row['variant']}, "
            f"mini-batch {row['batch']}) is {float(row['ratio']):.0f} times as fast on {row['machine']} as on the "
            "processor beside it."
        )
    for (net, problem, variant, experiment, *_, dtype), by_kind in seconds.items():
        processors, accelerators = by_kind[True], by_kind[False]
        if processors and accelerators:
            processor, accelerator = (min(of, key=of.get) for of in (processors, accelerators))
            text += (
                f" Own {NETWORKS[net].title} {experiment} ({problem}, {variant}, {dtype}): {accelerator} is "
                f"{processors[processor] / accelerators[accelerator]:.1f} times as fast as {processor}."
            )
    return Judgement(UNDECIDED, text, "One training on either device of their machine.")


def _pairs(net: str) -> list[tuple[int, int]]:
    """Configurations of one learning rate with the smallest and the largest mini-batch (Table 2)."""
    settings = published.hyperparameters(net)
    by_rate: dict[float, list[int]] = {}
    for experiment, setting in settings.items():
        by_rate.setdefault(setting.initial_learning_rate, []).append(experiment)
    by_batch = [sorted(group, key=lambda e: settings[e].mini_batch) for group in by_rate.values()]
    return [(group[0], group[-1]) for group in by_batch]


def _published_by_epochs() -> list[bool]:
    """Is the larger one's accuracy lower? Binary from the released slices, four classes as printed."""
    worse = []
    for net in NETS:
        printed = published.global_accuracy(net, "multiclass")
        for small, large in _pairs(net):
            worse.append(bool(released_accuracies(net, large).mean() < released_accuracies(net, small).mean()))
            worse.append(printed[large].mean < printed[small].mean)
    return worse


def _released_by_updates() -> list[bool]:
    worse = []
    for net in NETS:
        for pair in _pairs(net):
            curves = [published.training_curves(net, experiment) for experiment in pair]
            logs = []
            for curve in curves:
                at = np.flatnonzero(~np.isnan(curve["validation_loss"]))
                logs.append((at + 1, curve["validation_loss"][at]))
            worse.append(_worse_after(min(len(curve["training_loss"]) for curve in curves), *logs))
    return worse


def _released_updates() -> str:
    """How many updates the smallest and the largest mini-batch make, by network."""
    told = []
    for net in NETS:
        small, large = _pairs(net)[0]
        lengths = [len(published.training_curves(net, e)["training_loss"]) for e in (large, small)]
        told.append(f"{lengths[0]:,} updates against {lengths[1]:,} ({NETWORKS[net].title})")
    return " and ".join(told)


def _own_by_epochs(evidence: Evidence) -> list[bool]:
    worse = []
    for variant in VARIANTS:
        for problem in PROBLEMS:
            for net in NETS:
                means = {e: a.mean() for e, a in accuracy_matrix(evidence, problem, variant, net).items()}
                worse += [bool(means[b] < means[a]) for a, b in _pairs(net) if a in means and b in means]
    return worse


def _own_by_updates(evidence: Evidence) -> list[bool]:
    """As `_released_by_updates`, of the first training of each configuration."""
    worse = []
    for variant in VARIANTS:
        for problem in PROBLEMS:
            first = {}
            for run in evidence.grid(problem, variant):
                if (run.folder / "history.npz").is_file():
                    first.setdefault((run.counts.net, run.counts.experiment), run)
            for net in NETS:
                for pair in _pairs(net):
                    if all((net, experiment) in first for experiment in pair):
                        keys = ("loss", "validation_iteration", "validation_loss")
                        small, large = (
                            read_arrays(first[net, experiment].folder / "history.npz", keys) for experiment in pair
                        )
                        logs = [(log["validation_iteration"], log["validation_loss"]) for log in (small, large)]
                        worse.append(_worse_after(min(len(small["loss"]), len(large["loss"])), *logs))
    return worse


def _worse_after(updates: int, small, large) -> bool:
    """Is the second log's validation loss the higher one, around an update? Logs: (iterations, losses)."""
    means = []
    for iterations, losses in (small, large):
        known = np.asarray(losses)[(np.asarray(iterations) <= updates) & ~np.isnan(losses)]
        means.append(known[-VALIDATIONS:].mean())
    return bool(means[1] > means[0])


def _of(answers: list[bool]) -> str:
    return f"{sum(answers)} of {how_many(len(answers), 'pair')}".removesuffix(" pairs").removesuffix(" pair")


def _seconds(runs: tuple[FinishedRun, ...] | list[FinishedRun]) -> list[float]:
    return [run.result["training_seconds"] for run in runs if run.result.get("training_seconds")]


def _name(run: FinishedRun) -> str:
    return run.result.get("device", "an unknown device")


def _device(run: FinishedRun) -> str:
    """Device, threads, backend and data type: times on one device with other ones are other times."""
    threads = run.result.get("threads")
    told = (_name(run), threads and how_many(threads, "thread"), run.result.get("backend"), run.dtype)
    return ", ".join(filter(None, told))


def _exact(run: FinishedRun) -> bool:
    """Did it do without oneDNN's kernels? Older results do not say; replays did, but for those in bfloat16."""
    return not run.result.get("onednn", run.counts.stream != "matlab" or run.dtype == "mixed_bfloat16")


def _conditions(run: FinishedRun) -> str:
    return _device(run) + (", without oneDNN" if _exact(run) else "")
