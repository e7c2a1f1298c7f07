"""Claims that the article's own numbers, the released files or the slices decide, or that nothing here can."""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting.judgement import DOES_NOT, UNDECIDED, Judgement, decided, how_many
from experiments.saood2021 import published
from experiments.saood2021.article import (
    background_accuracy,
    implied_healthy_sensitivity,
    lesion_share,
    parity_check,
    remaining_pixels,
    vgg16_parameters,
)
from experiments.saood2021.counts import CLASS_NAMES
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.trainings import accuracy_matrix, class_scores, grid_runs, notes_on_kinds
from unet_segnet.data.mask_fit import lung_area
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import holm, paired_comparison
from unet_segnet.models.registry import NETWORKS

FETCH = "The slices: unet-segnet data fetch."
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
    return decided(all(value > trivial for value in best.values()), text)


def not_infected_found(evidence: Evidence) -> Judgement:
    """Holds where both networks have more true positives of that class than calling every pixel healthy has."""
    parts, more = [], []
    for net in NETS:
        matrix = published.confusion_matrix(net, published.BEST_EXPERIMENT[net, "binary"])
        healthy = matrix.sum(axis=1)[0]
        parts.append(
            f"{NETWORKS[net].title} {matrix[0, 0]:,} ({matrix[0, 0] / healthy:.1%}), and of what it calls infected "
            f"{1 - metrics.precision(matrix)[1]:.0%} is not"
        )
        more.append(bool(matrix[0, 0] > healthy))
    text = (
        f"Of {healthy:,} pixels of the test slices that are not infected, the authors' released confusion matrices "
        f"have as true positives: {'; '.join(parts)}. Calling every pixel healthy has all of them, for they are "
        f"{background_accuracy():.1%} of the pixels: the count is high whatever a network can tell apart."
    )
    return decided(all(more), text)


def specificity_shows_healthy(evidence: Evidence) -> Judgement:
    """Holds where the printed specificities are above those of calling every pixel healthy, which are 1."""
    printed = [s["specificity"] for net in NETS for s in published.class_scores(net, "multiclass").values()]
    trivial = metrics.specificity(np.array([[1, 0], [1, 0]]))[1]
    implied = {net: implied_healthy_sensitivity(net) for net in NETS}
    text = (
        f"Calling every pixel healthy has a specificity of {trivial:.0f} in every lesion class, the networks "
        f"{min(printed):.3f} to {max(printed):.3f}. What shows how healthy tissue fares is C0's own sensitivity, which "
        f"Tables 5 and 6 imply: SegNet {implied['segnet']:.3f}, U-Net {implied['unet']:.3f}. So "
        f"{(1 - max(implied.values())) * background_accuracy():.1%} and "
        f"{(1 - min(implied.values())) * background_accuracy():.1%} of all pixels are healthy ones called diseased, "
        f"while {lesion_share():.1%} are diseased."
    )
    for variant in VARIANTS:
        for net in NETS:
            experiment = published.BEST_EXPERIMENT[net, "multiclass"]
            if runs := grid_runs(evidence, "multiclass", variant, net, experiment):
                value = np.mean([metrics.sensitivity(run.test_confusion.sum(axis=0))[0] for run in runs])
                text += f" Own {NETWORKS[net].title} {experiment}, {variant}: C0 sensitivity {value:.3f}."
    return decided(min(printed) > trivial, text)


def sigma_multiclass(evidence: Evidence) -> Judgement:
    """Holds where the mean sigma of the four-class networks is higher, as printed and in own grids, where complete."""
    sigmas = {
        problem: {
            (net, e): accuracy.standard_deviation
            for net in NETS
            for e, accuracy in published.global_accuracy(net, problem).items()
        }
        for problem in PROBLEMS
    }
    text, holds = _sigmas_compared("As printed", sigmas)
    answers = [holds]
    for variant in VARIANTS:
        own = {
            problem: {
                (net, e): float(np.std(accuracies, ddof=1))
                for net in NETS
                for e, accuracies in accuracy_matrix(evidence, problem, variant, net).items()
            }
            for problem in PROBLEMS
        }
        if len(own["binary"].keys() & own["multiclass"].keys()) >= 9:
            own_text, holds = _sigmas_compared(f"Own trainings, {variant}", own)
            text += f" {own_text}"
            answers.append(holds)
    if len(set(answers)) > 1:
        return Judgement(UNDECIDED, text, "More seeds: printed and own numbers disagree.")
    return decided(answers[0], text)


def five_fold_close(evidence: Evidence) -> Judgement:
    """Holds where no class's Dice differs by more than what the article calls a noticeable margin."""
    segnet, unet = (published.class_scores(net, "binary")["infected"]["dice"] for net in NETS)
    margin = segnet - unet
    single = {(n, p): published.class_scores(n, p) for n in NETS for p in PROBLEMS}
    folds = {
        (n, p): {c: {name: mean for name, (mean, _) in s.items()} for c, s in published.five_fold(n, p).items()}
        for n in NETS
        for p in PROBLEMS
    }
    text, far = _folds_compared(single, folds, margin)
    text = (
        f"Measured by Dice and by the margin between the networks that the article calls noticeable ({margin:.3f}): as "
        f"printed, {text}; it lies within one standard deviation of the folds in {_within_sigma(single)}."
    )
    for variant in VARIANTS:
        single, folds, runs = _own_single_and_folds(evidence, variant)
        if folds:
            text += f" Own trainings, {variant}: {_folds_compared(single, folds, margin)[0]}."
            text += "".join(f" {note}" for note in notes_on_kinds(runs))
    return decided(far == 0, text)


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
    return decided(not above, text)


def encoder_vgg16(evidence: Evidence) -> Judgement:
    """Holds where the released network, or three stages of VGG16, have the stated number of parameters."""
    three, five, wanted = vgg16_parameters(3), vgg16_parameters(5), stated("encoder_parameters")
    trained = int(parity_check("SegNet: parameters")["MATLAB"])
    text = (
        f"VGG16's convolutions have {five:,} parameters in five stages and {three:,} in three; the released network "
        f"has {trained:,} in encoder and decoder together, 64 filters in each of its three stages."
    )
    return decided(any(abs(count / wanted - 1) < 0.01 for count in (three, trained)), text)


def masks_paired(evidence: Evidence) -> Judgement:
    """Holds where loading the slices found no exchanged masks."""
    pixels = published.confusion_matrix("segnet", 4).sum(axis=1)[1]
    if evidence.slices is None:
        return Judgement(UNDECIDED, "No slices are at hand.", FETCH)
    from unet_segnet.data import paper_split

    test = evidence.slices.subset(paper_split(len(evidence.slices)).test)
    found = [note for note in evidence.slices.notes if "each other's place" in note]
    text = (
        f"{'; '.join(found) or f'No masks are exchanged in {evidence.data}'}. The lesion has "
        f"{int((test.labels > 0).sum()):,} pixels on the test slices{' as mended' if found else ''}, and {pixels:,} in "
        "the authors' confusion matrices."
    )
    return decided(not found, text[0].upper() + text[1:])


def class_disparity(evidence: Evidence) -> Judgement:
    """Holds where the ratio is a thousand to the nearest power of ten."""
    largest, _ = published.class_sizes()["C0"]
    left, error = remaining_pixels()
    ratio = largest / left
    text = (
        f"By Table 1, C3 taken as what the other classes leave ({left:,.0f} pixels, give or take {error:,.0f}), the "
        f"ratio is {ratio:.0f}; with C3 as printed it would be {largest / published.class_sizes()['C3'][0]:.0f}."
    )
    if evidence.slices is not None:
        sizes = np.bincount(evidence.slices.labels.ravel(), minlength=4)
        ratio = float(sizes[0] / sizes[3])
        text += f" The slices at 256x256 give {ratio:.0f}."
    return decided(round(math.log10(ratio)) == round(math.log10(stated("disparity"))), text)


def infection_regions(evidence: Evidence) -> Judgement:
    """Holds where one half of the lungs has a higher share of infected pixels, slice by slice (Wilcoxon, Holm)."""
    if evidence.slices is None:
        return Judgement(UNDECIDED, "No slices are at hand.", FETCH)
    lungs, lesions = lung_area(evidence.slices), evidence.slices.labels > 0
    tests, shares = [], []
    for axis in (1, 2):  # the slices lie sideways: rows go from the patient's right to the left, columns to the back
        halves = np.array([_share_of_halves(*pair, axis - 1) for pair in zip(lungs, lesions, strict=True)])
        tests.append(paired_comparison(*halves.T))
        shares.append(np.nanmedian(halves, axis=0))
    p_values = holm([test.p_value for test in tests])
    parts = [
        f"{name} half {first:.1%} against {second:.1%} (n={test.n}, p = {p:.1e})"
        for name, (first, second), test, p in zip(
            ("the patient's right and left", "front and back"), shares, tests, p_values, strict=True
        )
    ]
    text = (
        "Infected share of the lung in each half of its bounding box, medians over slices, Wilcoxon with Holm: "
        + "; ".join(parts)
        + ". Slices of one patient count as independent."
    )
    return decided(bool(np.nanmin(p_values) < 0.01), text)


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
        return Judgement(DOES_NOT, text)
    return Judgement(UNDECIDED, text, "All of them trained and tested on one split of the same slices.")


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


def _sigmas_compared(whose: str, sigmas: dict[str, dict]) -> tuple[str, bool]:
    """Mean sigmas of configurations that both problems have: as text, and whether the four-class one is higher."""
    common = sorted(sigmas["binary"].keys() & sigmas["multiclass"].keys())
    binary, multiclass = (np.array([sigmas[problem][key] for key in common]) for problem in PROBLEMS)
    text = (
        f"{whose}, the mean sigma is {multiclass.mean():.3f} with four classes and {binary.mean():.3f} with two: "
        f"higher in {int((multiclass > binary).sum())} of {len(common)} configurations."
    )
    return text, bool(multiclass.mean() > binary.mean())


def _folds_compared(single, folds, margin: float) -> tuple[str, int]:
    """Scores of the single split less the means over folds, as text, and how many Dice differ by more than a margin."""
    gaps = {
        (net, problem, name, score): single[net, problem][name][score] - mean
        for (net, problem), classes in folds.items()
        for name, scores in classes.items()
        for score, mean in scores.items()
    }
    dice = {key: gap for key, gap in gaps.items() if key[3] == "dice"}
    far = sum(abs(gap) > margin for gap in dice.values())
    net, problem, name, _ = worst = max(dice, key=lambda key: abs(dice[key]))
    text = (
        f"{far} of {len(dice)} Dice differ by more, the furthest {single[net, problem][name]['dice']:.3f} against "
        f"{folds[net, problem][name]['dice']:.3f} over folds ({NETWORKS[net].title} {name}, {dice[worst]:+.3f} for the "
        f"single split); of all {len(gaps)} scores the single split has the higher in "
        f"{sum(gap > 0 for gap in gaps.values())}"
    )
    return text, far


def _within_sigma(single) -> int:
    """How many printed scores of the single split lie within one printed sigma of the printed mean over folds."""
    return sum(
        abs(single[net, problem][name][score] - mean) <= sigma
        for net, problem in single
        for name, scores in published.five_fold(net, problem).items()
        for score, (mean, sigma) in scores.items()
    )


def _own_single_and_folds(evidence: Evidence, variant: str) -> tuple[dict, dict, list[FinishedRun]]:
    """Own class scores of the published best where both ran: of the single split, their means over five folds; runs."""
    single, folds, compared = {}, {}, []
    for (net, problem), experiment in published.BEST_EXPERIMENT.items():
        grid = grid_runs(evidence, problem, variant, net, experiment)
        of_folds = _own_fold_scores(evidence, problem, variant, net, experiment)
        if not grid or len(of_folds) < NUM_FOLDS:
            continue
        pooled = np.mean([class_scores(run.test_confusion.sum(axis=0)) for run in grid], axis=0)
        mean = metrics.mean_defined(of_folds, axis=0)
        single[net, problem], folds[net, problem] = (_by_class(values, problem) for values in (pooled, mean))
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


def _share_of_halves(lung: np.ndarray, lesion: np.ndarray, axis: int) -> tuple[float, float]:
    """Infected share of the two halves of a lung's bounding box along an axis; NaN where a half holds no lung."""
    where = np.flatnonzero(lung.any(axis=1 - axis))
    if not len(where):
        return math.nan, math.nan
    middle = (where[0] + where[-1] + 1) // 2
    halves = zip(np.split(lung, [middle], axis), np.split(lesion, [middle], axis), strict=True)
    first, second = ((part & of_lung).sum() / of_lung.sum() if of_lung.any() else math.nan for of_lung, part in halves)
    return float(first), float(second)
