"""Claims about training itself: mini-batches and time."""

from __future__ import annotations

import math
import statistics
from itertools import groupby

import numpy as np

from experiments.reporting.judgement import (
    RELEASE,
    SIDE_STUDY,
    TABLES,
    TRAINING,
    Judgement,
    decided,
    how_many,
    p_value,
    undecided,
)
from experiments.reporting.rules import LEVEL
from experiments.saood2021 import published
from experiments.saood2021.article import accelerator_speed_ups, step_milliseconds
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, SIDE_SIZE, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.batches import NUM_PAIRS, pairs_of_rates, side_pairs
from experiments.saood2021.tables.selection import released_accuracies
from experiments.saood2021.tables.trainings import accuracy_matrix
from unet_segnet.models.registry import NETWORKS
from unet_segnet.runs.folder import read_arrays

WINDOW = 0.1  # of the updates so far: its validations are averaged, as a single one is noisy
MACHINE = (
    "Their machine, a GTX 1050 Ti beside an i5-9400F, and MATLAB R2020a: a time belongs to what it was measured on."
)

MORE_PAIRS = (
    "More pairs: trainings with equal numbers of updates and an equal decay of the learning rate per update; small "
    "slices allow many: python -m experiments.study --plan experiments/saood2021/side_study.csv."
)


def larger_batches_epochs(evidence: Evidence) -> Judgement:
    """Smallest against largest mini-batch at each learning rate, after equal epochs: holds where worse beyond chance.

    The sign test over pairs, of the article's own runs; own trainings judge where as many pairs ran.
    """
    theirs, ours = _published_by_epochs(), _own_by_epochs(evidence)
    text = (
        f"As printed and released, the largest mini-batch has the lower test accuracy in {_of(theirs)} pairs of equal "
        f"learning rate and epochs ({_sign_text(theirs)}); it then makes {_released_updates()}.{_own_text(ours)}"
    )
    return _by_signs(theirs, ours, f"{text}{_side_text(evidence, 'epochs')}", TABLES)


def larger_batches_updates(evidence: Evidence) -> Judgement:
    """The same after equal updates, by the validation loss: otherwise mini-batch and updates vary together.

    The whole side study goes before both: there, the learning rate falls after as many updates too, and test accuracy
    is known after them. Its size was fixed beforehand; in parts it is told and judges nothing.
    """
    theirs, ours = _released_by_updates(), _own_by_updates(evidence)
    text = (
        f"After equal updates the released validation loss of the largest mini-batch is the higher in {_of(theirs)} "
        f"pairs ({_sign_text(theirs)}); it has then seen each slice more often, at a lower learning rate."
        f"{_own_text(ours)}"
    )
    side = [pair.worse for pair in side_pairs(evidence.side, "updates")]
    text += _side_text(evidence, "updates")
    if len(side) >= NUM_PAIRS:
        return _by_signs(theirs, side, text, RELEASE, SIDE_STUDY, "A larger side study: all that was planned has run.")
    return _by_signs(theirs, ours, text, RELEASE)


def _side_text(evidence: Evidence, equal: str) -> str:
    """What the side study shows at equal "epochs" or "updates"; empty where no pair of it ran."""
    worse = [pair.worse for pair in side_pairs(evidence.side, equal)]
    if not worse:
        return ""
    decay = ", with an equal decay of the learning rate," if equal == "updates" else ""
    return (
        f" Side study ({SIDE_SIZE} pixels, ours): after equal {equal}{decay} the largest mini-batch has the lower test "
        f"accuracy in {_of(worse)} pairs of {NUM_PAIRS} planned ({_sign_text(worse)})."
    )


def _own_text(ours: list[bool]) -> str:
    return f" Own trainings: {_of(ours)} ({_sign_text(ours)})." if ours else ""


def _by_signs(
    theirs: list[bool], ours: list[bool], text: str, basis: str, own_basis: str = TRAINING, decides: str = ""
) -> Judgement:
    """The sign test at the rules' level: own pairs where they are as many and can tell, else the authors'."""
    for worse, rests_on in ((ours, own_basis), (theirs, basis)):
        if len(worse) >= len(theirs) and _sign_test(worse) < LEVEL:
            return decided(np.mean(worse) > 0.5, text, rests_on)
    return undecided(text, decides or MORE_PAIRS, by_training=not decides)


def _sign_test(worse: list[bool]) -> float:
    """Two-sided p of so many pairs of which half are expected."""
    from scipy.stats import binomtest

    return float(binomtest(sum(worse), len(worse)).pvalue)


def _sign_text(worse: list[bool]) -> str:
    return f"sign test, {p_value(_sign_test(worse))}"


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
    return undecided(
        f"{text} Stated are {stated('training_minutes'):.0f} minutes for {stated('epochs'):.0f} epochs.", MACHINE
    )


def training_time_alike(evidence: Evidence) -> Judgement:
    """Cannot be decided: times of another machine. Own times of both networks on one device are told.

    Trainings without oneDNN's kernels, such as replays in float32, stand beside their like.
    """
    texts = []
    for variant in VARIANTS:
        runs = [run for run in evidence.runs if run.counts.variant == variant and _seconds([run])]
        for device, on_device in groupby(sorted(runs, key=_conditions), key=_conditions):
            seconds: dict[str, list[float]] = {}
            for run in on_device:
                seconds.setdefault(run.counts.net, []).extend(_seconds([run]))
            if not set(NETS) <= seconds.keys():
                continue
            segnet, unet = (statistics.mean(seconds[net]) / 60 for net in NETS)
            numbers = " and ".join(str(len(seconds[net])) for net in NETS)
            texts.append(f"{variant}, SegNet {segnet:.0f} and U-Net {unet:.0f} minutes ({numbers} trainings, {device})")
    step = step_milliseconds()
    text = (
        f"In the committed bench a training step of the released U-Net takes {step['unet'] / step['segnet']:.1f} times "
        f"that of the released SegNet at mini-batch 4 ({step['unet']:.0f} and {step['segnet']:.0f} ms)."
    )
    if texts:
        text += f" Own trainings: {'; '.join(texts)}."
    return undecided(text, MACHINE)


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
    return undecided(text, MACHINE)


def _published_by_epochs() -> list[bool]:
    """Is the larger one's accuracy lower? Binary from the released slices, four classes as printed."""
    worse = []
    for net in NETS:
        printed = published.global_accuracy(net, "multiclass")
        for small, large in pairs_of_rates(net):
            worse.append(bool(released_accuracies(net, large).mean() < released_accuracies(net, small).mean()))
            worse.append(printed[large].mean < printed[small].mean)
    return worse


def _released_by_updates() -> list[bool]:
    worse = []
    for net in NETS:
        for pair in pairs_of_rates(net):
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
        small, large = pairs_of_rates(net)[0]
        lengths = [len(published.training_curves(net, e)["training_loss"]) for e in (large, small)]
        told.append(f"{lengths[0]:,} updates against {lengths[1]:,} ({NETWORKS[net].title})")
    return " and ".join(told)


def _own_by_epochs(evidence: Evidence) -> list[bool]:
    worse = []
    for variant in VARIANTS:
        for problem in PROBLEMS:
            for net in NETS:
                means = {e: a.mean() for e, a in accuracy_matrix(evidence, problem, variant, net).items()}
                worse += [bool(means[b] < means[a]) for a, b in pairs_of_rates(net) if a in means and b in means]
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
                for pair in pairs_of_rates(net):
                    if all((net, experiment) in first for experiment in pair):
                        keys = ("loss", "validation_iteration", "validation_loss")
                        small, large = (
                            read_arrays(first[net, experiment].folder / "history.npz", keys) for experiment in pair
                        )
                        logs = [(log["validation_iteration"], log["validation_loss"]) for log in (small, large)]
                        worse.append(_worse_after(min(len(small["loss"]), len(large["loss"])), *logs))
    return worse


def _worse_after(updates: int, small, large) -> bool:
    """Is the second log's validation loss the higher one, in the same last updates? Logs: (iterations, losses)."""
    means = []
    for iterations, losses in (small, large):
        known = (np.asarray(iterations) <= updates) & ~np.isnan(losses)
        number = np.count_nonzero(np.asarray(iterations)[known] > (1 - WINDOW) * updates)
        means.append(np.asarray(losses)[known][-max(number, 1) :].mean())
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
