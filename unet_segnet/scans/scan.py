"""The type of a user's scan, and when its geometry counts as known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.output.files import check_text

UNITS_NOTE = {"HU": "values: Hounsfield units", "8-bit": "values: 8-bit grey levels"}
IDENTITY_NOTE = "the affine is the identity: orientation and spacing unknown"
DOUBLE_SUFFIXES = (".nii.gz", ".seg.nrrd")
ITK_AXES = "LPS"  # as which ITK takes the axes of a file that does not tell them
RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's coordinates of DICOM's and ITK's
FLAT = 1e-3  # volume of three unit vectors that span no space
VOXEL_MM = (0.01, 100.0)  # of any scan of a body


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan as its file has it.

    Attributes:
        name: the file's or folder's name without its suffix.
        array: (i, j, k) float32 Hounsfield units or uint8 grey levels (masks too). NIfTI: the file's own axes, k = 1
            for a file of two dimensions. Pictures and DICOM: (row, column, slice).
        affine: (4, 4) float64 from voxel indices to millimetres, as in NIfTI towards the patient's right, front and
            head (RAS+); None where the file does not tell its place.
        units: "HU" or "8-bit".
        spacing: voxel size along i, j, k in mm, or None where it is unknown.
        source: the file or folder.
        slice_names: one per index k, all different, or None: the slices have numbers only.
        is_volume: the slices are neighbours in one body; False for a single slice and for a folder of pictures.
        notes: what was recognised or assumed, one line each.
        header: the header of a NIfTI file (nibabel's), whose geometry goes into the label file; else None.
        axes: three letters, towards which side of the patient i, j, k run where the format's own rule says it though
            the file does not tell its place; else None.
        rows_first: the array's axes are (row, column, slice), as of pictures and DICOM; else the file's own.
        files: those that a DICOM series was read from; else none.
    """

    name: str
    array: np.ndarray
    affine: np.ndarray | None
    units: str
    spacing: tuple[float, float, float] | None
    source: Path
    slice_names: tuple[str, ...] | None = None
    is_volume: bool = True
    notes: tuple[str, ...] = ()
    header: object | None = None
    axes: str | None = None
    rows_first: bool = False
    files: tuple[Path, ...] = ()

    def __post_init__(self):
        expected = np.uint8 if self.units == "8-bit" else np.float32
        if self.array.ndim != 3 or self.array.dtype != expected:
            raise ValueError(
                f"a scan in {self.units} must be {np.dtype(expected)} of three axes. "
                f"Received: {self.array.dtype} of shape {self.array.shape}"
            )
        if self.slice_names is not None and len(set(self.slice_names)) != self.array.shape[2]:
            raise ValueError(f"slice_names must be {self.array.shape[2]} different names")

    def for_file(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What belongs to this scan as files of volumes have it, and the affine with which it lies on the scan there.

        Arguments:
            array: (i, j, k, ...) along the scan's axes.

        Returns:
            The array, by columns as all other programs turn DICOM into volumes; and (4, 4) in RAS: the scan's own, of
            one that tells its axes alone, or a NIfTI header with neither sform nor qform, what other programs take it
            for, else the identity.
        """
        if self.affine is not None:
            if self.rows_first:
                return array.swapaxes(0, 1), self.affine[:, [1, 0, 2, 3]]
            return array, self.affine
        axes = self.axes or "RAS"
        if self.header is not None and self.header["sform_code"] <= 0 and self.header["qform_code"] <= 0:
            axes = ITK_AXES  # not the standard's, by which the scan is analysed
        signs = [1 if side in "RAS" else -1 for side in axes]
        return array, np.diag([*np.multiply(signs, self.spacing or 1.0), 1.0])

    @property
    def mask_notes(self) -> tuple[str, ...]:
        """The notes that matter of a mask or of labels: not that its values are whole numbers."""
        return tuple(note for note in self.notes if note != UNITS_NOTE["8-bit"])


def scan_name(path: Path) -> str:
    """What a scan is called: its file without the ending, or its folder.

    Raises:
        InputError: the name is no text, so that nothing can be written about it.
    """
    name = path.name if path.name not in ("", "..") else path.resolve().name
    check_text(name)
    if path.is_dir():
        return name
    double = next((suffix for suffix in DOUBLE_SUFFIXES if name.lower().endswith(suffix)), None)
    return name[: -len(double)] if double else Path(name).stem


def axes_of(affine: np.ndarray) -> str | None:
    """Towards which side of the patient i, j, k run, such as "LPS".

    None for a matrix that is no geometry: not finite, or not to be inverted.
    """
    from nibabel.orientations import aff2axcodes

    columns = np.asarray(affine, float)[:3, :3]
    if not np.isfinite(affine).all() or not np.linalg.norm(columns, axis=0).all():
        return None
    if abs(np.linalg.det(columns / np.linalg.norm(columns, axis=0))) < FLAT:
        return None
    axes = aff2axcodes(affine)
    return None if None in axes else "".join(axes)


def corners(shape: tuple[int, ...]) -> np.ndarray:
    """(8, 4) voxels at the corners of a grid of this shape, in homogeneous coordinates."""
    found = np.ones((8, 4))
    found[:, :3] = np.indices((2, 2, 2)).reshape(3, 8).T * np.subtract(shape, 1)
    return found


def voxel_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel size along i, j, k in mm. Of a sheared grid (tilted gantry) the axis that runs along the body has the
    distance of the planes, so that the product is the voxel's volume."""
    columns = np.asarray(affine, float)[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    along = int(np.abs(columns[2] / lengths).argmax())
    planes = abs(np.linalg.det(columns)) / np.delete(lengths, along).prod()
    if planes < lengths[along] * (1 - 1e-6):
        lengths[along] = planes
    return tuple(lengths.tolist())


def check_spacing(source: Path, spacing: tuple[float, float, float] | None) -> None:
    """Refuse voxels of a size that no scan of a body has, by which volumes in ml would be nonsense.

    Raises:
        InputError: they are too small or too large; None is an unknown size.
    """
    low, high = VOXEL_MM
    if spacing is not None and not all(low <= length <= high for length in spacing):
        sizes = " x ".join(f"{length:.3g}" for length in spacing)
        raise InputError(
            f"{source}: claims voxels of {sizes} mm; expected {low:g} to {high:g}: mend its affine, or the unit of its "
            "lengths"
        )


def axes_of_identity(affine: np.ndarray) -> str | None:
    """The axes of an identity: ITK's, by which it reads and writes what tells no geometry, has rows to the left.

    None of that in RAS, in which programs write arrays of any order.
    """
    return ITK_AXES if affine[0, 0] < 0 else None


def is_identity(affine: np.ndarray) -> bool:
    """Is it what programs write that know no geometry: the identity, in RAS or (SimpleITK) in LPS coordinates?"""
    return any(np.allclose(affine, nothing, atol=1e-6) for nothing in (np.eye(4), RAS_OF_LPS))
