"""How what the trainings of each variant say is put together."""

from __future__ import annotations

from collections.abc import Callable

from experiments.reporting.judgement import DOES_NOT, REPLICATES, UNDECIDED, Judgement, Outcome
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import VARIANTS

VARIANT_NAMES = {"released": "Networks as released", "paper": "Networks as described"}


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
