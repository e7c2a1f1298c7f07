"""Figures of single trainings: the scores, the published numbers on them, and what the captions say."""

import numpy as np
import pytest
from made_runs import evidence, made_run, write_last_epochs

from experiments.reporting.rules import prediction
from experiments.saood2021 import published
from experiments.saood2021.figures.strips import strip_figures
from experiments.saood2021.spread import accuracy, borrowed
from unet_segnet.measures import metrics


def drawn(*runs, problem="binary", **changes):
    return strip_figures(evidence(*runs, **changes), problem)


def dots(axes):
    """Scores by marker and filling, from above."""
    found = {}
    for line in axes.lines:
        if line.get_marker() != "None":
            kind = line.get_marker() + ("" if line.get_markerfacecolor() == "white" else " filled")
            found.setdefault(kind, []).append(float(line.get_xdata()[0]))
    return found


def lines(axes):
    """The published values, from above."""
    return [float(collection.get_segments()[0][0, 0]) for collection in axes.collections]


def test_dots_are_the_trainings_of_the_best_configurations():
    random = [made_run(seed=seed) for seed in (1, 0)]
    replay, described = made_run(stream="matlab", missed=0.2), made_run("unet", variant="paper")
    others = [made_run(experiment=5), made_run(fold=1, num_slices=20), made_run("unet", "multiclass")]
    pretrained = made_run(variant="paper", encoder_weights="imagenet")
    figure, _ = drawn(*random, replay, described, *others, pretrained)
    (axes,) = figure.figure.axes

    def mean(run):
        confusion = run.counts.test_confusion
        return (np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))).mean()

    assert dots(axes) == {
        "o filled": pytest.approx([mean(random[1]), mean(random[0])]),
        "o": pytest.approx([mean(replay)]),
        "s filled": pytest.approx([mean(described)]),
    }
    assert "as its authors trained it (released): 3 of SegNet 4; " in figure.caption
    assert "as the article describes it (paper): 1 of U-Net 4." in figure.caption
    assert "18 test slices of COVID19-DL" in figure.caption and "replay: with" in figure.caption
    assert "replay" not in drawn(random[0])[0].caption


def test_published_numbers_are_those_of_their_table():
    for problem, number in (("binary", 3), ("multiclass", 5)):
        best = {net: published.BEST_EXPERIMENT[net, problem] for net in ("segnet", "unet")}
        first, second = drawn(problem=problem)
        assert (first.name, second.name) == (f"spread_table{number}", f"spread_table{number + 1}")
        (axes,) = first.figure.axes
        assert lines(axes) == [published.global_accuracy(net, problem)[of].mean for net, of in best.items()]
        names = {
            "sensitivity": "sensitivity",
            "specificity": "specificity",
            "Dice": "dice",
            "G-mean": "g_mean",
            "F2": "f2",
        }
        shown = {axes.get_title(loc="left"): lines(axes) for axes in second.figure.axes}
        expected = {}
        for title, name in names.items():
            for of_class in published.class_scores("segnet", problem):
                title_of_class = title if problem == "binary" else f"{title}, {of_class}"
                expected[title_of_class] = [published.class_scores(net, problem)[of_class][name] for net in best]
        assert shown == expected
        assert "none of them has run here" in first.caption


def test_scores_of_a_class_come_from_all_slices_together():
    run = made_run("unet", "multiclass")
    _, figure = drawn(run, problem="multiclass")
    axes = next(axes for axes in figure.figure.axes if axes.get_title(loc="left") == "Dice, C2")
    assert dots(axes) == {"o filled": [pytest.approx(metrics.dice(run.counts.test_confusion.sum(axis=0))[2])]}


def test_the_interval_is_borrowed_until_there_are_four_trainings(tmp_path):
    runs = [made_run(seed=seed, missed=0.05 * (seed + 1)) for seed in range(4)]
    for of, own in ((runs, True), (runs[:2], False)):
        (figure, _), found = drawn(*of), prediction([accuracy(run.counts.test_confusion) for run in of])
        if not own:
            other = borrowed(evidence(*of), of, accuracy)
            found = prediction([accuracy(run.counts.test_confusion) for run in of], other)
        (band,) = figure.figure.axes[0].patches
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((found.low, min(found.high, 1)))
        assert ("borrowed" in figure.caption) != own
    (figure, _) = drawn(runs[0])
    assert not figure.figure.axes[0].patches and "interval" not in figure.caption


def test_last_epochs_lie_behind_their_dot(tmp_path):
    run = write_last_epochs(made_run(folder=tmp_path), [0.0, 0.1, 0.2, 0.3])
    figure, _ = drawn(run)
    with np.load(tmp_path / "last_epochs.npz") as arrays:
        scores = [accuracy(of) for of in arrays["test_confusion"]]
    first = next(line for line in figure.figure.axes[0].lines if line.get_marker() == "None")
    assert tuple(first.get_xdata()) == pytest.approx((min(scores), max(scores)))
    assert "its last 4 epochs" in figure.caption
    assert "Thin line" not in drawn(made_run())[0].caption


def test_other_data_are_said_to_be_others():
    assert "not of phantom" in drawn(made_run(), data="phantom")[0].caption
