"""Front and back of real scans in the networks' orientation; the lungs' sizes only tell left from right."""

import numpy as np
import pytest

from unet_segnet.scans import read_scan, to_network

# Exchanged, top and bottom: the same lungs on the same sides, front and back reversed.
EXCHANGED = {"upright": "upside-down", "upside-down": "upright"}


def spine_share(images, lungs):
    """Share of the slices whose midline is brighter along the lungs' high columns than along their low ones.

    The vertebrae stand at the back; in front are sternum, fat and heart, darker together in these pictures.
    """
    is_behind = []
    for image, lung in zip(images, lungs, strict=True):
        rows, columns = (np.flatnonzero(lung.any(axis=axis)) for axis in (1, 0))
        if lung.sum() < 3000:  # too little lung to say where its middle is
            continue
        middle, fifth = (rows[0] + rows[-1]) // 2, (columns[-1] + 1 - columns[0]) // 5
        midline = image[middle - 20 : middle + 21, columns[0] : columns[-1] + 1].astype(float)
        is_behind.append(midline[:, -fifth:].mean() > midline[:, :fifth].mean())
    return np.mean(is_behind)


@pytest.mark.parametrize(
    ("image", "lungs", "name"),
    [
        ("tr_im", "tr_lungmasks_updated", "upright"),
        *((f"rp_im/{number}", f"rp_lung_msk/{number}", "upside-down") for number in range(1, 10)),
    ],
)
def test_the_spine_of_ct20_stands_at_the_back(ct20_data, image, lungs, name):
    scan, mask = (read_scan(ct20_data / f"{file}.nii.gz") for file in (image, lungs))
    assert spine_share(to_network(scan, name).images, to_network(mask, name).images > 0) > 0.9
    wrong = EXCHANGED[name]
    assert spine_share(to_network(scan, wrong).images, to_network(mask, wrong).images > 0) < 0.1
