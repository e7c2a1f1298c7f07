"""What a segmented scan leaves behind.

OUT/NAME/labels.nii.gz         class index per voxel, with the scan's own geometry
OUT/NAME/labels.seg.nrrd       the same with names and colours, for 3D Slicer
OUT/NAME/labels.label          names and colours, for ITK-SNAP
OUT/NAME/labels.dcm            of a DICOM series: a DICOM Segmentation on it
OUT/NAME/lungs.nii.gz          the lungs that were found or given: 1 left, 2 right
OUT/NAME/probabilities.nii.gz  on request: of each class, along a fourth axis
OUT/NAME/disagreement.nii.gz   on request: where the networks of an ensemble disagree
OUT/NAME/severity.json, severity.csv, slices.csv     volumes, shares of the lungs, lesions; per slice
OUT/NAME/agreement.json, agreement.csv, agreement_slices.csv     where the truth is known
OUT/NAME/overview.png          the most affected slices
OUT/NAME/index.html            every slice, in one self-contained page
OUT/NAME/settings.json         what determines all this, and the SHA-256 of each file
"""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np

from unet_segnet.commands.predict_inputs import LABEL_FILE, LUNG_FILE
from unet_segnet.commands.predict_page import case_page, display
from unet_segnet.commands.predict_truth import Truth
from unet_segnet.data.slices import findings
from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import Segmentation
from unet_segnet.measures.comparison import Comparison
from unet_segnet.measures.severity import Involvement
from unet_segnet.output.records import INTENDED_USE
from unet_segnet.processor import return_freed_memory
from unet_segnet.scans import (
    from_network,
    write_dicom_segmentation,
    write_label_descriptions,
    write_labels,
    write_maps,
    write_seg_nrrd,
)


def write_case(
    result: Segmentation,
    notes: tuple[str, ...],
    compared: tuple[Comparison, Truth] | None,
    name: str,
    new: Path,
    options,
) -> tuple[str, ...]:
    """Write a scan's files; returns all that was to be noted.

    Arguments:
        result: the labelled scan.
        notes: what was recognised or assumed, one line each.
        compared: scores and the true labels, or None.
        name: of the scan, for titles.
        new: the folder.
        options: of the command; its model, window and probabilities are recorded.
    """
    from unet_segnet.plots import save_figure
    from unet_segnet.plots.case import case_overview

    comparison, truth = compared or (None, None)
    notes = (*notes, *_write_labels(result, new))
    figures = result.severity.to_dict()
    about = {
        "scan": str(result.scan.source),
        "network": str(options.model),
        "window": options.network_window and list(options.network_window),
        "units": result.scan.units,
        "for": INTENDED_USE,
        "grey_levels": result.familiarity,
        **figures,
        "notes": [*notes, *figures["notes"]],
    }
    if result.probabilities is not None:
        write_maps(new / "probabilities.nii.gz", result.maps(), result.scan)
    if result.disagreement is not None:
        write_maps(new / "disagreement.nii.gz", result.disagreement_map(), result.scan)
    _write_json(new / "severity.json", about)
    _write_csv(new / "severity.csv", result.severity.rows())
    _write_csv(new / "slices.csv", result.severity.slice_rows())
    if comparison is not None:
        _write_json(new / "agreement.json", {"notes": list(truth.notes), **comparison.to_dict()})
        _write_csv(new / "agreement.csv", comparison.rows())
        _write_csv(new / "agreement_slices.csv", comparison.slice_rows())
    names = findings(result.class_names)
    true, names = (None, names) if truth is None else truth.shown(names)
    overview = case_overview(
        partial(display, result, options.window),
        result.labels.transpose(0, 2, 1),
        None if true is None else true.transpose(0, 2, 1),
        result.slices.names,
        names,
        name,
    )
    save_figure(overview, new / "overview.png")
    del overview
    return_freed_memory()
    page = case_page(name, result, notes, options.window, truth, comparison)
    (new / "index.html").write_text(page, encoding="utf-8")
    return notes


def _write_labels(result: Segmentation, new: Path) -> tuple[str, ...]:
    """Write the label file, and the same for the programs that show classes by name and colour; returns notes."""
    from unet_segnet.plots import CLASS_COLOURS

    labels, scan = result.array(), result.scan
    names = findings(result.class_names)
    classes = (names, CLASS_COLOURS[: len(names)])
    write_labels(new / LABEL_FILE, labels, scan)
    write_seg_nrrd(new / "labels.seg.nrrd", labels, scan, *classes)
    write_label_descriptions(new / "labels.label", *classes)
    if result.lungs is not None:
        write_labels(new / LUNG_FILE, from_network(result.lungs, result.slices), scan)
    if scan.files:
        try:
            write_dicom_segmentation(new / "labels.dcm", labels, scan, *classes)
        except InputError as error:
            return (f"labels: no DICOM segmentation was written: {error}",)
    return ()


def summary(name: str, result: Segmentation, comparison: Comparison | None) -> str:
    """One line about a scan, of the labels as they are written."""
    whole = result.severity.involvement(region="whole scan")
    counts = ((len(result.labels), "slice"), (whole.num_lesions, "lesion"))
    line = f"{name}: " + "".join(f"{number} {noun}{'s' * (number != 1)}, " for number, noun in counts) + _amount(whole)
    if result.lungs is None:
        line += f", {100 * whole.share:.1f} % of the whole scan"
    else:
        inside, outside = (result.severity.involvement(region=region) for region in ("both lungs", "outside lungs"))
        share = "no lung was found" if np.isnan(inside.share) else f"{100 * inside.share:.1f} % of both"
        line += f": {_amount(inside)} in the lungs ({share})"
        line += f", {_amount(outside)} outside" if outside.voxels else ""
    if comparison is not None:
        line += f"; Dice {comparison.scan.dice[-1]:.3f} against the truth"
    return line


def _amount(found: Involvement) -> str:
    return f"{found.voxels} voxels" if np.isnan(found.volume_ml) else f"{found.volume_ml:.1f} ml"


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
