"""What the article says of its models, computed anew: means, gains and correlations, published beside ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun, score_grid
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
ARCHITECTURE = 2  # its place in a model's key (experiment, initialisation, ...)
# What a comparison changes in a model: the place in its key, from what to what.
MASKS, PRETRAINING = (0, "lesion_a", "lesion_b"), (1, "none", "imagenet")


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


def gain(differences: np.ndarray) -> Gain:
    """Of the differences that are not NaN."""
    from unet_segnet.measures.statistics import paired_comparison

    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return Gain(0, 0, *[math.nan] * 4)
    test = paired_comparison(differences, np.zeros_like(differences))
    return Gain(
        len(differences),
        int((differences > 0).sum()),
        float(differences.mean()),
        float(differences.max()),
        test.effect_size,
        test.p_value,
    )


def mask_gains(dice: np.ndarray) -> np.ndarray:
    """(2, 4, 25) lesion B less A, of a (3, 2, 4, 25) grid."""
    return dice[LESION_B] - dice[LESION_A]


def pretraining_gains(dice: np.ndarray) -> np.ndarray:
    """(3, 4, 25) ImageNet less random, of a (3, 2, 4, 25) grid."""
    return dice[:, 1] - dice[:, 0]


def by_encoder(differences: np.ndarray) -> np.ndarray:
    """(..., 25) -> (25,) the mean of each encoder's that are not NaN; NaN where none is.

    Networks on one encoder are no independent witnesses: they share it, and their slices. The unit is the encoder.
    """
    return mean_defined(differences.reshape(-1, differences.shape[-1]), axis=0)


def by_scan(
    runs: Sequence[CompareRun],
    change: tuple[int, str, str],
    scores: Callable[[CompareRun], Mapping[str, np.ndarray]] = CompareRun.scan_scores,
) -> dict[str, float]:
    """Difference in Dice of each scan, percentage points, the mean over models that differ in nothing else.

    Arguments:
        runs: those that are compared; seeds are averaged.
        change: such as `MASKS`.
        scores: of a run by scan, or by volume.

    Returns:
        scan -> difference; those without a score in both are left out.
    """
    place, before, after = change
    dice: dict[tuple, dict[str, list[float]]] = {}
    for run in runs:
        of = dice.setdefault((run.experiment, run.initialisation, run.architecture, run.encoder), {})
        for scan, values in scores(run).items():
            of.setdefault(scan, []).append(values[DICE])
    found: dict[str, list[float]] = {}
    for key, of in dice.items():
        other = dice.get((*key[:place], after, *key[place + 1 :])) if key[place] == before else None
        for scan in of if other else ():
            if scan in other:
                found.setdefault(scan, []).append(float(mean_defined(other[scan]) - mean_defined(of[scan])))
    means = {scan: float(mean_defined(values)) for scan, values in found.items()}
    return {scan: mean for scan, mean in means.items() if not math.isnan(mean)}


def analysis_tables(evidence: Evidence) -> dict[str, Table]:
    """`architectures`, `order`, `encoders`, `gains` and `correlations`."""
    theirs, ours = published_dice(), own_dice(evidence.comparable)
    notes = run_notes(evidence.comparable)
    return {
        "architectures": _mean_table("architecture", list(ARCHITECTURES.values()), theirs, ours, 2, notes),
        "order": order_table(evidence, notes),
        "encoders": _mean_table("encoder", list(encoders()), theirs, ours, 3, notes),
        "gains": gain_table(evidence, (*notes, *other_slices(evidence))),
        "correlations": correlation_table(
            theirs, ours, own_dice(evidence.of_equal_slices), (*notes, *other_slices(evidence))
        ),
    }


def other_slices(evidence: Evidence) -> tuple[str, ...]:
    """A note where the runs of some experiments were trained on other slices than those of the others."""
    rest = [run for run in evidence.comparable if run not in set(evidence.of_equal_slices)]
    if not rest:
        return ()
    experiments = " and ".join(dict.fromkeys(EXPERIMENTS[run.experiment] for run in rest))
    return (
        f"Ours of {experiments}: trained on {rest[0].data}, the others on {evidence.of_equal_slices[0].data}. What "
        "lung masks bring (B - A) is told of runs that were trained on the same slices alone.",
    )


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


def order_table(evidence: Evidence, notes) -> Table:
    """How far one architecture's Dice lies above another's, in each experiment: by encoder, and ours by scan too."""
    from unet_segnet.measures.statistics import holm

    grids = published_dice(), own_dice(evidence.comparable)
    pairs = list(combinations(range(len(ARCHITECTURES)), 2))
    names, keys = list(ARCHITECTURES.values()), list(ARCHITECTURES)
    rows: list[tuple[Cell, ...]] = []
    for e, (experiment, title) in enumerate(EXPERIMENTS.items()):
        of_experiment = [run for run in evidence.comparable if run.experiment == experiment]
        # (sources, pairs): Table II and ours by encoder, and ours by scan
        found = [[gain(by_encoder(grid[e, :, a] - grid[e, :, b])) for a, b in pairs] for grid in grids]
        of_scans = [by_scan(of_experiment, (ARCHITECTURE, keys[b], keys[a])) for a, b in pairs]
        found.append([gain(np.array(list(scans.values()))) for scans in of_scans])
        corrected = [holm([of.p if of.n >= MIN_PAIRS else math.nan for of in source]) for source in found]
        for number, (a, b) in enumerate(pairs):
            values: list[Cell] = []
            for source, p_values in zip(found, corrected, strict=True):
                values += [*_gain_cells(source[number])[:3], p_text(p_values[number])]
            rows.append((title, f"{names[a]} - {names[b]}", *values))
    sources = ("published, by encoder", "ours, by encoder", "ours, by scan")
    columns = ("n", "higher", "mean", "Holm")
    return Table(
        "Difference in Dice of two architectures, percentage points, other things being equal.",
        ("experiment", "difference", *(f"{source}: {column}" for source in sources for column in columns)),
        tuple(rows),
        (
            "n: encoders, each the mean of its models, or scans, each the mean over encoders, initialisations and "
            "seeds that ran with both; higher: of how many the first has the higher Dice. The article has no scores by "
            "scan.",
            "Holm: p of the two-sided signed-rank test over the units, corrected for the six differences of an "
            f"experiment; none with fewer than {MIN_PAIRS} units.",
            *notes,
        ),
    )


def gain_table(evidence: Evidence, notes) -> Table:
    """What lung masks and ImageNet weights bring in Dice, by model, encoder, volume and scan."""
    runs, alike = evidence.comparable, evidence.of_equal_slices
    masks = [mask_gains(grid) for grid in (published_dice(), own_dice(alike))]
    pretraining = [pretraining_gains(grid) for grid in (published_dice(), own_dice(runs))]
    compared = {"lung masks (B - A)": (masks, MASKS, alike)}
    for i, (start, name) in enumerate(INITIALISATIONS.items()):
        of_start = [run for run in alike if run.initialisation == start]
        compared[f"lung masks (B - A), {name}"] = ([of[i] for of in masks], MASKS, of_start)
    compared["ImageNet - random"] = (pretraining, PRETRAINING, runs)
    for e, (experiment, name) in enumerate(EXPERIMENTS.items()):
        of_experiment = [run for run in runs if run.experiment == experiment]
        compared[f"ImageNet - random, {name}"] = ([of[e] for of in pretraining], PRETRAINING, of_experiment)
    rows = []
    for name, ((theirs, ours), change, of) in compared.items():
        by_model = [[*_gain_cells(gain(grid.ravel()))[:-1], None] for grid in (theirs, ours)]
        of_encoders = [_gain_cells(gain(by_encoder(grid))) for grid in (theirs, ours)]
        rows += [(name, "model", *chain(*by_model)), (name, "encoder", *chain(*of_encoders))]
        for unit, scores in (("volume", CompareRun.volume_scores), ("scan", CompareRun.scan_scores)):
            differences = np.array(list(by_scan(of, change, scores).values()))
            rows.append((name, unit, *[None] * 5, *_gain_cells(gain(differences))))
    columns = ("n", "improved", "mean", "largest", "p")
    return Table(
        "Gain in Dice, percentage points, over pairs of models that differ in nothing else.",
        ("gain", "unit", *(f"{source}: {column}" for source in ("published", "ours") for column in columns)),
        tuple(rows),
        (
            "model: pairs of models; largest is what the article calls the upper bound of the improvement. encoder: "
            "the mean of an encoder's pairs. volume, scan: Dice of each test volume (its pixels together), the mean "
            "over the pairs; two volumes may be one scan. The article has no scores by volume.",
            "p: two-sided Wilcoxon signed-rank test over the units; none over models, which share encoders and slices. "
            f"With fewer than {MIN_PAIRS} units it cannot fall below 0.05.",
            *notes,
        ),
    )


def _gain_cells(found: Gain) -> list[Cell]:
    if not found.n:
        return [0, None, None, None, None]
    return [found.n, found.improved, Hundredths(found.mean), Hundredths(found.largest), p_text(found.p)]


def correlation_table(theirs: np.ndarray, ours: np.ndarray, alike: np.ndarray, notes) -> Table:
    """Pearson's r of Dice with the published and with the used number of parameters, as in Figure 4.

    Arguments:
        theirs, ours: (3, 2, 4, 25) Dice.
        alike: as `ours`, of the runs that were trained on the same slices, for B less A.
        notes: of the table.
    """
    grids = {name: (theirs[e], ours[e]) for e, name in enumerate(EXPERIMENTS.values())}
    grids["lesion B - A"] = (mask_gains(theirs), mask_gains(alike))
    rows = []
    for name, (published, own) in grids.items():
        for which, label in COUNTS.items():
            counts = parameter_grid(which)
            values: list[Cell] = []
            for grid in (published, own):
                values += [_signed(correlation(counts, grid[i]).r) for i in range(len(INITIALISATIONS))]
                of_mean = correlation(counts, of_models(grid))
                values += [_signed(of_mean.r), p_text(of_mean.p), of_mean.n]
            rows.append((name, label, *values))
    columns = (*INITIALISATIONS.values(), "mean", "p", "n")
    return Table(
        "Correlation of Dice with the number of parameters.",
        ("Dice", "parameters", *(f"{source}: {column}" for source in ("published", "ours") for column in columns)),
        tuple(rows),
        (
            "Pearson's r. mean: of the mean Dice of both initialisations, so that each model counts once; p and n are "
            "its. Models that share an encoder or an architecture are not independent: p is too low. published: as "
            "Table II counts them; used: those that receive a gradient.",
            *notes,
        ),
    )


def of_models(dice: np.ndarray) -> np.ndarray:
    """(2, 4, 25) -> (4, 25) mean over the initialisations: both have one number of parameters."""
    return mean_defined(dice, axis=0)


def _signed(value: float) -> Cell:
    return None if math.isnan(value) else Signed(value)


def p_text(p: float) -> str | None:
    """A p-value as text; None where there is none."""
    if math.isnan(p):
        return None
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
