"""A small scan and a small network, for the tests of `predict`."""

import nibabel
import numpy as np
import pytest
from pixel_networks import save_pixel_network

AFFINE = np.array([[-0.7, 0.0, 0.1, 90.0], [0.0, 0.7, 0.0, -80.0], [0.05, 0.0, 5.0, -40.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A network that calls what is bright inside the lungs infected: a convolution with set weights."""
    return save_pixel_network(tmp_path_factory.mktemp("network") / "bright.keras", 0.1, 10)


@pytest.fixture(scope="session")
def phantom():
    """Eight slices of 64 x 64 in Hounsfield units, in the networks' orientation."""
    from unet_segnet.data.phantom import phantom_slices

    return phantom_slices(8, seed=2, size=64)


@pytest.fixture(scope="session")
def scan(phantom, tmp_path_factory):
    """The phantom as NIfTI: (left, posterior, superior) axes with a slightly oblique affine, its lungs and lesions."""
    folder = tmp_path_factory.mktemp("scan")
    images, lungs, lesions = phantom.images.astype(np.int16), phantom.lungs, phantom.labels > 0
    for name, values in (("chest", images), ("lungs", lungs.astype(np.uint8)), ("lesions", lesions.astype(np.uint8))):
        array = np.moveaxis(values, 0, 2)
        affine = AFFINE @ np.diag([1, -1, 1, 1])  # rows to the left, columns to the back
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    return folder
