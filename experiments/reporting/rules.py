"""The rules by which trainings decide a claim. What each can and cannot tell is simulated by `experiments.rules`.

Trainings of one configuration that differ in their random numbers alone differ in their scores. The unit of these rules
is the training: slices say how a network fares on other slices, not what another training would have given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unet_segnet.measures.statistics import corrected_resampled_t

LEVEL = 0.05
ENOUGH = 4  # trainings of a configuration: 4 against 4 can be told apart at 0.05 (2 in 70), 3 against 4 cannot
TEST_TO_TRAIN = 20 / 70  # slices of a fold
DRAWS = 20_000


@dataclass(frozen=True)
class Spread:
    """How much the scores of trainings differ that differ in their random numbers alone.

    Attributes:
        deviation: standard deviation.
        source: where it is from, for texts.
    """

    deviation: float
    source: str


@dataclass(frozen=True)
class Prediction:
    """In which range another training's score would lie, 95 times in 100.

    Attributes:
        low, high: the limits.
        n: trainings.
        borrowed: where the spread is from if not from these trainings themselves; the interval is wider then.
    """

    low: float
    high: float
    n: int
    borrowed: str = ""

    def holds(self, stated: float) -> bool | None:
        """Would a training with this score be an ordinary one? None: it is not unusual, but trainings are few."""
        if not self.low <= stated <= self.high:
            return False
        return True if self.n >= ENOUGH else None


def prediction(scores: ArrayLike, other: Spread | None = None) -> Prediction | None:
    """The prediction interval of one more training: mean ± t s sqrt(1 + 1/n).

    Arguments:
        scores: (n,) one per training. From four on, s is theirs and t has n - 1 degrees of freedom.
        other: s for fewer trainings, with three degrees of freedom whatever it was measured on.

    Returns:
        None for no training, or for fewer than four and no other spread.

    Source: Geisser (1993), Predictive Inference, chapter 2.
    """
    from scipy.stats import t as student

    scores = np.asarray(scores, np.float64)
    n = len(scores)
    own = n >= ENOUGH
    if not n or not (own or other):
        return None
    deviation = float(scores.std(ddof=1)) if own else other.deviation
    width = float(student.ppf(1 - LEVEL / 2, max(n, ENOUGH) - 1)) * deviation * math.sqrt(1 + 1 / n)
    mean = float(scores.mean())
    return Prediction(mean - width, mean + width, n, "" if own else other.source)


def pooled_spread(groups: Sequence[ArrayLike], source: str) -> Spread | None:
    """The standard deviation within groups of trainings of one configuration each; None where no group has two."""
    groups = [np.asarray(group, np.float64) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return Spread(math.sqrt(squares / freedom), source)


@dataclass(frozen=True)
class Lead:
    """Two configurations, compared over their trainings.

    Attributes:
        difference: mean of the first less mean of the second.
        p_value: two-sided, exact; NaN where one has fewer than four trainings.
        reversed: share of pairs, one training of each, in which the order is the other one (equal: half a pair).
        n: trainings of each.
    """

    difference: float
    p_value: float
    reversed: float
    n: tuple[int, int]

    @property
    def ahead(self) -> bool | None:
        """Is the first ahead of the second, beyond chance? False where it is behind, None where nothing can be told."""
        if not self.p_value < LEVEL:
            return None
        return self.difference > 0


def lead(first: ArrayLike, second: ArrayLike) -> Lead:
    """The exact Mann-Whitney test over trainings.

    Arguments:
        first, second: (n,) and (m,) one score per training.

    Source: Mann and Whitney (1947); `scipy.stats.mannwhitneyu`.
    """
    from scipy.stats import PermutationMethod, mannwhitneyu

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    n = (len(first), len(second))
    if not min(n):
        return Lead(math.nan, math.nan, math.nan, n)
    p_value = math.nan
    if min(n) >= ENOUGH:
        # The exact distribution is that without ties; with some, all permutations of so few numbers are counted.
        ties = len(np.unique(np.concatenate([first, second]))) < sum(n)
        p_value = float(mannwhitneyu(first, second, method=PermutationMethod() if ties else "exact").pvalue)
    difference = float(first.mean() - second.mean())
    order = np.sign(first[:, None] - second)
    against = float((1 - np.sign(difference) * order).mean() / 2) if difference else 0.5
    return Lead(difference, p_value, against, n)


def ahead_over_folds(differences: ArrayLike) -> bool | None:
    """Is one network ahead of the other over folds, each trained once on each? As `Lead.ahead`.

    The corrected resampled t-test over the folds' differences: it knows that a fold's slices share one training of
    each network and that folds share training slices, which tests over all slices do not.

    Arguments:
        differences: (n,) score of the first less that of the second, per fold.
    """
    found = corrected_resampled_t(differences, TEST_TO_TRAIN)
    return None if not found.p_value < LEVEL else found.mean_difference > 0


def together(*answers: bool | None) -> bool | None:
    """What several tests of one claim say: what those that can tell agree on, None where they contradict each other."""
    told = set(answers) - {None}
    return told.pop() if len(told) == 1 else None


def recurrence(means: ArrayLike, spread: float, seed: int = 0) -> float:
    """How often the best of some configurations would be the best again, were these means true.

    Arguments:
        means: (configurations,) scores.
        spread: standard deviation of one training's score.
        seed: of the draws.
    """
    means = np.asarray(means, np.float64)
    again = np.random.default_rng(seed).normal(means, spread, (DRAWS, len(means))).argmax(axis=1)
    return float((again == means.argmax()).mean())
