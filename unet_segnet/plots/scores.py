"""Figures of scores: by slice, by configuration, by class."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np

from unet_segnet.plots.style import (
    BLUE,
    DOUBLE_COLUMN,
    GREY,
    NORMAL,
    ORANGE,
    SINGLE_COLUMN,
    SMALL,
    VERMILION,
    new_figure,
    plain_axes,
)

MARKERS = ("o", "s", "^", "D", "v", "P")
SERIES_COLOURS = (BLUE, VERMILION, ORANGE, "#009E73", "#CC79A7", "#56B4E9")


def dice_by_slice(dices: Mapping[str, np.ndarray], names: Sequence[str]):
    """Dice of each test slice, slices ordered by the first series.

    Arguments:
        dices: label of a network -> (num_slices,) Dice, NaN where it is undefined.
        names: of the slices.
    """
    first = next(iter(dices.values()))
    order = np.argsort(np.nan_to_num(first, nan=-1), kind="stable")
    figure = new_figure(DOUBLE_COLUMN, 2.4)
    axes = figure.subplots()
    for (label, values), marker, colour in zip(dices.items(), cycle(MARKERS), cycle(SERIES_COLOURS)):
        axes.plot(values[order], marker, markersize=3.5, color=colour, label=label, alpha=0.85)
        axes.axhline(np.nanmean(values), color=colour, linewidth=0.6, linestyle="dotted")
    axes.set_xticks(range(len(names)), [names[index] for index in order], rotation=60)
    axes.set_ylim(0, 1)
    axes.set_xlabel("test slice", fontsize=NORMAL)
    axes.set_ylabel("Dice", fontsize=NORMAL)
    axes.legend(fontsize=SMALL, frameon=False, ncols=min(len(dices), 2), loc="lower center", bbox_to_anchor=(0.5, 1))
    plain_axes(axes)
    return figure


def confusion_matrices(matrices: Mapping[str, np.ndarray], class_names: Sequence[str]):
    """Confusion matrices as shares of the true class, the pixels below each share.

    Arguments:
        matrices: label -> (K, K) pixels, rows the truth.
        class_names: K names.
    """
    count, num_classes = len(matrices), len(class_names)
    columns = 2 if count == 4 else min(count, 3)
    side = DOUBLE_COLUMN / 3
    rows = -(-count // columns)
    figure = new_figure(max(columns * side, SINGLE_COLUMN), rows * (side + 0.25))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes, (label, matrix) in zip(grid.flat, matrices.items(), strict=False):
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
        for row in range(num_classes):
            for column in range(num_classes):
                colour = "black" if shares[row, column] > 0.6 else "white"
                text = f"{shares[row, column]:.3f}\n{_short(matrix[row, column])}"
                axes.text(column, row, text, ha="center", va="center", fontsize=SMALL - 0.5, color=colour)
        axes.set_xticks(range(num_classes), class_names, fontsize=SMALL)
        axes.set_yticks(range(num_classes), class_names, fontsize=SMALL, rotation=90, va="center")
        axes.set_xlabel("predicted", fontsize=SMALL)
        axes.set_ylabel("true", fontsize=SMALL)
        axes.tick_params(length=0)
        axes.set_title(label.replace(" (", "\n("), fontsize=SMALL)  # in one line it may be wider than its matrix
    return figure


def configuration_map(accuracies: Mapping[str, Mapping[str, Mapping[tuple[float, int], float]]]):
    """Mean global accuracy over learning rate and mini-batch, a panel each; what did not run stays white.

    Arguments:
        accuracies: network -> source -> {(initial learning rate, mini-batch): mean global accuracy}; a row of panels
            per network, a column per source, the same sources for each network.
    """
    every = [value for sources in accuracies.values() for panel in sources.values() for value in panel.values()]
    low, high = (min(every), max(every)) if every else (0.0, 1.0)
    num_sources = max(map(len, accuracies.values()))
    width = max(DOUBLE_COLUMN * min(1.0, 0.33 * num_sources), SINGLE_COLUMN)
    figure = new_figure(width, len(accuracies) * 1.7)
    grid = figure.subplots(len(accuracies), num_sources, squeeze=False)
    for row, (network, sources) in enumerate(accuracies.items()):
        settings = {key for panel in sources.values() for key in panel}
        rates, batches = (sorted({key[part] for key in settings}) for part in (0, 1))
        for axes, (source, panel) in zip(grid[row], sources.items(), strict=True):
            values = np.array([[panel.get((rate, batch), np.nan) for batch in batches] for rate in rates])
            shown = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect="auto")
            for place, value in np.ndenumerate(values):
                text = "-" if np.isnan(value) else f"{value:.3f}"
                colour = GREY if np.isnan(value) else "black" if value > (low + high) / 2 else "white"
                axes.text(*place[::-1], text, ha="center", va="center", fontsize=SMALL, color=colour)
            axes.set_xticks(range(len(batches)), batches, fontsize=SMALL)
            axes.set_yticks(range(len(rates)), [f"{rate:.0e}".replace("e-0", "e-") for rate in rates], fontsize=SMALL)
            axes.set_title(f"{network}, {source}", fontsize=SMALL)
            axes.tick_params(length=0)
        grid[row, 0].set_ylabel("initial learning rate", fontsize=SMALL)
    for axes in grid[-1]:
        axes.set_xlabel("mini-batch", fontsize=SMALL)
    bar = figure.colorbar(shown, ax=grid, fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.set_label("mean global accuracy", fontsize=SMALL)
    return figure


def mean_and_sigma(series: Mapping[str, Sequence[tuple[str, float, float]]], background: float | None = None):
    """The small plot that the article has beside Tables 3 and 5: mean and standard deviation of each configuration.

    Arguments:
        series: label -> (configuration, mean, standard deviation) of those that there are.
        background: the mean of calling every pixel healthy, drawn as a line; None for none.
    """
    names = list(dict.fromkeys(name for rows in series.values() for name, _, _ in rows))
    figure = new_figure(DOUBLE_COLUMN, 2.3)
    axes = figure.subplots()
    width = 0.5 / max(len(series), 1)
    for number, (label, rows) in enumerate(series.items()):
        at = [names.index(name) + (number - (len(series) - 1) / 2) * width for name, _, _ in rows]
        axes.errorbar(
            at,
            [mean for _, mean, _ in rows],
            [sigma for _, _, sigma in rows],
            fmt=MARKERS[number],
            markersize=3,
            color=SERIES_COLOURS[number],
            elinewidth=0.8,
            capsize=1.5,
            label=label,
        )
    if background is not None:
        axes.axhline(background, color=GREY, linewidth=0.8, linestyle="dashed", zorder=1, label="all background")
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set_ylabel("global accuracy", fontsize=NORMAL)
    # Above the axes: wherever inside it stood, some configuration's bar could reach it.
    axes.legend(fontsize=SMALL, frameon=False, ncols=len(series) + 1, loc="lower center", bbox_to_anchor=(0.5, 1))
    plain_axes(axes)
    return figure


def _short(pixels: int) -> str:
    return f"{pixels / 1000:.1f}k" if pixels >= 1000 else str(int(pixels))
