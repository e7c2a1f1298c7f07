"""Made-up studies of which the truth is known: how often each rule decides."""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting import rules
from experiments.reporting.rules import Spread
from unet_segnet.measures.statistics import paired_comparison
from unet_segnet.output.tabular import Cell, Table

GAPS = (0, 1, 2, 3)  # standard deviations of trainings
SIZES = (1, 2, 4, 8)  # trainings of each configuration
FOLDS, FOLD_SLICES = 5, 20
SLICE_NOISE = 4.0
"""Standard deviation of a slice's score between two trainings of a network, beside that of the slices' mean being 1."""
REPEATS = 4  # trainings from which another configuration's spread is known


def decisions_table(draws: int, seed: int = 0) -> Table:
    """How often each rule says that there is a difference, by the number of trainings and the true gap.

    Arguments:
        draws: simulated studies behind each number.
        seed: of the draws.
    """
    rows: list[tuple[Cell, ...]] = []
    for name, decides, sizes in (
        ("a stated score, by a prediction interval", _unusual, SIZES),
        ("A beats B, by Mann-Whitney over trainings", _ahead, SIZES),
        ("A beats B, by the folds' corrected t", _ahead_over_folds, (FOLDS,)),
        ("not used: A beats B where all pairs of trainings agree", _all_pairs, SIZES),
        ("not used: A beats B, by Wilcoxon over the folds' slices", _over_slices, (FOLDS,)),
    ):
        for size in sizes:
            shares = []
            for gap in GAPS:
                random = np.random.default_rng([seed, size, gap])
                shares.append(float(np.mean([decides(random, size, float(gap)) for _ in range(draws)])))
            rows.append((name, size, *shares))
    return Table(
        "How often each rule finds a difference, by the true gap in standard deviations of trainings.",
        ("rule", "trainings of each", "no gap", *(f"gap {gap}" for gap in GAPS[1:])),
        tuple(rows),
        (
            f"{draws:,} simulated studies each; scores of trainings are normal. no gap: the rule's level, its share of "
            "false alarms, for a rule that is used 0.05 at most and the chance of the simulation "
            f"({math.sqrt(rules.LEVEL * (1 - rules.LEVEL) / draws):.3f} standard error). The others are its power.",
            "A stated score is one training of the authors'; the gap lies between their mean and ours. Fewer than four "
            f"of ours: the spread is known from {REPEATS} trainings of another configuration.",
            f"Folds: {FOLDS} with {FOLD_SLICES} slices each, one training of each network a fold; the slices of a fold "
            f"differ by {SLICE_NOISE:g} standard deviations about what the fold's two trainings have in common.",
        ),
    )


def _unusual(random: np.random.Generator, size: int, gap: float) -> bool:
    other = Spread(float(random.normal(size=REPEATS).std(ddof=1)), REPEATS - 1, "another configuration")
    return rules.prediction(random.normal(size=size), other).holds(random.normal(gap)) is False


def _ahead(random: np.random.Generator, size: int, gap: float) -> bool:
    return rules.lead(random.normal(gap, size=size), random.normal(size=size)).ahead is not None


def _all_pairs(random: np.random.Generator, size: int, gap: float) -> bool:
    ahead = random.normal(gap, size=size)[:, None] > random.normal(size=size)
    return bool(ahead.all() or not ahead.any())


def _folds(random: np.random.Generator, size: int, gap: float) -> np.ndarray:
    """(folds, slices) of A less B: what a fold's two trainings share, and what its slices differ by."""
    trained = random.normal(gap, np.sqrt(2), (size, 1))
    return trained + random.normal(0, SLICE_NOISE, (size, FOLD_SLICES))


def _ahead_over_folds(random: np.random.Generator, size: int, gap: float) -> bool:
    return rules.ahead_over_folds(_folds(random, size, gap).mean(axis=1)) is not None


def _over_slices(random: np.random.Generator, size: int, gap: float) -> bool:
    differences = _folds(random, size, gap).ravel()
    return paired_comparison(differences, np.zeros_like(differences)).p_value < rules.LEVEL
