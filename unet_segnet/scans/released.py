"""Independent slices of a data set in a released layout as scans, with the place that their file tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from unet_segnet.data.nifti import slice_paths
from unet_segnet.data.png_tree import tree_root
from unet_segnet.data.slices import Slices
from unet_segnet.scans.orientation import NAMED_AXES
from unet_segnet.scans.read import read_scan
from unet_segnet.scans.scan import Scan, axes_of


def released_scans(slices: Slices, folder: Path) -> tuple[Scan, Scan | None, Scan | None]:
    """Slices, their labels and their lungs as scans.

    Where the affine of tr_im is known, the slices lie by it. MedSeg's own file has none; slices in Hounsfield units
    then lie as its 100, from which the networks' orientation comes.

    Arguments:
        slices: as `unet_segnet.data.catalogue.read_slices` gives them.
        folder: that they were read from.

    Raises:
        InputError: tr_im claims voxels that no body has.
    """

    def scan(array: np.ndarray, units: str = "8-bit") -> Scan:
        array = np.ascontiguousarray(np.moveaxis(array, 0, 2))
        return Scan(folder.resolve().name, array, None, units, None, folder, slices.names, is_volume=False)

    images = scan(slices.images, slices.units)
    path = None if tree_root(folder) is not None else slice_paths(folder)[0]
    told = None if path is None else read_scan(path)
    if told is not None and told.affine is not None and axes_of(told.affine)[2] in "SI":
        images = replace(images, affine=told.affine, spacing=told.spacing)
    elif told is not None and slices.units == "HU":
        images = replace(images, axes=NAMED_AXES["network"])
    labels = None if slices.labels is None else scan(slices.labels)
    lungs = None if slices.lungs is None else scan(slices.lungs.astype(np.uint8))
    return images, labels, lungs
