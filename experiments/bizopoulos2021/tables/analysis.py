"""What the article says of its models, computed anew: means, gains and correlations, published beside ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from experiments.bizopoulos2021.counts import score_grid
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    DICE,
    EXPERIMENTS,
    INITIALISATIONS,
    encoders,
    parameter_grid,
)
from experiments.bizopoulos2021.published import score_grid as published_scores
from experiments.bizopoulos2021.tables.table2 import cells, run_notes
from unet_segnet.measures.metrics import mean_defined
from unet_segnet.output.tabular import Cell, Hundredths, Signed, Table

LESION_A, LESION_B = (list(EXPERIMENTS).index(name) for name in ("lesion_a", "lesion_b"))
COUNTS = {"printed": "published", "used": "used"}  # which parameters
MIN_PAIRS = 6  # with fewer a two-sided signed-rank test cannot fall below 0.05


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation of two vectors: r and two-sided p, NaN for fewer than three pairs or no spread."""

    n: int
    r: float
    p: float


@dataclass(frozen=True)
class Gain:
    """Paired differences: how many, how many above 0, mean, largest, and the signed-rank test's effect and two-sided p.

    The effect is the rank-biserial correlation, -1 to 1: which way the test points, where the mean may follow one pair.
    """

    n: int
    improved: int
    mean: float
    largest: float
    effect: float
    p: float


def published_dice() -> np.ndarray:
    """(3, 2, 4, 25) Dice of Table II, percent."""
    return published_scores()[..., DICE]


def own_dice(runs) -> np.ndarray:
    """(3, 2, 4, 25) Dice of runs, percent, NaN where none ran."""
    return score_grid(runs)[..., DICE]


def correlation(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Of the pairs in which neither is NaN; the arrays broadcast."""
    from scipy.stats import pearsonr

    x, y = (array.ravel() for array in np.broadcast_arrays(x, y))
    defined = ~(np.isnan(x) | np.isnan(y))
    x, y = x[defined], y[defined]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(len(x), math.nan, math.nan)
    found = pearsonr(x, y)
    return Correlation(len(x), float(found.statistic), float(found.pvalue))


def gain(after: np.ndarray, before: np.ndarray) -> Gain:
    """Of the pairs in which neither is NaN."""
    from unet_segnet.measures.statistics import paired_comparison

    difference = (after - before).ravel()
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return Gain(0, 0, *[math.nan] * 4)
    test = paired_comparison(difference, np.zeros_like(difference))
    return Gain(
        len(difference),
        int((difference > 0).sum()),
        float(difference.mean()),
        float(difference.max()),
        test.effect_size,
        test.p_value,
    )


def analysis_tables(evidence: Evidence) -> dict[str, Table]:
    """`architectures`, `encoders`, `gains` and `correlations`."""
    theirs, ours = published_dice(), own_dice(evidence.comparable)
    notes = run_notes(evidence.comparable)
    return {
        "architectures": _mean_table("architecture", list(ARCHITECTURES.values()), theirs, ours, 2, notes),
        "encoders": _mean_table("encoder", list(encoders()), theirs, ours, 3, notes),
        "gains": gain_table(theirs, ours, notes),
        "correlations": correlation_table(theirs, ours, notes),
    }


def _mean_table(what: str, names: list[str], theirs: np.ndarray, ours: np.ndarray, axis: int, notes) -> Table:
    """Mean Dice of each architecture or encoder, in each experiment and over all, of all its models."""
    rows: list[tuple[Cell, ...]] = []
    for number, name in enumerate(names):
        values: list[Cell] = []
        for grid in (theirs, ours):
            own = np.take(grid, number, axis=axis).reshape(len(EXPERIMENTS), -1)
            values += cells([*(mean_defined(of) for of in own), mean_defined(own)])
        rows.append((name, *values, int((~np.isnan(np.take(ours, number, axis=axis))).sum())))
    columns = (*EXPERIMENTS.values(), "all")
    return Table(
        f"Mean Dice of each {what}, percent, over both initialisations.",
        (what, *(f"{source}: {column}" for source in ("published", "ours") for column in columns), "ours: n"),
        tuple(rows),
        ("n: models that ran, of both initialisations and all experiments.", *notes),
    )


def gain_table(theirs: np.ndarray, ours: np.ndarray, notes) -> Table:
    """What lung masks and ImageNet weights bring in Dice: mean and largest gain over models that differ in it alone."""
    pairs = {
        f"lung masks (B - A), {name}": (lambda grid, i=i: (grid[LESION_B, i], grid[LESION_A, i]))
        for i, name in enumerate(INITIALISATIONS.values())
    }
    pairs |= {
        f"ImageNet - random, {name}": (lambda grid, e=e: (grid[e, 1], grid[e, 0]))
        for e, name in enumerate(EXPERIMENTS.values())
    }
    rows = []
    for name, of in pairs.items():
        row: list[Cell] = [name]
        for grid in (theirs, ours):
            found = gain(*of(grid))
            none = not found.n
            row += [found.n, None if none else found.improved]
            row += [None, None, None] if none else [Hundredths(found.mean), Hundredths(found.largest), p_text(found.p)]
        rows.append(tuple(row))
    columns = ("n", "improved", "mean", "largest", "p")
    return Table(
        "Gain in Dice, percentage points, over pairs of models that differ in nothing else.",
        ("gain", *(f"{source}: {column}" for source in ("published", "ours") for column in columns)),
        tuple(rows),
        (
            "largest: what the article calls the upper bound of the improvement. p: two-sided Wilcoxon signed-rank "
            "test over the pairs, which share encoders and architectures: too optimistic.",
            *notes,
        ),
    )


def correlation_table(theirs: np.ndarray, ours: np.ndarray, notes) -> Table:
    """Pearson's r of Dice with the published and with the used number of parameters, as in Figure 4."""
    grids = {name: (theirs[e], ours[e]) for e, name in enumerate(EXPERIMENTS.values())}
    grids["lesion B - A"] = (theirs[LESION_B] - theirs[LESION_A], ours[LESION_B] - ours[LESION_A])
    rows = []
    for name, (published, own) in grids.items():
        for which, label in COUNTS.items():
            counts = parameter_grid(which)
            values: list[Cell] = []
            for grid in (published, own):
                both = correlation(counts, grid)
                values += [_signed(correlation(counts, grid[i]).r) for i in range(len(INITIALISATIONS))]
                values += [_signed(both.r), p_text(both.p), both.n]
            rows.append((name, label, *values))
    columns = (*INITIALISATIONS.values(), "both", "p", "n")
    return Table(
        "Correlation of Dice with the number of parameters.",
        ("Dice", "parameters", *(f"{source}: {column}" for source in ("published", "ours") for column in columns)),
        tuple(rows),
        (
            "Pearson's r. both: the models of both initialisations together, p and n are theirs. published: as Table "
            "II counts them; used: those that receive a gradient.",
            *notes,
        ),
    )


def _signed(value: float) -> Cell:
    return None if math.isnan(value) else Signed(value)


def p_text(p: float) -> str | None:
    """A p-value as text; None where there is none."""
    if math.isnan(p):
        return None
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
