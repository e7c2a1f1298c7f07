"""Counts of the trainings that a claim or a comparison rests on, slice by slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.counts import SCORES, RunCounts
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import EXPERIMENTS, NETS
from experiments.saood2021.tables.scores import best_experiment
from unet_segnet.measures import metrics
from unet_segnet.models.registry import NETWORKS

NUM_CONFIGURATIONS = len(EXPERIMENTS)
STREAMS = {"numpy": "NumPy's", "matlab": "MATLAB's"}
RANDOM_ENCODER = (
    "SegNet, variant paper: its encoder began with random numbers, that of MATLAB's segnetLayers with VGG16's weights "
    "from ImageNet (--encoder-weights)."
)


def grid_runs(
    evidence: Evidence, problem: str, variant: str, net: str, experiment: int | None = None
) -> list[RunCounts]:
    """Finished trainings of one network on the paper's split, of one configuration or of all."""
    runs = [run.counts for run in evidence.grid(problem, variant) if run.counts.net == net]
    return [run for run in runs if experiment in (None, run.experiment)]


def notes_on_encoder(runs: Sequence[RunCounts]) -> tuple[str, ...]:
    """A table's note where an encoder that is pretrained in MATLAB began with random numbers; else none."""
    random = any((run.net, run.variant, run.encoder_weights) == ("segnet", "paper", None) for run in runs)
    return (RANDOM_ENCODER,) if random else ()


def notes_on_kinds(runs: Sequence[FinishedRun]) -> tuple[str, ...]:
    """A table's notes on what its trainings began with, and on whose random numbers, data type and backend they had;
    of the latter none where all had the same."""
    encoder = notes_on_encoder([run.counts for run in runs])
    kinds: dict[str, dict[str, list[int]]] = {}
    several = len({run.config.get("backend") for run in runs}) > 1
    for run in runs:
        counts = run.counts
        kind = f"{STREAMS[counts.stream]} random numbers in {run.dtype or 'an unknown data type'}"
        kind += f" on {run.config.get('backend')}" if several else ""
        folds = kinds.setdefault(kind, {}).setdefault(f"{NETWORKS[counts.net].title} {counts.experiment}", [])
        folds += [] if counts.fold is None else [counts.fold + 1]
    if len(kinds) < 2:
        return encoder
    told = []
    for kind, of_kind in kinds.items():
        names = [name + (f" (fold {', '.join(map(str, folds))})" if folds else "") for name, folds in of_kind.items()]
        told.append(f"{', '.join(names)} with {kind}")
    return (*encoder, f"Not all trained alike: {'; '.join(told)}.")


def stacked(runs: Sequence[RunCounts], names: Sequence[str] | None = None) -> np.ndarray:
    """Counts of one configuration's trainings: (n, number of trainings, K, K), slices in the order of `names`.

    Raises:
        ValueError: the trainings were not tested on these slices.
    """
    names = runs[0].test_names if names is None else names
    if any(sorted(run.test_names) != sorted(names) for run in runs):
        raise ValueError("trainings that are compared must be tested on the same slices")
    ordered = [run.test_confusion[[run.test_names.index(name) for name in names]] for run in runs]
    return np.stack(ordered, axis=1)


def accuracy_per_slice(runs: Sequence[RunCounts], names: Sequence[str] | None = None) -> np.ndarray:
    """Global accuracy of each slice (n,), averaged over trainings."""
    return metrics.global_accuracy(stacked(runs, names)).mean(axis=1)


def class_scores(confusion: np.ndarray) -> np.ndarray:
    """The five scores of `experiments.saood2021.counts.SCORES` of each class: (..., K, K) -> (..., 5, K)."""
    return np.stack([score(confusion) for score in SCORES.values()], axis=-2)


def over_trainings(score):
    """The mean of a score over trainings: takes (..., number of trainings, K, K)."""

    def mean(confusion: np.ndarray) -> np.ndarray:
        scores = score(confusion)
        # The axis of trainings is where it was before K, K became the score's own axes.
        return scores.mean(axis=confusion.ndim - 3)

    return mean


def lesion_dice(confusion: np.ndarray) -> np.ndarray:
    """Dice of the lesion classes, their mean: (..., K, K) -> (...). NaN where one of them is nowhere."""
    return metrics.dice(confusion)[..., 1:].mean(axis=-1)


def difference(score, first: int):
    """The mean of a score over the first trainings minus that over the others: takes (..., number of both, K, K)."""

    def of_both(confusion: np.ndarray) -> np.ndarray:
        scores = np.moveaxis(score(confusion), confusion.ndim - 3, 0)
        return scores[:first].mean(axis=0) - scores[first:].mean(axis=0)

    return of_both


def compared_experiments(evidence: Evidence, problem: str, variant: str) -> dict[str, int] | None:
    """Which configuration stands for each network when the two are compared.

    The published best of both where both ran; else each network's best on the validation slices among those that
    ran; None where one of the networks has no run.
    """
    named = {net: published.BEST_EXPERIMENT[net, problem] for net in NETS}
    if all(grid_runs(evidence, problem, variant, net, named[net]) for net in NETS):
        return named
    own = {net: best_experiment(grid_runs(evidence, problem, variant, net), "validation") for net in NETS}
    return None if None in own.values() else own


def accuracy_matrix(evidence: Evidence, problem: str, variant: str, net: str) -> dict[int, np.ndarray]:
    """Configuration -> global accuracy of each test slice (n,), of those that ran."""
    runs = grid_runs(evidence, problem, variant, net)
    by_experiment: dict[int, list[RunCounts]] = {}
    for run in runs:
        by_experiment.setdefault(run.experiment, []).append(run)
    names = runs[0].test_names if runs else ()
    return {experiment: accuracy_per_slice(by_experiment[experiment], names) for experiment in sorted(by_experiment)}
