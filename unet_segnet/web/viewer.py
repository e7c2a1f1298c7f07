"""Slices with what networks make of them, to leaf through in the browser.

Everything the browser shows is drawn here, as small PNG pictures: each layer filled, outlined, and as its errors
against the truth. The script only chooses among them, which works in every browser, whatever it does to canvases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from unet_segnet.measures import metrics
from unet_segnet.web.page import asset, checked_identifier, render
from unet_segnet.web.png import png_base64

SCRIPT = asset("viewer.js")
STYLE = asset("viewer.css")
TRUTH = "truth"
# Okabe and Ito's colours that no class of up to four has (`unet_segnet.plots`); with more, the legend tells which is
# which.
ERRORS = (None, "#56B4E9", "#D55E00", "#CC79A7")
ERROR_NAMES = (None, "missed (false negative)", "false alarm (false positive)", "lesion of another class")
# From about 30 slices of 512 x 512 on, the lowest bit of the grey levels goes: mostly noise, a fifth of the file.
LARGE = 8_000_000


def slice_viewer(
    identifier: str,
    images: np.ndarray,
    names: Sequence[str],
    layers: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    class_colours: Sequence[str | None],
    step: int = 1,
) -> Markup:
    """HTML of a slice viewer, for a page with `SCRIPT` and `STYLE`.

    Slices change by slider, arrow keys and mouse wheel; overlay, the way it is drawn, opacity and zoom by labelled
    controls. Each layer's Dice against the layer "truth", where there is one, stands beside the slice's name.

    Arguments:
        identifier: of the element; one per viewer.
        images: (num_slices, H, W) uint8 grey levels.
        names: of the slices.
        layers: name -> (num_slices, H, W) uint8 class index, in the order of the menu; may be empty. With a step they
            are larger: ceil(height / step) is H.
        class_names: of the classes, background first.
        class_colours: "#rrggbb" of each class, None for one that is not drawn, as the background is not.
        step: so many pixels of the layers, each way, are drawn as one, in the highest class among them: no small
            lesion vanishes. Scores are of all pixels.

    Raises:
        ValueError: no slice; arrays, names, class names and colours that do not fit each other; an identifier that
            is not safe.
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise ValueError(f"images must be (num_slices, H, W) uint8. Received: {images.dtype} of {images.shape}")
    if len(names) != len(images):
        raise ValueError(f"{len(images)} slices need as many names. Received: {len(names)}")
    if len(class_names) != len(class_colours):
        raise ValueError(f"{len(class_names)} classes need as many colours. Received: {len(class_colours)}")
    for name, layer in layers.items():
        if layer[:, ::step, ::step].shape != images.shape or layer.dtype != np.uint8 or layer.max() >= len(class_names):
            raise ValueError(f"layer {name!r} must be uint8 classes of {len(class_names)}, shape {images.shape}")
    drawn = {name: _drawn(layer, step) for name, layer in layers.items()}
    data = {
        "width": images.shape[2],
        "height": images.shape[1],
        "names": [str(name) for name in names],
        "slices": [png_base64(image) for image in (images & 0xFE if images.size > LARGE else images)],
        "layers": [_layer(name, layers, drawn, class_names, class_colours) for name in layers],
    }
    has_errors = TRUTH in layers and len(layers) > 1
    error_names = ERROR_NAMES if len(class_names) > 2 else ERROR_NAMES[:3]
    return render(
        "viewer.html",
        identifier=checked_identifier(identifier),
        layers=list(layers),
        class_names=class_names,
        class_colours=class_colours,
        error_names=error_names if has_errors else (),
        error_colours=ERRORS,
        data=data,
    )


def outlines(classes: np.ndarray) -> np.ndarray:
    """The pixels of each area that touch another class above, below, left or right; the others 0.

    Takes and returns (..., H, W) uint8 class index. The picture's edge is no border.
    """
    edge = np.zeros(classes.shape, bool)
    for axis in (-2, -1):
        step = np.diff(classes.astype(np.int16), axis=axis) != 0
        ahead, behind = [(0, 0)] * classes.ndim, [(0, 0)] * classes.ndim
        ahead[axis], behind[axis] = (0, 1), (1, 0)
        edge |= np.pad(step, ahead) | np.pad(step, behind)
    return np.where(edge, classes, 0).astype(np.uint8)


def errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """0 where both agree, 1 missed lesion, 2 false alarm, 3 lesion taken for one of another class.

    Takes class index arrays of one shape, returns uint8.
    """
    kinds = np.select([truth == prediction, prediction == 0, truth == 0], [0, 1, 2], default=3)
    return kinds.astype(np.uint8)


def _layer(name, layers, drawn, class_names, class_colours) -> dict:
    data = {
        "fill": [png_base64(classes, class_colours) for classes in drawn[name]],
        "outline": [png_base64(outlines(classes), class_colours) for classes in drawn[name]],
    }
    if TRUTH in layers and name != TRUTH:
        data["errors"] = [png_base64(kinds, ERRORS) for kinds in errors(drawn[TRUTH], drawn[name])]
        data["dice"] = _dice_texts(layers[TRUTH], layers[name], class_names)
    return data


def _drawn(layer: np.ndarray, step: int) -> np.ndarray:
    """(num_slices, H, W): the highest class of each block of pixels; those at the edges may be smaller."""
    highest = layer[:, ::step, ::step].copy()
    for row, column in np.ndindex(step, step):
        part = layer[:, row::step, column::step]
        of_these = highest[:, : part.shape[1], : part.shape[2]]
        np.maximum(of_these, part, out=of_these)
    return highest


def _dice_texts(truth: np.ndarray, layer: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """A line per slice: Dice of all lesions together, then of each class that occurs in either."""
    num_classes = len(class_names)
    counts = metrics.confusion_matrices(truth, layer, num_classes)
    together, of_classes = metrics.dice(metrics.lesions_together(counts)), metrics.dice(counts)
    texts = []
    for all_lesions, dices in zip(together[:, 1], of_classes, strict=True):
        if math.isnan(all_lesions):
            texts.append("no lesion in either")
        elif num_classes == 2:
            texts.append(f"Dice {all_lesions:.3f}")
        else:
            parts = [
                f"{name} {dice:.3f}"
                for name, dice in zip(class_names[1:], dices[1:], strict=True)
                if not math.isnan(dice)
            ]
            texts.append(f"Dice {all_lesions:.3f} (all lesions), {', '.join(parts)}")
    return texts
