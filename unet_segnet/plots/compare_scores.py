"""Figures of the second study's scores: Dice against parameters, box plots."""

from collections.abc import Mapping, Sequence

import matplotlib.colors
import matplotlib.lines
import matplotlib.patches
import numpy as np

from unet_segnet.plots.style import (
    BLUE,
    DOUBLE_COLUMN,
    GREEN,
    GREY,
    NORMAL,
    ORANGE,
    SMALL,
    VERMILION,
    new_figure,
    plain_axes,
)

# In the order of Table II; shapes as well as colours tell the architectures apart.
ARCHITECTURE_STYLES = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "^"), (ORANGE, "D"))
FEW = 5  # values, from which on a box is drawn
Points = tuple[np.ndarray, np.ndarray]


def dice_against_parameters(
    panels: Mapping[str, tuple[Sequence[Points], Sequence[Points]]], names: Sequence[str], x_label: str
):
    """Figure 4: Dice over the number of parameters, with the density of all published points.

    The density is a Gaussian kernel estimate with Scott's bandwidth, as in the article.

    Arguments:
        panels: title -> (published, ours), each with the (parameters, Dice) points of every architecture, in the
            order of `names`; points that are NaN are left out.
        names: of the architectures.
        x_label: what is counted.
    """
    figure = new_figure(DOUBLE_COLUMN, 4.6)
    for axes, (title, (published, ours)) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        everything = np.concatenate([np.stack(_defined(points)) for points in published], axis=1)
        _density(axes, everything)
        for (colour, marker), points, own in zip(ARCHITECTURE_STYLES, published, ours, strict=True):
            axes.plot(*_defined(points), marker, markersize=2.2, color=colour, alpha=0.6, markeredgewidth=0)
            axes.plot(*_defined(own), marker, markersize=5, color=colour, markeredgecolor="black", markeredgewidth=0.8)
        axes.set_title(title, fontsize=NORMAL)
        axes.set_xlabel(x_label, fontsize=SMALL)
        axes.set_ylabel("Dice, %" if "-" not in title else "difference of Dice, points", fontsize=SMALL)
        plain_axes(axes)
    has_ours = any(len(_defined(own)[0]) for _, ours in panels.values() for own in ours)
    _legend(figure, names, has_ours)
    return figure


def dice_boxes(panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]):
    """Figure 6: box plots of Dice, published and ours side by side.

    Boxes reach from quartile to quartile, whiskers to the last value within 1.5 times that length. Fewer than five
    values are drawn as points alone.

    Arguments:
        panels: title -> group (architecture or initialisation) -> (published, ours), each (n,) percent.
    """
    figure = new_figure(DOUBLE_COLUMN, 4.2)
    for axes, (title, groups) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for place, values in enumerate(groups.values()):
            for side, of, colour in zip((-0.2, 0.2), values, (GREY, BLUE), strict=True):
                of = np.asarray(of)[~np.isnan(of)]
                if len(of) >= FEW:
                    box = axes.boxplot(of, positions=[place + side], widths=0.32, patch_artist=True, sym=".")
                    _colour_box(box, colour)
                elif len(of):
                    axes.plot(np.full(len(of), place + side), of, "o", markersize=3.5, color=colour)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_title(title, fontsize=NORMAL)
        axes.set_ylabel("Dice, %", fontsize=SMALL)
        plain_axes(axes)
    handles = [
        matplotlib.patches.Patch(facecolor=colour, alpha=0.5, edgecolor=colour, label=label)
        for colour, label in ((GREY, "published"), (BLUE, "ours"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _defined(points: Points) -> Points:
    x, y = (np.asarray(values, float).ravel() for values in points)
    keep = ~(np.isnan(x) | np.isnan(y))
    return x[keep], y[keep]


def _density(axes, points: np.ndarray) -> None:
    """Filled contours of the density of points (2, n)."""
    from scipy.stats import gaussian_kde

    margins = 0.08 * np.ptp(points, axis=1)
    low, high = points.min(axis=1) - margins, points.max(axis=1) + margins
    grid = np.meshgrid(*(np.linspace(a, b, 80) for a, b in zip(low, high, strict=True)))
    density = gaussian_kde(points, bw_method="scott")(np.stack([part.ravel() for part in grid])).reshape(grid[0].shape)
    axes.contourf(*grid, density, levels=np.linspace(0, density.max(), 9)[1:], cmap="Greens", alpha=0.55)
    axes.set_xlim(low[0], high[0])


def _legend(figure, names: Sequence[str], has_ours: bool) -> None:
    def handle(label, colour, marker, size, edge):
        return matplotlib.lines.Line2D(
            [], [], linestyle="", marker=marker, color=colour, markersize=size, markeredgecolor=edge, label=label
        )

    handles = [
        handle(name, colour, marker, 3.5, colour)
        for name, (colour, marker) in zip(names, ARCHITECTURE_STYLES, strict=True)
    ]
    if has_ours:
        handles.append(handle("ours (black edge)", "white", "o", 5, "black"))
    handles.append(matplotlib.patches.Patch(facecolor="#74c476", alpha=0.6, label="density of the published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)


def _colour_box(box: Mapping, colour: str) -> None:
    for kind, artists in box.items():
        for artist in artists:
            artist.set_color(colour)
            if kind == "boxes":
                artist.set_facecolor(matplotlib.colors.to_rgba(colour, 0.35))
            elif kind == "medians":
                artist.set_color("black")
            elif kind == "fliers":
                artist.set(markersize=3, markeredgecolor=colour)
