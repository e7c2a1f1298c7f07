"""The overview of one segmented scan: its most affected slices."""

from collections.abc import Sequence

import matplotlib.lines
import numpy as np

from unet_segnet.plots.slices import show_slice
from unet_segnet.plots.style import CLASS_COLOURS, DOUBLE_COLUMN, NORMAL, SMALL, new_figure


def case_overview(
    images,
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
        images: (num_slices, height, width) uint8 grey levels.
        labels: likewise, class index.
        truth: likewise, or None.
        names: of the slices.
        class_names: background first.
        title: of the figure.
        num_slices: how many slices at most.
        columns: of them in a row.
    """
    affected = (labels > 0).sum(axis=(1, 2)) + (0 if truth is None else (truth > 0).sum(axis=(1, 2)))
    chosen = np.argsort(-affected, kind="stable")[:num_slices]
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    ratio = images.shape[1] / images.shape[2]
    figure = new_figure(DOUBLE_COLUMN, DOUBLE_COLUMN / columns * rows * ratio + 0.6)
    figure.suptitle(f"{title}: the {len(chosen)} most affected of {len(images)} slices", fontsize=NORMAL)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, chosen, strict=False):
        show_slice(axes, images[index])
        axes.set_title(f"slice {names[index]}", fontsize=SMALL, pad=2)
        for classes, style in ((labels[index], "solid"), (None if truth is None else truth[index], "dashed")):
            for number in range(1, len(class_names)):
                mask = None if classes is None else classes == number
                if mask is not None and mask.any() and not mask.all():
                    axes.contour(mask, [0.5], colors=CLASS_COLOURS[number], linewidths=0.7, linestyles=style)
    handles = [
        matplotlib.lines.Line2D([], [], color=colour, label=name)
        for colour, name in zip(CLASS_COLOURS, class_names, strict=False)
        if colour
    ]
    if truth is not None:
        handles.append(matplotlib.lines.Line2D([], [], color="black", linestyle="dashed", label="truth"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=SMALL, frameon=False)
    return figure
