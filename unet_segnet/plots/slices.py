"""Figures of slices: what the data looks like, and where networks go wrong."""

from collections.abc import Sequence

import matplotlib.colors
import matplotlib.lines
import matplotlib.patches
import numpy as np

from unet_segnet.measures import metrics
from unet_segnet.plots.style import (
    DOUBLE_COLUMN,
    NORMAL,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    class_legend,
    class_overlay,
    new_figure,
    plain_axes,
)


def slice_and_labels(images, labels, names: Sequence[str], class_names: Sequence[str]):
    """Figure 1: slices and their labels, a column each.

    Arguments:
        images: (num_slices, height, width) uint8 grey levels of lung-masked slices.
        labels: likewise, class index.
        names: of the slices.
        class_names: background first.
    """
    figure = new_figure(DOUBLE_COLUMN, DOUBLE_COLUMN * 2 / len(images) + 0.45)
    grid = figure.subplots(2, len(images), squeeze=False)
    for column, (image, label, name) in enumerate(zip(images, labels, names, strict=True)):
        for row in (0, 1):
            show_slice(grid[row, column], image)
        grid[1, column].imshow(class_overlay(label, 0.75), interpolation="nearest")
        grid[0, column].set_title(f"slice {name}", fontsize=NORMAL)
    for row, text in enumerate(("slice, lungs alone", "labels")):
        grid[row, 0].set_ylabel(text, fontsize=NORMAL)
    class_legend(figure, class_names)
    return figure


def accumulated_labels(labels, class_names: Sequence[str]):
    """Figure 2: on how many slices each pixel is a lesion, of all classes together and of each.

    Arguments:
        labels: (num_slices, height, width) class index.
        class_names: background first.
    """
    maps = {"all lesions": (labels > 0).sum(axis=0)}
    if len(class_names) > 2:
        maps |= {name: (labels == index).sum(axis=0) for index, name in enumerate(class_names) if index}
    figure = new_figure(DOUBLE_COLUMN, DOUBLE_COLUMN / len(maps) + 0.25)
    for axes, (name, counts) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        shown = axes.imshow(counts, cmap="inferno", interpolation="nearest", vmin=0)
        bar = figure.colorbar(shown, ax=axes, orientation="horizontal", pad=0.02, fraction=0.06, aspect=16)
        bar.ax.tick_params(labelsize=SMALL, length=2)
        bar.set_label("slices", fontsize=SMALL)
        axes.set_title(name, fontsize=NORMAL)
        plain_axes(axes, image=True)
    return figure


def contours(images, labels, predictions, names: Sequence[str], columns: int = 6):
    """True and predicted contours of the lesions, all classes together, and the pixels on which they disagree.

    Missed pixels are filled, false alarms striped, so that they differ without their colours too; pixels of one
    lesion class taken for another are purple.

    Arguments:
        images, labels, predictions: (num_slices, height, width); grey levels, class indices.
        names: of the slices.
        columns: slices in a row.
    """
    rows = -(-len(images) // columns)
    figure = new_figure(DOUBLE_COLUMN, DOUBLE_COLUMN / columns * rows * 1.1 + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False)
    truth, found = np.asarray(labels) > 0, np.asarray(predictions) > 0
    dices = metrics.dice(metrics.confusion_matrices(truth.view(np.uint8), found.view(np.uint8), 2))[:, 1]
    for axes in grid.flat:
        axes.set_axis_off()
    panels = zip(grid.flat, images, labels, predictions, names, dices, strict=False)
    for axes, image, label, prediction, name, dice in panels:
        top, left, bottom, right = _lung_box(image)
        window = np.s_[top:bottom, left:right]
        show_slice(axes, image[window])
        axes.imshow(_errors(label, prediction)[window], interpolation="nearest")
        for mask, colour, style in ((label > 0, "white", "solid"), (prediction > 0, "yellow", "dashed")):
            if mask[window].any() and not mask[window].all():
                axes.contour(mask[window], [0.5], colors=colour, linewidths=0.5, linestyles=style)
        axes.set_title(f"{name}: " + ("no lesion" if np.isnan(dice) else f"Dice {dice:.2f}"), fontsize=SMALL, pad=2)
    handles = [
        matplotlib.lines.Line2D([], [], color="white", linewidth=1, label="true contour"),
        matplotlib.lines.Line2D([], [], color="yellow", linewidth=1, linestyle="dashed", label="predicted contour"),
        matplotlib.patches.Patch(facecolor=SKY, label="missed"),
        matplotlib.patches.Patch(facecolor=VERMILION, edgecolor="black", hatch="/////", label="false alarm"),
    ]
    if max(np.max(labels), np.max(predictions)) > 1:
        handles.append(matplotlib.patches.Patch(facecolor=PURPLE, label="wrong class"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        fontsize=SMALL,
        facecolor="black",
        labelcolor="white",
        framealpha=1,
    )
    return figure


def _errors(label, prediction) -> np.ndarray:
    """(height, width, 4): missed, false alarm and wrong class in their colours, the rest transparent."""
    stripes = np.add.outer(np.arange(label.shape[0]), np.arange(label.shape[1])) % 6 < 3
    missed, alarm = (label > 0) & (prediction == 0), (label == 0) & (prediction > 0)
    errors = np.zeros((*label.shape, 4))
    errors[missed] = matplotlib.colors.to_rgba(SKY, 0.85)
    errors[alarm & stripes] = matplotlib.colors.to_rgba(VERMILION, 0.95)
    errors[alarm & ~stripes] = matplotlib.colors.to_rgba(VERMILION, 0.45)
    errors[(label != prediction) & ~missed & ~alarm] = matplotlib.colors.to_rgba(PURPLE, 0.85)
    return errors


def show_slice(axes, image) -> None:
    """A grey slice without ticks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    plain_axes(axes, image=True)


def _lung_box(image, margin: int = 4) -> tuple[int, int, int, int]:
    """The smallest square around what is not black, top, left, bottom, right."""
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if not len(rows):
        return 0, 0, *image.shape
    side = min(max(np.ptp(rows), np.ptp(columns)) + 2 * margin, *image.shape)
    corners = []
    for found, length in ((rows, image.shape[0]), (columns, image.shape[1])):
        middle = (found[0] + found[-1]) // 2
        corners.append(int(np.clip(middle - side // 2, 0, length - side)))
    return corners[0], corners[1], corners[0] + int(side), corners[1] + int(side)
