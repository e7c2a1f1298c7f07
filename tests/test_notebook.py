"""The notebook does what it says, with the project's own network on its phantom."""

import json
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import pytest
from PIL import Image
from stand_ins import Bright

from unet_segnet.inference.segmentation import segment

NOTEBOOK = Path(__file__).parents[1] / "examples" / "segment_a_scan.ipynb"


def code_cells():
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_a_picture_has_no_volume_and_its_own_grey_levels(tmp_path, monkeypatch, capsys):
    picture = np.zeros((24, 32), np.uint8)
    picture[8:16, 8:20] = 50
    picture[8:12, 8:12] = 150
    Image.fromarray(picture).save(tmp_path / "slice.png")
    matplotlib.use("Agg")
    names = {"result": segment(tmp_path / "slice.png", Bright(32)), "folder": tmp_path}
    for cell in code_cells()[2:]:
        exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert "unknown ml" in printed and "0.0 ml" not in printed
    assert np.unique(names["images"]).tolist() == [0, 50, 150]
    labels = np.asarray(nibabel.load(tmp_path / "labels.nii.gz").dataobj)
    np.testing.assert_array_equal(labels[..., 0], picture == 150)


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    cells = code_cells()
    assert not any(cell["outputs"] for cell in cells)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    names = {}
    for cell in cells:
        exec("".join(cell["source"]), names)
    scan, labels = nibabel.load(names["scan_path"]), nibabel.load("segmented/labels.nii.gz")
    assert labels.shape == scan.shape and np.array_equal(labels.affine, scan.affine)
    marked = np.asarray(labels.dataobj) > 0
    assert marked.sum() == names["result"].severity.involvement(region="whole scan").voxels
    assert Path("segmented/overview.png").stat().st_size > 10_000
