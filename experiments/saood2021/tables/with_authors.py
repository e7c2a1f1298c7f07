"""Our binary trainings beside the authors' run of the same configuration, on the same 18 slices.

Both score the same slices, so slices say little about the difference: it is that of two trainings, and as much of it as
trainings differ by chance is chance.
"""

from __future__ import annotations

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.tables.selection import released_accuracies
from unet_segnet.measures.metrics import global_accuracy
from unet_segnet.measures.statistics import bootstrap_mean, paired_comparison
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, PValue, Table

TRUTH = "The test slices' truth: any finished training on the paper's split."


def test_truth(evidence: Evidence) -> np.ndarray | None:
    """(18, 2) healthy and lesion pixels of each test slice, in the order of the split; None without a training."""
    run = next(iter(_on_paper_slices(evidence)), None)
    return None if run is None else run.counts.test_confusion.sum(axis=2)[_order(run)]


def released_counts(net: str, experiment: int, truth: np.ndarray) -> np.ndarray:
    """(18, 2, 2) pixels of a released binary run by slice, rows the truth; they were released as their sum alone.

    Global and mean accuracy of a slice, which were released, are two equations for its two unknown counts: T / n and
    (t0 / n0 + t1 / n1) / 2, T = t0 + t1 being the right ones of its n = n0 + n1 pixels.

    Arguments:
        net, experiment: of the run.
        truth: as `test_truth` gives it, lesions in each slice.
    """
    scores = published.image_metrics(net, experiment).values()
    right = np.array([of.global_accuracy for of in scores]) * truth.sum(axis=1)
    shares = 2 * np.array([of.mean_accuracy for of in scores])
    healthy, lesion = truth.T
    found = (shares - right / healthy) / (1 / lesion - 1 / healthy)
    kept = right - found
    return np.rint(np.stack([kept, healthy - kept, lesion - found, found], axis=1)).reshape(-1, 2, 2)


def paired_table(evidence: Evidence) -> Table | None:
    """Accuracy slice by slice, ours less theirs, of each training with the authors' configuration; None without one."""
    rows: list[tuple[Cell, ...]] = []
    for run in _comparable(evidence):
        counts = run.counts
        ours, theirs = _pairs(run)
        interval, tested = bootstrap_mean(ours - theirs), paired_comparison(ours, theirs)
        whose = "replay" if counts.stream == "matlab" else f"seed {counts.seed}"
        rows.append(
            (
                *(NETWORKS[counts.net].title, counts.experiment, counts.variant, whose, len(ours)),
                *(float(ours.mean()), float(theirs.mean())),
                *(f"{value:+.4f}" for value in (interval.estimate, interval.low, interval.high)),
                *(float(np.corrcoef(ours, theirs)[0, 1]), PValue(tested.p_value)),
            )
        )
    if not rows:
        return None
    return Table(
        f"Our binary trainings less the authors' run of that configuration, on the same test slices, {evidence.data}.",
        (
            *("network", "exp.", "variant", "training", "slices"),
            *("accuracy: ours", "accuracy: theirs", "diff.: mean", "diff.: low", "diff.: high", "r", "p"),
        ),
        tuple(rows),
        (
            "diff.: mean over the slices with its 95 % interval (BCa); r: correlation of the two over slices; p: "
            "Wilcoxon signed-rank test.",
            "The slices are the same, so these intervals are narrow. They tell two networks apart, not what another "
            "training of either would score: compare the spread over trainings.",
        ),
    )


def paired_text(evidence: Evidence, net: str) -> str:
    """The differences of a network's best binary configuration, in a sentence; empty without such a training."""
    told = []
    for run in _comparable(evidence):
        if (run.counts.net, run.counts.experiment) == (net, published.BEST_EXPERIMENT[net, "binary"]):
            ours, theirs = _pairs(run)
            interval = bootstrap_mean(ours - theirs)
            numbers = "their random numbers" if run.counts.stream == "matlab" else f"seed {run.counts.seed}"
            told.append(f"{interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] ({numbers})")
    if not told:
        return ""
    return f"Slice by slice, accuracy of ours less that of the authors' run on the same slices: {', '.join(told)}."


def _comparable(evidence: Evidence) -> list[FinishedRun]:
    """Those whose like the authors have."""
    return [run for run in _on_paper_slices(evidence) if published.image_metrics(run.counts.net, run.counts.experiment)]


def _on_paper_slices(evidence: Evidence) -> list[FinishedRun]:
    """Binary trainings of the released networks on the paper's split."""
    runs = evidence.grid("binary", "released")
    return [run for run in runs if sorted(run.counts.test_names) == sorted(_test_names())]


def _test_names() -> list[str]:
    """The paper's test slices in the order of the split."""
    from unet_segnet.data import paper_split

    return [f"{index + 1:03}" for index in paper_split().test]


def _order(run: FinishedRun) -> list[int]:
    """Where each slice of the split stands in a training's counts."""
    return [run.counts.test_names.index(name) for name in _test_names()]


def _pairs(run: FinishedRun) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each test slice: ours and the authors', in the order of the split."""
    counts = run.counts
    return global_accuracy(counts.test_confusion)[_order(run)], released_accuracies(counts.net, counts.experiment)
