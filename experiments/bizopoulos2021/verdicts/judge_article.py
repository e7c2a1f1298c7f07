"""Claims of the second study that its own Table II, its text or its released code decide.

What is a slip: the article's own table or code has the right numbers, and shows how others, or no name for them, came
to stand in the sentence. A sentence that says something which its own table contradicts is a claim that fails.
"""

from __future__ import annotations

import numpy as np

from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    EXPERIMENTS,
    INITIALISATIONS,
    encoders,
    number,
    parameter_grid,
    parameters,
    stated,
)
from experiments.bizopoulos2021.tables.analysis import COUNTS, correlation, of_models, own_dice, published_dice
from experiments.bizopoulos2021.tables.scores import article_truth
from experiments.reporting.judgement import RELEASE, SLIP, TABLES, Judgement, decided, p_value, undecided
from experiments.reporting.rules import LEVEL
from unet_segnet.measures.metrics import EMPTY_RULES, foreground_scores

IMAGENET = list(INITIALISATIONS).index("imagenet")


def _slip_or_decided(holds: bool, slip: bool, text: str) -> Judgement:
    """By Table II: holds, or is a slip where its numbers are those of something else in it, or fails."""
    return Judgement(SLIP, text, TABLES) if slip and not holds else decided(holds, text, TABLES)


def best_pairs(evidence: Evidence) -> Judgement:
    """Holds where the named pairs are the best models of Table II.

    A slip where the pairs are its best encoders in another order: the printed Dice are right, the names are no models.
    The released code lists six architectures and then six encoders, but gives them values in turn.
    """
    dice = published_dice()
    holds, told, of_each = True, [], []
    for e, (experiment, name) in enumerate(EXPERIMENTS.items()):
        i, a, n = np.unravel_index(dice[e].argmax(), dice[e].shape)
        model = f"{list(ARCHITECTURES)[a]}-{encoders()[n]}"
        holds &= model == stated(f"{experiment}_best_pair")
        told.append(f"{model} ({name}, {dice[e, i, a, n]:.2f} %, {list(INITIALISATIONS.values())[i]})")
        of_each += [encoders()[dice[e, i].argmax() % len(encoders())] for i in range(len(INITIALISATIONS))]
    half = len(of_each) // 2
    paired = [f"{first}-{second}" for first, second in zip(of_each[:half], of_each[half:], strict=True)]
    text = f"In Table II the best are {', '.join(told)}."
    if slip := paired == [stated(f"{experiment}_best_pair") for experiment in EXPERIMENTS]:
        text += (
            " The stated pairs are no models: they arise where the best encoders of the three experiments, random and "
            f"ImageNet in turn ({', '.join(of_each)}), are cut into two halves and joined."
        )
    return _slip_or_decided(bool(holds), slip, f"{text}{_best_of_ours(evidence)}")


def _best_of_ours(evidence: Evidence) -> str:
    ours = own_dice(evidence.comparable)
    told = []
    for e, name in enumerate(EXPERIMENTS.values()):
        if not np.isnan(ours[e]).all():
            i, a, n = np.unravel_index(np.nanargmax(ours[e]), ours[e].shape)
            model = f"{list(ARCHITECTURES)[a]}-{encoders()[n]}"
            told.append(f"{model} ({name}, {ours[e, i, a, n]:.2f} %, best of {int((~np.isnan(ours[e])).sum())})")
    return f" Ours so far: {', '.join(told)}." if told else ""


def mean_dice_experiments(evidence: Evidence) -> Judgement:
    """Holds where the stated means are those of all 200 models of an experiment.

    A slip where they are those of its ImageNet half, which the article's source inserts by that name and the sentence
    does not tell.
    """
    dice = published_dice()
    printed = np.array([number(f"{experiment}_dice") for experiment in EXPERIMENTS])
    of_all = dice.mean(axis=(1, 2, 3))
    pretrained = dice[:, IMAGENET].mean(axis=(1, 2))
    slip = _equal(pretrained, printed)
    return _slip_or_decided(
        _equal(of_all, printed),
        slip,
        f"The models of Table II have {_listed(of_all)} % on average; {_listed(pretrained)} % is the mean of those "
        f"that began from ImageNet weights{', which is what is stated' if slip else ''}.",
    )


def mean_dice_architectures(evidence: Evidence) -> Judgement:
    """Holds where the stated means are those of all 50 models of an architecture in each experiment.

    A slip where all are those of the ImageNet half, as in `mean_dice_experiments`.
    """
    dice = published_dice()
    printed = np.array([[number(f"{a}_{e}_dice") for a in ARCHITECTURES] for e in EXPERIMENTS])
    of_all, pretrained = dice.mean(axis=(1, 3)), dice[:, IMAGENET].mean(axis=2)
    told = "; ".join(f"{name} {_listed(of)}" for name, of in zip(EXPERIMENTS.values(), of_all, strict=True))
    agree = int((np.abs(pretrained - printed) < 0.0101).sum())
    return _slip_or_decided(
        _equal(of_all, printed),
        agree == printed.size,
        f"Over both initialisations Table II gives {told} %; {agree} of the {printed.size} stated means are those of "
        "the ImageNet half.",
    )


def mean_dice_initialisations(evidence: Evidence) -> Judgement:
    """Holds where the stated means and deviations are those of Table II.

    A slip where the four numbers are in another order: two means of 87.1 and 4.1 % are no result, nor meant as one. The
    released code names mean and deviation of each in turn, but gives both means first.
    """
    dice = published_dice()
    means, deviations = (function(dice, axis=(0, 2, 3)) for function in (np.mean, np.std))
    printed = [(number(f"{start}_dice"), number(f"{start}_dice_std")) for start in ("random", "imagenet")]
    found = list(zip(means, deviations, strict=True))
    told = ", ".join(
        f"{mean:.2f} ± {std:.2f} % ({name})" for (mean, std), name in zip(found, INITIALISATIONS.values(), strict=True)
    )
    slip = _equal(np.transpose(found), np.array(printed))
    return _slip_or_decided(
        _equal(np.array(found), np.array(printed)),
        slip,
        f"Table II has {told}"
        f"{': the two means were printed as one pair, the two deviations as the other' if slip else ''}.",
    )


def best_worst_encoder(evidence: Evidence) -> Judgement:
    """Holds where the named encoders are best and worst over the randomly initialised models, which the sentence names.

    That they are so over all models is told. It makes no slip of the sentence: neither table nor code shows that all
    were meant.
    """
    dice = published_dice()
    named = stated("best_encoder"), stated("worst_encoder")
    random, both = dice[:, 0].mean(axis=(0, 1)), dice.mean(axis=(0, 1, 2))

    def ends(means):
        return encoders()[means.argmax()], encoders()[means.argmin()]

    def told(means):
        return " and ".join(f"{encoders()[at]} ({means[at]:.2f} %)" for at in (means.argmax(), means.argmin()))

    text = f"Over the randomly initialised models of Table II the best and worst are {told(random)}"
    text += f", over those of both initialisations {told(both)}"
    ours = own_dice(evidence.comparable)
    if ran := int((~np.isnan(ours)).any(axis=(0, 1, 2)).sum()):
        text += f". Ours: {ran} of {len(encoders())} encoders ran"
    return decided(ends(random) == named, f"{text}.", TABLES)


def parameters_correlate(evidence: Evidence) -> Judgement:
    """Holds where r is positive in each experiment, and significant in none.

    Fails where one is significant; open where one is negative by what may be chance.

    Each model counts once, with the mean Dice of its two initialisations, as in Figure 4: two would share their number
    of parameters.
    """
    dice, ours = published_dice(), own_dice(evidence.comparable)
    found = {which: [correlation(parameter_grid(which), of_models(of)) for of in dice] for which in COUNTS}
    told = [
        f"with the {label} parameters r = "
        + ", ".join(
            f"{one.r:.2f} ({name}, {p_value(one.p)})"
            for one, name in zip(found[which], EXPERIMENTS.values(), strict=True)
        )
        for which, label in COUNTS.items()
    ]
    text = f"Table II, {found['printed'][0].n} models of each experiment: {'; '.join(told)}."
    own = [
        f"{name} r = {one.r:.2f} of {one.n}"
        for e, name in enumerate(EXPERIMENTS.values())
        if not np.isnan((one := correlation(parameter_grid("used"), of_models(ours[e]))).r)
    ]
    text += f" Ours, used parameters: {', '.join(own)}." if own else ""
    if any(one.p < LEVEL for one in found["printed"]):
        return decided(False, text, TABLES)
    if all(one.r > 0 for one in found["printed"]):
        return decided(True, text, TABLES)
    return undecided(
        f"{text} None is significant as printed, and one is negative: its sign may be chance, and so may the others'.",
        "More models: with a hundred, a correlation below 0.2 cannot be told from none.",
    )


def largest_not_best(evidence: Evidence) -> Judgement:
    """Holds where the largest model is the best in no experiment."""
    counts, dice = parameter_grid("printed"), published_dice()
    a, n = np.unravel_index(counts.argmax(), counts.shape)
    ranks = [int((dice[e] > dice[e, :, a, n].max()).sum()) + 1 for e in range(len(EXPERIMENTS))]
    told = ", ".join(f"{rank} ({name})" for rank, name in zip(ranks, EXPERIMENTS.values(), strict=True))
    return decided(
        1 not in ranks,
        f"The largest, {list(ARCHITECTURES)[a]}-{encoders()[n]} with {counts[a, n]:.2f} million, is number {told} of "
        "200 in Table II.",
        TABLES,
    )


def linknet_larger(evidence: Evidence) -> Judgement:
    """Holds where LinkNet has more on average.

    No slip, though the "even" before it would fit "fewer": nothing but the word shows that this was meant.
    """
    printed, used = (parameter_grid(which) for which in COUNTS)
    linknet, unet = (list(ARCHITECTURES).index(name) for name in ("linknet", "unet"))
    more = sum(parameters()["linknet", encoder].built > parameters()["unet", encoder].built for encoder in encoders())
    return decided(
        bool(printed[linknet].mean() > printed[unet].mean()),
        f"Table II: LinkNet {printed[linknet].mean():.2f} million on average, U-Net {printed[unet].mean():.2f}; used "
        f"{used[linknet].mean():.2f} and {used[unet].mean():.2f}. LinkNet has more with {more} of the "
        f"{len(encoders())} encoders.",
        TABLES,
    )


def empty_prediction_right(evidence: Evidence) -> Judgement:
    """Holds where no slice has a lesion and an empty prediction."""
    truth, filled = article_truth(), int(number("test_slices_with_lesion"))
    dice = {rule: 100 * np.nanmean(foreground_scores(truth, rule)[:, 2]) for rule in EMPTY_RULES}
    text = (
        f"{filled} of the {len(truth)} test slices have lesions. By the rule as written a model that never finds one "
        f"has a mean Dice of {dice['prediction']:.1f} %. The released code asks for an empty truth instead, since it "
        "takes FN for FP, and gives all scores of 1 whatever is predicted there: to a model that finds nothing "
        f"{dice['truth']:.1f} % (as does a rule that asks for both)."
    )
    wrong = empty = 0
    for run in evidence.runs:
        nothing = run.confusion[:, :, 1].sum(axis=1) == 0
        empty += int(nothing.sum())
        wrong += int((nothing & (run.confusion[:, 1].sum(axis=1) > 0)).sum())
    if empty:
        text += f" Of {empty} empty predictions of our {len(evidence.runs)} runs {wrong} missed something."
    return decided(filled == 0, text, RELEASE)


def _equal(found: np.ndarray, printed: np.ndarray) -> bool:
    """The same to the last printed digit, give or take one."""
    return bool((np.abs(found - printed) < 0.0151).all())


def _listed(values) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
