"""Labels back into a file that lies exactly on the scan."""

from pathlib import Path

import numpy as np

from unet_segnet.data.nifti import save_gzipped
from unet_segnet.scans.scan import Scan

# Geometry only: a header may hold free text about the patient.
GEOMETRY_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


def write_labels(path: str | Path, labels: np.ndarray, scan: Scan) -> None:
    """Write labels as a gzipped NIfTI file with the scan's geometry, atomically; equal labels give equal bytes.

    A scan from NIfTI gives its own qform, sform, codes and units; one from DICOM its affine with code 1 (scanner
    coordinates); one without geometry the identity.

    Arguments:
        path: file to write, ending in .nii.gz; its folder must exist.
        labels: (i, j, k) uint8, of the shape of `scan.array`.
        scan: what was labelled.

    Raises:
        ValueError: the labels are not uint8 of the scan's shape.
    """
    import nibabel

    if labels.shape != scan.array.shape or labels.dtype != np.uint8:
        raise ValueError(
            f"labels must be uint8 of shape {scan.array.shape}. Received: {labels.dtype} of shape {labels.shape}"
        )
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    if scan.header is not None:
        header.set_data_shape(labels.shape)
        for field in GEOMETRY_FIELDS:
            header[field] = scan.header[field]
        lengths = header["pixdim"][1:4]
        lengths[lengths == 0] = 1  # as files of two dimensions have it
        image = nibabel.Nifti1Image(labels, None, header)
    else:
        affine = np.eye(4) if scan.affine is None else scan.affine
        image = nibabel.Nifti1Image(labels, affine, header)
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        image.header.set_xyzt_units("mm" if scan.affine is not None else "unknown")
    save_gzipped(path, image)
