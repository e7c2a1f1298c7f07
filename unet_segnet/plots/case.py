"""Pictures of one scan: the most affected slices of a segmented one, and what a labelled one looks like."""

from collections.abc import Callable, Sequence

import matplotlib.lines
import numpy as np

from unet_segnet.plots.slices import show_slice
from unet_segnet.plots.style import (
    CLASS_COLOURS,
    DOUBLE_COLUMN,
    NORMAL,
    SINGLE_COLUMN,
    SMALL,
    YELLOW,
    new_figure,
    plain_axes,
)

LEVELS_PER_BAR = 4  # grey levels of 256 that are counted together


def case_overview(
    image_of: Callable[[int], np.ndarray],
    labels,
    truth,
    names: Sequence[str],
    class_names: Sequence[str],
    title: str,
    num_slices: int = 8,
    columns: int = 4,
):
    """Contours of the labels, and of the truth where it is known, on the slices with most lesion, most affected first.

    Arguments:
        image_of: gives the (height, width) uint8 grey levels of a slice by its index.
        labels: (num_slices, height, width), class index.
        truth: likewise, or None.
        names: of the slices.
        class_names: background first.
        title: of the figure.
        num_slices: how many slices at most.
        columns: of them in a row.
    """
    affected = np.sum([list(map(np.count_nonzero, of)) for of in (labels, truth) if of is not None], axis=0)
    chosen = np.argsort(-affected, kind="stable")[:num_slices]
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    ratio = labels.shape[1] / labels.shape[2]
    figure = new_figure(DOUBLE_COLUMN, DOUBLE_COLUMN / columns * rows * ratio + 0.6)
    figure.suptitle(f"{title}: the {len(chosen)} most affected of {len(labels)} slices", fontsize=NORMAL)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, chosen, strict=False):
        show_slice(axes, image_of(index))
        axes.set_title(f"slice {names[index]}", fontsize=SMALL, pad=2)
        for classes, style in ((labels[index], "solid"), (None if truth is None else truth[index], "dashed")):
            for number in range(1, len(class_names)):
                if classes is not None:
                    _contour(axes, classes == number, CLASS_COLOURS[number], style)
    handles = [
        matplotlib.lines.Line2D([], [], color=colour, label=name)
        for colour, name in zip(CLASS_COLOURS, class_names, strict=False)
        if colour
    ]
    if truth is not None:
        handles.append(matplotlib.lines.Line2D([], [], color="black", linestyle="dashed", label="truth"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)
    return figure


def case_look(
    images,
    labels,
    lungs,
    names: Sequence[str],
    class_names: Sequence[str],
    levels,
    grey: tuple[float, float, str],
    title: str,
):
    """Slices of a case with the contours of its labels and lungs, and below how often each grey level is in both.

    Narrow enough to be read on a telephone. The grey levels of each class are shares of its own pixels.

    Arguments:
        images: (num_slices, height, width) uint8 grey levels.
        labels: likewise, class index; None where there are none.
        lungs: likewise, bool; None where they are unknown.
        names: of the slices.
        class_names: background first.
        levels: (num_classes, 256) pixels of the whole case that have each grey level; background: in the lungs.
        grey: what levels 0 and 255 stand for, and in which unit.
        title: of the figure.
    """
    columns = min(2, len(images))
    rows, ratio = -(-len(images) // columns), images.shape[1] / images.shape[2]
    heights = [SINGLE_COLUMN / columns * ratio + 0.16] * rows + [1.15]
    figure = new_figure(SINGLE_COLUMN, sum(heights) + 0.5)
    figure.suptitle(title, fontsize=NORMAL)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=heights)
    for index, (image, name) in enumerate(zip(images, names, strict=True)):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        show_slice(axes, image)
        axes.set_title(f"slice {name}", fontsize=SMALL, pad=2)
        if lungs is not None:
            _contour(axes, lungs[index], YELLOW, "dashed")
        for number in range(1, len(class_names) if labels is not None else 0):
            _contour(axes, labels[index] == number, CLASS_COLOURS[number], "solid")
    axes = figure.add_subplot(grid[rows, :])
    low, high, unit = grey
    shares = [of.reshape(-1, LEVELS_PER_BAR).sum(axis=1) / max(of.sum(), 1) for of in levels]
    edges = np.linspace(low, high, len(shares[0]) + 1)
    axes.stairs(shares[0], edges, fill=True, color=YELLOW, alpha=0.7)
    handles = [matplotlib.lines.Line2D([], [], color=YELLOW, linestyle="dashed", label="lungs; below, not marked")]
    for number, name in enumerate(class_names[1:], 1):
        if levels[number].any():
            axes.stairs(shares[number], edges, color=CLASS_COLOURS[number], linewidth=1)
            handles.append(matplotlib.lines.Line2D([], [], color=CLASS_COLOURS[number], label=shorten(name)))
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{unit}: how often, each colour by itself", fontsize=SMALL)
    plain_axes(axes)
    axes.set_yticks([])
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def shorten(text: str) -> str:
    """At most 40 characters, as many as a narrow figure has room for."""
    return text if len(text) <= 40 else f"{text[:39]}\N{HORIZONTAL ELLIPSIS}"


def _contour(axes, mask, colour: str, style: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, [0.5], colors=colour, linewidths=0.7, linestyles=style)
