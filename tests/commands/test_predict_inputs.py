"""Which scans are found, what they are called, and which masks and labels belong to them."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from scan_files import dicom_slice, network_affine, save_dicom

from unet_segnet.commands.predict_inputs import MARKS, Item, find_items, partners
from unet_segnet.commands.predict_settings import settings
from unet_segnet.errors import InputError
from unet_segnet.scans import read_scan


def make(folder, *names):
    """NIfTI files that are found, not read."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / name)
    return folder


def names_of(*inputs):
    found = find_items(list(inputs), "auto", None)
    assert not found.problems
    return {item.name: item.path for item in found.items}


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


@pytest.mark.parametrize("lungs", ["auto", "none", "lungmask", "found/lungs.keras"])
def test_a_way_to_find_lungs_is_for_every_scan(tmp_path, lungs):
    make(tmp_path, "a.nii.gz", "b.nii.gz")
    found = find_items([tmp_path], lungs, None)
    assert [item.lungs for item in found.items] == [lungs, lungs] and not found.notes


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
    found = find_items(sorted(tmp_path.iterdir()), "auto", None)
    assert [item.name for item in found.items] == ["a", "b"]
    assert len(found.problems) == 2 and "empty: no scan" in found.problems[0]
    assert "participants.tsv: unknown kind" in found.problems[1]


def test_a_link_to_a_scan_that_is_not_there_is_told_when_it_is_read(tmp_path):
    """As git-annex leaves them where the content was not fetched."""
    make(tmp_path, "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    assert names_of(tmp_path) == {"a": tmp_path / "a.nii.gz", "b": tmp_path / "b.nii.gz"}
    with pytest.raises(InputError, match=r"b\.nii\.gz: no such file"):
        read_scan(tmp_path / "b.nii.gz")


def test_labels_deep_in_a_patients_folder(tmp_path):
    scans = make(tmp_path / "bids", "sub-01/ses-1/ct/sub-01_ct.nii.gz", "sub-02/ses-1/ct/sub-02_ct.nii.gz")
    masks = ["sub-01/ses-1/ct/sub-01_desc-lesion_mask.nii.gz", "sub-02/a/mask.nii.gz", "sub-02/b/mask.nii.gz"]
    truth = make(tmp_path / "manual", *masks)
    found = {item.name: item.truth for item in find_items([scans], "auto", truth).items}
    assert found == {"sub-01": truth / masks[0], "sub-02": truth / "sub-02"}  # of two nobody knows which


def test_a_link_back_to_the_folder_is_no_patient(tmp_path):
    make(tmp_path, "anna/ct.nii.gz", "ben/ct.nii.gz")
    for link in (tmp_path / "again", tmp_path / "anna" / "up"):
        link.symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "carl").symlink_to(make(tmp_path / ".kept", "ct.nii.gz"), target_is_directory=True)
    assert set(names_of(tmp_path)) == {"anna", "ben", "carl"}


def test_settings_know_the_values_beside_a_header(tmp_path):
    options = SimpleNamespace(
        tta=False,
        disagreement=False,
        series=None,
        network_sha256="0" * 64,
        orientation=None,
        classes=None,
        window=(-1250, 250),
        probabilities=False,
    )
    found = []
    for value in (0, 1):
        image = SimpleITK.GetImageFromArray(np.full((2, 4, 4), value, np.uint8))
        SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))
        found.append(settings(Item(tmp_path / "a.mhd", "a", lungs="auto"), options)["scan"])
    assert found[0]["sha256"] == found[1]["sha256"] and found[0] != found[1]


def test_masks_and_labels_are_found_by_the_scans_or_the_patients_name(tmp_path):
    scans = make(tmp_path / "scans", "anna/ct.nii.gz", "ben/ct.nii.gz", "carl/ct.nii.gz")
    lungs = make(tmp_path / "lungs", "anna.nii.gz", "ben.nii.gz")
    truth = make(tmp_path / "truth", "anna/lesions.nii.gz", "carl.nii")
    found = find_items([scans], str(lungs), truth)
    assert [(item.name, item.lungs, item.truth) for item in found.items] == [
        ("anna", lungs / "anna.nii.gz", truth / "anna" / "lesions.nii.gz"),
        ("ben", lungs / "ben.nii.gz", None),
    ]
    assert len(found.problems) == 1 and "there is no carl in" in found.problems[0]


def test_tables_beside_labels_are_no_labels_and_bad_labels_stop_no_scan(tmp_path):
    make(tmp_path, "scans/p1.nii.gz", "scans/p2.nii.gz", "truth/p1.nii.gz", "truth/p2.nii.gz", "truth/p2.nii")
    (tmp_path / "truth" / "p1.json").write_text("{}")
    found = find_items([tmp_path / "scans"], "none", tmp_path / "truth")
    assert {item.name: item.truth for item in found.items} == {"p1": tmp_path / "truth/p1.nii.gz", "p2": None}
    assert not found.problems and list(found.unscored) == ["p2"]
    assert "several files are called p2" in found.unscored["p2"]


def test_labels_are_found_by_the_whole_name(tmp_path):
    make(tmp_path, "1.3.6.111.nii.gz", "1.3.6.999.nii.gz", "b.nii.gz", "b.nii")
    items = [Item(Path(f"s/{name}.nii"), name) for name in ("1.3.6.999", "1.3.6.222", "b")]
    found = partners(tmp_path, items, "labels")
    assert found["1.3.6.999"] == tmp_path / "1.3.6.999.nii.gz" and "1.3.6.222" not in found
    assert isinstance(found["b"], InputError) and "several files are called b" in str(found["b"])


def test_no_scan_gets_the_mask_or_labels_of_another(tmp_path):
    scans = make(tmp_path / "scans", "p01.nii.gz", "p01_followup.nii.gz")
    masks = make(tmp_path / "masks", "p01.nii.gz")
    found = find_items([scans], "auto", masks)
    assert {item.name: item.truth for item in found.items} == {"p01": masks / "p01.nii.gz", "p01_followup": None}
    found = find_items([scans], str(masks), None)
    assert [(item.name, item.lungs) for item in found.items] == [("p01", masks / "p01.nii.gz")]
    assert len(found.problems) == 1 and "there is no p01_followup in" in found.problems[0]


def test_a_folder_of_several_scans_labels_is_looked_into(tmp_path):
    scans = make(tmp_path / "scans", *(f"{name}/ct.nii.gz" for name in ("siteA/p1", "siteA/p2", "siteB/p1")))
    truth = make(tmp_path / "truth", "siteA/p1.nii.gz", "siteB/p1.nii.gz")
    found = partners(truth, find_items([scans], "auto", None).items, "labels")
    for name, path in (("siteA-p1-ct", "siteA/p1.nii.gz"), ("siteB", "siteB/p1.nii.gz")):
        assert found[name] == truth / path
    assert "siteA: could belong to 2 scans; expected one for each, such as siteA-p2-ct" in str(found["siteA-p2-ct"])
    for folder, name in (("one", "ct.nii.gz"), ("two", "ct/siteB.nii.gz")):  # the latter holds scans
        truth = make(tmp_path / folder, name)
        found = partners(truth, find_items([scans], "auto", None).items, "labels")
        assert len(found) == 3 and all("could belong to 3 scans" in str(problem) for problem in found.values())


@pytest.mark.parametrize(
    ("scans", "truth", "pairs"),
    [
        ("imagesTr", "labelsTr", {"c_1_0000": "c_1", "c_2_0000": "c_2"}),  # nnU-Net
        ("studies", "masks", {"study_0001": "study_0001_mask", "study_0002": "study_0002_mask"}),  # MosMed
        ("ct", "inf", {"coronacases_org_001": "coronacases_001", "coronacases_org_002": "coronacases_002"}),  # Zenodo
        ("", "", {"anna/ct": "anna/seg", "ben/ct": "ben/seg"}),
        ("", "", {"imagesTr/c_1_0000": "labelsTr/c_1", "imagesTr/c_2_0000": "labelsTr/c_2"}),
        ("scans", "results", {"anna/ct": "anna/labels", "ben/ct": "ben/labels"}),  # of this command
    ],
)
def test_labels_of_the_layouts_of_others(tmp_path, scans, truth, pairs):
    make(tmp_path / scans, *(f"{name}.nii.gz" for name in pairs))
    make(tmp_path / truth, *(f"{name}.nii.gz" for name in pairs.values()))
    if truth == "results":
        make(tmp_path / truth, *(f"{who}/probabilities.nii.gz" for who in ("anna", "ben")))
    found = find_items([tmp_path / scans], "auto", tmp_path / truth)
    if truth == "labelsTr":
        assert [item.name for item in found.items] == ["c_1", "c_2"]
    assert {item.path: item.truth for item in found.items} == {
        tmp_path / scans / f"{name}.nii.gz": tmp_path / truth / f"{other}.nii.gz" for name, other in pairs.items()
    }


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (("anna/labels", "anna/lungs"), ("anna/labels.nii.gz", "anna/lungs.nii.gz")),
        (("anna/lesions", "anna/lung_mask"), ("anna/lesions.nii.gz", "anna/lung_mask.nii.gz")),
        (("anna_infection", "anna_lung"), (None, "anna_lung.nii.gz")),  # the other may be a CT's kernel
        (("anna/lung_mask",), ("a lung mask by its name", "anna/lung_mask.nii.gz")),
        (("anna/lesions",), ("anna/lesions.nii.gz", "labels of lesions by its name")),
        (("anna/mask",), ("anna/mask.nii.gz", "anna/mask.nii.gz")),
    ],
)
def test_labels_are_no_lungs_and_lungs_no_labels(tmp_path, masks, expected):
    make(tmp_path, "scans/anna.nii.gz", *(f"masks/{name}.nii.gz" for name in masks))
    items = find_items([tmp_path / "scans"], "auto", None).items
    for kind, meant in zip(("labels", "lungs"), expected, strict=True):
        found = partners(tmp_path / "masks", items, kind).get("anna")
        if isinstance(found, InputError):
            assert meant in str(found)
        else:
            assert found == (meant and tmp_path / "masks" / meant)


def test_lungs_are_taken_from_results_of_this_command_and_its_labels_never(tmp_path):
    make(tmp_path, *(f"{folder}.nii.gz" for folder in ("scans/a", "scans/b", "seg/a/labels", "seg/b/labels")))
    results = make(tmp_path, "seg/a/lungs.nii.gz") / "seg"
    for who, mark in itertools.product("ab", MARKS):
        (results / who / mark).write_text("{}")
    found = find_items([tmp_path / "scans"], str(results), None)
    assert [(item.name, item.lungs) for item in found.items] == [("a", results / "a" / "lungs.nii.gz")]
    (problem,) = found.problems
    assert "results of this command without lungs.nii.gz" in problem


def test_a_scan_without_a_lung_mask_in_a_folder_of_patients_gets_nothing_else(tmp_path):
    make(tmp_path, "p1/ct.nii.gz", "p1/labels.nii.gz", "p1/lungs.nii.gz", "p2/ct.nii.gz", "p2/labels.nii.gz")
    found = find_items([tmp_path], str(tmp_path), None)
    assert [(item.name, item.lungs) for item in found.items] == [("p1", tmp_path / "p1" / "lungs.nii.gz")]
    assert len(found.problems) == 1 and "there is no p2 in" in found.problems[0]


def test_masks_beside_scans_are_left_out_and_told(tmp_path):
    make(tmp_path, "anna/ct.nii.gz", "anna/seg.nii.gz", "ben/ct.nii.gz", "ben/lung_mask.nii.gz")
    found = find_items([tmp_path], "auto", None)
    assert [(item.name, item.path.name) for item in found.items] == [("anna", "ct.nii.gz"), ("ben", "ct.nii.gz")]
    (note,) = found.notes
    assert "2 taken for labels or lung masks by their names" in note
    assert f"{tmp_path / 'anna' / 'seg.nii.gz'}, {tmp_path / 'ben' / 'lung_mask.nii.gz'}" in note
    (note,) = find_items([tmp_path], "auto", tmp_path).notes
    assert "1 taken for" in note and "lung_mask" in note


def test_scans_beside_the_folders_of_a_layout_are_told(tmp_path):
    data = make(tmp_path / "data", "images/a.nii.gz", "b.nii.gz", "p3/ct.nii.gz", "p3/seg.nii.gz", "scans/c.nii.gz")
    make(data, "labels/a.nii.gz", "lungs/a.nii.gz", "Lung_and_Infection_Mask/a.nii.gz", "imagesTs/d.nii.gz")
    found = find_items([data], "auto", None)
    assert [item.name for item in found.items] == ["a", "d"]
    (note,) = found.notes
    assert note.startswith("3 left out, of which a data set's layout makes no cases ")
    assert f"{data / 'b.nii.gz'}, {data / 'p3' / 'ct.nii.gz'}, {data / 'scans' / 'c.nii.gz'}; to segment" in note
    assert "1 left out" in find_items([data, data / "p3", data / "scans"], "auto", None).notes[-1]
    make(tmp_path / "one", "ct/a.nii.gz", "seg/a.nii.gz", "anna/ct.nii.gz")
    (note,) = find_items([tmp_path / "one"], "auto", None).notes
    assert "1 left out" in note and str(tmp_path / "one" / "anna") in note


def test_what_shares_a_name_or_is_a_further_channel_is_told(tmp_path):
    images = ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii", "b_0000.nii.gz")
    data = make(tmp_path, *(f"imagesTr/{name}" for name in images), "labelsTr/a.nii.gz", "labelsTr/b.nii.gz")
    found = find_items([data], "auto", None)
    assert [(item.name, item.path.name) for item in found.items] == [("a", "a_0000.nii.gz"), ("b", "b_0000.nii")]
    (note,) = found.notes
    left = [data / "imagesTr" / name for name in ("b_0000.nii.gz", "a_0001.nii.gz")]
    assert note.startswith("2 left out") and f"{left[0]}, {left[1]}; to segment" in note


@pytest.mark.parametrize("out", ["segmented", "seg", ""])
def test_results_among_the_scans_change_no_name(tmp_path, out):
    """So that the same command goes on with what is left, also where it was stopped in the first scan."""
    (tmp_path / "series").mkdir()
    save_dicom(tmp_path / "series" / "IMG", np.zeros((3, 4, 4)), network_affine())
    make(tmp_path, "one/p1/ct.nii.gz", "two/only/a/ct.nii.gz", "two/only/b/ct.nii.gz", "kind/ct/a.nii.gz")
    for folder, names in (("series", ["series"]), ("one", ["ct"]), ("two", ["a", "b"]), ("kind", ["a"])):
        given, to = tmp_path / folder, tmp_path / folder / out
        (to / f".{names[0]}.new").mkdir(parents=True, exist_ok=True)
        for done in ([], names):
            for name in done:
                make(to / name, "labels.nii.gz", "lungs.nii.gz")
                pydicom.dcmwrite(to / name / "labels.dcm", segmentation())
                for mark in MARKS:
                    (to / name / mark).write_text("{}")
            found = find_items([given], "auto", None, to)
            assert [item.name for item in found.items] == names and not found.problems and not found.notes


def segmentation():
    """A file of DICOM that is no slice, as is written beside the labels of a series."""
    dataset = dicom_slice(np.zeros((4, 4)), network_affine(), 0, series="1.2.9")
    dataset.Modality = "SEG"
    return dataset


@pytest.mark.parametrize("kernel", ["LUNG", "LUNG 1.25", "LUNG/1.2.3"])
def test_a_ct_called_by_its_kernel_is_a_scan(tmp_path, kernel):
    """LUNG is GE's."""
    for number, name in enumerate((f"p1/{kernel}", "p2/CHEST")):
        in_study(tmp_path / name, np.zeros((3, 4, 4)), f"1.2.{number}", f"1.2.{number}")
    assert list(names_of(tmp_path)) == ["p1", "p2"]


@pytest.mark.parametrize(("name", "modality"), [("LUNG", "SEG"), ("lung_mask", "CT"), ("lungmask", "CT")])
def test_lungs_as_dicom_are_no_scan(tmp_path, name, modality):
    in_study(tmp_path / "p1" / name, np.zeros((3, 4, 4)), "1.2.1", "1.2.1", modality)
    for number in (2, 3):
        in_study(tmp_path / f"p{number}" / "CHEST", np.zeros((3, 4, 4)), f"1.2.{number}", f"1.2.{number}")
    found = find_items([tmp_path], "auto", None)
    assert [item.name for item in found.items] == ["p2", "p3"]
    assert f"1 taken for labels or lung masks by their names, and left out: {tmp_path / 'p1' / name}" in found.notes[0]


def test_one_mask_for_several_scans_is_noted(tmp_path):
    make(tmp_path, "a.nii.gz", "b.nii.gz", "truth.nii.gz")
    found = find_items([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], "auto", tmp_path / "truth.nii.gz")
    assert {item.truth for item in found.items} == {tmp_path / "truth.nii.gz"}
    assert "one file of true labels for 2 scans" in found.notes[0]


def in_study(folder, images, series, study, modality="CT"):
    """A series that tells its study."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_dicom(folder, images, network_affine(), series=series)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID, dataset.Modality = study, modality
        dataset.save_as(file)


def test_studies_in_trees_of_folders_are_one_scan_each(tmp_path):
    """Two patients with two series each; one patient's disc is one scan whatever its folders are called."""
    for patient, study in (("anna", "1.2.7"), ("ben", "1.2.8")):
        for number in (1, 2):
            folder = tmp_path / patient / "STUDY" / f"SER{number}"
            in_study(folder, np.zeros((3, 4, 4)), f"{study}.{number}", study)
    assert names_of(tmp_path) == {name: tmp_path / name / "STUDY" for name in ("anna", "ben")}
    assert names_of(tmp_path / "anna") == {"anna": tmp_path / "anna"}


def test_scans_of_one_number_by_mistake_stay_apart_and_a_divided_series_together(tmp_path):
    for name in ("anna", "ben"):
        in_study(tmp_path / "same" / name, np.zeros((3, 4, 4)), "1.2.7.1", "1.2.7")
    assert names_of(tmp_path / "same") == {name: tmp_path / "same" / name for name in ("anna", "ben")}
    in_study(tmp_path / "divided" / "DIR1", np.zeros((6, 4, 4)), "1.2.7.1", "1.2.7")
    (tmp_path / "divided" / "DIR2").mkdir()
    for file in sorted((tmp_path / "divided" / "DIR1").iterdir())[:3]:
        file.rename(tmp_path / "divided" / "DIR2" / file.name)
    assert names_of(tmp_path / "divided") == {"divided": tmp_path / "divided"}
