"""The notebook does what it says, with the project's own network on its phantom."""

import json
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[1] / "experiments" / "segment_a_scan.ipynb"


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
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
