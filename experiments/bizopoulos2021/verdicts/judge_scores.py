"""Claims of the second study about scores, which finished runs decide, or Table II by encoder: one function each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import ARCHITECTURES, DICE, EXPERIMENTS, stated
from experiments.bizopoulos2021.tables.analysis import (
    MASKS,
    MIN_PAIRS,
    PRETRAINING,
    by_encoder,
    by_scan,
    gain,
    mask_gains,
    other_slices,
    own_dice,
    pretraining_gains,
    published_dice,
)
from experiments.bizopoulos2021.verdicts.outcomes import (
    COMMAND,
    agreed,
    all_of,
    beyond_chance,
    gain_text,
    judged,
    not_run,
    or_by_table,
    units_text,
)
from experiments.reporting.judgement import Judgement
from unet_segnet.measures import metrics

GOOD_DICE = 70.0  # percent; overlap above it is called excellent since Zijdenbos et al. (1994)


def lung_masks_help(evidence: Evidence) -> Judgement:
    """Holds where Dice is higher in B than in A beyond chance, by encoder and by scan, over models that ran in both."""
    return _gain_judgement(evidence, mask_gains, MASKS, "lesion A and B of the same models")


def imagenet_helps(evidence: Evidence) -> Judgement:
    """Holds where Dice is higher from ImageNet weights beyond chance, by encoder and by scan, over models of both."""
    return _gain_judgement(evidence, pretraining_gains, PRETRAINING, "both initialisations of the same models")


def _gain_judgement(
    evidence: Evidence, gains: Callable[[np.ndarray], np.ndarray], change: tuple[int, str, str], needed: str
) -> Judgement:
    """By our trainings where encoders and scans decide the same, else by the encoders of Table II.

    Encoders alone would judge by one set of scans, scans alone by the chance of one training.
    """
    runs = evidence.of_equal_slices if change == MASKS else evidence.comparable
    theirs, ours = (gain(by_encoder(gains(of))) for of in (published_dice(), own_dice(runs)))
    beside = f"Table II, Dice {gain_text(theirs, 'encoder')}; it has no scores by scan."
    decides = f"At least {MIN_PAIRS} encoders and {MIN_PAIRS} scans, {needed}: {COMMAND}."
    if change == MASKS:
        beside = " ".join([beside, *other_slices(evidence)])
    if not ours.n:
        return or_by_table(not_run(beside, decides), theirs)
    scans, volumes = (
        np.array(list(by_scan(runs, change, scores).values()))
        for scores in (CompareRun.scan_scores, CompareRun.volume_scores)
    )
    of_scans = gain(scans)
    text = f"Dice {gain_text(ours, 'encoder')}, {gain_text(of_scans, 'scan')}"
    if len(volumes) != len(scans):
        text += f", {gain_text(gain(volumes), 'volume')}, of which two are one scan"
    holds = agreed([beyond_chance(ours), beyond_chance(of_scans)])
    return or_by_table(judged(runs, holds, text, beside, decides), theirs)


def volumes_match(evidence: Evidence) -> Judgement:
    """Holds where the Dice of the scans exceeds 70 % beyond chance in each experiment, over the four architectures.

    Fails where it is below beyond chance in one of them. Architectures and seeds are averaged scan by scan: one by one
    they would be twelve tests, and eight scans cannot deny one of twelve (2 / 2^8 > 0.05 / 12).
    """
    encoder = stated("volume_encoder")
    dice: dict[tuple[str, str], list[np.ndarray]] = {}
    for run in evidence.comparable:
        if run.encoder == encoder:
            scans = np.array([scores[DICE] for scores in run.scan_scores().values()])
            dice.setdefault((run.experiment, run.architecture), []).append(scans)
    decides = (
        f"{encoder} with each architecture in each experiment, on at least {MIN_PAIRS} scans: "
        f"{COMMAND} --only encoder={encoder}."
    )
    if not dice:
        return not_run("", decides)
    of_scans = {key: metrics.mean_defined(values, axis=0) for key, values in dice.items()}
    text = "; ".join(
        f"{title}: "
        + ", ".join(
            f"{name} {metrics.mean_defined(of_scans[e, a]):.1f}"
            for a, name in ARCHITECTURES.items()
            if (e, a) in of_scans
        )
        for e, title in EXPERIMENTS.items()
        if any((e, a) in of_scans for a in ARCHITECTURES)
    )
    of_experiments = {
        e: metrics.mean_defined([of_scans[e, a] for a in ARCHITECTURES if (e, a) in of_scans], axis=0)
        for e in EXPERIMENTS
        if any((e, a) in of_scans for a in ARCHITECTURES)
    }
    gains = [gain(values - GOOD_DICE) for values in of_experiments.values()]
    holds = all_of(gains, len(EXPERIMENTS))
    if len(of_scans) < len(EXPERIMENTS) * len(ARCHITECTURES):
        holds = None
    text += f" ({', '.join(units_text(of, 'scan') for of in gains)}, architectures together)"
    number = max(map(len, of_scans.values()))
    return judged(
        evidence.comparable,
        holds,
        f"mean Dice over {number} scans, percent: {text}",
        f"Good: above {GOOD_DICE:.0f} % (signed-rank test over the scans).",
        decides,
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
        return not_run("", decides)
    holds = all(networks[name] > ranges[name] for name in ranges)
    if not evidence.comparable[0].article_data or (holds and len(ranges) < len(EXPERIMENTS)):
        holds = None
    text = "; ".join(f"{name} {networks[name]:.1f} and {ranges[name]:.1f}" for name in ranges)
    text = f"Dice of all pixels, percent, of the networks and of the best range: {text}"
    return judged(evidence.comparable, holds, text, "", decides)


def _best_range(everywhere: np.ndarray, in_mask: np.ndarray, prevalence: float) -> float:
    """The highest Dice of calling a range of intensities foreground, 0..1.

    Arguments:
        everywhere, in_mask: (bins,) share of all pixels, and of the mask's, in each bin of intensity.
        prevalence: the mask's share of all pixels.
    """
    called, found = (np.concatenate([[0.0], np.cumsum(shares)]) for shares in (everywhere, in_mask))
    called, found = (np.maximum(up_to - up_to[:, np.newaxis], 0) for up_to in (called, found))
    return float((2 * prevalence * found / (prevalence + called)).max())
