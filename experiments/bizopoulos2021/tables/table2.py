"""Table II of the second study, ours beside the published: scores of each experiment, costs, and the best models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun, run_grid, score_grid
from experiments.bizopoulos2021.evidence import Evidence
from experiments.bizopoulos2021.protocol import ARTICLE_VOLUMES
from experiments.bizopoulos2021.published import (
    ARCHITECTURES,
    COSTS,
    DICE,
    EXPERIMENTS,
    INITIALISATIONS,
    SCORES,
    cost_grid,
    encoders,
    filled_scores,
    number,
    parameter_grid,
    parameters,
    table2,
)
from experiments.bizopoulos2021.published import score_grid as published_scores
from unet_segnet.measures.metrics import deviation_defined, mean_defined
from unet_segnet.output.tabular import Cell, Hundredths, Table

SCORE_NAMES = ("sens.", "spec.", "Dice")
SHOWN = 4  # models that share a best value, at most
GLOBAL = {**ARCHITECTURES, "global": "all"}


def table_two(evidence: Evidence) -> dict[str, Table]:
    """Table II by file name: a table per experiment, one of slices with lesion alone, one of costs, the best models."""
    ours, theirs = score_grid(evidence.comparable), published_scores()
    tables = {
        f"table2_{experiment}": _score_table(evidence, index, ours[index], theirs[index])
        for index, experiment in enumerate(EXPERIMENTS)
    }
    return {
        **tables,
        "table2_filled": filled_table(evidence),
        "table2_costs": cost_table(evidence),
        "table2_best": best_table(evidence, ours, theirs),
    }


def _score_table(evidence: Evidence, index: int, ours: np.ndarray, theirs: np.ndarray) -> Table:
    """One experiment's part of Table II; `ours` and `theirs` are (2, 4, 25, 3)."""
    experiment = list(EXPERIMENTS)[index]
    columns = ["architecture", "encoder"]
    for name in INITIALISATIONS.values():
        columns += [f"{name}, {source}: {score}" for source in ("published", "ours") for score in SCORE_NAMES]
    blocks = [block for pair in zip(theirs, ours, strict=True) for block in pair]  # (4, 25, 3) each
    rows: list[tuple[Cell, ...]] = []
    for place, (architecture, name) in enumerate(ARCHITECTURES.items()):
        for number_, encoder in enumerate(encoders()):
            rows.append((name, encoder, *cells(np.concatenate([block[place, number_] for block in blocks]))))
        rows += _summary_rows(name, [block[place] for block in blocks], _printed(architecture, experiment))
    rows += _summary_rows("all", [block.reshape(-1, 3) for block in blocks], _printed("global", experiment))
    runs = [run for run in evidence.comparable if run.experiment == experiment]
    return Table(
        f"Table II. Scores of {EXPERIMENTS[experiment]} segmentation, percent, published beside ours.",
        tuple(columns),
        tuple(rows),
        (
            *run_notes(runs),
            "Means over the test slices; all scores of a slice are 100 where its truth is empty, whatever is predicted "
            f"there, as in the released code{_free(experiment)}. The table of scores has ours by all four rules.",
            "The released code takes false positives for false negatives and the other way round: what is published as "
            "sensitivity is precision, what as specificity the negative predictive value. Ours are the former two.",
            "mean, std: over the encoders (published: as printed), std dividing by n as in the article; same: the "
            "published mean over the encoders that ran here; n: how many.",
            _rounding_note(experiment),
        ),
    )


def _free(experiment: str) -> str:
    """The share of the published mean that the rule gives away; of lungs it is not published."""
    if experiment == "lung":
        return ""
    slices, filled = number("test_slices"), number("test_slices_with_lesion")
    return f" ({slices - filled:.0f} of the article's {slices:.0f} slices, {100 * (1 - filled / slices):.0f} %)"


def filled_table(evidence: Evidence) -> Table:
    """Dice of Table II on the slices with lesion alone, published beside ours."""
    filled = score_grid(evidence.comparable, lambda run: run.filled_scores())[..., DICE]
    grids = {}
    for e, experiment in enumerate(EXPERIMENTS):
        if experiment != "lung":
            for i, start in enumerate(INITIALISATIONS.values()):
                title = f"{EXPERIMENTS[experiment]}, {start}"
                grids[f"{title}: published"] = published_scores()[e, i, :, :, DICE]
                grids[f"{title}: published, with lesion"] = filled_scores(grids[f"{title}: published"])
                grids[f"{title}: ours, with lesion"] = filled[e, i]
    rows: list[tuple[Cell, ...]] = []
    for architecture, name in GLOBAL.items():
        if architecture == "global":
            parts = [grid.ravel() for grid in grids.values()]
        else:
            parts = [grid[list(ARCHITECTURES).index(architecture)] for grid in grids.values()]
            rows += [(name, encoder, *cells([of[n] for of in parts])) for n, encoder in enumerate(encoders())]
        rows.append((name, "mean", *cells([mean_defined(of) for of in parts])))
    slices, with_lesion = number("test_slices"), number("test_slices_with_lesion")
    return Table(
        "Table II. Dice of lesions on the test slices that have some, percent.",
        ("architecture", "encoder", *grids),
        tuple(rows),
        (
            f"published: as printed, mean over {slices:.0f} slices, of which the {slices - with_lesion:.0f} without "
            f"lesion count 100 whatever is predicted. published, with lesion: what follows for the other "
            f"{with_lesion:.0f}, ({slices:.0f} Dice - {100 * (slices - with_lesion):.0f}) / {with_lesion:.0f}; "
            "0.01 in the former is 0.02 in the latter. How many slices show lung is not published.",
            "mean: over the models of the rows.",
            *run_notes([run for run in evidence.comparable if run.experiment != "lung"]),
        ),
    )


def _printed(architecture: str, experiment: str) -> list[list[float]]:
    """Mean and std as Table II prints them, each in the order of the published columns."""
    return [
        [
            table2()[architecture, what][f"{experiment}__{start}__{score}"]
            for start in INITIALISATIONS
            for score in SCORES
        ]
        for what in ("mean", "std")
    ]


def _rounding_note(experiment: str) -> str:
    """How many of the printed means and deviations are those of the printed rows."""
    theirs = published_scores()[list(EXPERIMENTS).index(experiment)]
    wrong = total = 0
    for place, architecture in enumerate(GLOBAL):
        models = theirs[:, place] if place < len(ARCHITECTURES) else theirs.reshape(len(theirs), -1, len(SCORES))
        for function, printed in zip((np.mean, np.std), _printed(architecture, experiment), strict=True):
            difference = np.abs(function(models, axis=1).ravel() - printed)
            # Half of the last printed digit, and what the rounding of the rows may add.
            wrong += int((difference > 0.00501).sum())
            total += len(printed)
    return f"{wrong} of the {total} published means and deviations are not those of the rows, in the last digit."


def _summary_rows(name: str, blocks: Sequence[np.ndarray], printed: list[list[float]]) -> list[tuple[Cell, ...]]:
    """Rows mean, std, same and n below the models `blocks` (published and ours of each initialisation, (n, 3) each)."""
    rows = []
    for what, function, of_theirs in zip(("mean", "std"), (mean_defined, _std), printed, strict=True):
        values = []
        for number_, (theirs, ours) in enumerate(zip(blocks[::2], blocks[1::2], strict=True)):
            values += of_theirs[3 * number_ : 3 * number_ + 3]
            values += [function(ours[:, score]) for score in range(theirs.shape[1])]
        rows.append((name, what, *cells(values)))
    counts, same = [], []
    for theirs, ours in zip(blocks[::2], blocks[1::2], strict=True):
        ran = ~np.isnan(ours[:, 0])
        counts += [len(theirs)] * 3 + [int(ran.sum())] * 3
        same += [*(mean_defined(theirs[ran, score]) for score in range(3)), None, None, None]
    if any(counts[i] != counts[i + 3] and counts[i + 3] for i in range(0, len(counts), 6)):
        rows.append((name, "same", *cells(same)))
    return [*rows, (name, "n", *counts)]


def _std(values: np.ndarray) -> np.ndarray:
    """As the article computes it: dividing by n."""
    return deviation_defined(values, ddof=0)


def cells(values) -> list[Cell]:
    """Two digits; empty where there is nothing."""
    return [None if value is None or np.isnan(value) else Hundredths(value) for value in values]


def run_notes(runs: Sequence[CompareRun]) -> tuple[str, ...]:
    """What there is to say of where runs come from: their data, and in what they differ from the article's."""
    if not runs:
        return ("No run of ours.",)
    notes = []
    told = [f"{count} on {name}" for name, count in sorted(Counter(run.source for run in runs).items())]
    told += [f"{count} in {name}" for name, count in sorted(Counter(run.dtype for run in runs).items())]
    text = f"Ours: {len(runs)} {'run' if len(runs) == 1 else 'runs'}, {', '.join(told)}."
    tested = {run.test for run in runs if run.test == ARTICLE_VOLUMES}
    if tested:
        text += (
            f" A conceptual replication: {ARTICLE_VOLUMES} holds the article's nine MedSeg volumes, "
            f"{len(runs[0].names)} of its {number('test_slices'):.0f} slices, in 8 bit; what trained is not what the "
            "article has. The figures stand side by side, they do not compare."
        )
    if others := sorted({run.source for run in runs if not run.article_data and run.test not in tested}):
        text += (
            f" {' and '.join(others)} {'is' if len(others) == 1 else 'are'} not the article's test set (nine MedSeg "
            f"volumes, {number('test_slices'):.0f} slices): the figures stand side by side, they do not compare."
        )
    notes.append(text)
    changed = Counter(", ".join(run.changes) for run in runs)
    for settings, count in sorted(changed.items()):
        if settings:
            notes.append(
                f"{count} of them with {settings}; the article: {number('size'):.0f} pixels, "
                f"{number('epochs'):.0f} epochs."
            )
    return tuple(notes)


def cost_table(evidence: Evidence) -> Table:
    """Parameters and seconds per epoch of Table II; the parameters that the models use, and ours."""
    built, used = (parameter_grid(which) for which in ("built", "used"))
    ours = _over_runs(evidence.comparable, lambda run: run.parameters * 1e-6)
    seconds = [_over_runs(evidence.comparable, lambda run, part=part: run.seconds[part]) for part in (0, 1)]
    published = [cost_grid(column) for column in COSTS]
    columns = [published[0], used, 100 * used / built, ours, published[1], seconds[0], published[2], seconds[1]]
    printed_at = {0: COSTS[0], 4: COSTS[1], 6: COSTS[2]}
    rows: list[tuple[Cell, ...]] = []
    for architecture, name in GLOBAL.items():
        if architecture == "global":
            parts = [column.ravel() for column in columns]
        else:
            parts = [column[list(ARCHITECTURES).index(architecture)] for column in columns]
            for number_, encoder in enumerate(encoders()):
                rows.append((name, encoder, *cells([part[number_] for part in parts])))
        for what, function in (("mean", mean_defined), ("std", _std)):
            values = [function(part) for part in parts]
            for place, column in printed_at.items():
                values[place] = table2()[architecture, what][column]
            rows.append((name, what, *cells(values)))
    devices = sorted({run.device for run in evidence.comparable})
    different = sum(parameters()[model].used != parameters()[model].built for model in parameters())
    return Table(
        "Table II. Parameters in millions and seconds per epoch, published beside ours.",
        (
            *("architecture", "encoder", "parameters: published", "parameters: used", "parameters: used, %"),
            *("parameters: ours", "training s: published", "training s: ours"),
            *("validation s: published", "validation s: ours"),
        ),
        tuple(rows),
        (
            f"used: parameters that receive a gradient; {different} of the 100 published models hold others too "
            "(EfficientNet's head; all that lies behind the depth of 3 at which PSPNet stops). Ours have no such "
            "layers.",
            "Seconds: the published ones are no times of training. The released code times the forward pass alone, by "
            "the profiler, and sums what the processor spends on starting its operations (it asks whether a device "
            "equals a string, which it never does). Ours are of whole epochs, the median over the epochs, averaged "
            f"over the runs of a model{', on ' if devices else ''}{' and on '.join(devices)}: not the same quantity.",
            *run_notes(evidence.comparable),
        ),
    )


def _over_runs(runs: Sequence[CompareRun], value) -> np.ndarray:
    """(4, 25) mean over all runs of a model, whatever the experiment and initialisation."""
    return mean_defined(run_grid(runs, value), axis=(0, 1))


def best_table(evidence: Evidence, ours: np.ndarray, theirs: np.ndarray) -> Table:
    """The best model of each experiment, initialisation and score: what the article sets in bold."""
    rows: list[tuple[Cell, ...]] = []
    for e, experiment in enumerate(EXPERIMENTS.values()):
        for i, start in enumerate(INITIALISATIONS.values()):
            for s, score in enumerate(SCORES):
                published, own = theirs[e, i, :, :, s], ours[e, i, :, :, s]
                rows.append((experiment, start, score, *_best(published), *_best(own), int((~np.isnan(own)).sum())))
    return Table(
        "Table II. The best model of each experiment, initialisation and score, published beside ours.",
        (
            "experiment",
            "initialisation",
            "score",
            "published: model",
            "published: %",
            "ours: model",
            "ours: %",
            "ours: of",
        ),
        tuple(rows),
        ("Several models where they share the best value. ours, of: models that ran.", *run_notes(evidence.comparable)),
    )


def _best(scores: np.ndarray) -> tuple[Cell, Cell]:
    """The best model's name, or the names of those that share the best score, and that score."""
    if np.isnan(scores).all():
        return None, None
    best = np.nanmax(scores)
    names = [
        f"{list(ARCHITECTURES.values())[a]} {encoders()[n]}" for a, n in zip(*np.nonzero(scores == best), strict=True)
    ]
    if len(names) > SHOWN:
        names[SHOWN - 1 :] = [f"and {len(names) - SHOWN + 1} others"]
    return ", ".join(names), Hundredths(best)
