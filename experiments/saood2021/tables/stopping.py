"""How much a training's result depends on the epoch at which it stops, whose network is kept."""

from __future__ import annotations

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.spread import accuracy, lesion_dice, of_last_epochs
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, Signed, Table

PART = 0.25
"""Of a training, at its end."""


def last_quarter(evidence: Evidence, variant: str) -> Table | None:
    """Validation accuracy over the last quarter of each training of the grid, and the authors' of those configurations.

    None where no training of the variant has enough validations.
    """
    rows: list[tuple[Cell, ...]] = []
    configurations = {}
    for run in evidence.runs:
        counts = run.counts
        if counts.fold is not None or counts.variant != variant:
            continue
        history = run.history()
        found = _statistics(history["validation_iteration"], history["validation_accuracy"], len(history["loss"]))
        if found:
            whose = f"ours, {'replay' if counts.stream == 'matlab' else f'seed {counts.seed}'}"
            dtype = (run.dtype or "").removeprefix("mixed_")
            rows.append((NETWORKS[counts.net].title, counts.problem, counts.experiment, whose, dtype, *found))
            if (counts.problem, variant) == ("binary", "released"):
                configurations[counts.net, counts.experiment] = None
    for net, experiment in configurations:
        if found := _released(net, experiment):
            rows.append((NETWORKS[net].title, "binary", experiment, "the authors'", None, *found))
    if not rows:
        return None
    return Table(
        f"Validation accuracy over the last quarter of a training, and of its last network, variant {variant}, "
        f"{evidence.data}.",
        (
            *("network", "problem", "exp.", "training", "data type"),
            *("n", "mean", "sigma", "lowest", "highest", "last", "diff."),
        ),
        tuple(rows),
        (
            "Share of the validation slices' pixels that are right. n: validations in the last quarter of the "
            "iterations; sigma: standard deviation (n - 1) over them; diff.: the last one less the mean.",
            "Kept is the network of the last iteration. How far it lies from the mean is chance, and so is as much of "
            "the difference between two trainings.",
            "replay: with the authors' random numbers; they released curves of the binary trainings alone.",
        ),
    )


def last_epochs(evidence: Evidence, variant: str) -> Table | None:
    """Test scores after each of the last epochs of a training beside those of its last network.

    None where no training of the variant counted them.
    """
    rows: list[tuple[Cell, ...]] = []
    for run in evidence.runs:
        counts = run.counts
        if counts.variant != variant:
            continue
        fold = "" if counts.fold is None else f", fold {counts.fold + 1}"
        training = ("replay" if counts.stream == "matlab" else f"seed {counts.seed}") + fold
        for name, score in (("accuracy", accuracy), ("Dice", lesion_dice)):
            scores = of_last_epochs(run, score)
            if len(scores) > 1:
                found = _summary(np.array(scores), score(counts.test_confusion))
                rows.append((NETWORKS[counts.net].title, counts.problem, counts.experiment, training, name, *found))
    if not rows:
        return None
    return Table(
        f"Test scores over the last epochs of a training, and of its last network, variant {variant}, {evidence.data}.",
        (
            *("network", "problem", "exp.", "training", "score"),
            *("n", "mean", "sigma", "lowest", "highest", "last", "diff."),
        ),
        tuple(rows),
        (
            "accuracy: mean global accuracy over the test slices; Dice: of the lesion classes, their mean, from the "
            "pixels of all test slices together. n: epochs; sigma: standard deviation (n - 1) over them; diff.: last "
            "less mean.",
            "last: the network that is kept, as in all other tables; the epochs' counts choose nothing.",
        ),
    )


def _released(net: str, experiment: int) -> tuple[Cell, ...] | None:
    """As `_statistics`, of a released binary training."""
    accuracy = published.training_curves(net, experiment)["validation_accuracy"] / 100
    validated = np.flatnonzero(~np.isnan(accuracy))
    return _statistics(validated + 1, accuracy[validated], len(accuracy))


def _statistics(iterations: np.ndarray, accuracies: np.ndarray, num_iterations: int) -> tuple[Cell, ...] | None:
    """n, mean, sigma, lowest, highest, last, and last less mean; None where fewer than two validations are at hand.

    Arguments:
        iterations: (validations,) counted from 1.
        accuracies: (validations,) 0..1.
        num_iterations: of the whole training.
    """
    late = np.asarray(accuracies, np.float64)[np.asarray(iterations) > (1 - PART) * num_iterations]
    if len(late) < 2:
        return None
    return _summary(late, float(late[-1]))


def _summary(values: np.ndarray, last: float) -> tuple[Cell, ...]:
    """n, mean, sigma, lowest and highest of some values, then the last one, and that less the mean."""
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    return len(values), mean, spread, float(values.min()), float(values.max()), last, Signed(last - mean)
