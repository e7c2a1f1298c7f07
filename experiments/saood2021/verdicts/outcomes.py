"""How what the trainings of each variant say is put together, by the rules of `experiments.reporting.rules`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.reporting.judgement import (
    DOES_NOT,
    REPLICATES,
    TRAINING,
    Judgement,
    Outcome,
    how_many,
    p_value,
    undecided,
)
from experiments.reporting.rules import ENOUGH, Lead, prediction
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import VARIANTS
from experiments.saood2021.spread import Score, borrowed, of_last_epochs, of_trainings

VARIANT_NAMES = {"released": "Networks as released", "paper": "Networks as described"}


def across_variants(
    evidence: Evidence,
    judge: Callable[[Evidence, str], Outcome | None],
    decides: str,
    beside: str = "",
    by: Sequence[str] = VARIANTS,
    by_training: bool = True,
) -> Judgement:
    """Judge the trainings of each variant and put the outcomes together.

    Arguments:
        evidence: as for the report.
        judge: says what one variant's trainings show; None where those it needs did not run.
        decides: what would decide the claim where these trainings cannot.
        beside: more evidence, from the article or the released files; it does not enter the verdict.
        by: the variants that decide; the others are told.
        by_training: whether more trainings of those planned would decide it.

    Returns:
        Decided where every variant of `by` that can tell says the same.
    """
    outcomes = {variant: judge(evidence, variant) for variant in VARIANTS}
    told = {variant: outcome for variant, outcome in outcomes.items() if outcome is not None}
    sentences = [f"{VARIANT_NAMES[variant]}: {outcome.text}." for variant, outcome in told.items()]
    text = " ".join([*sentences, *([beside] if beside else [])])
    answers = {told[variant].holds for variant in by if variant in told} - {None}
    if len(answers) == 1:
        return Judgement(REPLICATES if answers == {True} else DOES_NOT, text, TRAINING)
    if answers:
        decides = "The two variants disagree: more seeds of each would show whether by chance."
        return undecided(text, decides, by_training=True)
    if not told:
        text = " ".join(["The trainings that this needs have not run.", *([beside] if beside else [])])
    return undecided(text, decides, by_training)


def ordinary(
    evidence: Evidence, runs: Sequence[FinishedRun], score: Score, name: str, stated: float
) -> tuple[bool | None, str]:
    """Would a training that scores what is stated be an ordinary one among ours?

    Arguments:
        evidence: with all trainings.
        runs: those of the configuration; at least one.
        score: of a training.
        name: of the score, for the text.
        stated: what the article states of one training.

    Returns:
        As `Prediction.holds`, and what was compared.
    """
    scores = of_trainings(runs, score)
    text = f"{name} {np.mean(scores):.3f}"
    if last := [np.mean(of) for run in runs if (of := of_last_epochs(run, score))]:
        text += f" ({np.mean(last):.3f} over the last epochs of {how_many(len(last))})"
    found = prediction(scores, borrowed(evidence, runs, score))
    if found is None:
        return None, f"{text}, stated {stated:.3g}"
    spread = f" with the spread of {found.borrowed}" if found.borrowed else ""
    low, high = max(found.low, 0), min(found.high, 1)  # scores are shares
    return found.holds(stated), f"{text}, prediction interval{spread} {low:.3f} to {high:.3f}; stated {stated:.3g}"


def lead_text(found: Lead) -> str:
    """A comparison over trainings, as text."""
    few = min(found.n) < ENOUGH
    test = f"too few for a test, which needs {ENOUGH} of each" if few else p_value(found.p_value)
    return (
        f"{found.difference:+.3f} (Mann-Whitney over trainings, {test}; of two single trainings the order is the other "
        f"in {found.reversed:.0%} of the pairs)"
    )
