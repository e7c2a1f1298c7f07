"""Read a NIfTI file as a scan: its values, and where its header says that they lie.

The order is the standard's: the sform where its code is above 0, else the qform where its code is, else the lengths of
a voxel alone, the axes of which then run right, anterior, superior (method 1). A matrix that cannot be inverted is
none, and the identity is what programs write that know no geometry: it gives way to a qform that says more. Whatever is
not taken as it stands is noted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import read_image, recognise_units, voxel_lengths
from unet_segnet.scans.scan import (
    IDENTITY_NOTE,
    UNITS_NOTE,
    Scan,
    axes_of,
    axes_of_identity,
    check_spacing,
    corners,
    is_identity,
    scan_name,
    voxel_spacing,
)

MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # NIfTI's codes of length: metre, millimetre, micrometre
METHOD_1 = "RAS"  # the axes of a header with neither sform nor qform
DISAGREE_MM = 10.0  # sform and qform: farther apart they are no rounding, nor two ways to say the same


def read_nifti(path: Path) -> Scan:
    """Read one file, of an image, a mask or labels.

    Raises:
        InputError: see `unet_segnet.data.nifti_file.read_image`; values that are no image's; voxels that no body has.
    """
    values, header = read_image(path, np.float32)
    values, units = recognise_units(values, path)
    lengths = voxel_lengths(path)
    affine, notes = _affine(header)
    to_mm = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    axes = spacing = None
    if affine is not None and is_identity(affine):
        affine, axes = None, axes_of_identity(affine)
        notes.append(IDENTITY_NOTE)
    elif affine is not None:
        affine[:3] *= to_mm
        spacing = voxel_spacing(affine)
    elif not set(lengths) <= {0.0, 1.0}:
        axes, spacing = METHOD_1, tuple(length * to_mm for length in lengths)
        notes.append(f"the header has neither sform nor qform: orientation {METHOD_1}, as the standard has it then")
    else:
        notes.append("the header has no affine: orientation and spacing unknown")
    is_flat = affine is not None and header["dim"][0] < 3 and np.isclose(spacing[2], 1)  # as programs fill it in
    if spacing is not None and not all(lengths) and (is_flat or not header["sform_code"]):
        spacing = None
        notes.append("the header does not tell the size of a voxel along each axis: spacing unknown")
    check_spacing(path, spacing)
    return Scan(
        name=scan_name(path),
        array=np.moveaxis(values, 0, 2),
        affine=affine,
        units=units,
        spacing=spacing,
        source=path,
        is_volume=min(values.shape) > 1,
        notes=(UNITS_NOTE[units], *notes),
        header=header,
        axes=axes,
    )


def _affine(header) -> tuple[np.ndarray | None, list[str]]:
    """The affine in the file's own unit, None where it is not known, and notes; codes of what is not taken become 0."""
    sform, qform = (_coded(header, kind) for kind in ("sform", "qform"))
    notes = []
    for kind, matrix in (("sform", sform), ("qform", qform)):
        if header[f"{kind}_code"] > 0 and matrix is None:
            notes.append(f"the header's {kind} cannot be inverted and counts as none")
            header[f"{kind}_code"] = 0
    if sform is not None and qform is not None:
        if _tells_nothing(sform, header) and not is_identity(qform):
            notes.append(
                "the header's sform is the identity, as programs write that know no geometry; its qform says more and "
                "is taken"
            )
            header["sform_code"], sform = 0, None
        elif disagreement := _disagreement(sform, qform, header.get_data_shape()):
            notes.append(f"the header's sform and qform disagree, {disagreement}; the sform is taken, as usual")
    elif sform is not None and not is_identity(sform):
        lengths, given = np.linalg.norm(sform[:3, :3], axis=0), np.abs(header["pixdim"][1:4])
        if given.all() and not np.allclose(lengths, given, rtol=0.01):
            ours, theirs = (" x ".join(f"{length:.3g}" for length in sizes) for sizes in (lengths, given))
            notes.append(
                f"the header's sform has voxels of {ours}, its pixdim of {theirs}; the sform is taken, as usual, but "
                "other programs may show other sizes and volumes"
            )
    return qform if sform is None else sform, notes


def _coded(header, kind: str) -> np.ndarray | None:
    """The sform or qform, None where its code is 0 or it is no geometry."""
    try:
        matrix, code = getattr(header, f"get_{kind}")(coded=True)
    except ValueError:  # a quaternion that is no rotation
        return None
    return None if matrix is None or code <= 0 or axes_of(matrix) is None else np.asarray(matrix, float)


def _tells_nothing(sform: np.ndarray, header) -> bool:
    """Is it the identity, but for where it begins and against the lengths of a voxel?"""
    turned = sform.copy()
    turned[:3, 3] = 0
    return is_identity(sform) or (is_identity(turned) and not np.allclose(header["pixdim"][1:4], 1, atol=1e-3))


def _disagreement(sform: np.ndarray, qform: np.ndarray, shape: tuple[int, ...]) -> str | None:
    """How far two affines are from one another, where that is more than rounding."""
    ours, theirs = axes_of(sform), axes_of(qform)
    if np.linalg.det(sform) * np.linalg.det(qform) < 0:
        return f"as mirror images ({ours} and {theirs})"
    if ours != theirs:
        return f"about the axes ({ours} and {theirs})"
    away = np.abs(corners((*shape, 1)[:3]) @ (sform - qform).T).max()
    return f"by up to {away:.0f} mm" if away > DISAGREE_MM else None
