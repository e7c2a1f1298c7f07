"""Figure 5: deep-dream images."""

from collections.abc import Sequence

import numpy as np

from unet_segnet.plots.style import DOUBLE_COLUMN, NORMAL, new_figure, plain_axes


def dreams(images: np.ndarray, class_names: Sequence[str]):
    """An image per class, side by side.

    Arguments:
        images: (num_classes, height, width) from 0 to 1.
        class_names: of them.
    """
    width = min(DOUBLE_COLUMN / 2, DOUBLE_COLUMN / len(images))
    figure = new_figure(width * len(images), width + 0.2)
    for axes, image, name in zip(figure.subplots(1, len(images), squeeze=False)[0], images, class_names, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, fontsize=NORMAL)
        plain_axes(axes, image=True)
    return figure
