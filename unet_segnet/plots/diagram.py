"""Figure 3: a network drawn from its Keras model, whatever its layers are called."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.lines
import matplotlib.patches
import numpy as np

from unet_segnet.plots.style import BLUE, DOUBLE_COLUMN, GREEN, GREY, ORANGE, PURPLE, SKY, SMALL, VERMILION, new_figure

# Kind of a layer -> colour; a layer's kind follows from its class.
KINDS = {
    "input": "#DDDDDD",
    "input mean subtracted": "#BBBBBB",
    "convolution": BLUE,
    "up-convolution": SKY,
    "batch normalisation": "#F0E442",
    "ReLU": GREEN,
    "max pooling": VERMILION,
    "max unpooling": ORANGE,
    "dropout": PURPLE,
    "concatenation": GREY,
    "softmax": "black",
    "other": "#888888",
}
_CLASSES = {
    "InputLayer": "input",
    "Rescaling": "input mean subtracted",
    "Conv2D": "convolution",
    "Conv2DTranspose": "up-convolution",
    "BatchNormalization": "batch normalisation",
    "ReLU": "ReLU",
    "MaxPooling2D": "max pooling",
    "MaxUnpooling2D": "max unpooling",
    "Dropout": "dropout",
    "Concatenate": "concatenation",
    "Softmax": "softmax",
}
LINKS = {"dashed": "pooling indices", "solid": "skip connection"}
GAP = 1.2  # between stages of different resolution, in units of a bar
MIN_SKIP = 4  # layers between the ends of a link that is drawn as an arc


@dataclass(frozen=True)
class Box:
    """A layer's output.

    Attributes:
        name, kind: of the layer.
        height, channels: of its output.
        sources: names of the layers that feed it.
        at: position from left to right, in bars.
    """

    name: str
    kind: str
    height: int
    channels: int
    sources: tuple[str, ...]
    at: float


def boxes(model) -> list[Box]:
    """The layers of a functional model with image-like outputs, in order; a gap where the resolution changes."""
    found: list[Box] = []
    at = 0.0
    for layer in model.layers:
        output = layer.output[0] if isinstance(layer.output, (list, tuple)) else layer.output
        if len(output.shape) != 4:
            continue
        sources = tuple(
            dict.fromkeys(
                tensor._keras_history.operation.name
                for node in layer._inbound_nodes
                for tensor in node.input_tensors
                if hasattr(tensor, "_keras_history")
            )
        )
        height, channels = output.shape[1], output.shape[3]
        if found:
            at += 1.0 + (GAP if found[-1].height != height else 0.0)
        found.append(Box(layer.name, _CLASSES.get(type(layer).__name__, "other"), height, channels, sources, at))
    return found


def links(found: list[Box]) -> list[tuple[Box, Box]]:
    """Pairs of layers that are connected over others: skip connections and the indices of poolings."""
    by_name = {box.name: (number, box) for number, box in enumerate(found)}
    pairs = []
    for number, box in enumerate(found):
        for position, source in (by_name[source] for source in box.sources if source in by_name):
            hands_on_indices = (source.kind, box.kind) == ("max pooling", "max unpooling")  # the innermost are adjacent
            if hands_on_indices or number - position >= MIN_SKIP:
                pairs.append((source, box))
    return pairs


def draw_network(model):
    """The model from left to right: a bar per layer, as high as its resolution, links over other layers as arcs.

    Arguments:
        model: a functional `keras.Model` of images.
    """
    found = boxes(model)
    tallest = max(box.height for box in found)
    figure = new_figure(DOUBLE_COLUMN, 2.8)
    axes = figure.subplots()
    widths = 0.25 + 0.65 * np.sqrt([box.channels for box in found]) / np.sqrt(max(box.channels for box in found))
    tops = {}
    for box, width in zip(found, widths, strict=True):
        # Halving a resolution takes off as much as halving it again, or the smallest could not be seen.
        height = 0.25 + 0.75 * np.log2(1 + 31 * box.height / tallest) / 5
        tops[box.name] = height / 2
        axes.add_patch(
            matplotlib.patches.Rectangle(
                (box.at - width / 2, -height / 2), width, height, facecolor=KINDS[box.kind], linewidth=0
            )
        )
    for source, target in links(found):
        rise = max(tops[box.name] for box in found if source.at <= box.at <= target.at)
        start, end = (source.at, tops[source.name]), (target.at, tops[target.name])
        peak = rise + 0.03 + 0.28 * (target.at - source.at) / found[-1].at
        axes.plot(
            [start[0], start[0], end[0], end[0]],
            [start[1], peak, peak, end[1]],
            color="black",
            linewidth=0.6,
            linestyle=_link_style(target),
        )
    _write_sizes(axes, found, tops)
    axes.set_xlim(-1.5, found[-1].at + 1.5)
    axes.set_ylim(-0.72, 0.95)
    axes.set_axis_off()
    kinds = dict.fromkeys(box.kind for box in found)
    handles = [matplotlib.patches.Patch(color=KINDS[kind], label=kind) for kind in KINDS if kind in kinds]
    styles = dict.fromkeys(_link_style(target) for _, target in links(found))
    handles += [
        matplotlib.lines.Line2D([], [], color="black", linewidth=0.6, linestyle=style, label=LINKS[style])
        for style in styles
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=SMALL, frameon=False)
    return figure


def _link_style(target: Box) -> str:
    return "dashed" if target.kind == "max unpooling" else "solid"


def _write_sizes(axes, found: list[Box], tops: dict[str, float]) -> None:
    """Resolution below each stage, and the number of filters where it changes."""
    start = 0
    for number, box in enumerate(found):
        if number + 1 < len(found) and found[number + 1].height == box.height:
            continue
        stage = found[start : number + 1]
        middle = 0.5 * (stage[0].at + stage[-1].at)
        low = -max(tops[member.name] for member in stage)
        axes.text(middle, low - 0.03, f"{box.height}²", ha="center", va="top", fontsize=SMALL)
        filters = list(dict.fromkeys(member.channels for member in stage if member.kind.endswith("convolution")))
        if filters:
            text = ", ".join(map(str, filters))
            axes.text(middle, low - 0.12, text, ha="center", va="top", fontsize=SMALL, color=GREY)
        start = number + 1
