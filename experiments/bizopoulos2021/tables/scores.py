"""Scores of our runs per slice and per volume, under the three rules for empty slices, and of all background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.published import DICE, EXPERIMENTS, number
from experiments.bizopoulos2021.tables.table2 import cells, run_notes
from unet_segnet.measures.metrics import EMPTY_RULES, deviation_defined, foreground_scores, mean_defined
from unet_segnet.output.tabular import Cell, Table

SCORE_NAMES = ("sens.", "spec.", "Dice")
BACKGROUND = "all background"


def score_tables(evidence: Evidence) -> dict[str, Table]:
    """`scores` (all runs, each rule, slices and volumes) and `volumes_EXPERIMENT` (Dice of each volume)."""
    tables = {"empty_slices": empty_table(evidence)}
    if evidence.runs:
        tables["scores"] = run_table(evidence)
    for experiment in EXPERIMENTS:
        if runs := [run for run in evidence.runs if run.experiment == experiment]:
            tables[f"volumes_{experiment}"] = volume_table(experiment, runs)
    return tables


def empty_table(evidence: Evidence) -> Table:
    """Dice under the three rules side by side, means over slices; calling everything background among them."""
    rows: list[tuple[Cell, ...]] = [_article_row()]
    for experiment, name in EXPERIMENTS.items():
        runs = [run for run in evidence.runs if run.experiment == experiment]
        for data, truth in _test_sets(runs).items():
            rows.append((name, BACKGROUND, data, *_sizes(truth), *_dice_by_rule(all_background(truth))))
        for run in runs:
            rows.append((name, run.label, run.source, *_sizes(run.confusion), *_dice_by_rule(run.confusion)))
    return Table(
        "Dice under the three rules for empty slices, percent, mean over the test slices.",
        ("experiment", "model", "data", "slices", "empty", "Dice: released", "Dice: text", "Dice: nan"),
        tuple(rows),
        (
            "released: all scores 1 where truth and prediction are both empty, as in the released code. text: all "
            "scores 1 wherever nothing is predicted, as the article says. nan: a slice that is empty in both counts "
            "in no mean.",
            "empty: slices whose truth is empty. First row: what follows from the article's own numbers of slices for "
            "a model that never finds a lesion.",
        ),
    )


def run_table(evidence: Evidence) -> Table:
    """All three scores of each run: per slice under each rule, and per volume."""
    rows: list[tuple[Cell, ...]] = []
    for experiment, name in EXPERIMENTS.items():
        runs = [run for run in evidence.runs if run.experiment == experiment]
        for data, truth in _test_sets(runs).items():
            rows.append((name, BACKGROUND, data, *_slice_scores(all_background(truth)), None, None, None))
        for run in runs:
            volumes = np.array(list(run.volume_scores().values()))
            rows.append(
                (name, run.label, run.source, *_slice_scores(run.confusion), *cells(mean_defined(volumes, axis=0)))
            )
    groups = [*(f"slices, {rule}" for rule in EMPTY_RULES), "volumes"]
    return Table(
        "Scores of our runs, percent: means over the test slices by each rule for empty slices, means over volumes.",
        ("experiment", "model", "data", *(f"{group}: {score}" for group in groups for score in SCORE_NAMES)),
        tuple(rows),
        (
            *run_notes(evidence.runs),
            "volumes: the pixels of a volume together, then the mean over the volumes; a volume without foreground "
            "counts in no mean. The article averages over slices.",
        ),
    )


def volume_table(experiment: str, runs: Sequence[CompareRun]) -> Table:
    """Dice of each volume (patient), one row per run."""
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
        (*run_notes(runs), "The pixels of a volume together; empty where it has no foreground. std divides by n."),
    )


def all_background(confusion: np.ndarray) -> np.ndarray:
    """Counts (n, 2, 2) of the same slices when nothing is predicted."""
    counts = np.zeros_like(confusion)
    counts[:, :, 0] = confusion.sum(axis=2)
    return counts


def _article_row() -> tuple[Cell, ...]:
    """A model that finds nothing, on the article's test slices: only how many of them are empty matters."""
    slices, filled = int(number("test_slices")), int(number("test_slices_with_lesion"))
    truth = np.zeros((slices, 2, 2), np.int64)
    truth[:, 0, 0] = 1
    truth[:filled, 1, 0] = 1
    return (EXPERIMENTS["lesion_a"], BACKGROUND, "the article's", *_sizes(truth), *_dice_by_rule(truth))


def _test_sets(runs: Sequence[CompareRun]) -> dict[str, np.ndarray]:
    """Data set -> counts of one of its runs, for the truth in them."""
    return {run.source: run.confusion for run in reversed(runs)}


def _sizes(confusion: np.ndarray) -> tuple[int, int]:
    """Number of slices, and of those whose truth is empty."""
    return len(confusion), int((confusion[:, 1].sum(axis=1) == 0).sum())


def _dice_by_rule(confusion: np.ndarray) -> list[Cell]:
    return cells([mean_defined(100 * foreground_scores(confusion, rule), axis=0)[DICE] for rule in EMPTY_RULES])


def _slice_scores(confusion: np.ndarray) -> list[Cell]:
    """Three scores under each of the three rules."""
    means = [mean_defined(100 * foreground_scores(confusion, rule), axis=0) for rule in EMPTY_RULES]
    return cells(np.concatenate(means))
