"""How a claim is judged: what one set of trainings says, and how several sets are put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from experiments.report.content import VERDICTS, Evidence
from experiments.report.trainings import VARIANTS
from unet_segnet.statistics import Interval

REPLICATES, DOES_NOT, UNDECIDED = VERDICTS
VARIANT_NAMES = {"released": "Networks as released", "paper": "Networks as described"}


@dataclass(frozen=True)
class Judgement:
    """A verdict, the evidence for it in a sentence or two, and what would decide it where it is open."""

    verdict: str
    evidence: str
    decides: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the trainings of one variant say: the claim holds, does not, or (None) they cannot tell; and why."""

    holds: bool | None
    text: str


def across_variants(
    evidence: Evidence,
    judge: Callable[[Evidence, str], Outcome | None],
    decides: str,
    beside: str = "",
) -> Judgement:
    """Judge the trainings of each variant and put the outcomes together.

    Arguments:
        evidence: as for the report.
        judge: says what one variant's trainings show; None where those it needs did not run.
        decides: what would decide the claim where these trainings cannot.
        beside: more evidence, from the article or the released files; it does not enter the verdict.

    Returns:
        Decided where every variant that can tell says the same.
    """
    outcomes = {variant: judge(evidence, variant) for variant in VARIANTS}
    told = {variant: outcome for variant, outcome in outcomes.items() if outcome is not None}
    sentences = [f"{VARIANT_NAMES[variant]}: {outcome.text}." for variant, outcome in told.items()]
    text = " ".join([*sentences, *([beside] if beside else [])])
    answers = {outcome.holds for outcome in told.values()} - {None}
    if answers == {True}:
        return Judgement(REPLICATES, text)
    if answers == {False}:
        return Judgement(DOES_NOT, text)
    if answers:
        return Judgement(UNDECIDED, text, "The two variants disagree: more seeds of each would show whether by chance.")
    if not told:
        text = " ".join(["The trainings that this needs have not run.", *([beside] if beside else [])])
    return Judgement(UNDECIDED, text, decides)


def decided(holds: bool, evidence: str) -> Judgement:
    """A judgement on evidence that always decides."""
    return Judgement(REPLICATES if holds else DOES_NOT, evidence)


def with_limits(interval: Interval, index=(), signed: bool = False) -> str:
    """An estimate with its 95 % interval, as text."""
    import numpy as np

    form = "+.3f" if signed else ".3f"
    value, low, high = (float(np.asarray(part)[index]) for part in (interval.estimate, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def how_many(number: int, what: str = "training") -> str:
    """'1 training', '3 trainings'."""
    return f"{number} {what}{'' if number == 1 else 's'}"
