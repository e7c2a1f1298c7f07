"""Claims of the second study that only finished runs decide: one function each.

They look at the largest group of runs of one data set and recipe (`Evidence.comparable`) and compare models that
differ in one thing alone. A difference counts where the signed-rank test over the pairs gives p < 0.05. Where losses
end up, and that something does not hold, is decided by runs as long as the article's alone, speed apart; runs on the
phantom decide nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from experiments.bizopoulos2021.evidence import Evidence, run_grid
from experiments.bizopoulos2021.figures.curves import (
    KINDS,
    Key,
    curves,
    cut,
    early_and_late,
    epochs_to_common_level,
    epochs_to_converge,
    paired,
)
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    COSTS,
    DICE,
    EXPERIMENTS,
    INITIALISATIONS,
    cost_grid,
    number,
    stated,
)
from experiments.bizopoulos2021.tables.analysis import (
    LESION_A,
    LESION_B,
    MIN_PAIRS,
    Gain,
    gain,
    own_dice,
    p_text,
    published_dice,
)
from experiments.reporting.judgement import DOES_NOT, REPLICATES, UNDECIDED, Judgement
from unet_segnet.data.catalogue import PHANTOM
from unet_segnet.measures import metrics

COMMAND = "python -m experiments.compare"
SIGNIFICANT = 0.05
MIN_TIMED = 3  # models of each architecture before their speed is compared
MIN_ENCODERS = 3  # before the spread over encoders means something
GOOD_DICE = 70.0  # percent; overlap above it is called excellent since Zijdenbos et al. (1994)


def architecture_order(evidence: Evidence) -> Judgement:
    """Holds where U-Net and LinkNet are ahead of FPN and FPN of PSPNet, each beyond chance."""
    dice = own_dice(evidence.comparable)
    complete = ~np.isnan(dice).any(axis=2)
    means = published_dice().mean(axis=(0, 1, 3))
    beside = f"Table II, means over everything: {_named(means, '.2f')} %."
    if not complete.any():
        return _undecided(evidence, beside, f"All four architectures with some encoders: {COMMAND}.")
    of = np.where(complete[:, :, None], dice, np.nan)
    answers, texts = [], []
    for ahead, behind in (("unet", "fpn"), ("linknet", "fpn"), ("fpn", "pspnet")):
        found = gain(*(of[:, :, list(ARCHITECTURES).index(name)] for name in (ahead, behind)))
        answers.append(_beyond_chance(found))
        texts.append(f"{ARCHITECTURES[ahead]} less {ARCHITECTURES[behind]} {_gain_text(found)}")
    return _judged(evidence, _all(answers), "; ".join(texts), beside, f"More encoders: {COMMAND}.")


def pspnet_fastest(evidence: Evidence) -> Judgement:
    """Holds where PSPNet needs the fewest seconds per epoch, in training and in validation."""
    return _speed(evidence, "pspnet", np.argmin)


def linknet_slowest(evidence: Evidence) -> Judgement:
    """Holds where LinkNet needs the most seconds per epoch, in training and in validation."""
    return _speed(evidence, "linknet", np.argmax)


def _speed(evidence: Evidence, architecture: str, extreme) -> Judgement:
    table = [cost_grid(column).mean(axis=1) for column in COSTS[1:]]
    beside = "; ".join(
        f"Table II, seconds per epoch of {what}: {_named(means, '.2f')}"
        for what, means in zip(KINDS.values(), table, strict=True)
    )
    decides = f"Some encoders with all four architectures on one machine: {COMMAND}."
    machines = Counter((run.device, *run.conditions) for run in evidence.comparable).most_common(1)
    runs = [run for run in evidence.comparable if (run.device, *run.conditions) == machines[0][0]]
    if not runs:
        return _undecided(evidence, f"{beside}.", decides)
    seconds = run_grid(runs, lambda run: np.array(run.seconds))
    seconds = np.moveaxis(seconds, 2, -1)  # architecture last: (3, 2, 25, 2, 4)
    common = ~np.isnan(seconds).any(axis=(3, 4))
    if common.sum() < MIN_TIMED:
        return _undecided(evidence, f"{beside}.", decides)
    means = seconds[common].mean(axis=0)  # (training or validation, architecture)
    holds = all(int(extreme(of)) == list(ARCHITECTURES).index(architecture) for of in means)
    text = "; ".join(f"{what} {_named(of, '.2f')} s" for what, of in zip(KINDS.values(), means, strict=True))
    return _judged(
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
        f"{name} {_gain_text(gain(theirs[LESION_B, i], theirs[LESION_A, i]))}"
        for i, name in enumerate(INITIALISATIONS.values())
    )
    return _gain_judgement(evidence, gain(ours[LESION_B], ours[LESION_A]), beside, "lesion A and B of the same models")


def imagenet_helps(evidence: Evidence) -> Judgement:
    """Holds where Dice is higher from ImageNet weights beyond chance, over models that ran from both."""
    theirs, ours = published_dice(), own_dice(evidence.comparable)
    beside = "Table II: " + "; ".join(
        f"{name} {_gain_text(gain(theirs[e, 1], theirs[e, 0]))}" for e, name in enumerate(EXPERIMENTS.values())
    )
    return _gain_judgement(evidence, gain(ours[:, 1], ours[:, 0]), beside, "both initialisations of the same models")


def _gain_judgement(evidence: Evidence, found: Gain, beside: str, needed: str) -> Judgement:
    decides = f"At least {MIN_PAIRS} pairs of runs, {needed}: {COMMAND}."
    if not found.n:
        return _undecided(evidence, f"{beside}.", decides)
    return _judged(evidence, _beyond_chance(found), f"Dice {_gain_text(found)}", f"{beside}.", decides)


def imagenet_converges_faster(evidence: Evidence) -> Judgement:
    """Holds where the validation loss first reaches the level common to both runs earlier, beyond chance."""
    pairs = paired(curves(evidence.comparable)["validation_loss"], 1, "none", "imagenet")
    decides = f"At least {MIN_PAIRS} pairs of runs that differ in their initialisation alone: {COMMAND}."
    if not pairs:
        return _undecided(evidence, "", decides)
    epochs = np.array([epochs_to_common_level(pair) for pair in pairs], float)
    found = gain(epochs[:, 0], epochs[:, 1])
    text = (
        f"the validation loss that both reach takes {epochs[:, 0].mean():.1f} epochs from random and "
        f"{epochs[:, 1].mean():.1f} from ImageNet weights ({_pairs(found)})"
    )
    return _judged(evidence, _beyond_chance(found), text, "", decides)


def gap_closes(evidence: Evidence) -> Judgement:
    """Holds where the validation losses of random and ImageNet weights are closer in the last quarter of the epochs."""
    return _closing(evidence, 1, "none", "imagenet", "runs that differ in their initialisation alone")


def a_b_converge(evidence: Evidence) -> Judgement:
    """Holds where the validation losses of lesion A and B are closer in the last quarter of the epochs."""
    return _closing(evidence, 0, "lesion_a", "lesion_b", "runs of lesion A and B of the same models")


def _closing(evidence: Evidence, axis: int, first: str, second: str, needed: str) -> Judgement:
    pairs = paired(curves(evidence.comparable)["validation_loss"], axis, first, second)
    decides = f"At least {MIN_PAIRS} pairs of {needed}: {COMMAND}."
    if not pairs:
        return _undecided(evidence, "", decides)
    gaps = np.array([early_and_late(np.abs(a - b)) for a, b in pairs])
    found = gain(gaps[:, 0], gaps[:, 1])
    holds, decides = _if_long_enough(_beyond_chance(found), (a for a, _ in pairs), decides)
    text = (
        f"the validation losses differ by {gaps[:, 0].mean():.3f} in the first and {gaps[:, 1].mean():.3f} in the last "
        f"quarter of the epochs ({_pairs(found)})"
    )
    return _judged(evidence, holds, text, "", decides)


def losses_fall_early(evidence: Evidence) -> Judgement:
    """Holds where the mean loss of each experiment and architecture falls faster per epoch early than after."""
    found, faster = curves(evidence.comparable), []
    for kind, name in KINDS.items():
        early = int(number(f"{name}_fast_epochs"))
        for experiment in EXPERIMENTS:
            for architecture in ARCHITECTURES:
                of = [c for key, c in found[kind].items() if (key[0], key[2]) == (experiment, architecture)]
                of = [curve for curve in of if len(curve) > early]
                if of:
                    falls = [
                        ((c[0] - c[early - 1]) / (early - 1), (c[early - 1] - c[-1]) / (len(c) - early)) for c in of
                    ]
                    first, then = np.mean(falls, axis=0)
                    faster.append(bool(first > then))
    all_of_them = len(KINDS) * len(EXPERIMENTS) * len(ARCHITECTURES)
    decides = f"Runs of each architecture in each experiment, longer than 15 epochs: {COMMAND}."
    if not faster:
        return _undecided(evidence, "", decides)
    holds = False if False in faster else True if len(faster) == all_of_them else None
    text = f"{sum(faster)} of {len(faster)} mean curves fall faster early ({all_of_them} there would be)"
    return _judged(evidence, holds, text, "", decides)


def pspnet_converges_faster(evidence: Evidence) -> Judgement:
    """Holds where PSPNet's training loss makes nine tenths of its fall in fewer epochs than each other's."""
    return _convergence(evidence, "pspnet", ("loss",), sign=1)


def linknet_converges_slowest(evidence: Evidence) -> Judgement:
    """Holds where LinkNet's losses make nine tenths of their fall in more epochs than each other's."""
    return _convergence(evidence, "linknet", tuple(KINDS), sign=-1)


def _convergence(evidence: Evidence, architecture: str, kinds: tuple[str, ...], sign: int) -> Judgement:
    """`sign` 1: is the architecture faster than each other one; -1: slower."""
    decides = f"At least {MIN_PAIRS} models of each architecture: {COMMAND}."
    found, answers, texts = curves(evidence.comparable), [], []
    place = list(ARCHITECTURES).index(architecture)
    for kind in kinds:
        epochs = []
        for key in sorted(found[kind]):
            of = [found[kind].get((*key[:2], name, key[3])) for name in ARCHITECTURES]
            if key[2] == architecture and all(curve is not None for curve in of):
                epochs.append([epochs_to_converge(curve) for curve in of])
        if not epochs:
            return _undecided(evidence, "", decides)
        epochs = np.array(epochs, float)
        for other in range(len(ARCHITECTURES)):
            if other != place:
                answers.append(_beyond_chance(gain(sign * epochs[:, other], sign * epochs[:, place])))
        texts.append(f"{KINDS[kind]} loss, epochs to nine tenths of its fall: {_named(epochs.mean(axis=0), '.1f')}")
        texts[-1] += f" (n={len(epochs)})"
    holds, decides = _if_long_enough(_all(answers), found["loss"].values(), decides)
    return _judged(evidence, holds, "; ".join(texts), "", decides)


def fpn_varies_most(evidence: Evidence) -> Judgement:
    """Holds where FPN's curves spread the most over the encoders, in each experiment that ran, both losses.

    Over encoders alone: the spread is that of each initialisation, then the mean of the two where both ran.
    """
    found, tops, texts = curves(evidence.comparable), [], []
    for kind, name in KINDS.items():
        for experiment, title in EXPERIMENTS.items():
            of_each = [_spreads(found[kind], experiment, start) for start in INITIALISATIONS]
            enough = [spreads for spreads in of_each if spreads is not None]
            if enough:
                spreads = np.mean(enough, axis=0)
                tops.append(list(ARCHITECTURES)[int(np.argmax(spreads))] == "fpn")
                texts.append(f"{name}, {title}: {_named(spreads, '.3f')}")
    decides = f"At least {MIN_ENCODERS} encoders, the same with each architecture, in each experiment: {COMMAND}."
    if not tops:
        return _undecided(evidence, "", decides)
    holds = False if not all(tops) else True if len(tops) == len(KINDS) * len(EXPERIMENTS) else None
    holds, decides = _if_long_enough(holds, found["loss"].values(), decides)
    return _judged(evidence, holds, f"standard deviation over encoders, {'; '.join(texts)}", "", decides)


def _spreads(by_key: dict[Key, np.ndarray], experiment: str, start: str) -> np.ndarray | None:
    """(4,) each architecture's deviation over the encoders that ran with all four; None where these are too few."""
    of = [
        {key[3]: curve for key, curve in by_key.items() if key[:3] == (experiment, start, architecture)}
        for architecture in ARCHITECTURES
    ]
    common = sorted(set.intersection(*map(set, of)))
    if len(common) < MIN_ENCODERS:
        return None
    losses = cut([curves_[encoder] for curves_ in of for encoder in common])
    return losses.reshape(len(of), len(common), -1).std(axis=1).mean(axis=1)


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
        return _undecided(evidence, "", decides)
    means = {key: float(np.mean(values)) for key, values in dice.items()}
    text = "; ".join(
        f"{title}: " + ", ".join(f"{name} {means[e, a]:.1f}" for a, name in ARCHITECTURES.items() if (e, a) in means)
        for e, title in EXPERIMENTS.items()
        if any((e, a) in means for a in ARCHITECTURES)
    )
    good = [mean > GOOD_DICE for mean in means.values()]
    complete = len(good) == len(EXPERIMENTS) * len(ARCHITECTURES)
    holds = False if not all(good) else True if complete else None
    return _judged(
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
        return _undecided(evidence, "", decides)
    holds = all(networks[name] > ranges[name] for name in ranges)
    if not evidence.comparable[0].article_data or (holds and len(ranges) < len(EXPERIMENTS)):
        holds = None
    text = "; ".join(f"{name} {networks[name]:.1f} and {ranges[name]:.1f}" for name in ranges)
    return _judged(
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


def _judged(
    evidence: Evidence, holds: bool | None, text: str, beside: str, decides: str, any_length: bool = False
) -> Judgement:
    """`any_length`: may runs shorter than the article's deny the claim?"""
    run = evidence.comparable[0]
    if run.data == PHANTOM or (holds is False and not any_length and run.epochs < number("epochs")):
        holds = None
        decides = _longer(decides)
    text = f"{_what_ran(evidence)}: {text}.{f' {beside}' if beside else ''}"
    if holds is None:
        return Judgement(UNDECIDED, text, decides)
    return Judgement(REPLICATES if holds else DOES_NOT, text)


def _longer(decides: str) -> str:
    """The same runs, long enough and on real slices."""
    longer = f", {number('epochs'):.0f} epochs each on real slices: {COMMAND}"
    return decides if longer in decides else decides.replace(f": {COMMAND}", longer)


def _undecided(evidence: Evidence, beside: str, decides: str) -> Judgement:
    text = "The runs that this needs are not at hand."
    return Judgement(UNDECIDED, f"{text}{f' {beside}' if beside else ''}", decides)


def _what_ran(evidence: Evidence) -> str:
    """The runs that are compared, and in what they are not the article's."""
    runs = evidence.comparable
    changed = ", ".join(runs[0].deviations)
    return f"{len(runs)} runs{f' (not as in the article: {changed})' if changed else ''}"


def _if_long_enough(holds: bool | None, found: Iterable[np.ndarray], decides: str) -> tuple[bool | None, str]:
    """The answer where all curves are as long as the article's, else None; and what would decide it then."""
    if min(map(len, found)) >= number("epochs"):
        return holds, decides
    return None, _longer(decides)


def _beyond_chance(found: Gain) -> bool | None:
    """True for a gain that is not chance, False for such a loss, None where the pairs cannot tell."""
    if found.n < MIN_PAIRS or not found.p < SIGNIFICANT:
        return None
    return found.effect > 0


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _gain_text(found: Gain) -> str:
    return f"{found.mean:+.2f} (higher in {found.improved} of {found.n}, largest {found.largest:+.2f}, {_p(found)})"


def _pairs(found: Gain) -> str:
    return f"{found.n} {'pair' if found.n == 1 else 'pairs'}, {_p(found)}"


def _p(found: Gain) -> str:
    if math.isnan(found.p):
        return "no test"
    text = p_text(found.p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _named(values, form: str) -> str:
    """'U-Net 1.91, LinkNet 2.00, ...'."""
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(ARCHITECTURES.values(), values, strict=True))
