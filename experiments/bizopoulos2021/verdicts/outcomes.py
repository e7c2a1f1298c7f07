"""How what the finished runs say becomes a judgement.

Claims look at the largest group of runs of one data set and recipe (`Evidence.comparable`; for what compares lesion A
and B, `Evidence.of_equal_slices`) and compare models that differ in one thing alone. The unit is the encoder, and for
scores the scan too: networks on one encoder share it, slices of one scan are alike. A difference counts where the two-
sided signed-rank test over the units gives p < 0.05, for which there must be six; for scores by encoder and by scan,
the same way. A claim of several differences needs all of them, and is denied by one at the level divided by their
number. Where losses end up, and that something does not hold, is decided by runs as long as the article's alone; runs
on the phantom decide nothing. What Table II says by encoder decides where our trainings cannot, and is told apart by
what the verdict rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.protocol import EPOCHS
from experiments.bizopoulos2021.published import ARCHITECTURES
from experiments.bizopoulos2021.tables.analysis import MIN_PAIRS, Gain
from experiments.reporting.judgement import (
    REPLICATION,
    TABLES,
    TRAINING,
    UNDECIDED,
    Judgement,
    decided,
    how_many,
    p_value,
    undecided,
)
from experiments.reporting.rules import LEVEL
from unet_segnet.data.catalogue import PHANTOM

COMMAND = "python -m experiments.compare"


def judged(
    runs: Sequence[CompareRun],
    holds: bool | None,
    text: str,
    beside: str,
    decides: str,
    any_length: bool = False,
    by_training: bool = True,
) -> Judgement:
    """The judgement by runs that are compared.

    Arguments:
        runs: these; at least one.
        holds: what they say of the claim; None where they cannot tell.
        text: what they show.
        beside: more evidence, from the article; it does not enter the verdict.
        decides: what would decide the claim where they cannot.
        any_length: may runs shorter than the article's deny the claim?
        by_training: whether trainings here would decide it.
    """
    run = runs[0]
    if run.data == PHANTOM or (holds is False and not any_length and run.epochs < EPOCHS):
        holds = None
        decides = _longer(decides)
    text = f"{_what_ran(runs)}: {text}.{f' {beside}' if beside else ''}"
    if holds is None:
        return undecided(text, decides, by_training)
    return decided(holds, text, REPLICATION if run.test else TRAINING)


def _longer(decides: str) -> str:
    """The same runs, long enough and on real slices."""
    longer = f", {EPOCHS} epochs each on real slices: {COMMAND}"
    return decides if longer in decides else decides.replace(f": {COMMAND}", longer)


def not_run(beside: str, decides: str, by_training: bool = True) -> Judgement:
    """The judgement where the runs that it needs are not there.

    Arguments:
        beside: more evidence, from the article.
        decides: what would decide the claim.
        by_training: whether trainings here would.
    """
    text = "The runs that this needs are not at hand."
    return undecided(f"{text}{f' {beside}' if beside else ''}", decides, by_training)


def or_by_table(judgement: Judgement, theirs: Gain) -> Judgement:
    """The judgement, or where our trainings leave it open that of Table II, if the gains of its encoders decide."""
    answer = beyond_chance(theirs)
    if judgement.verdict != UNDECIDED or answer is None:
        return judgement
    return decided(answer, f"{judgement.evidence} By training it is open.", TABLES)


def _what_ran(runs: Sequence[CompareRun]) -> str:
    """The runs that are compared, and in what they are not the article's."""
    told = dict.fromkeys(deviation for run in runs for deviation in run.deviations)
    changed = ", ".join(sorted(told, key=lambda text: not text.startswith("on ")))  # the data first
    what = "A conceptual replication, " if runs[0].test else ""
    return f"{what}{len(runs)} runs{f' (not as in the article: {changed})' if changed else ''}"


def if_long_enough(holds: bool | None, found: Iterable[np.ndarray], decides: str) -> tuple[bool | None, str]:
    """The answer where all curves are as long as the article's, else None; and what would decide it then."""
    if min(map(len, found)) >= EPOCHS:
        return holds, decides
    return None, _longer(decides)


def beyond_chance(found: Gain, tests: int = 1) -> bool | None:
    """True for a gain that is not chance, False for such a loss, None where the pairs cannot tell.

    Arguments:
        found: over the units.
        tests: of one claim of which any may deny it; a loss has to be beyond chance among so many (Bonferroni).
    """
    if found.n < MIN_PAIRS or not found.p < LEVEL:
        return None
    if found.effect > 0:
        return True
    return False if found.p < LEVEL / tests else None


def all_of(gains: Sequence[Gain], tests: int | None = None) -> bool | None:
    """Of a claim that is all of these: True where each is a gain beyond chance, False where any is such a loss.

    Arguments:
        gains: over the units.
        tests: how many there would be, where some could not be made yet; so that further ones take nothing back.
    """
    answers = [beyond_chance(found, tests or len(gains)) for found in gains]
    return False if False in answers else None if None in answers else True


def agreed(answers: list[bool | None]) -> bool | None:
    """What all answers say; None where one is open or they differ."""
    return answers[0] if len(set(answers)) == 1 else None


def gain_text(found: Gain, unit: str) -> str:
    """The mean difference and for how many units it is above 0."""
    higher = f"higher for {found.improved} of {how_many(found.n, unit)}"
    return f"by {unit} {found.mean:+.2f} ({higher}, {_tested(found)})" if found.n else f"by {unit} none"


def units_text(found: Gain, unit: str = "encoder") -> str:
    """How many units there were, and p."""
    return f"{how_many(found.n, unit)}, {_tested(found)}"


def _tested(found: Gain) -> str:
    return "too few to test" if found.n < MIN_PAIRS else p_value(found.p)


def named(values, form: str) -> str:
    """'U-Net 1.91, LinkNet 2.00, ...'."""
    return ", ".join(f"{name} {value:{form}}" for name, value in zip(ARCHITECTURES.values(), values, strict=True))
