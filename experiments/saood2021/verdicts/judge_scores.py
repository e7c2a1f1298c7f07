"""Claims about what the networks score: decided by finished trainings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.reporting.judgement import Judgement, Outcome, how_many, with_limits
from experiments.saood2021 import published
from experiments.saood2021.article import background_accuracy
from experiments.saood2021.counts import SCORES, RunCounts
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.selection import released_accuracies, released_candidates, resampled_choice
from experiments.saood2021.tables.trainings import (
    NUM_CONFIGURATIONS,
    accuracy_matrix,
    accuracy_per_slice,
    class_scores,
    compared_experiments,
    difference,
    grid_runs,
    lesion_dice,
    over_trainings,
    stacked,
)
from experiments.saood2021.verdicts.outcomes import across_variants
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import bootstrap_interval, bootstrap_mean, holm, paired_comparison
from unet_segnet.models.registry import NETWORKS

SIGNIFICANT = 0.05
NEAR_ACCURACY, NEAR_SCORE = 0.015, 0.05
"""How near to a stated value ours must lie to replicate it, for the intervals of 18 slices hold almost anything."""


def segnet_wins_binary(evidence: Evidence) -> Judgement:
    """Holds where specificity, Dice and F2 are higher and the interval of the Dice difference lies above 0."""

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        paired = _paired(evidence, "binary", variant, ("segnet", "unet"))
        if paired is None:
            return None
        counts, first, label = paired
        dice = bootstrap_interval(counts, difference(lesion_dice, first))
        gaps = difference(class_scores, first)(counts.sum(axis=0))[:, 1]
        gap = dict(zip(SCORES, gaps, strict=True))
        text = f"{label}, Dice {with_limits(dice, signed=True)}, " + ", ".join(
            f"{score} {gap[score]:+.3f}" for score in gap if score != "Dice"
        )
        outcome = Outcome(_ahead(dice, gap["specificity"] > 0 and gap["F2"] > 0), text)
        return _unless_pairs_disagree(outcome, counts, first)

    best = {net: released_accuracies(net, published.BEST_EXPERIMENT[net, "binary"]) for net in NETS}
    iou = {
        net: [s.mean_iou for s in published.image_metrics(net, published.BEST_EXPERIMENT[net, "binary"]).values()]
        for net in NETS
    }
    accuracy, overlap = (paired_comparison(of["segnet"], of["unet"]) for of in (best, iou))
    dice = {net: published.class_scores(net, "binary")["infected"]["dice"] for net in NETS}
    segnet, unet = released_candidates()
    beside = (
        f"The authors' runs: Dice {dice['segnet']:.3f} against {dice['unet']:.3f}, but slice by slice (n={overlap.n}) "
        f"no difference shows (Wilcoxon, accuracy p = {accuracy.p_value:.2f}, mean IoU p = {overlap.p_value:.2f}); and "
        f"chosen by validation accuracy instead of test accuracy, their SegNet has {segnet.accuracy('val. acc.'):.3f}, "
        f"their U-Net {unet.accuracy('val. acc.'):.3f}."
    )
    decides = (
        "Both networks trained, with several seeds, as 18 slices show only large differences: python -m "
        "experiments.grid --only 4 --seeds 0,1,2 with --net segnet and --net unet."
    )
    return across_variants(evidence, judge, decides, beside)


def unet_wins_multiclass(evidence: Evidence) -> Judgement:
    """Holds where the interval of the difference in Dice, mean of the lesion classes, lies above 0."""

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        paired = _paired(evidence, "multiclass", variant, ("unet", "segnet"))
        if paired is None:
            return None
        counts, first, label = paired
        dice = bootstrap_interval(counts, difference(lesion_dice, first))
        gaps = difference(metrics.dice, first)(counts.sum(axis=0))[1:]
        text = f"{label}, mean Dice of the lesion classes {with_limits(dice, signed=True)}, by class " + ", ".join(
            f"{gap:+.3f}" for gap in gaps
        )
        return _unless_pairs_disagree(Outcome(_ahead(dice), text), counts, first)

    segnet, unet = (published.class_scores(net, "multiclass") for net in NETS)
    higher = [unet[c][score] > segnet[c][score] for c in unet for score in unet[c]]
    beside = (
        f"As printed, U-Net is ahead in {sum(higher)} of the {len(higher)} scores of Table 6; of these runs no scores "
        "of single slices were released."
    )
    decides = (
        "Both networks trained, with several seeds: python -m experiments.grid --problem multiclass --seeds 0,1,2 with "
        "--net unet --only 4 and --net segnet --only 7."
    )
    return across_variants(evidence, judge, decides, beside)


def segnet_accuracy(evidence: Evidence) -> Judgement:
    """Fails where the interval of the mean accuracy stays below the stated one, holds where ours is besides near it."""
    return _accuracy_reached(evidence, "segnet", "binary", stated("binary_accuracy"))


def unet_accuracy(evidence: Evidence) -> Judgement:
    """As `segnet_accuracy`, for the four-class U-Net."""
    return _accuracy_reached(evidence, "unet", "multiclass", stated("multiclass_accuracy"))


def segnet_scores(evidence: Evidence) -> Judgement:
    """Fails where a stated score lies outside the interval of ours, holds where both are besides near."""
    wanted = {"sensitivity": stated("binary_sensitivity"), "specificity": stated("binary_specificity")}
    released = metrics.specificity(published.confusion_matrix("segnet", 4))[1]
    beside = f"The authors' released confusion matrix gives a specificity of {released:.3f}."
    return _scores_inside(evidence, "segnet", "binary", 1, wanted, beside)


def unet_effusion(evidence: Evidence) -> Judgement:
    """As `segnet_scores`."""
    wanted = {"Dice": stated("effusion_dice"), "F2": stated("effusion_f2")}
    printed = published.class_scores("unet", "multiclass")["C3"]
    beside = f"Table 6 prints {printed['dice']:.3f} and {printed['f2']:.3f}."
    return _scores_inside(evidence, "unet", "multiclass", 3, wanted, beside)


def best_configurations(evidence: Evidence) -> Judgement:
    """Holds where all four grids have the same best; fails where a named best is behind another beyond chance.

    Chance: Wilcoxon signed-rank tests over slices of the named one against each of the eight others, corrected for
    their number (Holm), because the best of nine is ahead of any one of them by chance already.
    """
    groups = list(published.BEST_EXPERIMENT.items())

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        grids = {
            (net, problem, named): accuracy_matrix(evidence, problem, variant, net) for (net, problem), named in groups
        }
        grids = {group: found for group, found in grids.items() if len(found) == NUM_CONFIGURATIONS}
        if not grids:
            return None
        tests = {
            (*group, other): paired_comparison(found[other], found[group[-1]]).p_value
            for group, found in grids.items()
            for other in found
            if other != group[-1]
        }
        corrected = dict(zip(tests, holm(list(tests.values())), strict=True))
        texts, answers = [], []
        for (net, problem, named), found in grids.items():
            means = {experiment: accuracies.mean() for experiment, accuracies in found.items()}
            best = max(means, key=means.get)
            text = f"{NETWORKS[net].title} {problem} {best} ({means[best]:.3f})"
            answer: bool | None = best == named
            if best != named:
                ahead = [other for other in means if means[other] > means[named]]
                p_value = min((corrected[net, problem, named, other] for other in ahead), default=1.0)
                text += f", {named} named ({means[named]:.3f}, {_p(p_value)})"
                answer = False if p_value < SIGNIFICANT else None
            texts.append(text)
            answers.append(answer)
        holds = False if False in answers else True if answers == [True] * len(groups) else None
        return Outcome(
            holds, f"{len(answers)} of {len(groups)} grids complete, best on the test slices: " + "; ".join(texts)
        )

    ran = {(v, n, p): len(accuracy_matrix(evidence, p, v, n)) for v in VARIANTS for n, p in dict(groups)}
    shares = {}
    for group in released_candidates():
        order = list(group.accuracies)
        share, _ = resampled_choice(np.stack(list(group.accuracies.values())))
        shares[group.net] = share[order.index(group.chosen["test acc."])]
    beside = (
        f"Own configurations so far: {sum(ran.values())} of {len(ran) * NUM_CONFIGURATIONS}. In the authors' binary "
        f"runs SegNet's choice would be the same on {shares['segnet']:.0%} of resamples of the test slices, U-Net's "
        f"on {shares['unet']:.0%}."
    )
    return across_variants(evidence, judge, "All nine configurations of each network and problem.", beside)


def _trainings(runs: list[RunCounts]) -> str:
    """How many, and how many of them replay the authors' random numbers."""
    replayed = sum(run.stream == "matlab" for run in runs)
    also = "" if not replayed else ", the authors' random numbers" if len(runs) == 1 else f", {replayed} replayed"
    return how_many(len(runs)) + also


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _paired(
    evidence: Evidence, problem: str, variant: str, nets: tuple[str, str]
) -> tuple[np.ndarray, int, str] | None:
    """The two networks that the article calls best, on the same slices.

    Returns:
        Counts (n, trainings of both, K, K), how many trainings are the first network's, and what is compared. Scores
        are averaged over trainings, as in the tables: of pixels put together the worst training would weigh most.
    """
    experiments = {net: published.BEST_EXPERIMENT[net, problem] for net in nets}
    if compared_experiments(evidence, problem, variant) != {net: experiments[net] for net in NETS}:
        return None
    runs = [grid_runs(evidence, problem, variant, net, experiments[net]) for net in nets]
    names = runs[0][0].test_names
    label = " less ".join(
        f"{NETWORKS[net].title} {experiments[net]} ({_trainings(of)})" for net, of in zip(nets, runs, strict=True)
    )
    counts = np.concatenate([stacked(of, names) for of in runs], axis=1)
    return counts, len(runs[0]), f"{label}, n={len(names)} slices"


def _ahead(interval, also: bool = True) -> bool | None:
    """Does the first network win, or lose? Undecided where the interval holds 0."""
    if interval.high < 0:
        return False
    return True if interval.low > 0 and also else None


def _unless_pairs_disagree(outcome: Outcome, counts: np.ndarray, first: int) -> Outcome:
    """Leave open what the random numbers of a training decide: now one network's Dice is higher, now the other's.

    Arguments:
        outcome: over all trainings.
        counts, first: of `_paired`.
    """
    dice = lesion_dice(counts.sum(axis=0))
    ahead = dice[:first, None] > dice[first:]
    if ahead.all() or not ahead.any():
        return outcome
    return Outcome(None, f"{outcome.text}; pair by pair, the first is ahead in {ahead.sum()} of {ahead.size}")


def _reached(possible: bool, near: bool) -> bool | None:
    """Is a stated value replicated? Not where the interval rules it out; undecided where ours is far from it still."""
    return False if not possible else True if near else None


def _accuracy_reached(evidence: Evidence, net: str, problem: str, wanted: float) -> Judgement:
    experiment = published.BEST_EXPERIMENT[net, problem]

    def judge(runs: list[RunCounts]) -> Outcome:
        interval = bootstrap_mean(accuracy_per_slice(runs))
        text = f"{NETWORKS[net].title} {experiment} ({_trainings(runs)}, n={len(runs[0].test_names)} slices)"
        holds = _reached(interval.high >= wanted, interval.estimate >= wanted - NEAR_ACCURACY)
        return Outcome(holds, f"{text} {with_limits(interval)}, stated {wanted:.2f}")

    beside = f"Calling every pixel healthy scores {background_accuracy():.4f}."
    return _by_trainings(evidence, net, problem, judge, beside)


def _scores_inside(
    evidence: Evidence, net: str, problem: str, index: int, wanted: dict[str, float], beside: str
) -> Judgement:
    """Do the intervals of a class's scores, pooled over the slices, hold the stated ones, and are ours near them?"""
    experiment = published.BEST_EXPERIMENT[net, problem]

    def judge(runs: list[RunCounts]) -> Outcome:
        counts = stacked(runs)
        interval = bootstrap_interval(counts, over_trainings(class_scores))
        texts, inside, near = [], True, True
        for score, value in wanted.items():
            at = (list(SCORES).index(score), index)
            inside &= bool(interval.low[at] <= value <= interval.high[at])
            near &= bool(abs(interval.estimate[at] - value) <= NEAR_SCORE)
            texts.append(f"{score} {with_limits(interval, at)}, stated {value:g}")
        with_class = int((counts[:, 0, index].sum(axis=-1) > 0).sum())
        label = (
            f"{NETWORKS[net].title} {experiment} ({_trainings(runs)}, class on {with_class} of {len(counts)} slices)"
        )
        return Outcome(_reached(inside, near), f"{label} {'; '.join(texts)}")

    return _by_trainings(evidence, net, problem, judge, beside)


def _by_trainings(
    evidence: Evidence, net: str, problem: str, judge: Callable[[list[RunCounts]], Outcome], beside: str
) -> Judgement:
    """Judge all trainings of the published best together.

    They cannot tell where they contradict each other one by one: then the random numbers of a training decide.
    """
    experiment = published.BEST_EXPERIMENT[net, problem]

    def of_variant(evidence: Evidence, variant: str) -> Outcome | None:
        runs = grid_runs(evidence, problem, variant, net, experiment)
        if not runs:
            return None
        together = judge(runs)
        alone = [judge([run]).holds for run in runs] if len(runs) > 1 else []
        if not {True, False} <= set(alone):
            return together
        return Outcome(None, f"{together.text}; one by one, {alone.count(True)} of {len(alone)} bear it out")

    return across_variants(evidence, of_variant, f"Several trainings: {_command(net, problem, experiment)}.", beside)


def _command(net: str, problem: str, experiment: int) -> str:
    return f"python -m experiments.grid --net {net} --problem {problem} --only {experiment} --seeds 0,1,2"
