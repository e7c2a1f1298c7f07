"""The page of a segmented scan: every slice with its labels, and the severity figures as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unet_segnet.commands.predict_truth import Truth
from unet_segnet.data.preprocess import window_to_8bit
from unet_segnet.data.slices import findings
from unet_segnet.inference.segmentation import Segmentation
from unet_segnet.measures.comparison import Comparison
from unet_segnet.output.tabular import Table
from unet_segnet.plots import CLASS_COLOURS
from unet_segnet.web import table, viewer
from unet_segnet.web.page import render, render_page

LARGEST = 384  # height or width of a slice on the page, pixels; larger ones are drawn smaller


def display(result: Segmentation, window: tuple[float, float], index: int, step: int = 1) -> np.ndarray:
    """A slice as a radiologist looks at it: front up, the patient's right on the left; (height, width) uint8.

    Arguments:
        result: the labelled scan.
        window: (low, high) HU that become 0 and 255.
        index: of the slice.
        step: every how many pixels are kept.
    """
    image = result.slices.images[index, ::step, ::step]
    return (image if image.dtype == np.uint8 else window_to_8bit(image, tuple(window))).T


def case_page(
    name: str,
    result: Segmentation,
    notes: Sequence[str],
    window: tuple[float, float],
    truth: Truth | None,
    comparison: Comparison | None,
) -> str:
    """One self-contained HTML document.

    Arguments:
        name: of the scan.
        result: the labelled scan.
        notes: what was recognised or assumed, one line each.
        window: see `display`.
        truth: true labels, or None.
        comparison: with them, or None.
    """
    step = math.ceil(max(result.labels.shape[1:]) / LARGEST)
    layers, class_names = {"network": result.labels}, findings(result.class_names)
    if truth is not None:
        labels, class_names = truth.shown(class_names)
        # Where the truth tells less apart, what the network tells is no error.
        has_same = len(truth.pairing.names) == len(result.class_names)
        layers = {viewer.TRUTH if has_same else "true infection": labels, **layers}
    slices = viewer.slice_viewer(
        "slices",
        np.stack([display(result, window, index, step) for index in range(len(result.labels))]),
        result.slices.names,
        {name: labels.transpose(0, 2, 1) for name, labels in layers.items()},
        class_names,
        CLASS_COLOURS[: len(class_names)],
        step,
    )
    tables = [table.table_html(severity_table(result), "severity")]
    if comparison is not None:
        tables.append(table.table_html(agreement_table(comparison), "agreement"))
    body = render(
        "predict_page.html",
        "unet_segnet.commands",
        num_slices=len(result.labels),
        step=step,
        slices=slices,
        tables=tables,
        notes=(*notes, *result.severity.notes),
    )
    return render_page(name, body, scripts=(table.SCRIPT, viewer.SCRIPT), styles=(viewer.STYLE,))


def severity_table(result: Segmentation) -> Table:
    """Lesions per class and region."""
    rows = tuple(
        (
            found.group,
            found.region,
            found.num_lesions,
            found.voxels,
            _or_none(found.volume_ml),
            _or_none(100 * found.share),
            _or_none(found.largest_ml),
        )
        for found in result.severity.involvements
    )
    return Table(
        "Lesions.",
        ("class", "region", "lesions", "voxels", "ml", "% of region", "largest, ml"),
        rows,
        () if result.slices.spacing else ("The spacing of the voxels is unknown: no volumes in millilitres.",),
    )


def agreement_table(comparison: Comparison) -> Table:
    """Agreement with the truth, of the whole scan."""
    scan = comparison.scan
    rows = tuple(
        (
            group,
            *(_or_none(getattr(scan, key)[index]) for key in ("dice", "sensitivity", "specificity")),
            int(scan.true_voxels[index]),
            int(scan.predicted_voxels[index]),
            *(_or_none(getattr(scan, key)[index]) for key in ("mean_surface_distance", "hausdorff95")),
        )
        for index, group in enumerate(comparison.groups)
    )
    unit = "voxels" if comparison.spacing is None else "mm"
    columns = ("class", "Dice", "sensitivity", "specificity", "true voxels", "predicted voxels")
    return Table(
        "Agreement with the true labels.",
        (*columns, f"mean surface distance, {unit}", f"95 % Hausdorff, {unit}"),
        rows,
        ("Empty: not defined, because the class is absent from one of the two.",),
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
