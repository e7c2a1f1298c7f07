"""What the paper lacks: intervals for its scores, tests of its comparison, spread over seeds.

Each function returns a table, or None where there is nothing to compute. The table of selection is in `selection`.
"""

from __future__ import annotations

import math

import numpy as np

from experiments.reporting.rules import over_folds
from experiments.saood2021 import published
from experiments.saood2021.counts import CLASS_NAMES, SCORES, RunCounts
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS
from experiments.saood2021.tables.scores import best_experiment
from experiments.saood2021.tables.selection import selection_table
from experiments.saood2021.tables.trainings import (
    class_scores,
    compared_experiments,
    grid_runs,
    lesion_dice,
    notes_on_kinds,
    over_trainings,
    stacked,
)
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import (
    bootstrap_interval,
    bootstrap_mean,
    holm,
    paired_comparison,
)
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, PValue, Signed, Table

__all__ = [
    "fold_comparison",
    "network_comparison",
    "released_comparison",
    "score_intervals",
    "seed_spread",
    "selection_table",
]

IMAGE_SCORES = {
    "global accuracy": metrics.global_accuracy,
    "mean accuracy": metrics.mean_accuracy,
    "mean IoU": metrics.mean_iou,
    "weighted IoU": metrics.weighted_iou,
}
CLASS_SCORES = {name: SCORES[name] for name in ("sensitivity", "specificity", "Dice")}
_DEPENDENT = (
    "Slices count as independent. Which of them come from one patient is not known; the truth is less certain than "
    "this."
)
_WILCOXON = (
    "p: two-sided Wilcoxon signed-rank test over slices; Holm: corrected for the number of scores. effect: "
    "matched-pairs rank-biserial correlation, 1 where SegNet is higher on every slice, -1 where U-Net is. left out: "
    "slices where the score is undefined for either network."
)


def score_intervals(evidence: Evidence, problem: str, variant: str) -> Table | None:
    """Scores of each network's best configuration with 95 % intervals over slices, the published ones beside.

    The configurations are the published best, and the own best on the test and on the validation slices.
    """
    rows: list[tuple[Cell, ...]] = []
    for net in NETS:
        runs = grid_runs(evidence, problem, variant, net)
        named = published.BEST_EXPERIMENT[net, problem]
        for experiment in dict.fromkeys((named, *(best_experiment(runs, on) for on in ("test", "validation")))):
            if of_one := [run for run in runs if run.experiment == experiment]:
                rows += _interval_rows(of_one, published.class_scores(net, problem) if experiment == named else {})
    if not rows:
        return None
    return Table(
        f"95 % intervals of the scores, {problem} problem, variant {variant}, {evidence.data}.",
        (
            *("network", "exp.", "trainings", "score", "class"),
            *("reproduced: value", "reproduced: low", "reproduced: high", "published", "inside"),
        ),
        tuple(rows),
        (
            "low, high: bootstrap over the test slices, BCa, 4,999 resamples; where a resample lacks a class, "
            "percentiles of those that have it.",
            "The interval says what other slices would have changed, not another training. " + _DEPENDENT,
            "accuracy: mean over slices of the global accuracy; the other scores come from the confusion matrix of "
            "all test slices together. With several trainings: their mean.",
            "inside: does the interval of ours hold the published value?",
            *notes_on_kinds(evidence.grid(problem, variant)),
        ),
    )


def _interval_rows(runs: list[RunCounts], printed: dict[str, dict[str, float]]) -> list[tuple[Cell, ...]]:
    """A row for the accuracy and one per score and class, of one configuration."""
    first, counts = runs[0], stacked(runs)
    prefix = (NETWORKS[first.net].title, first.experiment, len(runs))
    accuracy = bootstrap_mean(metrics.global_accuracy(counts).mean(axis=1))
    paper = published.global_accuracy(first.net, first.problem).get(first.experiment)
    rows = [_interval_row((*prefix, "accuracy", "all"), accuracy, (), paper and paper.mean)]
    intervals = bootstrap_interval(counts, over_trainings(class_scores))
    for row, (score, key) in enumerate(zip(SCORES, published.SCORES, strict=True)):
        for column, name in enumerate(CLASS_NAMES[first.problem]):
            rows.append(_interval_row((*prefix, score, name), intervals, (row, column), printed.get(name, {}).get(key)))
    return rows


def _interval_row(prefix, interval, index, printed) -> tuple[Cell, ...]:
    value, low, high = (float(np.asarray(part)[index]) for part in (interval.estimate, interval.low, interval.high))
    inside = None if printed is None or math.isnan(low) else "yes" if low <= printed <= high else "no"
    return (*prefix, value, low, high, printed, inside)


def network_comparison(evidence: Evidence, problem: str, variant: str) -> Table | None:
    """SegNet against U-Net on the same test slices, own trainings: Wilcoxon signed-rank, Holm over the scores."""
    experiments = compared_experiments(evidence, problem, variant)
    if experiments is None:
        return None
    segnet, unet = (grid_runs(evidence, problem, variant, net, experiments[net]) for net in NETS)
    names = segnet[0].test_names
    counts = [stacked(runs, names) for runs in (segnet, unet)]
    compared = [run for run in evidence.grid(problem, variant) if run.counts.experiment == experiments[run.counts.net]]
    pairs: dict[tuple[str, str], list[np.ndarray]] = {
        (score, "all"): [metrics.mean_defined(of(one), axis=1) for one in counts] for score, of in IMAGE_SCORES.items()
    }
    for index, name in enumerate(CLASS_NAMES[problem][1:], 1):
        for score, of in CLASS_SCORES.items():
            pairs[score, name] = [metrics.mean_defined(of(one)[..., index], axis=1) for one in counts]
    return Table(
        f"SegNet {experiments['segnet']} against U-Net {experiments['unet']} slice by slice, {problem} problem, "
        f"variant {variant}, {len(segnet)} and {len(unet)} trainings, {evidence.data}.",
        ("score", "class", *_COMPARED),
        tuple((*key, *row) for key, row in zip(pairs, _compared_rows(list(pairs.values())), strict=True)),
        ("mean: over the slices that are compared.", _WILCOXON, _DEPENDENT, *notes_on_kinds(compared)),
    )


def released_comparison() -> Table:
    """The authors' own runs, SegNet against U-Net on the same 18 slices, from their released scores per slice."""
    fields = {"mean_bf_score": "mean BF score"} | {name.lower().replace(" ", "_"): name for name in IMAGE_SCORES}
    fields = {field: fields[field] for field in published.ImageMetrics.__dataclass_fields__}
    scores = {
        (net, experiment): np.array(
            [
                [getattr(slice_, field) for field in fields]
                for slice_ in published.image_metrics(net, experiment).values()
            ]
        )
        for net in NETS
        for experiment in published.hyperparameters(net)
    }
    best = [scores[net, published.BEST_EXPERIMENT[net, "binary"]] for net in NETS]
    every = [np.mean([values for (of, _), values in scores.items() if of == net], axis=0) for net in NETS]
    rows: list[tuple[Cell, ...]] = []
    for label, (segnet, unet) in (("best: 4 and 4", best), ("mean of nine", every)):
        compared = _compared_rows(list(zip(segnet.T, unet.T, strict=True)))
        rows += [(label, name, *row) for name, row in zip(fields.values(), compared, strict=True)]
    return Table(
        "The authors' SegNet against their U-Net slice by slice, binary problem, n=18 test slices.",
        ("experiments", "score", *_COMPARED),
        tuple(rows),
        (
            "From the scores of each slice that the authors released for their 18 binary runs; for the four-class "
            "runs nothing of the kind was released. best: the configurations of Table 4. mean of nine: each slice's "
            "score averaged over the nine configurations of a network.",
            _WILCOXON.replace("of scores", "of scores of these configurations"),
            _DEPENDENT,
        ),
    )


_COMPARED = ("slices: n", "slices: left out", "mean: SegNet", "mean: U-Net", "median diff.", "effect", "p", "Holm")


def _compared_rows(pairs) -> list[tuple[Cell, ...]]:
    """The columns `_COMPARED` for pairs of (n,) scores: SegNet's, U-Net's."""
    found = [paired_comparison(*pair) for pair in pairs]
    corrected = holm([comparison.p_value for comparison in found])
    rows = []
    for (segnet, unet), comparison, p_holm in zip(pairs, found, corrected, strict=True):
        both = ~np.isnan(segnet - unet)
        means = (float(values[both].mean()) if both.any() else math.nan for values in (segnet, unet))
        rows.append(
            (
                *(comparison.n, comparison.left_out, *means, Signed(comparison.median_difference)),
                *(Signed(comparison.effect_size), PValue(comparison.p_value), PValue(p_holm)),
            )
        )
    return rows


def fold_comparison(evidence: Evidence, problem: str, variant: str) -> Table | None:
    """SegNet against U-Net over the five folds: corrected resampled t-test, Holm over the scores.

    None unless each network has a configuration with all five folds; of several, the published best is taken.
    """
    by_net: dict[str, dict[int, dict[int, list[np.ndarray]]]] = {net: {} for net in NETS}
    for run in evidence.folds(problem, variant):
        counts = run.counts
        folds = by_net.setdefault(counts.net, {}).setdefault(counts.experiment, {})
        folds.setdefault(counts.fold, []).append(class_scores(counts.test_confusion.sum(axis=0)))
    chosen = {}
    for net in NETS:
        complete = [experiment for experiment, folds in by_net[net].items() if len(folds) == NUM_FOLDS]
        if not complete:
            return None
        named = published.BEST_EXPERIMENT[net, problem]
        chosen[net] = named if named in complete else min(complete)
    scores = {
        net: np.stack([np.mean(seeds, axis=0) for _, seeds in sorted(by_net[net][chosen[net]].items())]) for net in NETS
    }
    rows, p_values = [], []
    for column, name in enumerate(CLASS_NAMES[problem][1:], 1):
        for row, score in enumerate(SCORES):
            segnet, unet = (scores[net][:, row, column] for net in NETS)
            test = over_folds(segnet - unet)
            both = ~np.isnan(segnet - unet)
            means = (float(values[both].mean()) if both.any() else math.nan for values in (segnet, unet))
            rows.append((name, score, test.n, test.left_out, *means, Signed(test.mean_difference), test.t))
            p_values.append(test.p_value)
    return Table(
        f"SegNet {chosen['segnet']} against U-Net {chosen['unet']} over the folds, {problem} problem, variant "
        f"{variant}, {evidence.data}.",
        (
            *("class", "score", "folds: n", "folds: left out", "mean: SegNet", "mean: U-Net"),
            *("mean diff.", "t", "p", "Holm"),
        ),
        tuple(
            (*row, PValue(p), PValue(corrected))
            for row, p, corrected in zip(rows, p_values, holm(p_values), strict=True)
        ),
        (
            "p: corrected resampled t-test (Nadeau and Bengio, 2003), test to training slices 20/70, n - 1 degrees "
            "of freedom; Holm: corrected for the number of scores. left out: folds without the class.",
            "Both networks see the same folds. Table 7 has means and sigmas alone, which allow no such test.",
            *notes_on_kinds(
                [r for r in evidence.folds(problem, variant) if r.counts.experiment == chosen[r.counts.net]]
            ),
        ),
    )


def seed_spread(evidence: Evidence, problem: str, variant: str) -> Table | None:
    """How much the result of a configuration depends on the random numbers of its training, where several ran."""
    rows: list[tuple[Cell, ...]] = []
    unlike: list[str] = []
    for net in NETS:
        for experiment in range(1, 10):
            runs = grid_runs(evidence, problem, variant, net, experiment)
            if len(runs) < 2:
                continue
            kinds = {
                f"{run.dtype} on {run.config.get('backend')}"
                for run in evidence.grid(problem, variant)
                if (run.counts.net, run.counts.experiment) == (net, experiment)
            }
            if len(kinds) > 1:
                unlike.append(f"{NETWORKS[net].title} {experiment}, {' and '.join(sorted(kinds))}")
            counts = stacked(runs)
            accuracies = metrics.global_accuracy(counts)
            row: list[Cell] = [NETWORKS[net].title, experiment, len(runs)]
            for values in (accuracies.mean(axis=0), lesion_dice(counts.sum(axis=0))):
                row += [float(values.mean()), float(values.std(ddof=1)), float(values.min()), float(values.max())]
            slices = accuracies.mean(axis=1)
            rows.append((*row, float(slices.std(ddof=1) / math.sqrt(len(slices)))))
    if not rows:
        return None
    return Table(
        f"Spread over trainings that differ in their random numbers, {problem} problem, variant {variant}, "
        f"{evidence.data}.",
        (
            *("network", "exp.", "trainings"),
            *(f"{score}: {part}" for score in ("accuracy", "Dice") for part in ("mean", "sigma", "min", "max")),
            "error over slices",
        ),
        tuple(rows),
        (
            "accuracy: mean global accuracy over the test slices; Dice: of all test slices together, mean of the "
            "lesion classes. sigma: standard deviation (n - 1) over trainings.",
            "error over slices: standard error of the mean accuracy from the choice of slices, to compare with sigma.",
            *([f"They differ in more than that: {'; '.join(unlike)}."] if unlike else []),
        ),
    )
