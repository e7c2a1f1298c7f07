"""Claims of the second study about scores and speed, which only finished runs decide: one function each."""

from __future__ import annotations

from collections import Counter

import numpy as np

from experiments.bizopoulos2021.counts import run_grid
from experiments.bizopoulos2021.curves import (
    KINDS,
)
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    COSTS,
    DICE,
    EXPERIMENTS,
    INITIALISATIONS,
    cost_grid,
    stated,
)
from experiments.bizopoulos2021.tables.analysis import (
    LESION_A,
    LESION_B,
    MIN_PAIRS,
    Gain,
    gain,
    own_dice,
    published_dice,
)
from experiments.bizopoulos2021.verdicts.outcomes import (
    COMMAND,
    all_of,
    beyond_chance,
    gain_text,
    judged,
    named,
    undecided,
)
from experiments.reporting.judgement import Judgement
from unet_segnet.measures import metrics

MIN_TIMED = 3  # models of each architecture before their speed is compared
GOOD_DICE = 70.0  # percent; overlap above it is called excellent since Zijdenbos et al. (1994)


def architecture_order(evidence: Evidence) -> Judgement:
    """Holds where U-Net and LinkNet are ahead of FPN and FPN of PSPNet, each beyond chance."""
    dice = own_dice(evidence.comparable)
    complete = ~np.isnan(dice).any(axis=2)
    means = published_dice().mean(axis=(0, 1, 3))
    beside = f"Table II, means over everything: {named(means, '.2f')} %."
    if not complete.any():
        return undecided(beside, f"All four architectures with some encoders: {COMMAND}.")
    of = np.where(complete[:, :, None], dice, np.nan)
    answers, texts = [], []
    for ahead, behind in (("unet", "fpn"), ("linknet", "fpn"), ("fpn", "pspnet")):
        found = gain(*(of[:, :, list(ARCHITECTURES).index(name)] for name in (ahead, behind)))
        answers.append(beyond_chance(found))
        texts.append(f"{ARCHITECTURES[ahead]} less {ARCHITECTURES[behind]} {gain_text(found)}")
    return judged(evidence, all_of(answers), "; ".join(texts), beside, f"More encoders: {COMMAND}.")


def pspnet_fastest(evidence: Evidence) -> Judgement:
    """Holds where PSPNet needs the fewest seconds per epoch, in training and in validation."""
    return _speed(evidence, "pspnet", np.argmin)


def linknet_slowest(evidence: Evidence) -> Judgement:
    """Holds where LinkNet needs the most seconds per epoch, in training and in validation."""
    return _speed(evidence, "linknet", np.argmax)


def _speed(evidence: Evidence, architecture: str, extreme) -> Judgement:
    table = [cost_grid(column).mean(axis=1) for column in COSTS[1:]]
    beside = "; ".join(
        f"Table II, seconds per epoch of {what}: {named(means, '.2f')}"
        for what, means in zip(KINDS.values(), table, strict=True)
    )
    decides = f"Some encoders with all four architectures on one machine: {COMMAND}."
    machines = Counter((run.device, *run.conditions) for run in evidence.comparable).most_common(1)
    runs = [run for run in evidence.comparable if (run.device, *run.conditions) == machines[0][0]]
    if not runs:
        return undecided(f"{beside}.", decides)
    seconds = run_grid(runs, lambda run: np.array(run.seconds))
    seconds = np.moveaxis(seconds, 2, -1)  # architecture last: (3, 2, 25, 2, 4)
    common = ~np.isnan(seconds).any(axis=(3, 4))
    if common.sum() < MIN_TIMED:
        return undecided(f"{beside}.", decides)
    means = seconds[common].mean(axis=0)  # (training or validation, architecture)
    holds = all(int(extreme(of)) == list(ARCHITECTURES).index(architecture) for of in means)
    text = "; ".join(f"{what} {named(of, '.2f')} s" for what, of in zip(KINDS.values(), means, strict=True))
    return judged(
        evidence,
        holds,
        f"{text}, means of {int(common.sum())} models each on {', '.join(machines[0][0])}",
        f"{beside}.",
        decides,
        any_length=True,
    )


def lung_masks_help(evidence: Evidence) -> Judgement:
    """Holds where Dice is higher in B than in A beyond chance, over models that ran in both."""
    theirs, ours = published_dice(), own_dice(evidence.comparable)
    beside = "Table II: " + "; ".join(
        f"{name} {gain_text(gain(theirs[LESION_B, i], theirs[LESION_A, i]))}"
        for i, name in enumerate(INITIALISATIONS.values())
    )
    return _gain_judgement(evidence, gain(ours[LESION_B], ours[LESION_A]), beside, "lesion A and B of the same models")


def imagenet_helps(evidence: Evidence) -> Judgement:
    """Holds where Dice is higher from ImageNet weights beyond chance, over models that ran from both."""
    theirs, ours = published_dice(), own_dice(evidence.comparable)
    beside = "Table II: " + "; ".join(
        f"{name} {gain_text(gain(theirs[e, 1], theirs[e, 0]))}" for e, name in enumerate(EXPERIMENTS.values())
    )
    return _gain_judgement(evidence, gain(ours[:, 1], ours[:, 0]), beside, "both initialisations of the same models")


def _gain_judgement(evidence: Evidence, found: Gain, beside: str, needed: str) -> Judgement:
    decides = f"At least {MIN_PAIRS} pairs of runs, {needed}: {COMMAND}."
    if not found.n:
        return undecided(f"{beside}.", decides)
    return judged(evidence, beyond_chance(found), f"Dice {gain_text(found)}", f"{beside}.", decides)


def volumes_match(evidence: Evidence) -> Judgement:
    """Holds where the mean Dice over volumes exceeds 70 % for each architecture and experiment."""
    encoder = stated("volume_encoder")
    dice: dict[tuple[str, str], list[float]] = {}
    for run in evidence.comparable:
        if run.encoder == encoder:
            values = [scores[DICE] for scores in run.volume_scores().values()]
            dice.setdefault((run.experiment, run.architecture), []).append(float(np.nanmean(values)))
    decides = f"{encoder} with each architecture in each experiment: {COMMAND} --only encoder={encoder}."
    if not dice:
        return undecided("", decides)
    means = {key: float(np.mean(values)) for key, values in dice.items()}
    text = "; ".join(
        f"{title}: " + ", ".join(f"{name} {means[e, a]:.1f}" for a, name in ARCHITECTURES.items() if (e, a) in means)
        for e, title in EXPERIMENTS.items()
        if any((e, a) in means for a in ARCHITECTURES)
    )
    good = [mean > GOOD_DICE for mean in means.values()]
    complete = len(good) == len(EXPERIMENTS) * len(ARCHITECTURES)
    holds = False if not all(good) else True if complete else None
    return judged(
        evidence, holds, f"mean Dice over the volumes, percent: {text}", f"Good: above {GOOD_DICE:.0f} %.", decides
    )


def thresholds_unsuitable(evidence: Evidence) -> Judgement:
    """Holds where the networks' Dice exceeds in each experiment that of the best range of intensities.

    Dice of all pixels of the test volumes together. The range is the one that suits these pixels best, with all that
    lies in it called foreground: no threshold does better. Only the article's volumes decide.
    """
    decides = f"Runs in all three experiments on the article's test volumes, and these with --data: {COMMAND}."
    ranges, networks = {}, {}
    for experiment, name in EXPERIMENTS.items():
        runs = [run for run in evidence.comparable if run.experiment == experiment]
        if not runs or experiment not in evidence.histograms or not evidence.histograms_of_runs:
            continue
        counts = runs[0].confusion.sum(axis=0)
        ranges[name] = 100 * _best_range(*evidence.histograms[experiment][1:], counts[1].sum() / counts.sum())
        networks[name] = 100 * np.mean([metrics.dice(run.confusion.sum(axis=0))[1] for run in runs])
    if not ranges:
        return undecided("", decides)
    holds = all(networks[name] > ranges[name] for name in ranges)
    if not evidence.comparable[0].article_data or (holds and len(ranges) < len(EXPERIMENTS)):
        holds = None
    text = "; ".join(f"{name} {networks[name]:.1f} and {ranges[name]:.1f}" for name in ranges)
    return judged(
        evidence, holds, f"Dice of all pixels, percent, of the networks and of the best range: {text}", "", decides
    )


def _best_range(everywhere: np.ndarray, in_mask: np.ndarray, prevalence: float) -> float:
    """The highest Dice of calling a range of intensities foreground, 0..1.

    Arguments:
        everywhere, in_mask: (bins,) share of all pixels, and of the mask's, in each bin of intensity.
        prevalence: the mask's share of all pixels.
    """
    called, found = (np.concatenate([[0.0], np.cumsum(shares)]) for shares in (everywhere, in_mask))
    called, found = (np.maximum(up_to - up_to[:, np.newaxis], 0) for up_to in (called, found))
    return float((2 * prevalence * found / (prevalence + called)).max())
