"""Claims that the article's own numbers, the released files or the slices decide, or that nothing here can."""

from __future__ import annotations

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
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS
from experiments.saood2021.published import stated
from experiments.saood2021.tables.trainings import accuracy_matrix, grid_runs
from experiments.saood2021.tables.with_authors import TRUTH, released_counts, test_truth
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import bootstrap_interval, paired_comparison
from unet_segnet.models.registry import NETWORKS

GOOD_DICE = 0.7  # Zijdenbos et al. (1994), as in the second study
SUBSTANTIAL = 0.6  # kappa: Landis and Koch (1977)
OTHERS = {"infnet": "Inf-Net", "covidsegnet": "COVID-SegNet"}  # references 25 and 22


def accuracy_shows_quality(evidence: Evidence) -> Judgement:
    """Holds where the configurations of both problems score more than calling every pixel healthy, beyond chance.

    By signed-rank tests over the printed configurations; fails where those of one problem score less.
    """
    trivial = background_accuracy()
    parts, answers = [], []
    for problem, name in zip(PROBLEMS, ("binary", "four classes"), strict=True):
        printed = np.array([a.mean for net in NETS for a in published.global_accuracy(net, problem).values()])
        tested = paired_comparison(printed, np.full(len(printed), trivial))
        parts.append(
            f"{name}: {int((printed > trivial).sum())} of {how_many(len(printed), 'configuration')} are above it, the "
            f"best {printed.max():.3f} ({printed.max() - trivial:+.3f}; Wilcoxon over all, p = {tested.p_value:.1g})"
        )
        answers.append(tested.effect_size > 0 if tested.p_value < LEVEL else None)
    own = _own_accuracies(evidence)
    text = (
        f"Calling every pixel healthy scores {trivial:.4f} on the 18 test slices (row sums of the released confusion "
        f"matrices). As printed, {'; '.join(parts)}."
    )
    if own:
        text += f" Own trainings, the highest: {own}."
    if False not in answers and None in answers:
        return undecided(text, "More configurations.")
    return decided(False not in answers, text, TABLES)


def not_infected_count(evidence: Evidence) -> Judgement:
    """Open: the article does not say from which count on it is exceptional, and marking nothing has a higher one."""
    parts = []
    for net, matrix in _best_binary().items():
        found, expected = matrix[0, 0], matrix.sum(axis=1)[0] * matrix.sum(axis=0)[0] / matrix.sum()
        parts.append(
            f"{NETWORKS[net].title} {found:,} ({found / matrix.sum(axis=1)[0]:.1%}; at random {expected:,.0f})"
        )
    text = (
        f"Of {matrix.sum(axis=1)[0]:,} pixels of the test slices that are not infected, the released confusion "
        f"matrices have as true positives: {'; '.join(parts)}. The count is high above all because the class is "
        f"{background_accuracy():.1%} of the pixels; calling every pixel healthy has all of them."
    )
    return undecided(text, "Nothing: a count says how large the class is. What it is meant to show is the next claim.")


def not_infected_reliable(evidence: Evidence) -> Judgement:
    """Holds where both networks' agreement with the masks, corrected for chance, is substantial (Cohen's kappa).

    By 95 % intervals over the slices: both above, or one of them below; open where one reaches over the limit.
    """
    kappas = {net: float(_kappa(matrix)) for net, matrix in _best_binary().items()}
    told = ", ".join(f"{NETWORKS[net].title} {kappa:.3f}" for net, kappa in kappas.items())
    false = " and ".join(f"{1 - metrics.precision(matrix)[1]:.0%}" for matrix in _best_binary().values())
    text = (
        f"The count itself cannot show it: calling every pixel healthy has a higher one. Corrected for chance, the "
        f"released confusion matrices agree with the masks by {told} (Cohen's kappa; substantial above {SUBSTANTIAL}); "
        f"of what they call infected {false} is not."
    )
    truth = test_truth(evidence)
    if truth is None:
        return undecided(text, TRUTH)
    intervals = [
        bootstrap_interval(released_counts(net, published.BEST_EXPERIMENT[net, "binary"], truth), _kappa)
        for net in NETS
    ]
    limits = " and ".join(f"{interval.low:.3f} to {interval.high:.3f}" for interval in intervals)
    text += f" Over the slices, whose counts follow from the released scores of each, 95 % intervals are {limits}."
    if any(interval.high < SUBSTANTIAL for interval in intervals):
        return decided(False, text, RELEASE)
    if all(interval.low > SUBSTANTIAL for interval in intervals):
        return decided(True, text, RELEASE)
    return undecided(text, "More slices with masks.")


def _kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa of counts or shares (..., K, K)."""
    shares = confusion / confusion.sum(axis=(-2, -1), keepdims=True)
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    return (np.trace(shares, axis1=-2, axis2=-1) - chance) / (1 - chance)


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
