"""Strips of trainings: what is drawn is what was given, and it can be read."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from unet_segnet.plots.strips import Lane, Strip, Training, strips

KINDS = ("released", "released, replay", "paper", "paper, replay")
SEVERAL = Lane([Training(0.9, 0, [0.7, 0.8, 0.9, 1.0]), Training(0.92, 1)], (0.8, 0.99))
FEW = Lane([Training(0.85, 2)], (0.6, 1.0), borrowed=True)
PANEL = [Strip("SegNet 4", 0.95, (SEVERAL, FEW)), Strip("U-Net 4", 0.93)]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def dots(axes):
    """Score -> marker and whether it is filled."""
    markers = [line for line in axes.lines if line.get_marker() != "None"]
    return {float(m.get_xdata()[0]): (m.get_marker(), m.get_markerfacecolor() != "white") for m in markers}


def test_each_training_is_a_dot_in_the_style_of_its_kind():
    (axes,) = strips([{"Dice": PANEL}], KINDS).axes
    assert dots(axes) == {0.9: ("o", True), 0.92: ("o", False), 0.85: ("s", True)}
    places = [line.get_ydata()[0] for line in axes.lines if line.get_marker() != "None"]
    assert len(set(places)) == 3 and places == sorted(places)


def test_the_published_value_crosses_all_lanes_of_its_strip():
    (axes,) = strips([{"Dice": PANEL}], KINDS).axes
    segments = [collection.get_segments()[0] for collection in axes.collections]
    assert [segment[0, 0] for segment in segments] == [0.95, 0.93]
    (_, first_end), (second_start, second_end) = (segment[:, 1] for segment in segments)
    assert first_end == second_start and second_end == axes.get_ylim()[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SegNet 4", "U-Net 4"]


def test_last_epochs_reach_from_the_lowest_to_the_highest():
    (axes,) = strips([{"Dice": PANEL}], KINDS).axes
    ranges = [tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "None" and line.get_alpha() != 0.5]
    assert ranges[:2] == [(0.7, 1.0), pytest.approx((0.775, 0.925))]


def test_intervals_are_told_apart():
    (axes,) = strips([{"Dice": PANEL}], KINDS).axes
    own, borrowed = (patch for patch in axes.patches if isinstance(patch, Rectangle))
    assert [(own.get_x(), own.get_width()), (borrowed.get_x(), borrowed.get_width())] == [
        pytest.approx((0.8, 0.19)),
        pytest.approx((0.6, 0.4)),
    ]
    assert own.get_facecolor()[3] == 1 and borrowed.get_facecolor()[3] == 0
    low, high = axes.get_xlim()
    assert low < 0.6 and high > 1.0


def test_the_legend_has_what_is_there_and_no_more():
    assert legend(strips([{"Dice": PANEL}], KINDS)) == [
        *("published", "released", "released, replay", "paper", "after its last epochs"),
        *("95 % prediction interval", "95 % interval, borrowed spread"),
    ]
    assert legend(strips([{"Dice": [Strip("SegNet 4", 0.95)]}], KINDS)) == ["published"]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("trainings", [0, 1, 2, 8])
def test_no_labels_overlap(columns, trainings):
    chance = np.random.default_rng(columns + trainings)

    def strip(name):
        lane = Lane([Training(score, 0, (score, score + 0.01)) for score in chance.uniform(0.8031, 0.8764, trainings)])
        return Strip(name, 0.8123, [lane] if trainings else [])

    rows = [
        {f"specificity, C{c}": [strip("SegNet 7"), strip("U-Net 4")] for c in range(columns)} for _ in ("one", "other")
    ]
    figure = strips(rows, KINDS)
    figure.draw_without_rendering()
    boxes = []
    for axes in figure.axes:
        low, high = axes.get_xlim()
        shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
        assert shown
        title = [text for text in axes.findobj(Text) if text.get_text() == axes.get_title(loc="left")]
        labels = [label for label in (*shown, *axes.get_yticklabels(), *title) if label.get_text()]
        boxes += [label.get_window_extent() for label in labels]
    boxes.append(figure.legends[0].get_window_extent())
    for number, one in enumerate(boxes):
        assert one.x0 >= 0 and one.x1 <= figure.bbox.x1 and one.y0 >= 0 and one.y1 <= figure.bbox.y1
        assert not any(one.overlaps(other) for other in boxes[number + 1 :])
