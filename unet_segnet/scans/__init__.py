"""A user's scan in, ready for the networks, and labels back again."""

from unet_segnet.scans.matching import lay_on
from unet_segnet.scans.orientation import (
    NETWORK_AXES,
    NetworkSlices,
    fit,
    fit_labels,
    fit_whole,
    from_network,
    to_network,
    unfit,
    unfit_smooth,
)
from unet_segnet.scans.read import find_scans, read_scan
from unet_segnet.scans.scan import Scan, scan_name
from unet_segnet.scans.segments import write_dicom_segmentation, write_label_descriptions, write_seg_nrrd
from unet_segnet.scans.write import write_labels, write_maps

__all__ = [
    "NETWORK_AXES",
    "NetworkSlices",
    "Scan",
    "find_scans",
    "fit",
    "fit_labels",
    "fit_whole",
    "from_network",
    "lay_on",
    "read_scan",
    "scan_name",
    "to_network",
    "unfit",
    "unfit_smooth",
    "write_dicom_segmentation",
    "write_label_descriptions",
    "write_labels",
    "write_maps",
    "write_seg_nrrd",
]
