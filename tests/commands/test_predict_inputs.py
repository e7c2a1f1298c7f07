"""Which scans are found, what they are called, and which masks and labels belong to them."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scan_files import network_affine, save_dicom

from unet_segnet.commands.predict_inputs import Item, find_items, partner
from unet_segnet.errors import InputError


def make(folder, *names):
    """NIfTI files that are found, not read."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / name)
    return folder


def names_of(*inputs):
    items, problems = find_items(list(inputs), "auto", None)
    assert not problems
    return {item.name: item.path for item in items}


def test_scans_in_folders_of_patients_are_called_as_the_patients(tmp_path):
    make(tmp_path, "anna/ct.nii.gz", "ben/ct.nii.gz", "carl/before/ct.nii", "carl/after/ct.nii")
    assert names_of(tmp_path) == {
        "anna": tmp_path / "anna/ct.nii.gz",
        "ben": tmp_path / "ben/ct.nii.gz",
        "carl-before-ct": tmp_path / "carl/before/ct.nii",
        "carl-after-ct": tmp_path / "carl/after/ct.nii",
    }
    one_by_one = names_of(*sorted(tmp_path.glob("[ab]*/ct.nii.gz")))
    assert one_by_one == {name: tmp_path / name / "ct.nii.gz" for name in ("anna", "ben")}
    assert list(names_of(tmp_path / "anna/ct.nii.gz")) == ["ct"]
    assert list(names_of(tmp_path / "anna", tmp_path / "ben")) == ["anna", "ben"]


def test_two_scans_never_have_one_name(tmp_path):
    make(tmp_path, "a/p/ct.nii.gz", "b/p/ct.nii.gz")
    with pytest.raises(InputError, match="2 inputs are called p-ct: segment them with different --out folders"):
        names_of(*sorted(tmp_path.glob("*/p/ct.nii.gz")))


def test_the_series_of_a_tree_is_found(tmp_path):
    (tmp_path / "DICOM" / "PAT0").mkdir(parents=True)
    save_dicom(tmp_path / "DICOM" / "PAT0" / "SER0", np.zeros((3, 4, 4)), network_affine())
    (found,) = names_of(tmp_path).values()
    assert found in (tmp_path, *(tmp_path / part for part in ("DICOM", "DICOM/PAT0", "DICOM/PAT0/SER0")))


def test_bad_inputs_among_good_ones_are_told(tmp_path):
    make(tmp_path, "a.nii.gz", "b.nii.gz")
    (tmp_path / "participants.tsv").write_text("id\n")
    (tmp_path / "empty").mkdir()
    items, problems = find_items(sorted(tmp_path.iterdir()), "auto", None)
    assert [item.name for item in items] == ["a", "b"]
    assert len(problems) == 2 and "empty: no scan" in problems[0] and "participants.tsv: unknown kind" in problems[1]


def test_masks_and_labels_are_found_by_the_scans_or_the_patients_name(tmp_path):
    scans = make(tmp_path / "scans", "anna/ct.nii.gz", "ben/ct.nii.gz", "carl/ct.nii.gz")
    lungs = make(tmp_path / "lungs", "anna.nii.gz", "ben.nii.gz")
    truth = make(tmp_path / "truth", "anna/lesions.nii.gz", "carl.nii")
    items, problems = find_items([scans], str(lungs), truth)
    assert [(item.name, item.lungs, item.truth) for item in items] == [
        ("anna", lungs / "anna.nii.gz", truth / "anna"),
        ("ben", lungs / "ben.nii.gz", None),
    ]
    assert len(problems) == 1 and "there is no carl in" in problems[0]


def test_labels_are_found_by_the_whole_name(tmp_path):
    for name in ("1.3.6.111.nii.gz", "1.3.6.999.nii.gz", "b.png"):
        (tmp_path / name).touch()
    assert partner(tmp_path, Item(Path("s/1.3.6.999.nii"), "1.3.6.999")) == tmp_path / "1.3.6.999.nii.gz"
    assert partner(tmp_path, Item(Path("s/1.3.6.222.nii.gz"), "1.3.6.222")) is None
    (tmp_path / "b.nii.gz").touch()
    with pytest.raises(InputError, match="several files are called b"):
        partner(tmp_path, Item(Path("s/b.nii.gz"), "b"))
