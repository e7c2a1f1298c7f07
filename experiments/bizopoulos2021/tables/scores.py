"""Scores of our runs per slice and per volume, under the four rules for empty slices, and of all background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import DICE, EXPERIMENTS, number
from experiments.bizopoulos2021.tables.table2 import SCORE_NAMES, cells, run_notes
from unet_segnet.measures.metrics import (
    EMPTY_RULES,
    decided_by_rule,
    deviation_defined,
    foreground_scores,
    mean_defined,
)
from unet_segnet.output.tabular import Cell, Table

BACKGROUND = "all background"
RULE_NOTES = (
    "The rules for empty slices. truth: all scores 1 where the truth is empty, whatever is predicted, as in the "
    "released code. prediction: all scores 1 wherever nothing is predicted, as the article says. both: all scores 1 "
    "where both are empty. nan: a score without denominator counts in no mean.",
    "%: share of the slices whose Dice the rule decides, by nan of those that it leaves out.",
)


def score_tables(evidence: Evidence) -> dict[str, Table]:
    """`empty_slices`, `scores` (all runs, each rule, slices and volumes) and `volumes_EXPERIMENT` (Dice of each)."""
    tables = {"empty_slices": empty_table(evidence)}
    if evidence.runs:
        tables["scores"] = run_table(evidence)
    for experiment in EXPERIMENTS:
        if runs := [run for run in evidence.runs if run.experiment == experiment]:
            tables[f"volumes_{experiment}"] = volume_table(experiment, runs)
    return tables


def empty_table(evidence: Evidence) -> Table:
    """Dice under the four rules side by side, means over slices; calling everything background among them."""
    rows: list[tuple[Cell, ...]] = [_article_row()]
    for experiment, name in EXPERIMENTS.items():
        runs = [run for run in evidence.runs if run.experiment == experiment]
        for data, truth in _test_sets(runs).items():
            rows.append((name, BACKGROUND, data, *_sizes(truth), *_dice_by_rule(all_background(truth))))
        for run in runs:
            rows.append((name, run.label, run.source, *_sizes(run.confusion), *_dice_by_rule(run.confusion)))
    columns = [f"{rule}: {what}" for rule in EMPTY_RULES for what in ("Dice", "%")]
    return Table(
        "Dice under the four rules for empty slices, percent, mean over the test slices.",
        ("experiment", "model", "data", "slices", "empty", *columns),
        tuple(rows),
        (
            *RULE_NOTES,
            "empty: slices whose truth is empty. First row: what follows from the article's own numbers of slices for "
            "a model that never finds a lesion.",
        ),
    )


def run_table(evidence: Evidence) -> Table:
    """All three scores of each run: per slice under each rule, of slices with foreground alone, and per volume."""
    rows: list[tuple[Cell, ...]] = []
    for experiment, name in EXPERIMENTS.items():
        runs = [run for run in evidence.runs if run.experiment == experiment]
        for data, truth in _test_sets(runs).items():
            rows.append((name, BACKGROUND, data, *_slice_scores(all_background(truth)), *[None] * 6))
        for run in runs:
            volumes = mean_defined(np.array(list(run.volume_scores().values())), axis=0)
            scores = (*_slice_scores(run.confusion), *cells(run.filled_scores()), *cells(volumes))
            rows.append((name, run.label, run.source, *scores))
    columns = [f"slices, {rule}: {score}" for rule in EMPTY_RULES for score in (*SCORE_NAMES, "%")]
    columns += [f"{group}: {score}" for group in ("slices, filled", "volumes") for score in SCORE_NAMES]
    return Table(
        "Scores of our runs, percent: means over the test slices by each rule for empty slices, means over volumes.",
        ("experiment", "model", "data", *columns),
        tuple(rows),
        (
            *run_notes(evidence.runs),
            *RULE_NOTES,
            "filled: slices whose truth is not empty alone. volumes: the pixels of a volume together, then the mean "
            "over the volumes; a volume without foreground counts in no mean. The article averages over all slices.",
        ),
    )


def volume_table(experiment: str, runs: Sequence[CompareRun]) -> Table:
    """Dice of each volume, one row per run."""
    names = list(dict.fromkeys(volume for run in runs for volume in run.volumes))
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        scores = run.volume_scores()
        dice = [scores[name][DICE] if name in scores else np.nan for name in names]
        rows.append((run.label, run.source, *cells([*dice, mean_defined(dice), deviation_defined(dice, ddof=0)])))
    return Table(
        f"Dice of each test volume, {EXPERIMENTS[experiment]}, percent.",
        ("model", "data", *(f"volume: {name}" for name in names), "mean", "std"),
        tuple(rows),
        (
            *run_notes(runs),
            "The pixels of a volume together; empty where it has no foreground. std divides by n.",
            *_one_scan(runs),
        ),
    )


def all_background(confusion: np.ndarray) -> np.ndarray:
    """Counts (n, 2, 2) of the same slices when nothing is predicted."""
    counts = np.zeros_like(confusion)
    counts[:, :, 0] = confusion.sum(axis=2)
    return counts


def article_truth() -> np.ndarray:
    """Counts (829, 2, 2) of the article's test slices, a pixel each, for a model that never finds a lesion."""
    slices, filled = int(number("test_slices")), int(number("test_slices_with_lesion"))
    truth = np.zeros((slices, 2, 2), np.int64)
    truth[:filled, 1, 0], truth[filled:, 0, 0] = 1, 1
    return truth


def _article_row() -> tuple[Cell, ...]:
    """A model that finds nothing, on the article's test slices: only how many of them are empty matters."""
    truth = article_truth()
    return (EXPERIMENTS["lesion_a"], BACKGROUND, "the article's", *_sizes(truth), *_dice_by_rule(truth))


def _one_scan(runs: Sequence[CompareRun]) -> list[str]:
    """A sentence where two volumes of the data are one scan."""
    pairs = {
        (run.source, scan, volume)
        for run in runs
        for volume, scan in zip(run.volumes, run.scans, strict=True)
        if volume != scan
    }
    return [f"Volumes {scan} and {volume} of {data} are one scan." for data, scan, volume in sorted(pairs)]


def _test_sets(runs: Sequence[CompareRun]) -> dict[str, np.ndarray]:
    """Data set -> counts of one of its runs, for the truth in them."""
    return {run.source: run.confusion for run in reversed(runs)}


def _sizes(confusion: np.ndarray) -> tuple[int, int]:
    """Number of slices, and of those whose truth is empty."""
    return len(confusion), int((confusion[:, 1].sum(axis=1) == 0).sum())


def _dice_by_rule(confusion: np.ndarray) -> list[Cell]:
    return [cell for rule in EMPTY_RULES for cell in _by_rule(confusion, rule)[DICE:]]


def _slice_scores(confusion: np.ndarray) -> list[Cell]:
    """Three scores under each of the rules, each time with the share of slices that it decides."""
    return [cell for rule in EMPTY_RULES for cell in _by_rule(confusion, rule)]


def _by_rule(confusion: np.ndarray, rule: str) -> list[Cell]:
    means = mean_defined(100 * foreground_scores(confusion, rule), axis=0)
    return cells([*means, 100 * decided_by_rule(confusion, rule).mean()])
