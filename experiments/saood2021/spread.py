"""Scores of single trainings, and how much they differ between trainings that differ in their random numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.reporting.judgement import how_many
from experiments.reporting.rules import ENOUGH, Spread, pooled_spread
from experiments.saood2021 import published
from experiments.saood2021.counts import SCORES
from experiments.saood2021.evidence import Evidence, FinishedRun
from unet_segnet.measures import metrics

Score = Callable[[np.ndarray], float]
"""Of the counts of a training's test slices, (n, K, K)."""


def accuracy(confusion: np.ndarray) -> float:
    """Global accuracy of each slice, the mean over slices (Tables 3 and 5)."""
    return float(metrics.global_accuracy(confusion).mean(axis=-1))


def lesion_dice(confusion: np.ndarray) -> float:
    """Dice of the lesion classes from all slices together, their mean."""
    return float(metrics.dice(confusion.sum(axis=0))[1:].mean())


def class_score(name: str, index: int) -> Score:
    """A score of one class from all slices together (Tables 4 and 6).

    Arguments:
        name: one of `counts.SCORES`.
        index: of the class, background first.
    """
    return lambda confusion: float(SCORES[name](confusion.sum(axis=0))[index])


def best_runs(evidence: Evidence, problem: str, variant: str, net: str, folds: bool = False) -> list[FinishedRun]:
    """Trainings of the configuration that the article calls the best, those with own random numbers first, by seed.

    Those that started from other weights are not among them; `folds`: of the five folds instead of the grid.
    """
    runs = evidence.folds(problem, variant) if folds else evidence.grid(problem, variant)
    best = (net, published.BEST_EXPERIMENT[net, problem])
    runs = [run for run in runs if (run.counts.net, run.counts.experiment) == best]
    return sorted(runs, key=lambda run: (run.counts.stream == "matlab", run.counts.seed))


def independent(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Trainings that are independent of the authors' own: all but replays of their random numbers."""
    return [run for run in runs if run.counts.stream != "matlab"]


def of_trainings(runs: Sequence[FinishedRun], score: Score) -> list[float]:
    """The score of each training."""
    return [score(run.counts.test_confusion) for run in runs]


def of_last_epochs(run: FinishedRun, score: Score) -> list[float]:
    """The score after each of the last epochs of a training; empty where they were not counted."""
    counts = run.last_epochs()
    return [] if counts is None else [score(confusion) for confusion in counts["test_confusion"]]


def repeated(evidence: Evidence, problem: str, score: Score, net: str | None = None) -> Spread | None:
    """The spread of all trainings of the grid of one problem that were repeated with other random numbers.

    `net`: of this network, its own where one of its configurations was trained four times.
    """
    groups: dict[tuple, list[FinishedRun]] = {}
    for run in evidence.runs:
        if run.counts.fold is None and run.counts.problem == problem:
            groups.setdefault((run.counts.net, run.counts.variant, run.counts.experiment), []).append(run)
    groups = {key: of for key, of in groups.items() if len(of) > 1}
    own = {key: of for key, of in groups.items() if key[0] == net}
    if max(map(len, own.values()), default=0) >= ENOUGH:
        groups = own
    of_each = [of_trainings(of, score) for of in groups.values()]
    number = sum(map(len, of_each))
    return pooled_spread(of_each, f"{number} trainings of {how_many(len(groups), 'configuration')} that were repeated")


def borrowed(evidence: Evidence, runs: Sequence[FinishedRun], score: Score) -> Spread | None:
    """A spread for trainings too few to show their own: repeated trainings' or their last epochs'.

    The one that gives the wider interval, the fewer trainings it was measured on the wider.

    Arguments:
        evidence: with all trainings.
        runs: those few, of one problem.
        score: of interest.
    """
    last = [of for run in runs if len(of := of_last_epochs(run, score)) > 1]
    numbers = " or ".join(map(str, sorted({len(of) for of in last})))
    epochs = pooled_spread(last, f"the last {numbers} epochs of {len(last)} of these trainings")
    found = [spread for spread in (repeated(evidence, runs[0].counts.problem, score), epochs) if spread]
    return max(found, key=lambda spread: spread.width, default=None)
