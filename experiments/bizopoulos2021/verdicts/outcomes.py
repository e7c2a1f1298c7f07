"""How what the finished runs say becomes a judgement.

Claims look at the largest group of runs of one data set and recipe (`Evidence.comparable`) and compare models that
differ in one thing alone. A difference counts where the signed-rank test over the pairs gives p < 0.05. Where losses
end up, and that something does not hold, is decided by runs as long as the article's alone, speed apart; runs on the
phantom decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.protocol import EPOCHS
from experiments.bizopoulos2021.published import ARCHITECTURES
from experiments.bizopoulos2021.tables.analysis import MIN_PAIRS, Gain, p_text
from experiments.reporting.judgement import DOES_NOT, REPLICATES, UNDECIDED, Judgement
from unet_segnet.data.catalogue import PHANTOM

COMMAND = "python -m experiments.compare"
SIGNIFICANT = 0.05


def judged(
    evidence: Evidence, holds: bool | None, text: str, beside: str, decides: str, any_length: bool = False
) -> Judgement:
    """The judgement by the comparable runs.

    Arguments:
        evidence: with such runs.
        holds: what they say of the claim; None where they cannot tell.
        text: what they show.
        beside: more evidence, from the article; it does not enter the verdict.
        decides: what would decide the claim where they cannot.
        any_length: may runs shorter than the article's deny the claim?
    """
    run = evidence.comparable[0]
    if run.data == PHANTOM or (holds is False and not any_length and run.epochs < EPOCHS):
        holds = None
        decides = _longer(decides)
    text = f"{_what_ran(evidence)}: {text}.{f' {beside}' if beside else ''}"
    if holds is None:
        return Judgement(UNDECIDED, text, decides)
    return Judgement(REPLICATES if holds else DOES_NOT, text)


def _longer(decides: str) -> str:
    """The same runs, long enough and on real slices."""
    longer = f", {EPOCHS} epochs each on real slices: {COMMAND}"
    return decides if longer in decides else decides.replace(f": {COMMAND}", longer)


def undecided(beside: str, decides: str) -> Judgement:
    """The judgement where the runs that it needs are not there.

    Arguments:
        beside: more evidence, from the article.
        decides: what would decide the claim.
    """
    text = "The runs that this needs are not at hand."
    return Judgement(UNDECIDED, f"{text}{f' {beside}' if beside else ''}", decides)


def _what_ran(evidence: Evidence) -> str:
    """The runs that are compared, and in what they are not the article's."""
    runs = evidence.comparable
    changed = ", ".join(runs[0].deviations)
    return f"{len(runs)} runs{f' (not as in the article: {changed})' if changed else ''}"


def if_long_enough(holds: bool | None, found: Iterable[np.ndarray], decides: str) -> tuple[bool | None, str]:
    """The answer where all curves are as long as the article's, else None; and what would decide it then."""
    if min(map(len, found)) >= EPOCHS:
        return holds, decides
    return None, _longer(decides)


def beyond_chance(found: Gain) -> bool | None:
    """True for a gain that is not chance, False for such a loss, None where the pairs cannot tell."""
    if found.n < MIN_PAIRS or not found.p < SIGNIFICANT:
        return None
    return found.effect > 0


def all_of(answers: list[bool | None]) -> bool | None:
    """False where any answer is, True where all are, None where some are open."""
    return False if False in answers else None if None in answers else True


def gain_text(found: Gain) -> str:
    """The mean difference and in how many pairs it is above 0."""
    higher = f"higher in {found.improved} of {found.n}, largest {found.largest:+.2f}"
    return f"{found.mean:+.2f} ({higher}, {p_value(found.p)})"


def pairs_text(found: Gain) -> str:
    """How many pairs there were, and p."""
    return f"{found.n} {'pair' if found.n == 1 else 'pairs'}, {p_value(found.p)}"


def p_value(p: float) -> str:
    """'p = 0.031', 'p < 0.001' or 'no test'."""
    if math.isnan(p):
        return "no test"
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def named(values, form: str) -> str:
    """'U-Net 1.91, LinkNet 2.00, ...'."""
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(ARCHITECTURES.values(), values, strict=True))
