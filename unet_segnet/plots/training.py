"""Figure 4: training accuracy and loss, ours over the authors'."""

from collections.abc import Mapping, Sequence

import numpy as np

from unet_segnet.plots.style import (
    BLUE,
    DOUBLE_COLUMN,
    MOVING_AVERAGE,
    NORMAL,
    SMALL,
    moving_average,
    new_figure,
    plain_axes,
)

Curves = Mapping[str, np.ndarray]


def training_comparison(runs: Sequence[tuple[str, Curves | None, Curves | None]], window: int = MOVING_AVERAGE):
    """Accuracy and loss over the iterations of several trainings, a column each; moving average over raw values.

    Ours is the thin line over the authors' wide one.

    Arguments:
        runs: (title, ours, the authors'); curves hold "accuracy" and "loss", one value per iteration, or are None.
        window: iterations of the moving average.
    """
    figure = new_figure(DOUBLE_COLUMN, 3.3)
    grid = figure.subplots(2, len(runs), squeeze=False, sharex="col")
    for column, (title, ours, authors) in enumerate(runs):
        for axes, key in zip(grid[:, column], ("accuracy", "loss"), strict=True):
            for curves, colour, width, opacity, label in (
                (authors, "black", 1.8, 0.4, "the authors'"),
                (ours, BLUE, 0.7, 1.0, "ours"),
            ):
                if curves is None:
                    continue
                values = np.asarray(curves[key])
                smooth, length = moving_average(values, window)
                at = np.arange(1, len(values) + 1)
                axes.plot(at, values, color=colour, alpha=0.12, linewidth=0.3, rasterized=True)
                axes.plot(at[length - 1 :], smooth, color=colour, alpha=opacity, linewidth=width, label=label)
            plain_axes(axes)
            axes.set_ylim(*((_bottom(ours, authors), 1.0) if key == "accuracy" else (0, _top(ours, authors))))
            if column == 0:
                axes.set_ylabel(f"training {key}", fontsize=NORMAL)
        grid[0, column].set_title(title, fontsize=NORMAL)
        grid[1, column].set_xlabel("iteration", fontsize=NORMAL)
        if ours is not None or authors is not None:
            grid[1, column].legend(fontsize=SMALL, frameon=False, loc="upper right")
    return figure


def _bottom(*curves: Curves | None) -> float:
    """The tenth below all but the lowest accuracies."""
    accuracies = np.concatenate([np.asarray(found["accuracy"]) for found in curves if found is not None] or [[0.5]])
    return min(float(np.floor(np.quantile(accuracies, 0.005) * 10) / 10), 0.9)


def _top(*curves: Curves | None) -> float:
    """A little above all but the first, wildest losses."""
    losses = np.concatenate([np.asarray(found["loss"]) for found in curves if found is not None] or [np.ones(1)])
    return float(np.quantile(losses, 0.995) * 1.15)
