"""Folders as nnU-Net, Decathlon, MosMed, Zenodo 3757476 and hospitals arrange them."""

import json
import shutil

import numpy as np
import pytest
import SimpleITK
from own_data import AFFINE, drawn, write_nifti, write_volume
from scan_files import save_dicom

from unet_segnet.cohort.cases import find_cases
from unet_segnet.cohort.layouts import masks_below, scans_below
from unet_segnet.cohort.load import load_cohort
from unet_segnet.commands import data as command
from unet_segnet.errors import InputError
from unet_segnet.scans.names import RESULTS, pair_names, role_of

IMAGE, LABELS, LUNGS = drawn(lesion=1)


def write(folder, *names):
    """A scan, labels or lungs under each of the names; which of them, the name tells."""
    for name in names:
        array = (
            LUNGS if "Lung" in name else LABELS if "seg" in name.lower() or "ask" in name or "abel" in name else IMAGE
        )
        write_nifti(folder / f"{name}.nii.gz", IMAGE if "CT-Seg" in name or "ct_" in name else array)
    return folder


def found(folder):
    """The name of each case with its files, relative to the folder."""
    cases = find_cases(folder)
    assert not cases.problems
    return cases.layout, {
        case.name: [str(path.relative_to(folder)) for path in (case.image, case.labels, case.lungs) if path]
        for case in cases.cases
    }


def call(*arguments):
    return command.data(command.build_parser().parse_args(list(map(str, arguments))))


def test_nnunet(tmp_path):
    write(tmp_path, "imagesTr/a_0000", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b", "imagesTs/c_0000", "labelsTs/c")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "GGO": 1}}))
    (tmp_path / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"macOS")
    layout, cases = found(tmp_path)
    assert layout == "nnU-Net (imagesTr/, labelsTr/)"
    assert cases["a"] == ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"] and len(cases) == 3
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.class_names == ("background", "GGO")
    assert set(cohort.parts) == {"", "test"} and cohort.parts[cohort.cases.index("c")] == "test"
    assert "layout: nnU-Net (imagesTr/, labelsTr/)" in cohort.notes
    shutil.rmtree(tmp_path / "labelsTs")
    assert len(find_cases(tmp_path).cases) == 2 and "imagesTs: 1 scans without labels" in find_cases(tmp_path).notes[0]
    write(tmp_path, "imagesTr/a_0001")
    assert "further channels (a_0001)" in find_cases(tmp_path).problems[0]


def test_decathlon(tmp_path):
    write(tmp_path, "imagesTr/lung_001", "imagesTr/lung_002", "labelsTr/lung_001", "labelsTr/lung_002")
    assert found(tmp_path)[0] == "Decathlon (imagesTr/, labelsTr/)" and len(found(tmp_path)[1]) == 2
    listed = [{"image": f"./data/x{n}.nii.gz", "label": f"./truth/y{n}.nii.gz"} for n in (1, 2)]
    write(tmp_path / "b", "data/x1", "data/x2")
    for number in (1, 2):
        write_nifti(tmp_path / "b" / "truth" / f"y{number}.nii.gz", LABELS)
    (tmp_path / "b" / "dataset.json").write_text(
        json.dumps({"training": listed, "labels": {"0": "healthy", "1": "GGO"}})
    )
    layout, cases = found(tmp_path / "b")
    assert layout == "Decathlon (dataset.json)" and cases["x2"] == ["data/x2.nii.gz", "truth/y2.nii.gz"]
    assert load_cohort(tmp_path / "b", size=32).slices.class_names == ("healthy", "GGO")


@pytest.mark.parametrize("images", ["studies/CT-1", "images"])
def test_mosmed(tmp_path, images):
    masks = "masks" if images != "images" else "labels"
    write(tmp_path, *(f"{images}/study_000{n}" for n in range(3)), *(f"{masks}/study_000{n}_mask" for n in range(2)))
    layout, cases = found(tmp_path)
    assert layout.startswith("MosMed")
    assert cases["study_0000"] == [f"{images}/study_0000.nii.gz", f"{masks}/study_0000_mask.nii.gz"]
    assert cases["study_0002"] == [f"{images}/study_0002.nii.gz"]
    assert "study_0000_mask belongs to study_0000, and 1 more" in find_cases(tmp_path).notes[0]


def test_one_study_of_a_degree_in_mosmed_is_called_as_it_is(tmp_path):
    write(tmp_path, "studies/CT-1/study_0255", "studies/CT-4/study_1109", "masks/study_1109_mask")
    _, cases = found(tmp_path)
    assert cases == {
        "study_0255": ["studies/CT-1/study_0255.nii.gz"],
        "study_1109": ["studies/CT-4/study_1109.nii.gz", "masks/study_1109_mask.nii.gz"],
    }
    write(tmp_path / "other", "images/CT-1/chest", "labels/CT-1/mask")  # a folder for each scan
    assert found(tmp_path / "other")[1] == {"CT-1": ["images/CT-1", "labels/CT-1"]}


def test_values_beside_a_header_and_files_of_systems_are_no_scans(tmp_path):
    for kind, array in (("images", IMAGE), ("labels", LABELS)):
        (tmp_path / kind).mkdir()
        image = SimpleITK.GetImageFromArray(array.T)
        SimpleITK.WriteImage(image, tmp_path / kind / "a.mhd", useCompression=kind == "labels")
        SimpleITK.WriteImage(image, tmp_path / kind / "b.nhdr")
        (tmp_path / kind / "Thumbs.db").write_bytes(b"Windows")
    _, cases = found(tmp_path)
    assert cases == {"a": ["images/a.mhd", "labels/a.mhd"], "b": ["images/b.nhdr", "labels/b.nhdr"]}
    (tmp_path / "labels" / "a.raw").write_bytes(b"whose?")
    (tmp_path / "labels" / "notes.txt").write_text("of nobody")
    problems = find_cases(tmp_path).problems
    assert len(problems) == 2 and "a.raw: unknown kind" in problems[0] and "notes.txt: unknown kind" in problems[1]


def test_zenodo(tmp_path):
    images = ("coronacases_org_001", "coronacases_org_010", "radiopaedia_org_covid-19-pneumonia-10_85506_0-dcm")
    masks = ("coronacases_001", "coronacases_010", "radiopaedia_10_85506_0")
    write(tmp_path, *(f"COVID-19-CT-Seg_20cases/{name}" for name in images))
    write(
        tmp_path,
        *(f"{of}/{name}" for of in ("Infection_Mask", "Lung_Mask", "Lung_and_Infection_Mask") for name in masks),
    )
    layout, cases = found(tmp_path)
    assert layout == "Zenodo 3757476 (COVID-19-CT-Seg_20cases/, Infection_Mask/, Lung_Mask/)"
    for image, mask in zip(images, masks, strict=True):
        assert cases[image][1:] == [f"Infection_Mask/{mask}.nii.gz", f"Lung_Mask/{mask}.nii.gz"]
    np.testing.assert_array_equal(load_cohort(tmp_path, size=32).slices.labels[:3], LABELS)
    assert [path.name for path, _ in scans_below(tmp_path)] == [f"{name}.nii.gz" for name in images]


def test_outermost_folders_of_trees_are_said_to_be_the_patients(tmp_path, capsys):
    write(
        tmp_path, *(f"{visit}/{name}/{kind}" for visit in ("first", "later") for name in "pq" for kind in ("ct", "seg"))
    )
    assert set(load_cohort(tmp_path, size=32).patients) == {"first", "later"}
    assert call("check", tmp_path) in (0, 1)
    assert "patients: the outermost folders, first, later, each with all scans in it" in capsys.readouterr().out


def test_a_folder_for_each_patient(tmp_path):
    write(tmp_path, "anna/ct", "anna/seg", "ben/ct", "ben/seg", "ben/Lung_mask", "cleo/CT/image", "cleo/Masks/mask")
    write(tmp_path, "dora/ct")
    (tmp_path / "anna" / "report.txt").write_text("a note")
    layout, cases = found(tmp_path)
    assert layout == "a folder for each patient" and list(cases) == ["anna", "ben", "cleo", "dora"]
    assert cases["ben"] == ["ben/ct.nii.gz", "ben/seg.nii.gz", "ben/Lung_mask.nii.gz"]
    assert cases["cleo"] == ["cleo/CT/image.nii.gz", "cleo/Masks/mask.nii.gz"] and len(cases["dora"]) == 1
    cohort = load_cohort(tmp_path, size=32)
    assert set(cohort.patients) == {"anna", "ben", "cleo"}
    assert [(path.name, below) for path, below in scans_below(tmp_path)] == [
        *(("ct.nii.gz", ("anna",)), ("ct.nii.gz", ("ben",)), ("image.nii.gz", ("cleo",)), ("ct.nii.gz", ("dora",)))
    ]


def test_several_studies_of_a_patient_stay_together(tmp_path):
    write(
        tmp_path, *(f"{who}/{when}/{what}" for who in ("p1", "p2") for when in ("jan", "may") for what in ("ct", "seg"))
    )
    cohort = load_cohort(tmp_path, size=32)
    assert set(cohort.cases) == {"p1-jan", "p1-may", "p2-jan", "p2-may"} and set(cohort.patients) == {"p1", "p2"}


def test_no_two_cases_have_one_name(tmp_path):
    images = ("a/b-c", "a/x", "a/b/c", "a/b/d", "x/ct", "z/x", "z/y")
    write(tmp_path / "tree", *images, *(f"{name}_seg" if name != "x/ct" else "x/seg" for name in images))
    assert list(found(tmp_path / "tree")[1]) == ["a-b-c", "a-x", "a-b-c-2", "a-b-d", "x", "z-x", "z-y"]
    assert len(set(load_cohort(tmp_path / "tree", size=32).cases)) == 7
    for part in ("Tr", "Ts"):
        write(tmp_path / "nnunet", f"images{part}/a_0000", f"labels{part}/a")
    write(tmp_path / "nnunet", "imagesTr/imagesTs-a_0000", "labelsTr/imagesTs-a")
    assert list(found(tmp_path / "nnunet")[1]) == ["a", "imagesTs-a", "imagesTs-a-2"]


def test_scans_and_labels_in_one_folder(tmp_path):
    write(tmp_path, "a_ct", "a_seg", "b_ct", "b_seg")
    assert found(tmp_path) == ("scans and labels in one folder", {
        "a_ct": ["a_ct.nii.gz", "a_seg.nii.gz"], "b_ct": ["b_ct.nii.gz", "b_seg.nii.gz"]
    })  # fmt: skip


def test_two_files_of_one_name_are_a_problem(tmp_path):
    write(tmp_path, "p1_CT", "p1_seg", "p2_CT", "p2_seg")
    shutil.copy(tmp_path / "p1_CT.nii.gz", tmp_path / "p1_CT.mha")
    (problem,) = find_cases(tmp_path).problems
    assert problem == f"{tmp_path / 'p1_CT.nii.gz'}: p1_CT.mha has the same name; expected one of them"


def test_names_as_challenges_have_them(tmp_path):
    """COVID-19-20 and LiTS: all in one folder, which an archive has packed into another."""
    for number in (3, 11):
        name = f"volume-covid19-A-{number:04}"
        write(tmp_path / "covid" / "Train", f"{name}_ct", f"{name}_seg")
        write(tmp_path / "lits", f"volume-{number}", f"segmentation-{number}")
    layout, cases = found(tmp_path / "covid")
    assert layout == "scans and labels in one folder"
    assert cases["volume-covid19-A-0011_ct"] == [f"Train/volume-covid19-A-0011_{what}.nii.gz" for what in ("ct", "seg")]
    assert found(tmp_path / "lits")[1]["volume-3"] == ["volume-3.nii.gz", "segmentation-3.nii.gz"]


def test_a_data_set_in_the_folder_of_its_archive(tmp_path):
    write(tmp_path / "Dataset001_Covid", "imagesTr/a_0000", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b")
    (tmp_path / "Dataset001_Covid" / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "GGO": 1}}))
    assert found(tmp_path)[1]["a"] == [f"Dataset001_Covid/{of}.nii.gz" for of in ("imagesTr/a_0000", "labelsTr/a")]
    assert load_cohort(tmp_path, size=32).slices.class_names == ("background", "GGO")


def test_two_masks_that_could_both_be_meant_are_a_problem(tmp_path):
    write(tmp_path, "anna/ct", "anna/seg_one", "anna/seg_two", "ben/ct", "ben/seg")
    (problem,) = find_cases(tmp_path).problems
    assert "anna: seg_one.nii.gz and seg_two.nii.gz could all be masks of ct.nii.gz" in problem


def test_dicom_folders_with_labels_beside(tmp_path):
    for folder in ("beside", "alike"):
        for who in ("anna", "ben"):
            series = tmp_path / folder / who if folder == "alike" else tmp_path / folder / who / "dicom"
            series.parent.mkdir(parents=True, exist_ok=True)
            save_dicom(series, IMAGE, AFFINE)
            mask = tmp_path / folder / (f"{who}_seg.nii.gz" if folder == "alike" else f"{who}/seg.nii.gz")
            write_nifti(mask, LABELS)
    assert found(tmp_path / "beside")[1] == {who: [f"{who}/dicom", f"{who}/seg.nii.gz"] for who in ("anna", "ben")}
    np.testing.assert_array_equal(load_cohort(tmp_path / "beside", size=32).slices.labels[:3], LABELS)
    assert found(tmp_path / "alike")[1] == {who: [who, f"{who}_seg.nii.gz"] for who in ("anna", "ben")}


def test_dicom_trees_with_labels_in_them(tmp_path):
    """A study of two series, the slices beside the labels, and a patient without labels."""
    for who in ("anna", "ben", "cleo"):
        study = tmp_path / who if who == "ben" else tmp_path / who / "study"
        study.mkdir(parents=True)
        save_dicom(study / "axial", IMAGE, AFFINE, series=f"1.2.{len(who)}.1")
        save_dicom(study / "scout", IMAGE[:1], AFFINE, series=f"1.2.{len(who)}.2")
    for path in list((tmp_path / "ben").glob("*/*.dcm")):
        path.rename(tmp_path / "ben" / f"{path.parent.name}-{path.name}")
    for who in ("anna", "ben"):
        write_nifti(tmp_path / who / "seg.nii.gz", LABELS)
    cohort = load_cohort(tmp_path, size=32)
    assert set(cohort.cases) == {"anna", "ben"}
    np.testing.assert_array_equal(cohort.slices.labels, np.concatenate([LABELS, LABELS]))
    assert [path for path, _ in scans_below(tmp_path)] == [
        *(tmp_path / "anna" / "study", tmp_path / "ben", tmp_path / "cleo" / "study")
    ]


@pytest.mark.parametrize(
    ("images", "others", "pairs"),
    [
        (["1", "2"], ["2", "1"], {"1": "1", "2": "2"}),
        (["case_1_0000", "case_2_0000"], ["case_1", "case_2"], {"case_1_0000": "case_1", "case_2_0000": "case_2"}),
        (["c_0000_0000", "c_1_0000"], ["c_0000_seg", "c_1_seg"], {"c_0000_0000": "c_0000_seg", "c_1_0000": "c_1_seg"}),
        (["volume-0"], ["segmentation-0"], {"volume-0": "segmentation-0"}),
        (["ct1", "ct11"], ["mask11", "mask1"], {"ct1": "mask1", "ct11": "mask11"}),
        (["abc_1", "abc_2"], ["xyz_1", "xyz_2"], {"abc_1": "xyz_1", "abc_2": "xyz_2"}),
        (["ct"], ["seg"], {"ct": "seg"}),
        # What might be another's belongs to none.
        (["scan_1"], ["scan_1_2"], {}),
        (["a_1", "b_1"], ["mask_1"], {}),
        (["anna"], ["ben"], {}),
        (["p1_t1", "p2_t1", "p3_t1"], ["p2_t2", "p3_t2"], {}),
        (["pat1_1", "pat2_1"], ["pat1_2", "pat2_2"], {}),
        (["p_a_a", "p_b_a"], ["p_a_b", "p_b_b"], {}),
        (["scan_1_1"], ["mask_1"], {}),
        (["b_0000", "b_ct"], ["b"], {"b_0000": "b"}),
        # Names of any alphabet, also with accents as macOS stores them.
        (["Иванов", "Петров"], ["Петров_mask", "иванов_mask"], {"Иванов": "иванов_mask", "Петров": "Петров_mask"}),
        (["Zo\u00eb_ct"], ["Zoe\u0308_seg"], {"Zo\u00eb_ct": "Zoe\u0308_seg"}),
        (["Müller"], ["Möller"], {}),
        (["张三"], ["李四"], {}),
        (["Müller_1"], ["Möller_1"], {}),
        (["रीमा_ct"], ["रोमा_seg"], {}),
    ],
)  # fmt: skip
def test_names_that_belong_together(images, others, pairs):
    assert pair_names(images, others) == pairs


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("seg", "labels"), ("anna_lesion_mask", "labels"), ("lung_infection_mask", "labels"), ("lung_mask", "lungs"),
        ("left_lung", "lungs"), ("ct", "images"), ("anna", None), ("study_0001", None), ("covid_lung_001", None),
    ],
)  # fmt: skip
def test_what_a_name_says(name, role):
    assert role_of(name) == role


def test_results_of_predict_are_no_cases(tmp_path):
    write(tmp_path, "anna/ct", "anna/seg", "ben/ct", "ben/seg", "segmented/anna/labels", "segmented/anna/probabilities")
    for name in RESULTS:
        (tmp_path / "segmented" / "anna" / name).write_text("{}")
    assert list(found(tmp_path)[1]) == ["anna", "ben"]


def test_scans_beside_the_folders_of_a_layout_are_noted(tmp_path):
    write(tmp_path, "images/a", "labels/a", "lungs/a", "Lung_Mask/a", "b", "p3/ct", "p3/seg", "scans/c")
    found = find_cases(tmp_path)
    assert [case.name for case in found.cases] == ["a"] and not found.problems
    assert found.notes == (
        "3 scans beside the folders of the layout, left alone: b.nii.gz, p3/ct.nii.gz, scans/c.nii.gz",
    )


def test_labels_of_another_visit_are_problems(tmp_path):
    write(tmp_path, "images/p1_t1", "images/p2_t1", "images/p3_t1", "labels/p2_t2", "labels/p3_t2")
    found = find_cases(tmp_path)
    assert len(found.cases) == 3 and not any(case.labels for case in found.cases)
    assert ["there is no p2_t2 in images/" in found.problems[0], len(found.problems)] == [True, 2]


def test_check_says_the_layout_and_manifest_lists_it(tmp_path, capsys):
    data = write(tmp_path / "data", "anna/ct", "anna/seg", "ben/ct", "ben/seg")
    assert call("check", data) in (0, 1) and "layout: a folder for each patient" in capsys.readouterr().out
    assert call("manifest", data, "--to", tmp_path / "list.csv") == 0
    assert (tmp_path / "list.csv").read_text().splitlines()[1:] == [
        f"data/{who}/ct.nii.gz,data/{who}/seg.nii.gz,,{who},,," for who in ("anna", "ben")
    ]


def test_a_folder_of_no_layout_becomes_a_table_to_fill_in(tmp_path, capsys):
    write_volume(tmp_path / "data" / "x", "p1")
    shutil.move(tmp_path / "data" / "x" / "labels", tmp_path / "data" / "x" / "notes")
    with pytest.raises(
        InputError, match=r"no layout .* smallest one is images/NAME.nii.gz with .* `unet-segnet data manif"
    ):
        find_cases(tmp_path / "data" / "x" / "notes")
    assert call("manifest", tmp_path / "data" / "x" / "notes", "--to", tmp_path / "list.csv") == 0
    assert "1 of 1 scans have no labels" in capsys.readouterr().out
    assert (tmp_path / "list.csv").read_text().splitlines()[1] == "data/x/notes/p1.nii.gz,,,,,,"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing to list"):
        call("manifest", tmp_path / "empty", "--to", tmp_path / "other.csv")


def test_findings_of_one_kind_are_one_line(tmp_path, capsys):
    for number in range(6):
        write_volume(tmp_path, f"case_{number}", lesion=1)  # six times the same scan
        shutil.copy(tmp_path / "labels" / f"case_{number}.nii.gz", tmp_path / "labels" / f"other_{number}9.nii.gz")
    assert call("check", tmp_path) == 1
    unpaired, copies = sorted(
        capsys.readouterr().out.split("problems\n")[1].split("\n\n")[0].splitlines(), key=lambda line: "picture" in line
    )
    assert "there is no other_09 in images/" in unpaired and unpaired.endswith(
        "(and 5 more of this kind: other_19.nii.gz, other_29.nii.gz, other_39.nii.gz, other_49.nii.gz, ...)"
    )
    assert "are the same picture (44 more such pairs, all of 6 patients" in copies


@pytest.mark.parametrize("inside", [False, True])
def test_slices_of_one_patient_beside_labels_are_one_scan(tmp_path, inside):
    """ct/ and seg/ of a patient are no data set of as many scans as ct/ has slices."""
    patient = tmp_path / "all" / "p1"
    patient.mkdir(parents=True)
    save_dicom(patient / "ct", IMAGE, AFFINE)
    (patient / "seg").mkdir()
    (patient / "seg" / "p1.nii.gz").touch()
    folder = patient if inside else patient.parent
    assert scans_below(folder) == [(patient / "ct", ())]
    assert masks_below(folder) == [patient / "seg" / "p1.nii.gz"]
