"""What a segmented scan leaves behind.

OUT/NAME/labels.nii.gz         class index per voxel, with the scan's own geometry
OUT/NAME/probabilities.nii.gz  on request: of each class, along a fourth axis
OUT/NAME/severity.json, severity.csv, slices.csv     volumes, shares of the lungs, lesions; per slice
OUT/NAME/agreement.json, agreement.csv, agreement_slices.csv     where the truth is known
OUT/NAME/overview.png          the most affected slices
OUT/NAME/index.html            every slice, in one self-contained page
OUT/NAME/settings.json         what determines all this, and the SHA-256 of each file
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from unet_segnet.commands.predict_page import case_page, display
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import Segmentation
from unet_segnet.measures.comparison import Comparison, compare
from unet_segnet.output.records import INTENDED_USE
from unet_segnet.scans import lay_on, read_scan, scan_name, to_network, write_labels, write_maps

GREY_OF_CLASS = 85  # of the released four-class masks: 0, 85, 170, 255


def find_truth(truth: Path, path: Path) -> Path | None:
    """The file with a scan's true labels: `truth` itself, or the one in that folder that has the scan's name.

    Raises:
        InputError: several files could be meant.
    """
    if truth.is_file():
        return truth
    name = scan_name(path)
    found = [file for file in sorted(truth.iterdir()) if scan_name(file) == name]
    if len(found) > 1:
        raise InputError(f"{truth}: several files are called {name}; expected one per scan")
    return found[0] if found else None


def compare_with(
    truth: Path, result: Segmentation, orientation: str | None, label_values: dict[int, int] | None = None
) -> tuple[Comparison, np.ndarray]:
    """How well the labels agree with a file of true ones, and these in the networks' orientation.

    Arguments:
        truth: the file.
        result: the labelled scan.
        orientation: as of `segment`.
        label_values: value -> class index in that file, where its values are not those that `_classes` takes.

    Raises:
        InputError: they do not fit the scan, or are no labels of the network's classes.
    """
    found = lay_on(result.scan, read_scan(truth))
    values = to_network(found, orientation, like=result.slices).images
    if label_values is None:
        labels = _classes(values, len(result.class_names), truth)
    else:
        labels = _classes_by(label_values, values, truth)
    comparison = compare(
        labels,
        result.labels,
        len(result.class_names),
        result.slices.spacing,
        class_names=result.class_names,
        slice_names=result.slices.names,
        adjoining=result.scan.is_volume,
    )
    return comparison, labels


def has_own_values(label_values: dict[int, int] | None, num_classes: int) -> bool:
    """Whether label files that a network learnt from mean something else than what `_classes` takes values for."""
    return any(
        (value > 0) != (index > 0) if num_classes == 2 else value not in (index, GREY_OF_CLASS * index)
        for value, index in (label_values or {}).items()
    )


def _classes_by(label_values: dict[int, int], values: np.ndarray, path: Path) -> np.ndarray:
    """Class index from the values of label files that the network learnt from."""
    if unknown := sorted(set(np.unique(values).tolist()) - label_values.keys()):
        raise InputError(
            f"{path}: has the value {unknown[0]}; expected those of the labels that the network was trained on: "
            f"{', '.join(map(str, sorted(label_values)))}"
        )
    table = np.zeros(256, np.uint8)
    table[list(label_values)] = list(label_values.values())
    return table[values]


def _classes(values: np.ndarray, num_classes: int, path: Path) -> np.ndarray:
    """Class index from a mask's values: 0 to 3, or 0, 85, 170, 255 as in the released masks; two classes: above 0."""
    if num_classes == 2:
        return (values > 0).astype(np.uint8)
    if np.isin(values, (0, 255)).all() and values.any():
        raise InputError(
            f"{path}: has the values 0 and 255 alone, infected or not; expected the classes 0 to {num_classes - 1}: "
            "take a network of two classes, or write effusion as 3"
        )
    labels = values // GREY_OF_CLASS if values.max() > 3 and not (values % GREY_OF_CLASS).any() else values
    if labels.max() >= num_classes:
        raise InputError(f"{path}: has the value {values.max():g}; expected the classes 0 to {num_classes - 1}")
    return labels.astype(np.uint8)


def write_case(result: Segmentation, compared, name: str, new: Path, options) -> None:
    """Write a scan's files.

    Arguments:
        result: the labelled scan.
        compared: what `compare_with` gave, or None.
        name: of the scan, for titles.
        new: the folder.
        options: of the command; its model, window and probabilities are recorded.
    """
    from unet_segnet.plots import save_figure
    from unet_segnet.plots.case import case_overview

    comparison, truth = compared or (None, None)
    about = {
        "scan": str(result.scan.source),
        "network": str(options.model),
        "window": list(options.window),
        "units": result.scan.units,
        "notes": list(result.notes),
        "for": INTENDED_USE,
    }
    write_labels(new / "labels.nii.gz", result.array(), result.scan)
    if result.probabilities is not None:
        write_maps(new / "probabilities.nii.gz", result.maps(), result.scan)
    _write_json(new / "severity.json", about | result.severity.to_dict())
    _write_csv(new / "severity.csv", result.severity.rows())
    _write_csv(new / "slices.csv", result.severity.slice_rows())
    if comparison is not None:
        _write_json(new / "agreement.json", comparison.to_dict())
        _write_csv(new / "agreement.csv", comparison.rows())
        _write_csv(new / "agreement_slices.csv", comparison.slice_rows())
    shown = display(result, options.window)
    overview = case_overview(
        shown,
        result.labels.transpose(0, 2, 1),
        None if truth is None else truth.transpose(0, 2, 1),
        result.slices.names,
        result.class_names,
        name,
    )
    save_figure(overview, new / "overview.png")
    page = case_page(name, result, shown, truth, comparison)
    (new / "index.html").write_text(page, encoding="utf-8")


def summary_line(name: str, result: Segmentation, compared) -> str:
    """One line about a scan."""
    whole = result.severity.involvement(region="both lungs" if result.lungs is not None else "whole scan")
    share = "" if np.isnan(whole.share) else f", {100 * whole.share:.1f} % of {whole.region}"
    size = f"{whole.voxels} voxels" if np.isnan(whole.volume_ml) else f"{whole.volume_ml:.1f} ml"
    line = f"{name}: {len(result.labels)} slices, {whole.num_lesions} lesions, {size}{share}"
    if compared:
        line += f"; Dice {compared[0].scan.dice[-1]:.3f} against the truth"
    return line


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
