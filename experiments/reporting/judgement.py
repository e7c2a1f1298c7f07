"""How a claim is judged: what one set of trainings says, and how several sets are put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.reporting.content import BASES, VERDICTS, Verdict
from unet_segnet.measures.statistics import Interval

REPLICATES, DOES_NOT, SLIP, UNDECIDED = VERDICTS
TRAINING, SIDE_STUDY, REPLICATION, TABLES, RELEASE = BASES


@dataclass(frozen=True)
class Claim:
    """One claim of an article: a name, the claim in our words and in the article's, and where it stands."""

    name: str
    claim: str
    quote: str
    source: str


@dataclass(frozen=True)
class Judgement:
    """A verdict, the evidence in a sentence or two, and what it rests on, or where it is open what would decide it.

    `by_training`: whether trainings of ours would, as far as anybody knows beforehand.
    """

    verdict: str
    evidence: str
    basis: str = ""
    decides: str = ""
    by_training: bool = False


@dataclass(frozen=True)
class Outcome:
    """What the trainings of one variant say: the claim holds, does not, or (None) they cannot tell; and why."""

    holds: bool | None
    text: str


def judge(claims: Sequence[Claim], judges: Mapping[str, Callable[..., Judgement]], evidence) -> tuple[Verdict, ...]:
    """One verdict per claim, in their order.

    Arguments:
        claims: of one article.
        judges: by the names of the claims, what judges each from the evidence.
        evidence: what they take.

    Raises:
        KeyError: a claim that nothing judges.
    """
    found = []
    for of in claims:
        judgement = judges[of.name](evidence)
        says = (judgement.verdict, judgement.basis, judgement.evidence, judgement.decides, judgement.by_training)
        found.append(Verdict(of.name, of.claim, of.quote, of.source, *says))
    return tuple(found)


def decided(holds: bool, evidence: str, basis: str) -> Judgement:
    """A judgement on evidence that always decides."""
    return Judgement(REPLICATES if holds else DOES_NOT, evidence, basis)


def undecided(evidence: str, decides: str, by_training: bool = False) -> Judgement:
    """A judgement that is left open, what would decide it, and whether trainings of ours would."""
    return Judgement(UNDECIDED, evidence, decides=decides, by_training=by_training)


def with_limits(interval: Interval, index=(), signed: bool = False) -> str:
    """An estimate with its 95 % interval, as text."""
    import numpy as np

    form = "+.3f" if signed else ".3f"
    value, low, high = (float(np.asarray(part)[index]) for part in (interval.estimate, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def p_value(p: float) -> str:
    """'p = 0.031', 'p < 0.001' or 'no test'."""
    if math.isnan(p):
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def how_many(number: int, what: str = "training") -> str:
    """'1 training', '3 trainings'."""
    return f"{number} {what}{'' if number == 1 else 's'}"
