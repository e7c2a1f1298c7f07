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
            told.append(f"{interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]")
    if not told:
        return ""
    return f"Slice by slice, accuracy of ours less that of the authors' run on the same slices: {', '.join(told)}."


def _comparable(evidence: Evidence) -> list[FinishedRun]:
    """Binary trainings of the released networks on the paper's split: those the authors have a like of."""
    return [
        run
        for run in evidence.grid("binary", "released")
        if sorted(run.counts.test_names) == sorted(_test_names())
        and published.image_metrics(run.counts.net, run.counts.experiment)
    ]


def _test_names() -> list[str]:
    """The paper's test slices in the order of the split."""
    from unet_segnet.data import paper_split

    return [f"{index + 1:03}" for index in paper_split().test]


def _pairs(run: FinishedRun) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each test slice: ours and the authors', in the order of the split."""
    counts = run.counts
    order = [counts.test_names.index(name) for name in _test_names()]
    return global_accuracy(counts.test_confusion)[order], released_accuracies(counts.net, counts.experiment)
