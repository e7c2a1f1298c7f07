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

from unet_segnet.measures.statistics import ResampledT, corrected_resampled_t

LEVEL = 0.05
ENOUGH = 4  # trainings of a configuration: 4 against 4 can be told apart at 0.05 (2 in 70), 3 against 4 cannot
TEST_TO_TRAIN = 20 / 70  # slices of a fold: Saood and Hatem, section "Five-fold cross validation"
DRAWS = 20_000


@dataclass(frozen=True)
class Spread:
    """How much the scores of trainings differ that differ in their random numbers alone.

    Attributes:
        deviation: standard deviation.
        freedom: its degrees of freedom.
        source: where it is from, for texts.
    """

    deviation: float
    freedom: int
    source: str

    @property
    def width(self) -> float:
        """How far to both sides of a known mean another training would lie, 95 times in 100.

        Of the degrees of freedom three count at most: so many have four trainings of their own, which shall not tell
        less than three with a borrowed spread.
        """
        return self.deviation * _student(min(self.freedom, ENOUGH - 1))


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
        other: s for fewer trainings, with its own degrees of freedom, three at most.

    Returns:
        None for no training, or for fewer than four and no other spread.

    Source: Geisser (1993), Predictive Inference, chapter 2.
    """
    scores = np.asarray(scores, np.float64)
    n = len(scores)
    own = n >= ENOUGH
    if not n or not (own or other):
        return None
    known = float(scores.std(ddof=1)) * _student(n - 1) if own else other.width
    width = known * math.sqrt(1 + 1 / n)
    mean = float(scores.mean())
    return Prediction(mean - width, mean + width, n, "" if own else other.source)


def _student(freedom: int) -> float:
    """The two-sided quantile at the level of the rules."""
    from scipy.stats import t as student

    return float(student.ppf(1 - LEVEL / 2, freedom))


def pooled_spread(groups: Sequence[ArrayLike], source: str) -> Spread | None:
    """The standard deviation within groups of trainings of one configuration each; None where no group has two."""
    groups = [np.asarray(group, np.float64) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return Spread(math.sqrt(squares / freedom), freedom, source)


@dataclass(frozen=True)
class Lead:
    """Two configurations, compared over their trainings.

    Attributes:
        difference: mean of the first less mean of the second.
        p_value: two-sided, exact; NaN where one has fewer than four trainings.
        higher: share of pairs, one training of each, in which the first is ahead (equal: half a pair).
        n: trainings of each.
    """

    difference: float
    p_value: float
    higher: float
    n: tuple[int, int]

    @property
    def reversed(self) -> float:
        """Share of pairs in which the order is another one than that of the means."""
        return 1 - self.higher if self.difference > 0 else self.higher

    @property
    def ahead(self) -> bool | None:
        """Is the first ahead of the second, beyond chance? False where it is behind, None where nothing can be told.

        By the pairs, as the test is; the means may follow one training.
        """
        if not self.p_value < LEVEL:
            return None
        return self.higher > 0.5


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
        # The exact distribution is that without ties; with some, all divisions are counted: up to eight of each, and
        # of more as many as there are draws.
        ties = len(np.unique(np.concatenate([first, second]))) < sum(n)
        counted = PermutationMethod(DRAWS, rng=np.random.default_rng(0))
        p_value = float(mannwhitneyu(first, second, method=counted if ties else "exact").pvalue)
    higher = float((1 + np.sign(first[:, None] - second)).mean() / 2)
    return Lead(float(first.mean() - second.mean()), p_value, higher, n)


def over_folds(differences: ArrayLike) -> ResampledT:
    """The corrected resampled t-test over the folds' differences of two networks, each trained once on each fold.

    It knows that a fold's slices share one training of each network and that folds share training slices, which tests
    over all slices do not.

    Arguments:
        differences: (n,) score of the first less that of the second, per fold.
    """
    return corrected_resampled_t(differences, TEST_TO_TRAIN)


def ahead_over_folds(differences: ArrayLike) -> bool | None:
    """Is one network ahead of the other, by `over_folds`? As `Lead.ahead`."""
    found = over_folds(differences)
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
