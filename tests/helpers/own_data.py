"""Small labelled scans on disk, for the tests of own data."""

import nibabel
import numpy as np
from PIL import Image

AFFINE = np.diag([-5.0, -5.0, 8.0, 1.0])  # rows to the patient's left, columns to the back: as the networks know it


def drawn(num_slices=3, size=32, seed=0, lesion=2, extent=4):
    """(images, labels, lungs) of shape (num_slices, size, size): HU, two lungs, a bright lesion on all but the last.

    `extent` is the lesion's side at a size of 32.
    """
    generator = np.random.default_rng(seed)
    images = np.full((num_slices, size, size), 40.0)
    lungs = np.zeros(images.shape, np.uint8)
    for top in (size // 8, size * 9 // 16):
        lungs[:, top : top + size * 5 // 16, size // 4 : size * 3 // 4] = 1
    images[lungs > 0] = -800
    labels = np.zeros(images.shape, np.uint8)
    for label in labels[: max(num_slices - 1, 1)]:
        top, left = generator.integers(size // 8, size * 5 // 16), generator.integers(size // 4, size // 2)
        label[top : top + extent * size // 32, left : left + extent * size // 32] = lesion
    images[labels > 0] = -200
    return images + generator.normal(0, 30, images.shape), labels * lungs, lungs


def write_nifti(path, array, affine=AFFINE):
    """Write (num_slices, height, width) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = np.int16 if array.dtype.kind == "f" else array.dtype
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(array, 0, 2).astype(kind), affine), path)


def write_volume(folder, name, **drawing):
    """One volume with labels and lungs in images/, labels/ and lungs/; returns the three arrays."""
    arrays = drawn(**drawing)
    for kind, array in zip(("images", "labels", "lungs"), arrays, strict=True):
        write_nifti(folder / kind / f"{name}.nii.gz", array)
    return arrays


def write_slice(folder, name, seed=0, size=32, value=255):
    """One PNG slice of lungs alone, 8 bit, with labels; returns image and label."""
    images, labels, lungs = drawn(2, size, seed, lesion=1)
    image = (np.clip((images[0] + 1100) / 6, 1, 255) * lungs[0]).astype(np.uint8)
    for kind, array in (("images", image), ("labels", labels[0] * np.uint8(value))):
        save_picture(folder / kind / f"{name}.png", array)
    return image, labels[0]


def save_picture(path, array):
    """(height, width) uint8 as PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_cohort(folder, num_patients=5, **drawing):
    """Volumes p1, p2, ... with one kind of lesion."""
    for number in range(1, num_patients + 1):
        write_volume(folder, f"p{number}", **{"seed": number, "lesion": 1, **drawing})
    return folder
