"""Labels and probabilities back into a file that lies exactly on the scan."""

from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import save_gzipped
from unet_segnet.scans.scan import Scan

SAME_AFFINE_MM = 1e-3
# Geometry only: a header may hold free text about the patient.
GEOMETRY_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


def write_labels(path: str | Path, labels: np.ndarray, scan: Scan) -> None:
    """Write labels as a gzipped NIfTI file with the scan's geometry, atomically; equal labels give equal bytes.

    A scan from NIfTI gives its own qform, sform, codes and units; one from DICOM its affine with code 1 (scanner
    coordinates), as sform alone where it is sheared, and its voxels by columns, see `Scan.for_file`.

    Arguments:
        path: file to write, ending in .nii.gz; its folder must exist.
        labels: (i, j, k) uint8, of the shape of `scan.array`.
        scan: what was labelled.

    Raises:
        ValueError: the labels are not uint8 of the scan's shape.
    """
    if labels.shape != scan.array.shape or labels.dtype != np.uint8:
        raise ValueError(
            f"labels must be uint8 of shape {scan.array.shape}. Received: {labels.dtype} of shape {labels.shape}"
        )
    _write(path, labels, scan)


def write_maps(path: str | Path, maps: np.ndarray, scan: Scan) -> None:
    """Write maps of a scan, such as class probabilities, with its geometry, as `write_labels` does.

    Arguments:
        path: file to write, ending in .nii.gz; its folder must exist.
        maps: (i, j, k, num_maps) float32; one alone may be (i, j, k).
        scan: what they belong to.

    Raises:
        ValueError: the maps are not float32 of the scan's shape.
    """
    if maps.shape[:3] != scan.array.shape or maps.ndim not in (3, 4) or maps.dtype != np.float32:
        raise ValueError(
            f"maps must be float32 of shape {scan.array.shape}, or with one axis more. "
            f"Received: {maps.dtype} of {maps.shape}"
        )
    _write(path, maps, scan)


def _write(path: str | Path, array: np.ndarray, scan: Scan) -> None:
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(array.dtype)
    if scan.header is not None:
        header.set_data_shape(array.shape)
        for field in GEOMETRY_FIELDS:
            header[field] = scan.header[field]
        image = nibabel.Nifti1Image(array, None, header)
    else:
        array, affine = scan.for_file(array)
        image = nibabel.Nifti1Image(array, affine, header)
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        if not np.allclose(image.get_qform(), affine, atol=SAME_AFFINE_MM):
            image.header["qform_code"] = 0  # a tilted gantry shears, which a qform cannot say
        image.header.set_xyzt_units("mm" if scan.affine is not None else "unknown")
    save_gzipped(path, image)
