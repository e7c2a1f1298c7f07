"""Claims of the second study about losses over the epochs, which only finished runs decide: one function each."""

from __future__ import annotations

import numpy as np

from experiments.bizopoulos2021.curves import (
    KINDS,
    Key,
    curves,
    cut,
    early_and_late,
    epochs_to_common_level,
    epochs_to_converge,
    paired,
)
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    EXPERIMENTS,
    INITIALISATIONS,
    number,
)
from experiments.bizopoulos2021.tables.analysis import (
    MIN_PAIRS,
    gain,
)
from experiments.bizopoulos2021.verdicts.outcomes import (
    COMMAND,
    all_of,
    beyond_chance,
    if_long_enough,
    judged,
    named,
    pairs_text,
    undecided,
)
from experiments.reporting.judgement import Judgement

MIN_ENCODERS = 3  # before the spread over encoders means something


def imagenet_converges_faster(evidence: Evidence) -> Judgement:
    """Holds where the validation loss first reaches the level common to both runs earlier, beyond chance."""
    pairs = paired(curves(evidence.comparable)["validation_loss"], 1, "none", "imagenet")
    decides = f"At least {MIN_PAIRS} pairs of runs that differ in their initialisation alone: {COMMAND}."
    if not pairs:
        return undecided("", decides)
    epochs = np.array([epochs_to_common_level(pair) for pair in pairs], float)
    found = gain(epochs[:, 0], epochs[:, 1])
    text = (
        f"the validation loss that both reach takes {epochs[:, 0].mean():.1f} epochs from random and "
        f"{epochs[:, 1].mean():.1f} from ImageNet weights ({pairs_text(found)})"
    )
    return judged(evidence, beyond_chance(found), text, "", decides)


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
        return undecided("", decides)
    gaps = np.array([early_and_late(np.abs(a - b)) for a, b in pairs])
    found = gain(gaps[:, 0], gaps[:, 1])
    holds, decides = if_long_enough(beyond_chance(found), (a for a, _ in pairs), decides)
    text = (
        f"the validation losses differ by {gaps[:, 0].mean():.3f} in the first and {gaps[:, 1].mean():.3f} in the last "
        f"quarter of the epochs ({pairs_text(found)})"
    )
    return judged(evidence, holds, text, "", decides)


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
        return undecided("", decides)
    holds = False if False in faster else True if len(faster) == all_of_them else None
    text = f"{sum(faster)} of {len(faster)} mean curves fall faster early ({all_of_them} there would be)"
    return judged(evidence, holds, text, "", decides)


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
            return undecided("", decides)
        epochs = np.array(epochs, float)
        for other in range(len(ARCHITECTURES)):
            if other != place:
                answers.append(beyond_chance(gain(sign * epochs[:, other], sign * epochs[:, place])))
        texts.append(f"{KINDS[kind]} loss, epochs to nine tenths of its fall: {named(epochs.mean(axis=0), '.1f')}")
        texts[-1] += f" (n={len(epochs)})"
    holds, decides = if_long_enough(all_of(answers), found["loss"].values(), decides)
    return judged(evidence, holds, "; ".join(texts), "", decides)


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
                texts.append(f"{name}, {title}: {named(spreads, '.3f')}")
    decides = f"At least {MIN_ENCODERS} encoders, the same with each architecture, in each experiment: {COMMAND}."
    if not tops:
        return undecided("", decides)
    holds = False if not all(tops) else True if len(tops) == len(KINDS) * len(EXPERIMENTS) else None
    holds, decides = if_long_enough(holds, found["loss"].values(), decides)
    return judged(evidence, holds, f"standard deviation over encoders, {'; '.join(texts)}", "", decides)


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
