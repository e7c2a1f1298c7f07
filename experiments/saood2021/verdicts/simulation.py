"""Made-up studies with the first study's slices and printed means: what intervals and the best of nine can tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments import RESULTS
from experiments.saood2021.counts import PAPER_SLICES
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.runs import KIND, read_finished
from experiments.saood2021.spread import best_runs
from experiments.saood2021.verdicts.best_of_nine import GROUPS, recurrences
from unet_segnet.measures.metrics import global_accuracy
from unet_segnet.measures.statistics import bootstrap_mean
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, Table

STUDY_SLICES = 18
SPREADS = (0.0025, 0.005, 0.01, 0.02)  # our repeated binary trainings lie within


def coverage_table(draws: int, seed: int = 0) -> Table:
    """How often a bootstrap interval (BCa) over the 18 slices of one training holds the truth, 0.95 being asked.

    The slices are drawn from the 100 of the five folds of the project's binary SegNet.

    Arguments:
        draws: simulated studies; a quarter of them are enough here, for each resamples its slices.
        seed: of the draws.
    """
    accuracies = _measured_accuracies()
    made: dict[str, Callable] = {
        "all slices of other patients": lambda random: random.choice(accuracies, STUDY_SLICES),
        "two alike slices of each patient": lambda random: np.repeat(random.choice(accuracies, STUDY_SLICES // 2), 2),
        **{
            f"another training each time, spread {spread:g}": lambda random, spread=spread: (
                random.choice(accuracies, STUDY_SLICES) + random.normal(0, spread)
            )
            for spread in SPREADS
        },
    }
    rows: list[tuple[Cell, ...]] = []
    for name, draw in made.items():
        random, held = np.random.default_rng(seed), []
        for _ in range(max(1, draws // 4)):
            interval = bootstrap_mean(draw(random), resamples=999)
            held.append(bool(interval.low <= accuracies.mean() <= interval.high))
        rows.append((name, float(np.mean(held))))
    return Table(
        "How often the 95 % interval over 18 slices holds the true mean accuracy.",
        ("slices", "coverage"),
        tuple(rows),
        (
            "Slices are drawn from the 100 of our five folds of binary SegNet 4. spread: standard deviation of the "
            "accuracy of trainings that differ in their random numbers alone.",
            "So such an interval is told beside a training's score and judges no training.",
        ),
    )


def best_table(seed: int = 0) -> Table:
    """How often the printed winners of the grids would win again, were the printed means true."""
    rows: list[tuple[Cell, ...]] = []
    for deviation in SPREADS:
        shares = recurrences(dict.fromkeys(GROUPS, deviation), seed)
        rows.append((f"{deviation:g}", *shares.values(), float(np.prod(list(shares.values())))))
    return Table(
        "How often the printed best configurations would be the best of another study, were the printed means true.",
        ("spread", *(f"{NETWORKS[net].title}, {problem}" for net, problem in GROUPS), "all four"),
        tuple(rows),
        ("spread: standard deviation of the accuracy of trainings that differ in their random numbers alone.",),
    )


def _measured_accuracies() -> np.ndarray:
    """Accuracy of each slice in our five folds of binary SegNet 4, of the first training of each."""
    found = ((folder, *read_finished(folder)) for folder in KIND.folders(RESULTS))
    runs = (FinishedRun(folder, of.config, of.result, counts, True) for folder, of, counts in found if counts)
    evidence = Evidence(tuple(runs), None, PAPER_SLICES[0])
    folds: dict[int, np.ndarray] = {}
    for run in best_runs(evidence, "binary", "released", "segnet", folds=True):
        folds.setdefault(run.counts.fold, global_accuracy(run.counts.test_confusion))
    return np.concatenate([folds[fold] for fold in sorted(folds)])
