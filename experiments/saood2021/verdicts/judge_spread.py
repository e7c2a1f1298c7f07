"""Claims about how much scores vary: over the slices, and over the folds."""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting.judgement import RELEASE, TABLES, Judgement, decided, how_many, undecided
from experiments.reporting.rules import LEVEL
from experiments.saood2021 import published
from experiments.saood2021.counts import CLASS_NAMES
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import EXPERIMENTS, NETS, PROBLEMS, VARIANTS, configurations
from experiments.saood2021.published import stated
from experiments.saood2021.tables.selection import released_accuracies
from experiments.saood2021.tables.trainings import class_scores, grid_runs, notes_on_kinds
from experiments.saood2021.tables.with_authors import TRUTH, test_truth
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import PairedComparison, paired_comparison
from unet_segnet.models.registry import NETWORKS


def sigma_multiclass(evidence: Evidence) -> Judgement:
    """Holds where sigma is higher with four classes beyond chance, over the 18 printed configurations (Wilcoxon).

    Own sigmas, each of single trainings over the test slices and their mean over trainings, are told.
    """
    sigmas = {
        problem: {
            (net, e): accuracy.standard_deviation
            for net in NETS
            for e, accuracy in published.global_accuracy(net, problem).items()
        }
        for problem in PROBLEMS
    }
    text, tested = _sigmas_compared("As printed", sigmas)
    for variant in VARIANTS:
        own = {
            problem: {
                (net, e): float(np.mean([metrics.global_accuracy(run.test_confusion).std(ddof=1) for run in of]))
                for net in NETS
                for e in configurations(net)
                if (of := grid_runs(evidence, problem, variant, net, e))
            }
            for problem in PROBLEMS
        }
        if own["binary"].keys() & own["multiclass"].keys():
            text += f" {_sigmas_compared(f'Own trainings, {variant}', own)[0]}"
    if not tested.p_value < LEVEL:
        return undecided(text, "More configurations.")
    return decided(tested.effect_size > 0, text, TABLES)


def sigma_consistent(evidence: Evidence) -> Judgement:
    """Holds where the best binary networks' accuracy varies less than calling every pixel healthy, beyond chance.

    Pitman-Morgan test over the same slices; fails where one of them varies more.
    """
    best = {net: published.global_accuracy(net, "binary")[published.BEST_EXPERIMENT[net, "binary"]] for net in NETS}
    told = ", ".join(f"{NETWORKS[net].title} {accuracy.standard_deviation:.3f}" for net, accuracy in best.items())
    every = [a.standard_deviation for net in NETS for a in published.global_accuracy(net, "binary").values()]
    truth = test_truth(evidence)
    text = (
        f"Table 3 has sigmas of {min(every):.3f} to {max(every):.3f} over the slices, its best networks {told}; the "
        f"stated {stated('binary_sigma_lowest'):.3f} to {stated('binary_sigma_highest'):.3f} is the range of Table 5."
    )
    if truth is None:
        return undecided(text, TRUTH)
    healthy = truth[:, 0] / truth.sum(axis=1)
    trivial = float(healthy.std(ddof=1))
    compared = {
        net: _variances(released_accuracies(net, published.BEST_EXPERIMENT[net, "binary"]), healthy) for net in NETS
    }
    p_values = ", ".join(f"{NETWORKS[net].title} p = {p:.2g}" for net, (_, p) in compared.items())
    sigmas = [released_accuracies(net, experiment).std(ddof=1) for net in NETS for experiment in EXPERIMENTS]
    below = sum(sigma < trivial for sigma in sigmas)
    text += (
        f" Calling every pixel healthy has {trivial:.3f} on the same slices: so much do their lesions differ in size, "
        f"and {below} of the {len(sigmas)} released networks are below it; the best ones by the test of Pitman and "
        f"Morgan over the slices: {p_values}."
    )
    if not all(p < LEVEL for _, p in compared.values()):
        return undecided(text, "More slices with masks.")
    return decided(not any(more for more, _ in compared.values()), text, RELEASE)


def _variances(first: np.ndarray, second: np.ndarray) -> tuple[bool, float]:
    """Does the first of two scores of the same slices vary more, and p: Pitman and Morgan's test.

    Source: Pitman (1939), A note on normal correlation: sum and difference are correlated where variances differ.
    """
    from scipy.stats import pearsonr

    found = pearsonr(first + second, first - second)
    return bool(found.statistic > 0), float(found.pvalue)


def five_fold_close(evidence: Evidence) -> Judgement:
    """Holds where 95 % prediction intervals from the five folds hold the single split's scores, as printed.

    Two of forty may lie outside by chance. How wide the intervals are is told, and a bias, which they are too wide to
    show: scores that no interval excludes are consistent with the single split's, not shown to be close to them.
    """
    single = {(n, p): published.class_scores(n, p) for n in NETS for p in PROBLEMS}
    folds = {(n, p): published.five_fold(n, p) for n in NETS for p in PROBLEMS}
    text, outside, number = _folds_compared(single, folds)
    text = f"As printed, {text}."
    for variant in VARIANTS:
        own_single, own_folds, runs = _own_single_and_folds(evidence, variant)
        if own_folds:
            text += f" Own trainings, {variant}: {_folds_compared(own_single, own_folds)[0]}."
            text += "".join(f" {note}" for note in notes_on_kinds(runs))
    return decided(outside <= LEVEL * number, text, TABLES)


def five_fold_steady(evidence: Evidence) -> Judgement:
    """Holds where no other standard deviation of Table 7 is above the highest that the article calls low."""
    low = stated("binary_sigma_highest")
    others = {
        (NETWORKS[net].title, name, score): sigma
        for net in NETS
        for problem in PROBLEMS
        for name, scores in published.five_fold(net, problem).items()
        for score, (_, sigma) in scores.items()
        if (name, score) != ("C3", "sensitivity")
    }
    above = {key: sigma for key, sigma in others.items() if sigma > low}
    worst = max(others, key=lambda key: others[key])
    without = max(sigma for key, sigma in others.items() if key[1] != "C3")
    worst_name = " ".join(worst).replace("g_mean", "G-mean")
    text = (
        f"The highest that the article calls low elsewhere is {low:.3f}, of accuracy over slices. Of the "
        f"{len(others)} others in Table 7, {len(above)} are above it, {sum(key[1] == 'C3' for key in above)} of them "
        f"of effusion; the highest is {others[worst]:.3f} ({worst_name}), without effusion {without:.3f}."
    )
    for variant in VARIANTS:
        if own := _own_fold_sigmas(evidence, variant):
            highest = max(own, key=lambda key: own[key])
            text += (
                f" Own trainings, {variant}: {sum(sigma > low for sigma in own.values())} of {len(own)} are above it, "
                f"the highest {own[highest]:.3f} ({' '.join(highest).replace('g_mean', 'G-mean')})."
            )
    return decided(not above, text, TABLES)


def _sigmas_compared(whose: str, sigmas: dict[str, dict]) -> tuple[str, PairedComparison]:
    """Sigmas of configurations that both problems have, four classes less two: as text, and their signed-rank test."""
    common = sorted(sigmas["binary"].keys() & sigmas["multiclass"].keys())
    binary, multiclass = (np.array([sigmas[problem][key] for key in common]) for problem in PROBLEMS)
    tested = paired_comparison(multiclass, binary)
    text = (
        f"{whose}, the mean sigma is {multiclass.mean():.3f} with four classes and {binary.mean():.3f} with two: "
        f"higher in {int((multiclass > binary).sum())} of {how_many(len(common), 'configuration')} (Wilcoxon, p = "
        f"{tested.p_value:.1g})."
    )
    return text, tested


def _folds_compared(single, folds) -> tuple[str, int, int]:
    """How a single split's scores lie to (mean, sigma) over five folds: as text, how many outside, of how many."""
    from scipy.stats import t as student

    factor = float(student.ppf(1 - LEVEL / 2, NUM_FOLDS - 1)) * math.sqrt(1 + 1 / NUM_FOLDS)
    gaps = {
        (net, problem, name, score): (single[net, problem][name][score] - mean, factor * sigma)
        for (net, problem), classes in folds.items()
        for name, scores in classes.items()
        for score, (mean, sigma) in scores.items()
    }
    outside = sum(abs(gap) > width for gap, width in gaps.values())
    higher = sum(gap > 0 for gap, _ in gaps.values())
    dice = {key: gap for key, (gap, _) in gaps.items() if key[3] == "dice"}
    widths = [width for key, (_, width) in gaps.items() if key[3] == "dice"]
    by_dice = paired_comparison(list(dice.values()), np.zeros(len(dice))).p_value
    net, problem, name, _ = worst = max(dice, key=lambda key: abs(dice[key]))
    furthest = single[net, problem][name]["dice"], folds[net, problem][name]["dice"][0]
    text = (
        f"{outside} of {how_many(len(gaps), 'score')} lie outside the 95 % prediction interval of the folds, which for "
        f"Dice reaches {min(widths):.2f} to {max(widths):.2f} to both sides: consistent"
        f"{', with a bias' if by_dice < LEVEL else ''}. {higher} of them are above the folds' means, of Dice "
        f"{sum(gap > 0 for gap in dice.values())} of {len(dice)} (Wilcoxon, p = {by_dice:.1g}); the furthest Dice is "
        f"{furthest[0]:.3f} against {furthest[1]:.3f} ({NETWORKS[net].title} {name}, {dice[worst]:+.3f})"
    )
    return text, outside, len(gaps)


def _own_single_and_folds(evidence: Evidence, variant: str) -> tuple[dict, dict, list[FinishedRun]]:
    """Own class scores of the published best where both ran: of the single split, their means over five folds; runs."""
    single, folds, compared = {}, {}, []
    for (net, problem), experiment in published.BEST_EXPERIMENT.items():
        grid = grid_runs(evidence, problem, variant, net, experiment)
        of_folds = _own_fold_scores(evidence, problem, variant, net, experiment)
        if not grid or len(of_folds) < NUM_FOLDS:
            continue
        pooled = np.mean([class_scores(run.test_confusion.sum(axis=0)) for run in grid], axis=0)
        mean, sigma = (
            _by_class(of(of_folds, axis=0), problem) for of in (metrics.mean_defined, metrics.deviation_defined)
        )
        single[net, problem] = _by_class(pooled, problem)
        folds[net, problem] = {
            name: {score: (value, sigma[name][score]) for score, value in of.items()} for name, of in mean.items()
        }
        both = (*evidence.grid(problem, variant), *evidence.folds(problem, variant))
        compared += [run for run in both if (run.counts.net, run.counts.experiment) == (net, experiment)]
    return single, folds, compared


def _own_fold_sigmas(evidence: Evidence, variant: str) -> dict[tuple[str, str, str], float]:
    """Network, lesion class, score -> standard deviation (n - 1) over own five folds, of the published best.

    The trainings of a fold are averaged first; a score that a fold does not define is left out, and so is the
    sensitivity of effusion, of which the claim does not speak.
    """
    found = {}
    for (net, problem), experiment in published.BEST_EXPERIMENT.items():
        of_folds = _own_fold_scores(evidence, problem, variant, net, experiment)
        if len(of_folds) < NUM_FOLDS:
            continue
        for name, of_class in _by_class(metrics.deviation_defined(of_folds, axis=0), problem).items():
            for score, sigma in of_class.items():
                if (name, score) != ("C3", "sensitivity") and not math.isnan(sigma):
                    found[NETWORKS[net].title, name, score] = sigma
    return found


def _own_fold_scores(evidence: Evidence, problem: str, variant: str, net: str, experiment: int) -> list[np.ndarray]:
    """(5, K) scores of each fold that ran, averaged over its trainings."""
    of_folds: dict[int, list[np.ndarray]] = {}
    for run in evidence.folds(problem, variant):
        if (run.counts.net, run.counts.experiment) == (net, experiment):
            of_folds.setdefault(run.counts.fold, []).append(class_scores(run.counts.test_confusion.sum(axis=0)))
    return [np.mean(trainings, axis=0) for trainings in of_folds.values()]


def _by_class(scores: np.ndarray, problem: str) -> dict[str, dict[str, float]]:
    """(5, K) -> lesion class -> score -> value, with the names of `published`."""
    return {
        name: {score: float(scores[row, index]) for row, score in enumerate(published.SCORES)}
        for index, name in enumerate(CLASS_NAMES[problem])
        if index
    }
