"""What all figures share: colours that the colour-blind can tell apart, sizes, how they are written."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.colors
import matplotlib.figure
import matplotlib.patches
import numpy as np
from matplotlib.text import Text

from unet_segnet.output.files import whole_file

# Okabe and Ito's palette; class 0 stays the grey slice itself.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
YELLOW = "#F0E442"  # of the same palette, for what is no class
CLASS_COLOURS = (None, ORANGE, BLUE, GREEN, PURPLE, SKY, VERMILION)
GREY = "#666666"
MOVING_AVERAGE = 18  # iterations, an epoch at batch 4
MM = 1 / 25.4
SINGLE_COLUMN, DOUBLE_COLUMN = 85 * MM, 170 * MM  # widths of a journal's columns, inches
SMALL, NORMAL = 6.5, 7.5  # points, at the printed size


def new_figure(width: float, height: float) -> matplotlib.figure.Figure:
    """An empty figure, inches, whose parts make room for each other."""
    return matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: matplotlib.figure.Figure, path: Path, dpi: int = 200, colours: int | None = None) -> None:
    """Write a figure (format by the file's ending), whole or not at all; the same figure gives the same bytes.

    A PNG file with at most so many `colours` takes less than half the room, of 256 at most; None keeps all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower(), {})
    with whole_file(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "unet_segnet", "pdf.fonttype": 42}):
        _take_as_written(figure)
        figure.savefig(temporary, dpi=dpi, metadata=undated)
        if colours:
            from PIL import Image

            with Image.open(temporary) as image:
                image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(temporary, "PNG", dpi=(dpi, dpi))


def _take_as_written(figure) -> None:
    """Dollars in names of files and classes are no mathematics; in the ticks of logarithmic axes they are."""
    ticks = {text for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in axis.findobj(Text)}
    for text in figure.findobj(Text):
        if text not in ticks:
            text.set_parse_math(False)


def class_overlay(classes: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """(height, width, 4) colours of (height, width) class indices, class 0 transparent."""
    table = np.zeros((256, 4))
    for index, colour in enumerate(CLASS_COLOURS):
        if colour:
            table[index] = matplotlib.colors.to_rgba(colour, opacity)
    return table[classes]


def moving_average(values: np.ndarray, window: int) -> tuple[np.ndarray, int]:
    """Means of `window` neighbouring values, or of all where there are fewer; and how many they are."""
    window = min(window, len(values))
    return np.convolve(values, np.full(window, 1 / window), mode="valid"), window


def plain_axes(axes, *, image: bool = False) -> None:
    """Small ticks and faint grid; without ticks for images."""
    if image:
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return
    axes.tick_params(labelsize=SMALL, length=2, width=0.5)
    axes.grid(alpha=0.3, linewidth=0.4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def class_legend(figure, class_names: Sequence[str]) -> None:
    """Below a figure, the colours of all classes but the background."""
    patches = [
        matplotlib.patches.Patch(color=colour, label=name)
        for colour, name in zip(CLASS_COLOURS, class_names, strict=False)
        if colour
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), fontsize=SMALL, frameon=False)
