"""Figure 5 of the second study: losses over the epochs, mean and spread of each architecture."""

from collections.abc import Mapping, Sequence

import numpy as np

from unet_segnet.plots.compare_scores import ARCHITECTURE_STYLES
from unet_segnet.plots.style import DOUBLE_COLUMN, GREY, NORMAL, SMALL, new_figure, plain_axes

LINES = ("solid", "dashed", "dashdot", "dotted")


def loss_bands(rows: Mapping[str, Mapping[str, Sequence[np.ndarray]]], names: Sequence[str]):
    """Mean (line) and standard deviation (band) over the models of each architecture.

    Arguments:
        rows: title (an experiment, or a difference of two) -> kind of loss, a column each -> for every architecture
            in the order of `names` its models' losses (n, epochs), or (0, epochs) for none.
        names: of the architectures.
    """
    columns = list(next(iter(rows.values())))
    figure = new_figure(DOUBLE_COLUMN, 1.45 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    handles = {}
    for of_row, (title, kinds) in zip(grid, rows.items(), strict=True):
        for axes, kind in zip(of_row, columns, strict=True):
            for name, (colour, _), line, models in zip(names, ARCHITECTURE_STYLES, LINES, kinds[kind], strict=True):
                if not len(models):
                    continue
                mean, spread = np.mean(models, axis=0), np.std(models, axis=0)
                at = np.arange(1, len(mean) + 1)
                axes.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
                (handles[name],) = axes.plot(at, mean, color=colour, linestyle=line, linewidth=1, label=name)
            if not any(len(models) for models in kinds[kind]):
                axes.text(
                    0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=NORMAL
                )
            plain_axes(axes)
        of_row[0].set_ylabel(title, fontsize=SMALL)
    for axes, kind in zip(grid[0], columns, strict=True):
        axes.set_title(f"{kind} loss", fontsize=NORMAL)
    for axes in grid[-1]:
        axes.set_xlabel("epoch", fontsize=SMALL)
    ordered = [handles[name] for name in names if name in handles]
    if ordered:
        figure.legend(handles=ordered, loc="outside lower center", ncols=len(ordered), fontsize=SMALL, frameon=False)
    return figure
