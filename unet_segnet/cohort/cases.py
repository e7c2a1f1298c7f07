"""Which files belong together: a folder of images, labels and lungs, or a manifest."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from unet_segnet.cohort.layouts import (
    IMAGES,
    LABELS,
    Layout,
    has_folders,
    layout_of_folders,
    layout_of_names,
    scans_below,
    unpacked,
)
from unet_segnet.cohort.manifest import Case, dataset_json, read_manifest
from unet_segnet.data.catalogue import find_data
from unet_segnet.data.nifti import has_slices, slice_paths, volume_names, volume_paths
from unet_segnet.data.png_tree import tree_root
from unet_segnet.errors import InputError
from unet_segnet.output.files import expanded
from unet_segnet.scans import read_scan, scan_name


@dataclass(frozen=True)
class CaseList:
    """The cases of a data set.

    Attributes:
        source: folder or manifest.
        cases: in their order; empty for a folder of the released slices, which are read as a whole.
        problems: files that have no partner, one line each.
        classes: the file that names the classes, or None.
        layout: how the folder's files are arranged, "" for a manifest and for the released slices.
        notes: what was left alone in it, one line each.
    """

    source: Path
    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    classes: Path | None = None
    layout: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_released(self) -> bool:
        """Whether it is a folder of the released slices."""
        return not self.cases and not self.problems


def is_own(data: str | Path) -> bool:
    """Whether it is a manifest or a folder of scans of one's own, rather than one of the released layouts."""
    if Path(data).suffix.lower() == ".csv":
        return True
    folder = find_data(str(data))
    return has_folders(folder) or not (_is_released(folder) or volume_names(folder))


def _is_released(folder: Path) -> bool:
    return tree_root(folder) is not None or has_slices(folder)


def find_cases(data: str | Path) -> CaseList:
    """Find the scans of a data set and what belongs to them; no image is opened.

    Arguments:
        data: a manifest (.csv), the path of a folder, or the name of one in $UNET_SEGNET_DATA, in one of the layouts
            of `unet_segnet.cohort.layouts`. Beside a manifest, or in the folder, `classes.csv` may name the classes,
            or nnU-Net's dataset.json.

    Returns:
        CaseList; what does not fit together stands in its `problems`.

    Raises:
        InputError: nothing of that kind is there, or a manifest that cannot be read.
    """
    if Path(data).suffix.lower() == ".csv":
        path = expanded(data)
        cases, problems = read_manifest(path)
        return CaseList(path, tuple(cases), tuple(problems), class_file(path.parent))
    folder = find_data(str(data))
    layout = layout_of_folders(folder)
    if layout is None and _is_released(folder):
        return CaseList(folder, (), (), class_file(folder))
    if layout is None and volume_names(folder):
        raise InputError(
            f"{folder}: holds volumes (rp_im) only; write a manifest of them with `unet-segnet data "
            f"manifest {folder} --to FILE.csv` and give that"
        )
    layout = layout or layout_of_names(folder)
    if layout is None:
        raise InputError(
            f"no data set in {folder}: no layout of labelled scans is recognised; the smallest one is "
            f"{IMAGES}/NAME.nii.gz with the labels {LABELS}/NAME.nii.gz (known too: nnU-Net, Decathlon, MosMed, Zenodo "
            "3757476, a folder for each patient with ct.nii.gz and seg.nii.gz, dataset/im/256, tr_im.nii.gz); or list "
            f"the files in a table, which `unet-segnet data manifest {shlex.quote(str(folder))} --to scans.csv` begins"
        )
    return CaseList(
        *(folder, tuple(layout.cases), tuple(layout.problems), class_file(folder)),
        *(layout.name, tuple(layout.notes)),
    )


def class_file(folder: Path) -> Path | None:
    """The file beside the scans that names the classes."""
    for place in dict.fromkeys((folder, unpacked(folder))):
        table, labels = place / "classes.csv", place / "dataset.json"
        if table.is_file():
            return table
        if labels.is_file() and isinstance(dataset_json(labels).get("labels"), dict):
            return labels
    return None


def cases_for_manifest(
    folder: Path, slices_per_patient: int | None = None
) -> tuple[list[Case], list[Case], list[str], list[str]]:
    """Cases of a folder, to be written into a manifest: of slices or single scans, and of volumes in MedSeg's layout.

    Arguments:
        folder: in one of the layouts of `unet_segnet.cohort.layouts`, or with tr_im, rp_im or both; of another, its
            scans are listed without labels.
        slices_per_patient: every so many slices of tr_im, in their order, are one patient's; None: nobody knows, and
            each slice becomes a case of its own.

    Returns:
        Those of slices or single scans, those of volumes, what was not listed, and what was assumed, one line each.

    Raises:
        InputError: nothing of that kind is there, or the slices cannot be divided so.
    """
    own = is_own(folder)
    if slices_per_patient and (own or not has_slices(folder)):
        raise InputError(
            f"{folder}: has no tr_im.nii.gz, whose slices alone `slices_per_patient` divides; leave it out"
        )
    if own:
        layout = layout_of_folders(folder) or layout_of_names(folder) or _only_scans(folder)
        return layout.cases, [], layout.problems, layout.notes
    volumes = [Case(name, *volume_paths(folder, name), f"rp{name}") for name in volume_names(folder)]
    if not has_slices(folder):
        if not volumes:
            raise InputError(f"{folder}: nothing to list: its slices are a data set as they are")
        return [], volumes, [], []
    image, labels, lungs = slice_paths(folder)
    number, step = read_scan(image).array.shape[2], slices_per_patient or 1
    if number % step:
        raise InputError(f"{image}: {number} slices cannot be divided among patients of {step} slices each")
    slices = []
    for index, first in enumerate(range(1, number + 1, step), 1):
        patient = f"tr{index:02}" if slices_per_patient else None
        slices.append(Case(f"tr{index:02}", image, labels, lungs, patient, (first, first + step - 1)))
    return slices, volumes, [], []


def _only_scans(folder: Path) -> Layout:
    """Scans without labels, for a table in which they can be named.

    Raises:
        InputError: there is none.
    """
    cases = [
        Case("-".join((*below, scan_name(path))), path, patient=next(iter(below), None))
        for path, below in scans_below(folder)
    ]
    if not cases:
        raise InputError(f"{folder}: nothing to list; expected {IMAGES}/, tr_im.nii.gz, rp_im/N.nii.gz, or any scans")
    return Layout("unknown", cases)
