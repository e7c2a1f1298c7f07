"""The notebook's cells on a picture. All of them run in `commands/test_wheel.py`, with nothing but the wheel."""

import json
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
from PIL import Image
from stand_ins import Bright

from unet_segnet.inference.segmentation import segment

NOTEBOOK = Path(__file__).parents[1] / "examples" / "segment_a_scan.ipynb"


def code_cells():
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_outputs_are_not_kept():
    assert not any(cell["outputs"] for cell in code_cells())


def test_a_picture_has_no_volume_and_its_own_grey_levels(tmp_path, capsys):
    picture = np.zeros((24, 32), np.uint8)
    picture[8:16, 8:20] = 50
    picture[8:12, 8:12] = 150
    Image.fromarray(picture).save(tmp_path / "slice.png")
    matplotlib.use("Agg")
    names = {"result": segment(tmp_path / "slice.png", Bright(32)), "folder": tmp_path}
    for cell in code_cells()[2:5]:  # pictures, severity, labels
        exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert "unknown ml" in printed and "0.0 ml" not in printed
    grey, marked = (image.get_array() for image in names["plt"].gcf().axes[0].images)
    assert np.unique(grey).tolist() == [0, 50, 150]
    np.testing.assert_array_equal(marked.T.filled(0) == 3, picture == 150)  # shown upright
    names["plt"].close("all")
    labels = np.asarray(nibabel.load(tmp_path / "labels.nii.gz").dataobj)
    np.testing.assert_array_equal(labels[..., 0], picture == 150)
