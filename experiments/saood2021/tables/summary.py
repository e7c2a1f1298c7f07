"""The summary of Tables 3 to 6: the configuration that the article calls the best of each network and problem."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.saood2021 import published
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS
from experiments.saood2021.tables.data import grid_baselines
from experiments.saood2021.tables.trainings import grid_runs, lesion_dice, notes_on_encoder
from unet_segnet.measures.metrics import global_accuracy
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, Table

PROBLEM_NAMES = {"binary": "infected or not", "multiclass": "four classes"}


def summary_table(evidence: Evidence) -> Table:
    """Accuracy and Dice of the best configurations, ours beside the published, and of two answers without a network.

    The variant "released", which is what the authors trained, is there even where none of our runs is.
    """
    rows: list[tuple[Cell, ...]] = []
    shown = []
    for problem in PROBLEMS:
        for variant in VARIANTS:
            runs = {
                net: grid_runs(evidence, problem, variant, net, published.BEST_EXPERIMENT[net, problem]) for net in NETS
            }
            if not any(runs.values()) and variant != "released":
                continue
            for net, trainings in runs.items():
                shown += trainings
                experiment = published.BEST_EXPERIMENT[net, problem]
                scores = published.class_scores(net, problem).values()
                printed = sum(score["dice"] for score in scores) / len(scores)
                accuracy = published.global_accuracy(net, problem)[experiment].mean
                ours = _accuracy_and_dice([run.test_confusion for run in trainings])
                name = f"{NETWORKS[net].title} {experiment}, {variant}"
                rows.append((PROBLEM_NAMES[problem], name, len(trainings), accuracy, ours[0], printed, ours[1]))
        for baseline in grid_baselines(evidence, problem):
            ours = _accuracy_and_dice([baseline.test_confusion])
            rows.append((PROBLEM_NAMES[problem], baseline.name, None, None, ours[0], None, ours[1]))
    return Table(
        f"The article's best configurations on its test slices ({evidence.data}).",
        (
            *("problem", "network", "trainings"),
            *("accuracy: published", "accuracy: ours", "lesion Dice: published", "lesion Dice: ours"),
        ),
        tuple(rows),
        (
            "accuracy: share of a slice's pixels that are right, mean over the slices (Tables 3 and 5). lesion Dice: "
            "from the pixels of all slices together, mean of the lesion classes (Tables 4 and 6).",
            "Of several trainings, which differ in their random numbers, the mean, with the lowest and the highest.",
            "network: the number is that of the configuration in Table 2; released: as the authors trained it; paper: "
            "as the article describes it. all background: no pixel is marked. grey threshold: fitted on the training "
            "slices.",
            *notes_on_encoder(shown),
        ),
    )


def _accuracy_and_dice(confusions: Sequence) -> tuple[Cell, Cell]:
    """Of one (n, K, K) per training; None where there is none."""
    accuracies = [float(global_accuracy(confusion).mean()) for confusion in confusions]
    return _over_trainings(accuracies), _over_trainings(
        [float(lesion_dice(confusion.sum(axis=0))) for confusion in confusions]
    )


def _over_trainings(values: list[float]) -> Cell:
    """The one value, or the mean with the lowest and the highest as text."""
    if len(values) < 2:
        return values[0] if values else None
    return f"{sum(values) / len(values):.3f} ({min(values):.3f} to {max(values):.3f})"
