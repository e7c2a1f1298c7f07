"""Claims that the article's own numbers, the released files or the slices decide, or that nothing here can."""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting.judgement import RELEASE, TABLES, Judgement, decided, how_many, undecided
from experiments.reporting.rules import LEVEL
from experiments.saood2021 import published
from experiments.saood2021.article import (
    background_accuracy,
    implied_healthy,
    lesion_share,
    parity_check,
    vgg16_parameters,
)
from experiments.saood2021.counts import CLASS_NAMES
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS, configurations
from experiments.saood2021.published import stated
from experiments.saood2021.tables.trainings import accuracy_matrix, class_scores, grid_runs, notes_on_kinds
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import PairedComparison, paired_comparison
from unet_segnet.models.registry import NETWORKS

GOOD_DICE = 0.7  # Zijdenbos et al. (1994), as in the second study
SUBSTANTIAL = 0.6  # kappa: Landis and Koch (1977)
OTHERS = {"infnet": "Inf-Net", "covidsegnet": "COVID-SegNet"}  # references 25 and 22


def accuracy_shows_quality(evidence: Evidence) -> Judgement:
    """Holds where the best networks of both problems are above calling every pixel healthy."""
    trivial = background_accuracy()
    best = {
        problem: max(a.mean for net in NETS for a in published.global_accuracy(net, problem).values())
        for problem in PROBLEMS
    }
    own = _own_accuracies(evidence)
    text = (
        f"Calling every pixel healthy scores {trivial:.4f} on the 18 test slices (row sums of the released confusion "
        f"matrices). The best printed networks are {best['binary'] - trivial:+.3f} (binary, {best['binary']:.3f}) and "
        f"{best['multiclass'] - trivial:+.3f} (four classes, {best['multiclass']:.3f}) from it."
    )
    if own:
        text += f" Own trainings, the highest: {own}."
    return decided(all(value > trivial for value in best.values()), text, TABLES)


def not_infected_count(evidence: Evidence) -> Judgement:
    """Holds where both networks have more true positives of that class than marking as much at random would give."""
    parts, more = [], []
    for net, matrix in _best_binary().items():
        found, expected = matrix[0, 0], matrix.sum(axis=1)[0] * matrix.sum(axis=0)[0] / matrix.sum()
        parts.append(
            f"{NETWORKS[net].title} {found:,} ({found / matrix.sum(axis=1)[0]:.1%}; at random {expected:,.0f})"
        )
        more.append(bool(found > expected))
    text = (
        f"Of {matrix.sum(axis=1)[0]:,} pixels of the test slices that are not infected, the released confusion "
        f"matrices have as true positives: {'; '.join(parts)}. The count is high above all because the class is "
        f"{background_accuracy():.1%} of the pixels; calling every pixel healthy has all of them."
    )
    return decided(all(more), text, RELEASE)


def not_infected_reliable(evidence: Evidence) -> Judgement:
    """Holds where both networks' agreement with the masks, corrected for chance, is substantial (Cohen's kappa)."""
    kappas = {net: _kappa(matrix) for net, matrix in _best_binary().items()}
    told = ", ".join(f"{NETWORKS[net].title} {kappa:.3f}" for net, kappa in kappas.items())
    false = " and ".join(f"{1 - metrics.precision(matrix)[1]:.0%}" for matrix in _best_binary().values())
    text = (
        f"The count itself cannot show it: calling every pixel healthy has a higher one. Corrected for chance, the "
        f"released confusion matrices agree with the masks by {told} (Cohen's kappa; substantial above {SUBSTANTIAL}); "
        f"of what they call infected {false} is not."
    )
    return decided(min(kappas.values()) > SUBSTANTIAL, text, RELEASE)


def _kappa(confusion: np.ndarray) -> float:
    """Cohen's kappa of counts or shares (K, K)."""
    from statsmodels.stats.inter_rater import cohens_kappa

    return float(cohens_kappa(confusion, return_results=False))


def _best_binary() -> dict[str, np.ndarray]:
    """Network -> the released confusion matrix of its best binary run."""
    return {net: published.confusion_matrix(net, published.BEST_EXPERIMENT[net, "binary"]) for net in NETS}


def unet_opacities(evidence: Evidence) -> Judgement:
    """Holds where U-Net's printed Dice of both classes is above what is called good."""
    printed = published.class_scores("unet", "multiclass")
    dice = {name: printed[name]["dice"] for name in ("C1", "C2")}
    text = (
        f"Table 6 prints a Dice of {dice['C1']:.3f} (ground glass) and {dice['C2']:.3f} (consolidation); good is "
        f"called what is above {GOOD_DICE}."
    )
    for variant in VARIANTS:
        if runs := grid_runs(evidence, "multiclass", variant, "unet", published.BEST_EXPERIMENT["unet", "multiclass"]):
            ours = np.mean([metrics.dice(run.test_confusion.sum(axis=0))[1:3] for run in runs], axis=0)
            text += f" Own {how_many(len(runs))}, {variant}: {ours[0]:.3f} and {ours[1]:.3f}."
    return decided(min(dice.values()) > GOOD_DICE, text, TABLES)


def specificity_shows_healthy(evidence: Evidence) -> Judgement:
    """Holds where healthy and diseased are told apart substantially (kappa), whatever of the lesions is missed.

    Tables 5 and 6 leave open whether missed lesion pixels were called healthy or another lesion: kappa has a range.
    """
    printed = [s["specificity"] for net in NETS for s in published.class_scores(net, "multiclass").values()]
    implied = {net: implied_healthy(net) for net in NETS}
    ranges = {
        net: [_kappa(_healthy_or_not(sensitivity, missed)) for missed in (most, 0.0)]
        for net, (sensitivity, most) in implied.items()
    }
    called = {net: (1 - sensitivity) * background_accuracy() for net, (sensitivity, _) in implied.items()}
    text = (
        f"The printed specificities are {min(printed):.3f} to {max(printed):.3f}; calling every pixel healthy has 1 in "
        f"every lesion class. What shows how healthy tissue fares is C0's own sensitivity, which Tables 5 and 6 imply: "
        f"SegNet {implied['segnet'][0]:.3f}, U-Net {implied['unet'][0]:.3f}. So {called['segnet']:.1%} and "
        f"{called['unet']:.1%} of all pixels are healthy ones called diseased, while {lesion_share():.1%} are "
        f"diseased: healthy and diseased agree with the masks by a kappa of {_range(ranges['segnet'])} and "
        f"{_range(ranges['unet'])} (substantial above {SUBSTANTIAL})."
    )
    for variant in VARIANTS:
        for net in NETS:
            experiment = published.BEST_EXPERIMENT[net, "multiclass"]
            if runs := grid_runs(evidence, "multiclass", variant, net, experiment):
                pooled = [run.test_confusion.sum(axis=0) for run in runs]
                found = np.mean([metrics.sensitivity(confusion)[0] for confusion in pooled])
                kappa = np.mean([_kappa(metrics.lesions_together(confusion)) for confusion in pooled])
                name = f"{NETWORKS[net].title} {experiment}, {variant}"
                text += f" Own {name}: C0 sensitivity {found:.3f}, kappa {kappa:.3f}."
    answers = {kappa > SUBSTANTIAL for of in ranges.values() for kappa in of}
    if len(answers) > 1:
        return undecided(text, "The confusion matrices of the four-class networks, which were not released.")
    return decided(answers.pop(), text, TABLES)


def _healthy_or_not(sensitivity: float, missed: float) -> np.ndarray:
    """(2, 2) shares of the test pixels: healthy and diseased, of which `missed` is called healthy."""
    healthy = background_accuracy()
    return np.array([[healthy * sensitivity, healthy * (1 - sensitivity)], [missed, lesion_share() - missed]])


def _range(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


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
    """Holds where the best binary networks' sigma is below that of calling every pixel healthy on the same slices."""
    best = {net: published.global_accuracy(net, "binary")[published.BEST_EXPERIMENT[net, "binary"]] for net in NETS}
    told = ", ".join(f"{NETWORKS[net].title} {accuracy.standard_deviation:.3f}" for net, accuracy in best.items())
    every = [a.standard_deviation for net in NETS for a in published.global_accuracy(net, "binary").values()]
    test = next((run.counts.test_confusion for run in evidence.grid("binary", "released")), None)
    text = (
        f"Table 3 has sigmas of {min(every):.3f} to {max(every):.3f} over the slices, its best networks {told}; the "
        f"stated {stated('binary_sigma_lowest'):.3f} to {stated('binary_sigma_highest'):.3f} is the range of Table 5."
    )
    if test is None:
        return undecided(text, "The test slices' truth, from any finished training.")
    trivial = float((test[:, 0].sum(axis=-1) / test.sum(axis=(1, 2))).std(ddof=1))
    text += (
        f" Calling every pixel healthy has {trivial:.3f} on the same slices: so much do their lesions differ in size, "
        f"and {sum(sigma < trivial for sigma in every)} of the {len(every)} networks are below it."
    )
    return decided(all(accuracy.standard_deviation < trivial for accuracy in best.values()), text, TABLES)


def five_fold_close(evidence: Evidence) -> Judgement:
    """Holds where 95 % prediction intervals from the five folds hold the single split's scores, as printed.

    Two of forty may lie outside by chance. A bias, which such intervals are too wide to show, is told.
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
    worst_name = " ".join(worst).replace("g_mean", "G-mean")
    text = (
        f"The highest that the article calls low elsewhere is {low:.3f}. Of the {len(others)} others in Table 7, "
        f"{len(above)} are above it, {sum(key[1] == 'C3' for key in above)} of them of effusion; the highest is "
        f"{others[worst]:.3f} ({worst_name})."
    )
    for variant in VARIANTS:
        if own := _own_fold_sigmas(evidence, variant):
            highest = max(own, key=lambda key: own[key])
            text += (
                f" Own trainings, {variant}: {sum(sigma > low for sigma in own.values())} of {len(own)} are above it, "
                f"the highest {own[highest]:.3f} ({' '.join(highest).replace('g_mean', 'G-mean')})."
            )
    return decided(not above, text, TABLES)


def encoder_vgg16(evidence: Evidence) -> Judgement:
    """Holds where the released network, or three stages of VGG16, have the stated number of parameters."""
    three, five, wanted = vgg16_parameters(3), vgg16_parameters(5), stated("encoder_parameters")
    trained = int(parity_check("SegNet: parameters")["MATLAB"])
    text = (
        f"VGG16's convolutions have {five:,} parameters in five stages and {three:,} in three; the released network "
        f"has {trained:,} in encoder and decoder together, 64 filters in each of its three stages."
    )
    return decided(any(abs(count / wanted - 1) < 0.01 for count in (three, trained)), text, RELEASE)


def exceeds_others(evidence: Evidence) -> Judgement:
    """Fails where the article's own numbers, taken at face value, contradict it; else open: other test sets."""
    own = {net: published.class_scores(net, "binary")["infected"] for net in NETS}
    claimed = {  # network, work, score -> is the network said to be ahead
        **{("segnet", "infnet", score): True for score in ("dice", "specificity", "sensitivity")},
        **{("unet", "infnet", score): score == "sensitivity" for score in ("dice", "specificity", "sensitivity")},
        **{("segnet", "covidsegnet", score): True for score in ("sensitivity", "dice")},
    }
    wrong = [
        f"{NETWORKS[net].title}'s {score} {own[net][score]:.3f} beside {OTHERS[work]}'s {stated(f'{work}_{score}'):.2f}"
        for (net, work, score), ahead in claimed.items()
        if (own[net][score] > stated(f"{work}_{score}")) != ahead
    ]
    four = published.class_scores("segnet", "multiclass")
    dice = np.mean([four[name]["dice"] for name in ("C1", "C2")])
    text = (
        f"At face value {len(claimed) - len(wrong)} of the {len(claimed)} comparisons with Inf-Net and COVID-SegNet "
        f"are as stated in the binary problem{', not ' + ' and '.join(wrong) if wrong else ''}. Four-class SegNet's "
        f"mean Dice of C1 and C2, {dice:.3f}, is below the {stated('semiinfnet_dice'):.2f} given for these classes. "
        f"Of the other methods of which the abstract speaks, reference 23 is given a Dice of "
        f"{stated('amyar_dice'):.2f}, above binary SegNet's {own['segnet']['dice']:.3f}. All of them scored other "
        "slices, or another split of these."
    )
    if wrong:
        return decided(False, text, TABLES)
    return undecided(text, "All of them trained and tested on one split of the same slices.")


def _own_accuracies(evidence: Evidence) -> str:
    """The highest own accuracy of each problem and variant, as text."""
    told = []
    for problem in PROBLEMS:
        for variant in VARIANTS:
            means = {
                (net, e): values.mean()
                for net in NETS
                for e, values in accuracy_matrix(evidence, problem, variant, net).items()
            }
            if means:
                net, experiment = max(means, key=lambda key: means[key])
                told.append(
                    f"{problem}, {variant}, {means[net, experiment]:.3f} ({NETWORKS[net].title} {experiment}, of "
                    f"{how_many(len(means), 'configuration')})"
                )
    return "; ".join(told)


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
    net, problem, name, _ = worst = max(dice, key=lambda key: abs(dice[key]))
    furthest = single[net, problem][name]["dice"], folds[net, problem][name]["dice"][0]
    text = (
        f"{outside} of {how_many(len(gaps), 'score')} lie outside the 95 % prediction interval of the folds, though "
        f"{higher} of them are above the folds' means; the furthest Dice is {furthest[0]:.3f} against "
        f"{furthest[1]:.3f} ({NETWORKS[net].title} {name}, {dice[worst]:+.3f})"
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
