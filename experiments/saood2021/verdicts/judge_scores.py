"""Claims about what the networks score: decided by trainings, by the rules of `experiments.reporting.rules`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.reporting.judgement import TABLES, TRAINING, Judgement, Outcome, decided, how_many, p_value, undecided
from experiments.reporting.rules import ENOUGH, ahead_over_folds, lead, over_folds, together
from experiments.saood2021 import published
from experiments.saood2021.article import background_accuracy
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.spread import (
    Score,
    accuracy,
    best_runs,
    class_score,
    independent,
    lesion_dice,
    of_trainings,
    repeated,
)
from experiments.saood2021.tables.selection import released_accuracies, released_candidates
from experiments.saood2021.tables.trainings import NUM_CONFIGURATIONS, accuracy_matrix
from experiments.saood2021.tables.with_authors import paired_text
from experiments.saood2021.verdicts.best_of_nine import GROUPS, recurrences
from experiments.saood2021.verdicts.outcomes import across_variants, lead_text, ordinary
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import paired_comparison
from unet_segnet.models.registry import NETWORKS

LIKELY = 0.5
"""How often winners must recur by themselves before those of another study can speak for or against them."""


def segnet_wins_binary(evidence: Evidence) -> Judgement:
    """Holds where SegNet's Dice is higher beyond chance, over trainings or over the folds."""
    segnet, unet = (published.class_scores(net, "binary")["infected"]["dice"] for net in NETS)
    folds = [published.five_fold(net, "binary")["infected"]["dice"][0] for net in NETS]
    best = {net: released_accuracies(net, published.BEST_EXPERIMENT[net, "binary"]) for net in NETS}
    tested = paired_comparison(best["segnet"], best["unet"])
    by_validation = [group.accuracy("val. acc.") for group in released_candidates()]
    beside = (
        f"The authors' runs, one of each: Dice {segnet:.3f} and {unet:.3f}, over their folds {folds[0]:.3f} and "
        f"{folds[1]:.3f}; slice by slice (n={tested.n}) no difference in accuracy shows (Wilcoxon, p = "
        f"{tested.p_value:.2f}). Chosen by validation accuracy (mean of the last quarter) instead of test accuracy, "
        f"their SegNet has {by_validation[0]:.3f}, their U-Net {by_validation[1]:.3f}."
    )
    decides = (
        "Four trainings of each network, for five folds tell large differences alone: python -m experiments.study "
        "--plan experiments/saood2021/plan.csv."
    )
    return _ahead(evidence, "binary", ("segnet", "unet"), decides, beside, by_folds=True)


def segnet_margins(evidence: Evidence) -> Judgement:
    """Holds where each score whose margin is called noticeable differs by more than those that are called alike."""
    segnet, unet = (published.class_scores(net, "binary")["infected"] for net in NETS)
    gaps = {score: segnet[score] - unet[score] for score in published.SCORES}
    alike = ("sensitivity", "g_mean")
    told = ", ".join(f"{score.replace('g_mean', 'G-mean')} {gap:+.4f}" for score, gap in gaps.items())
    least = min(gap for score, gap in gaps.items() if score not in alike)
    text = (
        f"SegNet less U-Net, by the released scores of Table 4: {told}. One training of each: what others would give "
        "is the claim before."
    )
    return decided(least > max(abs(gaps[score]) for score in alike), text, TABLES)


def unet_wins_multiclass(evidence: Evidence) -> Judgement:
    """Holds where U-Net's Dice, mean of the lesion classes, is higher beyond chance, over trainings or over folds."""
    segnet, unet = (published.class_scores(net, "multiclass") for net in NETS)
    higher = [unet[c][score] > segnet[c][score] for c in unet for score in unet[c]]
    beside = (
        f"As printed, U-Net is ahead in {sum(higher)} of the {len(higher)} scores of Table 6; of these runs no scores "
        "of single slices were released."
    )
    decides = (
        "More trainings of each network: python -m experiments.grid --variant released --problem multiclass --seeds "
        "0,1,2,3 with --net unet --only 4 and --net segnet --only 7."
    )
    return _ahead(evidence, "multiclass", ("unet", "segnet"), decides, beside, by_folds=False)


def segnet_accuracy(evidence: Evidence) -> Judgement:
    """Holds where a training with this accuracy would be an ordinary one among ours, as Table 3 or 5 prints it.

    The text rounds it to two digits.
    """
    return _stated_accuracy(evidence, "segnet", "binary")


def unet_accuracy(evidence: Evidence) -> Judgement:
    """As `segnet_accuracy`, for the four-class U-Net."""
    return _stated_accuracy(evidence, "unet", "multiclass")


def segnet_scores(evidence: Evidence) -> Judgement:
    """Holds where a training with these scores would be an ordinary one among ours.

    The specificity is that of Table 4 and of the released counts: the text's has two digits exchanged.
    """
    printed = published.class_scores("segnet", "binary")["infected"]
    wanted = {name: (class_score(name, 1), printed[name]) for name in ("sensitivity", "specificity")}
    beside = (
        f"The text's specificity of {stated('binary_specificity'):.3f} is a misprint: the released counts have "
        f"{metrics.specificity(published.confusion_matrix('segnet', 4))[1]:.3f}."
    )
    return _stated_scores(evidence, "segnet", "binary", wanted, beside)


def unet_effusion(evidence: Evidence) -> Judgement:
    """As `segnet_scores`."""
    printed = published.class_scores("unet", "multiclass")["C3"]  # the text rounds them
    wanted = {name: (class_score(name, 3), printed[name.lower()]) for name in ("Dice", "F2")}
    beside = f"The text rounds to {stated('effusion_dice'):.2f} and {stated('effusion_f2'):.2f}."
    return _stated_scores(evidence, "unet", "multiclass", wanted, beside)


def best_configurations(evidence: Evidence) -> Judgement:
    """Open where the printed winners would seldom win again though the printed means were true; else by own grids.

    How often is simulated from the spread of repeated trainings. Where they would recur more often than not, the claim
    holds where the grids of both networks, problems and variants have the printed best, and does not where one has
    another.
    """
    ran = {(v, n, p): len(accuracy_matrix(evidence, p, v, n)) for v in VARIANTS for n, p in GROUPS}
    text = f"Own configurations so far: {sum(ran.values())} of {len(ran) * NUM_CONFIGURATIONS}."
    spreads = {(net, problem): repeated(evidence, problem, accuracy, net) for net, problem in GROUPS}
    if None in spreads.values():
        decides = "Repeated trainings, which show how much chance there is in the best of nine."
        return undecided(text, decides, by_training=True)
    shares = recurrences({group: spread.deviation for group, spread in spreads.items()})
    again = float(np.prod(list(shares.values())))
    told = ", ".join(
        f"{NETWORKS[net].title} {problem} {share:.0%} ({spreads[net, problem].deviation:.3f})"
        for (net, problem), share in shares.items()
    )
    text = (
        "Were the printed means true, and trainings to differ by chance as our repeated ones do, the printed winner of "
        "nine would be the winner of another study this often (standard deviation of accuracy, the network's own where "
        f"one configuration was trained four times): {told}; all four {again:.0%}. {text}"
    )
    bests = {}
    for variant in VARIANTS:
        for net, problem in GROUPS:
            found = accuracy_matrix(evidence, problem, variant, net)
            if len(found) == NUM_CONFIGURATIONS:
                bests[variant, net, problem] = max(found, key=lambda experiment: found[experiment].mean())
    if bests:
        listed = ", ".join(f"{NETWORKS[n].title} {p} {best} ({v})" for (v, n, p), best in bests.items())
        text += f" Best of our complete grids: {listed}."
    as_named = [best == published.BEST_EXPERIMENT[net, problem] for (_, net, problem), best in bests.items()]
    if again < LIKELY:
        return undecided(text, "Nothing that repeats the study: one training of each of nine cannot name the best.")
    if not all(as_named) or len(as_named) == len(ran):
        return decided(all(as_named), text, TRAINING)
    return undecided(text, "All nine configurations of each network and problem.", by_training=True)


def _trainings(runs: list[FinishedRun]) -> str:
    """How many, and how many of them replay the authors' random numbers."""
    replayed = sum(run.counts.stream == "matlab" for run in runs)
    also = "" if not replayed else ", the authors' random numbers" if len(runs) == 1 else f", {replayed} replayed"
    return how_many(len(runs)) + also


def _ahead(
    evidence: Evidence, problem: str, nets: tuple[str, str], decides: str, beside: str, by_folds: bool
) -> Judgement:
    """Is the first network's lesion Dice ahead of the second's? `by_folds`: are both to be trained on the folds?"""

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        runs = [best_runs(evidence, problem, variant, net) for net in nets]
        answers, texts = [], []
        if all(runs):
            found = lead(*(of_trainings(of, lesion_dice) for of in runs))
            answers.append(found.ahead)
            names = " less ".join(
                f"{NETWORKS[net].title} {published.BEST_EXPERIMENT[net, problem]} ({_trainings(of)})"
                for net, of in zip(nets, runs, strict=True)
            )
            texts.append(f"lesion Dice, {names}: {lead_text(found)}")
        folds = _fold_differences(evidence, problem, variant, nets)
        if len(folds) == NUM_FOLDS:
            answers.append(ahead_over_folds(folds))
            texts.append(_folds_text(evidence, problem, variant, nets, folds))
        return Outcome(together(*answers), "; ".join(texts)) if texts else None

    enough = all(len(best_runs(evidence, problem, "released", net)) >= ENOUGH for net in nets)
    whole = enough and (not by_folds or len(_fold_differences(evidence, problem, "released", nets)) == NUM_FOLDS)
    if whole:
        decides = "Many more trainings: as many as a test needs are there and leave it open."
    return across_variants(evidence, judge, decides, beside, by_training=not whole)


def _fold_means(evidence: Evidence, problem: str, variant: str, net: str) -> dict[int, list[FinishedRun]]:
    """Fold -> trainings."""
    found: dict[int, list[FinishedRun]] = {}
    for run in best_runs(evidence, problem, variant, net, folds=True):
        found.setdefault(run.counts.fold, []).append(run)
    return found


def _fold_differences(evidence: Evidence, problem: str, variant: str, nets: tuple[str, str]) -> list[float]:
    """Lesion Dice of the first network less that of the second, of each fold that both have."""
    first, second = (_fold_means(evidence, problem, variant, net) for net in nets)
    return [
        float(np.mean(of_trainings(first[fold], lesion_dice)) - np.mean(of_trainings(second[fold], lesion_dice)))
        for fold in sorted(first.keys() & second.keys())
    ]


def _folds_text(evidence: Evidence, problem: str, variant: str, nets: tuple[str, str], folds: list[float]) -> str:
    """What the folds show: fold by fold, which judges, and slice by slice, which is told."""
    per_slice = []
    for net in nets:
        values: dict[str, list[float]] = {}
        for runs in _fold_means(evidence, problem, variant, net).values():
            for run in runs:
                scores = metrics.dice(run.counts.test_confusion)[:, 1:]
                for name, score in zip(run.counts.test_names, metrics.mean_defined(scores.T, axis=0), strict=True):
                    values.setdefault(name, []).append(score)
        per_slice.append({name: float(np.mean(of)) for name, of in values.items()})
    names = sorted(per_slice[0])
    tested = paired_comparison(*([of[name] for name in names] for of in per_slice))
    ahead = sum(difference > 0 for difference in folds)
    return (
        f"over the folds {np.mean(folds):+.3f}, ahead in {ahead} of {len(folds)} (corrected t, "
        f"{p_value(over_folds(folds).p_value)}, which judges); slice by slice (n={tested.n}, in which a fold's slices "
        f"share one training) median {tested.median_difference:+.3f}, Wilcoxon p = {tested.p_value:.1e}"
    )


def _stated_accuracy(evidence: Evidence, net: str, problem: str) -> Judgement:
    printed = published.global_accuracy(net, problem)[published.BEST_EXPERIMENT[net, problem]].mean
    beside = f"The text rounds to {stated(f'{problem}_accuracy'):.2f}."
    return _stated_scores(evidence, net, problem, {"accuracy": (accuracy, printed)}, beside)


def _stated_scores(
    evidence: Evidence, net: str, problem: str, wanted: Mapping[str, tuple[Score, float]], beside: str = ""
) -> Judgement:
    """Would a training with all of these scores be an ordinary one among ours?

    The released networks made the stated scores; what the described ones score is told. So are replays of the authors'
    random numbers: beside the authors' run they are no independent trainings.
    """
    experiment = published.BEST_EXPERIMENT[net, problem]

    def judge(evidence: Evidence, variant: str) -> Outcome | None:
        of_both = best_runs(evidence, problem, variant, net)
        runs = independent(of_both)
        if not of_both:
            return None
        answers, texts = [], []
        for name, (score, value) in wanted.items() if runs else ():
            holds, text = ordinary(evidence, runs, score, name, value)
            answers.append(holds)
            texts.append(text)
        told = [f"{NETWORKS[net].title} {experiment} ({how_many(len(runs))}): {'; '.join(texts)}"] if runs else []
        for run in of_both:
            if run.counts.stream == "matlab":
                scores = ", ".join(f"{name} {of(run.counts.test_confusion):.3f}" for name, (of, _) in wanted.items())
                told.append(f"with the authors' random numbers {scores}")
        holds = False if False in answers else True if answers and None not in answers else None
        return Outcome(holds, "; ".join(told))

    if problem == "binary":
        beside = f"{beside} {paired_text(evidence, net)}".strip()
    if "accuracy" in wanted:
        beside = f"{beside} Calling every pixel healthy scores {background_accuracy():.4f}.".strip()
    decides = (
        f"Four trainings: python -m experiments.grid --net {net} --variant released --problem {problem} "
        f"--only {experiment} --seeds 0,1,2,3."
    )
    return across_variants(evidence, judge, decides, beside, by=("released",))
