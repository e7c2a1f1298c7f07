"""What single trainings carry: for each published number of Tables 3 to 6 our trainings, with the number on them."""

from __future__ import annotations

import math

from experiments.reporting.content import Figure
from experiments.reporting.rules import ENOUGH, prediction
from experiments.saood2021 import published
from experiments.saood2021.counts import CLASS_NAMES, PAPER_SLICES, SCORES
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.figures.networks import VARIANT_NAMES
from experiments.saood2021.protocol import NETS, VARIANTS
from experiments.saood2021.spread import (
    Score,
    accuracy,
    best_runs,
    borrowed,
    class_score,
    independent,
    of_last_epochs,
    of_trainings,
)
from experiments.saood2021.tables.summary import PROBLEM_NAMES
from unet_segnet.models.registry import NETWORKS
from unet_segnet.plots.strips import Lane, Strip, Training, strips

KINDS = tuple(f"{variant}{replay}" for variant in VARIANTS for replay in ("", ", replay"))


def strip_figures(evidence: Evidence, problem: str) -> tuple[Figure, ...]:
    """The figure of Table 3 (binary) or 5 (multiclass), then that of Table 4 or 6."""
    number = 3 if problem == "binary" else 5
    of_classes = [_class_panels(evidence, problem, name) for name in SCORES]
    return (
        _figure(evidence, problem, number, "accuracy", [{"accuracy": _accuracy_strips(evidence, problem)}]),
        _figure(evidence, problem, number + 1, "scores of the classes", of_classes),
    )


def _accuracy_strips(evidence: Evidence, problem: str) -> list[Strip]:
    """Of both networks."""
    printed = {net: published.global_accuracy(net, problem)[published.BEST_EXPERIMENT[net, problem]] for net in NETS}
    return [_strip(evidence, problem, net, accuracy, printed[net].mean) for net in NETS]


def _class_panels(evidence: Evidence, problem: str, name: str) -> dict[str, list[Strip]]:
    """A score, a panel for each class that has published ones, the strips of both networks in it."""
    column = dict(zip(SCORES, published.SCORES, strict=True))[name]
    printed = {net: published.class_scores(net, problem) for net in NETS}
    return {
        name if problem == "binary" else f"{name}, {of_class}": [
            _strip(evidence, problem, net, class_score(name, index), printed[net][of_class][column]) for net in NETS
        ]
        for index, of_class in enumerate(CLASS_NAMES[problem])
        if of_class in printed[NETS[0]]
    }


def _strip(evidence: Evidence, problem: str, net: str, score: Score, printed: float) -> Strip:
    """The published score and the lanes of the variants that have run; undefined scores are left out."""
    lanes = []
    for variant in VARIANTS:
        runs = best_runs(evidence, problem, variant, net)
        if runs := [run for run in runs if math.isfinite(score(run.counts.test_confusion))]:
            trainings = [
                Training(
                    score(run.counts.test_confusion),
                    KINDS.index(variant + (", replay" if run.counts.stream == "matlab" else "")),
                    [value for value in of_last_epochs(run, score) if math.isfinite(value)],
                )
                for run in runs
            ]
            judging = independent(runs)
            found = prediction(of_trainings(judging, score), borrowed(evidence, judging, score)) if judging else None
            limits = None
            if found and math.isfinite(found.low):  # scores are shares
                limits = (max(found.low, 0.0), min(found.high, 1.0))
            lanes.append(Lane(trainings, limits, bool(found and found.borrowed)))
    return Strip(f"{NETWORKS[net].title} {published.BEST_EXPERIMENT[net, problem]}", printed, lanes)


def _figure(evidence: Evidence, problem: str, number: int, what: str, panels: list[dict[str, list[Strip]]]) -> Figure:
    runs = {(v, net): best_runs(evidence, problem, v, net) for v in VARIANTS for net in NETS}
    trained = []
    for variant in VARIANTS:
        names = {net: f"{NETWORKS[net].title} {published.BEST_EXPERIMENT[net, problem]}" for net in NETS}
        numbers = [f"{len(runs[variant, net])} of {name}" for net, name in names.items() if runs[variant, net]]
        trained += [f"{VARIANT_NAMES[variant]} ({variant}): {', '.join(numbers)}"] if numbers else []
    lanes = [lane for row in panels for of in row.values() for strip in of for lane in strip.lanes]
    slices = next((run.counts.test_names for of in runs.values() for run in of), ())
    where = f" on the {len(slices)} test slices of {evidence.data}." if trained else "; none of them has run here."
    printed = "what the authors' released tables have" if number == 4 else f"what Table {number} prints"
    sentences = [f"The configurations that the article calls the best{where} Black line, published: {printed}."]
    if trained:
        sentences.append(f"Each dot is a training of ours, {'; '.join(trained)}.")
    if any(run.counts.stream == "matlab" for of in runs.values() for run in of):
        sentences.append("replay: with the authors' random numbers.")
    if epochs := {len(training.epochs) for lane in lanes for training in lane.trainings} - {0}:
        sentences.append(
            f"Thin line behind a dot: from the lowest to the highest score after each of its last "
            f"{' or '.join(map(str, sorted(epochs)))} epochs, the thick part the middle half of them."
        )
    if any(lane.interval for lane in lanes):
        sentences.append(
            "95 % prediction interval: where 95 of 100 further trainings would lie, judged by these but replays."
        )
    if any(lane.interval and lane.borrowed for lane in lanes):
        sentences.append(
            f"Its spread is borrowed where fewer than {ENOUGH} trainings ran (dashed, and wider for that): that of "
            "repeated trainings of the problem, or of these trainings' last epochs, whichever makes it wider."
        )
    if evidence.data not in PAPER_SLICES:
        sentences.append(f"The published values are of the article's slices, not of {evidence.data}.")
    return Figure(
        f"spread_table{number}",
        f"The trainings behind Table {number}: {what}, {PROBLEM_NAMES[problem]}",
        " ".join(sentences),
        strips(panels, KINDS),
        "Strips of dots, one for each training, with the published value as a line across them.",
    )
