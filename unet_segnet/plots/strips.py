"""Strips: a dot for each training, and a published value on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from unet_segnet.plots.style import BLUE, GREY, NORMAL, SINGLE_COLUMN, SMALL, VERMILION, new_figure, plain_axes

# Of the kinds of trainings, in their order: colour, marker, filled. Any two differ in more than the colour.
KIND_STYLES = ((BLUE, "o", True), (VERMILION, "o", False), (BLUE, "s", True), (VERMILION, "s", False))
BAND = {"facecolor": "#d9d9d4", "edgecolor": "none"}
BORROWED = {"facecolor": "none", "edgecolor": GREY, "linestyle": (0, (4, 3)), "linewidth": 0.7}
STEP, LANE = 0.048, 0.25  # inches between two trainings of a lane; that these take together at most
MARGIN = 0.035  # inches above and below the trainings of a lane


@dataclass(frozen=True)
class Training:
    """One dot.

    Attributes:
        score: of its last network.
        kind: number of its kind, whose style it has.
        epochs: scores after each of its last epochs; empty where they were not counted.
    """

    score: float
    kind: int
    epochs: Sequence[float] = ()


@dataclass(frozen=True)
class Lane:
    """Trainings that differ in their random numbers alone.

    Attributes:
        trainings: in the order of drawing, from above.
        interval: in which range another one would lie, None where that is not known.
        borrowed: whether the interval's width is from other trainings.
    """

    trainings: Sequence[Training]
    interval: tuple[float, float] | None = None
    borrowed: bool = False


@dataclass(frozen=True)
class Strip:
    """One published value and the lanes that it is drawn across.

    Attributes:
        label: on the left.
        published: None where there is none.
        lanes: from above; none where nothing was trained.
    """

    label: str
    published: float | None
    lanes: Sequence[Lane] = ()


def strips(panels: Sequence[Mapping[str, Sequence[Strip]]], kinds: Sequence[str]):
    """A panel for each score, with an axis of its own, and in it a row for each published value.

    Narrow enough to be read on a telephone.

    Arguments:
        panels: rows of panels, of one length: title -> strips from above, whose labels are the same in all of a row.
        kinds: names of the kinds of trainings for the legend, four at most; those that have a training are listed.
    """
    heights = [[max(map(_height, alike)) for alike in zip(*row.values(), strict=True)] for row in panels]
    inches, columns = [sum(of) for of in heights], len(panels[0])
    every = [strip for row in panels for of in row.values() for strip in of]
    handles = _handles(every, kinds)
    figure = new_figure(SINGLE_COLUMN, sum(inches) + 0.44 * len(panels) + 0.16 * -(-len(handles) // 2))
    grid = figure.subplots(len(panels), columns, squeeze=False, height_ratios=inches)
    for axes_row, row, parts in zip(grid, panels, heights, strict=True):
        for axes, (title, of) in zip(axes_row, row.items(), strict=True):
            _draw_panel(axes, of, np.concatenate([[0], np.cumsum(parts)]))
            axes.set_title(title, fontsize=NORMAL, loc="left")
            axes.locator_params(axis="x", nbins=5 if columns == 1 else 3, steps=[1, 2, 5, 10])
            if columns > 1:  # there is room for two
                low, high = axes.get_xlim()
                ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
                axes.set_xticks(sorted({ticks[0], ticks[-1]}))
            if axes is not axes_row[0]:
                axes.set_yticklabels([])
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _draw_panel(axes, of: Sequence[Strip], edges: np.ndarray) -> None:
    """Strips between edges, in inches from above."""
    for strip, top, bottom in zip(of, edges, edges[1:], strict=False):
        _draw_strip(axes, strip, top, bottom)
    axes.set_ylim(edges[-1], 0)
    axes.set_yticks((edges[1:] + edges[:-1]) / 2, [strip.label for strip in of], fontsize=SMALL)
    axes.set_xlim(*_limits(of))
    plain_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for edge in edges[1:-1]:
        axes.axhline(edge, color=GREY, linewidth=0.3, alpha=0.5)


def _height(strip: Strip) -> float:
    """Inches."""
    return max(0.17, sum(_lane_height(lane) for lane in strip.lanes))


def _lane_height(lane: Lane) -> float:
    return 2 * MARGIN + _step(lane) * len(lane.trainings)


def _step(lane: Lane) -> float:
    return min(STEP, LANE / len(lane.trainings))


def _draw_strip(axes, strip: Strip, top: float, bottom: float) -> None:
    """The published value as a line across the row, and each lane in its share of it."""
    place = top + (bottom - top - sum(map(_lane_height, strip.lanes))) / 2
    for lane in strip.lanes:
        height = _lane_height(lane)
        if lane.interval:
            low, high = lane.interval
            look = BORROWED if lane.borrowed else BAND
            axes.add_patch(Rectangle((low, place + 0.015), high - low, height - 0.03, zorder=1, **look))
        at = place + MARGIN + _step(lane) * (np.arange(len(lane.trainings)) + 0.5)
        for y, training in zip(at, lane.trainings, strict=True):
            colour, marker, filled = KIND_STYLES[training.kind]
            if len(training.epochs):
                low, left, right, high = np.percentile(training.epochs, (0, 25, 75, 100))
                axes.plot([low, high], [y, y], color=colour, linewidth=0.6, alpha=0.6, zorder=2)
                axes.plot([left, right], [y, y], color=colour, linewidth=2, alpha=0.35, solid_capstyle="butt", zorder=2)
            face = colour if filled else "white"
            axes.plot(
                [training.score],
                [y],
                marker,
                markersize=3.2,
                color=colour,
                markerfacecolor=face,
                markeredgewidth=0.8,
                zorder=4,
            )
        place += height
    if strip.published is not None:
        axes.vlines(strip.published, top, bottom, color="black", linewidth=1.3, zorder=3)


def _limits(of: Sequence[Strip]) -> tuple[float, float]:
    """Of the axis: all that is drawn, with a little room."""
    values = [strip.published for strip in of if strip.published is not None]
    for lane in (lane for strip in of for lane in strip.lanes):
        values += [value for training in lane.trainings for value in (training.score, *training.epochs)]
        values += lane.interval or ()
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.04 * (high - low) or 0.01
    return low - room, high + room


def _handles(of: Sequence[Strip], kinds: Sequence[str]) -> list:
    """What the legend explains: what is there."""
    lanes = [lane for strip in of for lane in strip.lanes]
    trainings = [training for lane in lanes for training in lane.trainings]
    handles = [Line2D([], [], color="black", linestyle="", marker="|", markersize=8, markeredgewidth=1.3)]
    handles[0].set_label("published")
    for number, (name, (colour, marker, filled)) in enumerate(zip(kinds, KIND_STYLES, strict=False)):
        if any(training.kind == number for training in trainings):
            face = colour if filled else "white"
            look = {"color": colour, "markerfacecolor": face, "markersize": 4}
            handles.append(Line2D([], [], linestyle="", marker=marker, label=name, **look))
    if any(len(training.epochs) for training in trainings):
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, label="after its last epochs"))
    if any(lane.interval and not lane.borrowed for lane in lanes):
        handles.append(Patch(label="95 % prediction interval", **BAND))
    if any(lane.interval and lane.borrowed for lane in lanes):
        handles.append(Patch(label="95 % interval, borrowed spread", **BORROWED))
    return handles
