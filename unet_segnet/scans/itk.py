"""Read a MetaImage (.mha, .mhd) or NRRD (.nrrd, .nhdr, 3D Slicer's .seg.nrrd) file as a scan, through SimpleITK.

Its header is looked at first: ITK opens whatever file a header names, and allocates what it claims.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unet_segnet.data.nifti_file import MAX_BYTES, MAX_DEFLATE_RATIO, MAX_SLICE_PIXELS, MAX_VOXELS, recognise_units
from unet_segnet.errors import InputError, one_line
from unet_segnet.scans.scan import UNITS_NOTE, Scan, axes_of, check_spacing, is_identity, scan_name, voxel_spacing

META_SUFFIXES, NRRD_SUFFIXES = (".mha", ".mhd"), (".nrrd", ".nhdr")
ITK_SUFFIXES = META_SUFFIXES + NRRD_SUFFIXES
MAX_HEADER_BYTES = 2**20
RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Of a header that does not tell how its axes run, ITK takes them as its own.
ITK_AXES = "LPS"
TELL_DIRECTION = {
    "MetaImageIO": ("transformmatrix", "orientation", "rotation"),
    "NrrdImageIO": ("space", "space dimension"),
}
DATA_FILE = {"MetaImageIO": ("elementdatafile",), "NrrdImageIO": ("data file", "datafile")}


def read_itk(path: Path) -> Scan:
    """Read one file, of an image, a mask or labels.

    Raises:
        InputError: a missing, damaged or too large file, values that are not finite or no image's, several values to a
            voxel, values that are kept outside the header's folder, or voxels that no body has.
    """
    reader = "MetaImageIO" if path.name.lower().endswith(META_SUFFIXES) else "NrrdImageIO"
    header = _header(path, reader)
    image = _image(path, reader, _files(path, header, reader))
    values = _values(path, image)
    values, units = recognise_units(values, path)
    affine, axes, spacing, notes = _geometry(image, any(key in header for key in TELL_DIRECTION[reader]))
    check_spacing(path, spacing)
    return Scan(
        name=scan_name(path),
        array=values.transpose(2, 1, 0),
        affine=affine,
        units=units,
        spacing=spacing,
        source=path,
        is_volume=min(values.shape) > 1,
        notes=(UNITS_NOTE[units], *notes),
        axes=axes,
    )


def _header(path: Path, reader: str) -> dict[str, str]:
    """The lines of a file's header, keys in lower case."""
    if not path.is_file():
        raise InputError(f"{path} does not exist: expected a MetaImage or NRRD file")
    with path.open("rb") as stream:
        start = stream.read(MAX_HEADER_BYTES)
    if reader == "NrrdImageIO":
        if not start.startswith(b"NRRD000"):
            raise InputError(f"{path} is not an NRRD file: expected one; restore the file")
        lines = start.replace(b"\r\n", b"\n").partition(b"\n\n")[0].split(b"\n")[1:]
        mark = b":"
    else:
        before, key, after = start.partition(b"ElementDataFile")
        if not key or b"NDims" not in before:
            raise InputError(f"{path} is not a MetaImage file: expected one; restore the file")
        lines = [*before.splitlines(), key + after.partition(b"\n")[0]]
        mark = b"="
    pairs = (line.decode("latin-1").partition(mark.decode()) for line in lines if not line.startswith(b"#"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _files(path: Path, header: dict[str, str], reader: str) -> list[Path]:
    """The files that hold the scan: the header's own, or with the one beside it that has the values."""
    name = next((header[key] for key in DATA_FILE[reader] if key in header), "LOCAL")
    if name.upper() == "LOCAL":
        return [path]
    if name != Path(name).name or "%" in name or name.upper().startswith("LIST") or name in (".", ".."):
        raise InputError(
            f"{path}: keeps its values in {name!r:.99}; expected them in the file itself or in one file beside it: "
            "save it in one file (.mha, .nrrd)"
        )
    if not (path.parent / name).is_file():
        raise InputError(f"{path}: keeps its values in {name!r:.99}, which is not beside it; restore that file")
    return [path, path.parent / name]


def _image(path: Path, io: str, files: list[Path]):
    """ITK's image, looked at before anything is allocated for it."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO(io)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, components = reader.GetSize(), reader.GetNumberOfComponents()
        while len(size) > 3 and size[-1] == 1:
            size = size[:-1]
        if components > 1 or len(size) not in (2, 3) or min(size) < 1:
            what = f"{components} values to each voxel" if components > 1 else f"shape {size}"
            raise InputError(
                f"{path} has {what}: expected one volume of single values; of segments that overlap save a labelmap"
            )
        voxels = int(np.prod(size, dtype=object))
        if voxels > MAX_VOXELS or size[0] * size[1] > MAX_SLICE_PIXELS:
            raise InputError(
                f"{path} claims {voxels} voxels in its header: expected at most {MAX_VOXELS}, {MAX_SLICE_PIXELS} in a "
                "slice"
            )
        kind = reader.GetPixelID()
        if kind not in _known_types(SimpleITK):
            raise InputError(f"{path} holds values of an unknown type: expected whole or real numbers")
        itemsize = _known_types(SimpleITK)[kind]
        if voxels * (itemsize + 4) > MAX_BYTES:
            raise InputError(f"{path} claims {voxels} voxels of {itemsize} bytes: too large, save it as int16")
        stored = sum(file.stat().st_size for file in files)
        if voxels * itemsize > stored * MAX_DEFLATE_RATIO:
            raise InputError(f"{path} is cut off: its header claims {voxels} voxels, {stored} bytes are there")
        return reader.Execute()
    except InputError:
        raise
    except Exception as error:  # ITK's own are RuntimeError, of several lines
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(f"{path} cannot be read ({one_line(ValueError(reason[0]))}): restore the file") from error


def _known_types(itk) -> dict[int, int]:
    """Bytes of a voxel by ITK's number of its type."""
    names = {1: ("UInt8", "Int8"), 2: ("UInt16", "Int16"), 4: ("UInt32", "Int32", "Float32")}
    names[8] = ("UInt64", "Int64", "Float64")
    return {getattr(itk, f"sitk{name}"): size for size, of_size in names.items() for name in of_size}


def _values(path: Path, image) -> np.ndarray:
    """(slice, row, column) float32 values, all finite."""
    import SimpleITK

    with np.errstate(over="ignore", invalid="ignore"):
        values = SimpleITK.GetArrayViewFromImage(image).astype(np.float32)
    values = values.reshape((1, 1, *values.shape)[-3:] if values.ndim < 3 else values.shape[-3:])
    if not np.isfinite(values).all():
        raise InputError(f"{path} has values that are not finite: repair the file")
    return values


def _geometry(image, is_told: bool):
    """Affine, the axes where they are assumed, spacing in mm, and notes."""
    if image.GetDimension() < 3:
        return None, None, None, ["one slice: orientation and spacing unknown"]
    number = image.GetDimension()
    spacing = tuple(image.GetSpacing()[:3])
    affine = np.eye(4)
    directions = np.reshape(image.GetDirection(), (number, number))[:3, :3]
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = image.GetOrigin()[:3]
    affine = RAS_OF_LPS @ affine
    if is_identity(affine) or (spacing == (1.0, 1.0, 1.0) and not is_told):
        return None, None, None, ["the header tells no geometry: orientation and spacing unknown"]
    if not is_told:
        return None, ITK_AXES, spacing, [f"the header does not tell how the axes run: {ITK_AXES}, as ITK takes them"]
    if axes_of(affine) is None:
        return None, None, None, ["the header's directions cannot be inverted: orientation and spacing unknown"]
    return affine, None, voxel_spacing(affine), []
