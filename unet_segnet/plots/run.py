"""What one training shows at its end: its curves, and what it makes of some test slices."""

from collections.abc import Mapping

import matplotlib.figure
import matplotlib.patches
import numpy as np

from unet_segnet.measures import metrics
from unet_segnet.plots.style import BLUE, MOVING_AVERAGE, VERMILION, class_legend, class_overlay, moving_average


def training_curves(history: Mapping[str, np.ndarray], title: str) -> matplotlib.figure.Figure:
    """Loss and, where it was watched, accuracy while a network trained, with those of the validation slices.

    Arguments:
        history: arrays by name: "loss" and perhaps "accuracy", by iteration where "validation_iteration" says at which
            ones "validation_loss" and "validation_accuracy" stand (shown raw and smoothed), else all by epoch.
        title: what was trained.
    """
    by_iteration = "validation_iteration" in history
    step = "iteration" if by_iteration else "epoch"
    keys = [key for key in ("accuracy", "loss") if key in history]
    figure = matplotlib.figure.Figure(figsize=(7.2, 1.0 + 2.0 * len(keys)), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, key in zip(figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0], keys, strict=True):
        values = np.asarray(history[key])
        steps = np.arange(1, len(values) + 1)
        if by_iteration:
            axes.plot(steps, values, color=BLUE, alpha=0.3, linewidth=0.6, label="training, each iteration")
            smooth, window = moving_average(values, MOVING_AVERAGE)
            axes.plot(steps[window - 1 :], smooth, color=BLUE, linewidth=1.4, label=f"mean of {window} iterations")
        else:
            axes.plot(steps, values, color=BLUE, linewidth=1.4, label="training")
        if len(history.get(f"validation_{key}", ())):
            axes.plot(
                history["validation_iteration"] if by_iteration else steps,
                history[f"validation_{key}"],
                color=VERMILION,
                marker="o",
                markersize=2,
                linewidth=1.0,
                label="validation",
            )
        axes.set_ylabel(key)
        axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_xlabel(step)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
    return figure


def segmentations(images, labels, predictions, names, class_names, title) -> matplotlib.figure.Figure:
    """Slices, their labels and what a network makes of them, one column a slice.

    Arguments:
        images: (num_slices, height, width) uint8 grey levels.
        labels, predictions: likewise, class indices.
        names: of the slices.
        class_names: of the classes, background first.
        title: which network.

    Returns:
        A figure; each column's heading gives the slice and the Dice of its lesions, all classes taken together.
    """
    count = len(images)
    figure = matplotlib.figure.Figure(figsize=(1.9 * max(count, 2), 6.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(3, count, squeeze=False)
    counts = metrics.confusion_matrices(labels, predictions, len(class_names))
    dices = metrics.dice(metrics.lesions_together(counts))[:, 1]
    for column, (image, label, prediction, name, dice) in enumerate(
        zip(images, labels, predictions, names, dices, strict=True)
    ):
        for row, classes in enumerate((None, label, prediction)):
            axes = grid[row, column]
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if classes is not None:
                axes.imshow(class_overlay(classes), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
        grid[0, column].set_title(
            f"slice {name}, " + ("no lesion" if np.isnan(dice) else f"Dice {dice:.2f}"), fontsize=8
        )
    for row, text in enumerate(("slice", "labels", "network")):
        grid[row, 0].set_ylabel(text, fontsize=9)
    class_legend(figure, class_names)
    return figure
