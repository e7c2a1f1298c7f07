"""A small phantom patient and ways to write it, for the tests of scans."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

SPACING = (5.0, 0.8, 0.7)  # slice, row, column, mm


def network_affine(degrees=(7.0, -5.0, 9.0)):
    """Of an array (row, column, slice) in the networks' orientation, turned a little: rows L, columns P, slices S."""
    affine = np.eye(4)
    axes = np.diag([-SPACING[1], -SPACING[2], SPACING[0]])
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ axes
    affine[:3, 3] = 103.0, 88.0, -420.5
    return affine


def save_nifti(path, array, affine, sform=1, qform=1):
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    nibabel.save(image, path)
    return path


def dicom_slice(image, affine, index, series="1.2.3.4", slope=1.0, intercept=-1024.0):
    """Slice `index` of a series; image (row, column) in HU, affine of (row, column, slice) in RAS."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    rows, columns = np.linalg.norm(lps[:3, 0]), np.linalg.norm(lps[:3, 1])
    decimals = lambda values: [f"{value:.9g}" for value in values]  # noqa: E731
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID, dataset.InstanceNumber = "CT", series, 100 - index
    dataset.ImageOrientationPatient = decimals([*(lps[:3, 1] / columns), *(lps[:3, 0] / rows)])
    dataset.ImagePositionPatient = decimals(lps[:3, 3] + index * lps[:3, 2])
    dataset.PixelSpacing = decimals([rows, columns])
    dataset.SliceThickness = "5"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
    dataset.PixelData = np.rint((image - intercept) / slope).astype("<u2").tobytes()
    return dataset


def save_dicom(folder, images, affine, **settings):
    """A series whose file names say nothing about the order; images (slice, row, column)."""
    folder.mkdir()
    for index, image in enumerate(images):
        name = f"IM{(index * 7 + 3) % 11:02}.dcm"
        pydicom.dcmwrite(folder / name, dicom_slice(image, affine, index, **settings))
    return folder


def save_enhanced(path, images, affine, order, factors=None):
    """Slices as the frames of one file of enhanced CT, in some order; with a rescale slope for each frame, or one."""
    datasets = [dicom_slice(images[index], affine, index) for index in order]
    whole = datasets[0]
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    places = [
        _item(PlanePositionSequence=_item(ImagePositionPatient=dataset.ImagePositionPatient)) for dataset in datasets
    ]
    shared = _item(
        PlaneOrientationSequence=_item(ImageOrientationPatient=whole.ImageOrientationPatient),
        PixelMeasuresSequence=_item(PixelSpacing=whole.PixelSpacing, SliceThickness="5"),
    )
    for groups, factor in zip(places, factors, strict=True) if factors else [(shared, 1)]:
        scale = _item(RescaleSlope=str(factor), RescaleIntercept="-1024", RescaleType="HU")
        groups.PixelValueTransformationSequence = Sequence([scale])
    for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(whole, key)
    whole.NumberOfFrames = len(datasets)
    whole.PerFrameFunctionalGroupsSequence = Sequence(places)
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    whole.PixelData = b"".join(dataset.PixelData for dataset in datasets)
    pydicom.dcmwrite(path, whole)
    return path


def _item(**values):
    """A dataset; one that it holds becomes a sequence of it alone."""
    made = Dataset()
    for key, value in values.items():
        setattr(made, key, Sequence([value]) if isinstance(value, Dataset) else value)
    return made


def compress_dicom(path, syntax):
    """Store a file's pixels in another of GDCM's transfer syntaxes, such as "JPEGLSLossless"."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    assert reader.Read()
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def unreadable(monkeypatch, path):
    """As a file of another user: the rights themselves do not keep the administrator from reading."""
    opened = Path.open

    def refusing(self, *arguments, **more):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", refusing)
