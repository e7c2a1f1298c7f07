"""Labelled scans of one's own: what belongs together, what the labels mean, and the way to the networks' slices."""

import re
from pathlib import Path
from shutil import rmtree

import nibabel
import numpy as np
import pytest
from own_data import AFFINE, drawn, save_picture, write_cohort, write_nifti, write_slice, write_volume
from scan_files import dicom_slice

from unet_segnet.cohort import load
from unet_segnet.cohort.cases import find_cases
from unet_segnet.cohort.classes import read_classes
from unet_segnet.cohort.conventions import LabelFacts, recognise_classes
from unet_segnet.cohort.examine import examine_cohort
from unet_segnet.cohort.load import load_cohort
from unet_segnet.errors import InputError
from unet_segnet.inference.find_lungs import FoundLungs


def refused(folder, message, **options):
    with pytest.raises(InputError, match=message) as error:
        load_cohort(folder, size=32, **options)
    assert "\n" not in str(error.value)


def test_a_folder_of_volumes_is_a_patient_each(tmp_path):
    arrays = [write_volume(tmp_path, f"p{number}", seed=number) for number in (1, 2)]
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.patients == ("p1",) * 3 + ("p2",) * 3
    assert cohort.slices.names[:2] == ("p1/001", "p1/002")
    assert cohort.slices.class_names == ("not infected", "infected")
    np.testing.assert_array_equal(cohort.slices.labels, np.concatenate([labels > 0 for _, labels, _ in arrays]))
    lungs = np.concatenate([lungs > 0 for _, _, lungs in arrays])
    assert not cohort.slices.images[~lungs].any()
    grey = np.round((np.concatenate([images for images, _, _ in arrays]) + 1100) * 255 / 1500)
    np.testing.assert_allclose(cohort.slices.images[lungs], grey[lungs], atol=1)
    assert "classes, found in the label files: 0 = not infected, 2 = infected" in cohort.notes


def test_images_go_in_as_predict_puts_them_in(tmp_path):
    """A scan that is not square, upright and with another affine: the same slices as segmentation sees."""
    from unet_segnet.inference.find_lungs import find_lungs
    from unet_segnet.scans import fit, read_scan, to_network

    images, labels, lungs = (np.swapaxes(array, 1, 2)[:, :, :24] for array in drawn(3, 32))
    upright = np.array([[0, -5.0, 0, 0], [-5.0, 0, 0, 0], [0, 0, 8.0, 0], [0, 0, 0, 1]])
    for kind, array in (("images", images), ("labels", labels), ("lungs", lungs)):
        write_nifti(tmp_path / kind / "case.nii.gz", array, upright)
    cohort = load_cohort(tmp_path, size=32)
    scan = read_scan(tmp_path / "images" / "case.nii.gz")
    slices = to_network(scan)
    inside = find_lungs(scan, slices, tmp_path / "lungs" / "case.nii.gz").sides
    np.testing.assert_array_equal(cohort.slices.images, fit(slices.images, inside > 0, size=32))
    np.testing.assert_array_equal(cohort.slices.labels[:, 4:28] > 0, np.swapaxes(labels, 1, 2) > 0)


def test_volumes_of_different_sizes_come_out_as_one(tmp_path):
    write_volume(tmp_path, "small", size=32)
    write_volume(tmp_path, "large", size=64, num_slices=5)
    cohort = load_cohort(tmp_path, size=48)
    assert cohort.slices.images.shape == (8, 48, 48)
    assert {facts.shape for facts in cohort.facts.values()} == {(32, 32), (64, 64)}


def test_single_slices_are_of_unknown_patients(tmp_path):
    for number in range(3):
        write_slice(tmp_path, f"s{number}", seed=number)
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.patients == (None,) * 3 and cohort.num_unknown == 3
    assert cohort.slices.names == cohort.groups == ("s0", "s1", "s2")


@pytest.mark.parametrize("with_masks", [True, False])
def test_a_slice_beside_the_lungs_stops_no_data_set_of_single_slices(tmp_path, with_masks):
    for number in range(3):
        image, _ = write_slice(tmp_path, f"s{number}", seed=number)
        if with_masks:
            save_picture(tmp_path / "lungs" / f"s{number}.png", np.uint8(255) * (image > 0))
    for kind in ("images", "labels", *(("lungs",) if with_masks else ())):
        save_picture(tmp_path / kind / "s3.png", np.zeros((32, 32), np.uint8))
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.images.any(axis=(1, 2)).tolist() == [True, True, True, False]
    assert not cohort.slices.lungs[3].any()
    assert "lungs: none in a slice, of which nothing is shown (1 of 4 scans)" in cohort.notes


def test_parts_of_one_volume_are_one_patients(tmp_path):
    images, labels, lungs = drawn(6)
    for folder in ("a", "b"):
        for kind, array in (("im", images), ("seg", labels), ("lung", lungs)):
            write_nifti(tmp_path / folder / f"{kind}.nii.gz", array)
    rows = [f"{of}/im.nii.gz,{of}/seg.nii.gz,{of}/lung.nii.gz,{part}" for of in "ab" for part in ("3", "1-2", "4-6")]
    (tmp_path / "list.csv").write_text("\n".join(["image,labels,lungs,slices", *rows]) + "\n")
    cohort = load_cohort(tmp_path / "list.csv", size=32)
    assert cohort.patients == ("im",) * 6 + ("b-im",) * 6
    rows = [row for row in rows if row.endswith(",3")]  # single slices alone may be several patients'
    (tmp_path / "list.csv").write_text("\n".join(["image,labels,lungs,slices", *rows]) + "\n")
    assert load_cohort(tmp_path / "list.csv", size=32).patients == (None, None)


def test_slices_that_a_series_calls_by_other_numbers_are_told(tmp_path):
    """A series from head to foot: its slices are read from the feet, and 1 is the last of its numbers."""
    images, labels, _ = drawn(6)
    (tmp_path / "head first").mkdir()
    for index, image in enumerate(images):
        dataset = dicom_slice(image.T, AFFINE[:, [1, 0, 2, 3]], index)
        dataset.InstanceNumber = 6 - index
        dataset.save_as(tmp_path / "head first" / f"{index}.dcm")
    write_nifti(tmp_path / "scan.nii.gz", images)
    write_nifti(tmp_path / "labels.nii.gz", labels)
    for name, told in (("head first", True), ("scan.nii.gz", False)):
        rows = [f"{name},labels.nii.gz,{which}" for which in ("1-2", "4-6")]
        (tmp_path / "list.csv").write_text("\n".join(["image,labels,slices", *rows]) + "\n")
        cohort = load_cohort(tmp_path / "list.csv", size=32, lungs="none")
        np.testing.assert_array_equal(cohort.slices.labels > 0, labels[[0, 1, 3, 4, 5]] > 0)
        notes = [note for note in cohort.notes if "counts slices by" in note]
        assert len(notes) == told and all(
            "of head first 1 is called 006, 6 is called 001 (2 of 2" in note for note in notes
        )
    assert cohort.slices.names[0] == "scan-1-2/001"


def test_slices_of_a_file_that_holds_others_than_axial_ones_are_refused(tmp_path):
    coronal = AFFINE[:, [0, 2, 1, 3]]
    for kind, array in zip(("im", "seg", "lung"), drawn(32), strict=True):
        write_nifti(tmp_path / f"{kind}.nii.gz", np.swapaxes(array, 0, 2), coronal)
    row = "im.nii.gz,seg.nii.gz,lung.nii.gz"
    (tmp_path / "list.csv").write_text(f"image,labels,lungs,slices\n{row},1-20\n")
    refused(tmp_path / "list.csv", r"runs across them \(LSP\); expected axial slices")
    (tmp_path / "list.csv").write_text(f"image,labels,lungs\n{row}\n")
    assert len(load_cohort(tmp_path / "list.csv", size=32)) == 32


def test_a_manifest_says_whose_slices_these_are(tmp_path):
    images, labels, lungs = drawn(6)
    for kind, array in (("im", images), ("seg", labels), ("lung", lungs)):
        write_nifti(tmp_path / f"{kind}.nii.gz", array, np.eye(4))
    rows = ["image,labels,lungs,patient,slices,orientation,part"]
    rows += [f"im.nii.gz,seg.nii.gz,lung.nii.gz,{who},{which},network,{part}" for who, which, part in
             (("anna", "1-2", ""), ("ben", "3", "test"), ("anna", "4-6", ""))]  # fmt: skip
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    cohort = load_cohort(tmp_path / "list.csv", size=32)
    assert cohort.patients == ("anna", "anna", "ben", "anna", "anna", "anna")
    assert cohort.parts == ("", "", "test", "", "", "")
    assert cohort.slices.names == ("im-1-2/001", "im-1-2/002", "im-3", "im-4-6/004", "im-4-6/005", "im-4-6/006")
    np.testing.assert_array_equal(cohort.slices.labels, labels > 0)


def test_one_patient_in_two_spellings(tmp_path, capsys):
    patients = ("Zoe\u0308", "Zo\u00eb", "Anna", "anna")
    rows = ["image,labels,patient"]
    for number, patient in enumerate(patients):
        write_volume(tmp_path, f"s{number}", seed=number, lesion=1)
        rows.append(f"images/s{number}.nii.gz,labels/s{number}.nii.gz,{patient}")
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    cohort = load_cohort(tmp_path / "list.csv", size=32, lungs="none")
    assert set(cohort.patients) == {"Zo\u00eb", "Anna", "anna"}
    (note,) = [note for note in cohort.notes if note.startswith("WARNING")]
    assert "count as several: Anna and anna; " in note
    assert any("Anna and anna" in line for line in examine_cohort(tmp_path / "list.csv", lungs="none").warnings)


def test_folders_of_one_patient_in_two_spellings(tmp_path):
    for number, patient in enumerate(("Zoe\u0308", "Zo\u00eb")):
        for name, array in zip(("ct", "seg"), drawn(seed=number, lesion=1), strict=False):
            write_nifti(tmp_path / patient / f"{name}{number}.nii.gz", array)
    assert set(load_cohort(tmp_path, size=32, lungs="none").patients) == {"Zo\u00eb"}


def test_scans_without_labels_are_left_out_and_named(tmp_path):
    write_volume(tmp_path, "p1")
    write_volume(tmp_path, "p2", seed=2)
    (tmp_path / "labels" / "p2.nii.gz").unlink()
    cohort = load_cohort(tmp_path, size=32)
    assert set(cohort.cases) == {"p1"}
    assert "1 of 2 scans have no labels and are left out: p2" in cohort.notes
    (tmp_path / "labels" / "p1.nii.gz").unlink()
    refused(tmp_path, "none of 2 scans has labels")


def test_files_without_a_partner_are_refused(tmp_path):
    write_volume(tmp_path, "p1")
    (tmp_path / "labels" / "p1.nii.gz").rename(tmp_path / "labels" / "other.nii.gz")
    refused(tmp_path, r"other.nii.gz: there is no other in images/; expected the same names")


def test_geometry_that_does_not_match_is_refused(tmp_path, monkeypatch):
    _, labels, _ = write_volume(tmp_path, "p1")
    write_nifti(tmp_path / "labels" / "p1.nii.gz", labels[:2])
    with monkeypatch.context() as patch:
        patch.setattr("unet_segnet.cohort.load.read_scan", None)  # by the headers, nothing is read
        refused(tmp_path, "is 32x32x2, the scan is 32x32x3: expected equal sizes")
    moved = AFFINE.copy()
    moved[0, 3] = 10
    write_nifti(tmp_path / "labels" / "p1.nii.gz", labels, moved)
    refused(tmp_path, "lies up to 10.0 mm away from the scan")


def test_an_unknown_value_names_its_file_and_the_way_out(tmp_path):
    _, labels, _ = write_volume(tmp_path, "p1", lesion=1)
    (tmp_path / "classes.csv").write_text("value,name\n0,healthy\n1,ground glass\n")
    assert load_cohort(tmp_path, size=32).slices.class_names == ("healthy", "ground glass")
    labels[0, 5, 9] = 7
    write_nifti(tmp_path / "labels" / "p1.nii.gz", labels)
    refused(
        tmp_path,
        r"labels/p1.nii.gz: has unknown values \(7\), which stand for no class; expected 0 = healthy, 1 = ground",
    )


def test_one_name_for_several_values_is_one_class(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("value,name\n0,healthy\n1,lesion\n4,lesion\n2,effusion\n")
    classes = read_classes(path)
    assert classes.names == ("healthy", "lesion", "effusion")
    np.testing.assert_array_equal(classes.indices(np.array([[4, 2], [1, 0]], np.uint8)), [[1, 2], [1, 0]])
    assert classes.unknown([0, 3, 4, 9]) == [3, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("value,name\n0,healthy\n", "1 classes; expected 2 to 7"),
        ("value,name\n0,healthy\n300,lesion\n", "line 3: expected a whole number 0 to 255"),
        ("value,name\n0,healthy\n0,lesion\n", "value 0 a second time"),
        ("number,name\n0,healthy\n", "unknown column 'number'"),
        ("value,name\n0,healthy\n1\n", "line 3: 1 cells; expected 2"),
        ('value,name\n0,healthy\n1,"lesion\n2,scar\n', "each quotation mark closed"),
        ("", "no column 'value'"),
        ("value,name\n2,scar\n1,glass\n0,clear\n", "line 4: names the background; put it in the first row"),
        ("value,name\n2,scar\n5,healthy\n1,glass\n", "line 3: names the background"),
        ("value,name\n#ff0000,scar\n#000000,clear\n", "line 3: names the background"),
    ],
)
def test_bad_class_files(tmp_path, text, message):
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_classes(tmp_path / "classes.csv")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([0, 255], ("not infected", "infected")),
        ([2], ("not infected", "infected")),
        ([0, 1, 2, 3], ("C0", "C1", "C2", "C3")),
        ([0, 85, 170, 255], ("C0", "C1", "C2", "C3")),
        ([0, 1, 2], ("background", "value 1", "value 2")),
    ],
)
def test_classes_are_found_in_the_values(values, names):
    assert recognise_classes([LabelFacts(tuple(values))]).names == names


def test_pictures_in_place_of_labels_are_refused():
    with pytest.raises(InputError, match=r"hold 50 different values .* are they label files"):
        recognise_classes([LabelFacts(tuple(range(50)))])
    with pytest.raises(InputError, match="no label file marks anything"):
        recognise_classes([LabelFacts((0,)), LabelFacts((0,))])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("image,pat\nx.nii,1", "unknown column 'pat'"),
        ("labels\nx.nii", "no column 'image'"),
        ("image,slices\np1.nii.gz,0-3", "line 2: slices '0-3'"),
        ("image,part\np1.nii.gz,exam", "line 2: part 'exam'; expected train, validation, test"),
        ("image,labels\np1.nii.gz,gone.nii.gz", "line 2: .*gone.nii.gz does not exist"),
        ("image,labels,slices\np1.nii.gz,p1.nii.gz,1-9", "has 3 slices; the manifest asks for 1 to 9"),
        ("image,labels\np1.nii.gz,p1.nii.gz\np1.nii.gz,p1.nii.gz", "line 3: the same image as in line 2"),
        ("image,slices\np1.nii.gz,1-2\np1.nii.gz,2-3", "line 3: the same image and slices as in line 2"),
        ("image,slices\np1.nii.gz,\np1.nii.gz,2", "line 3: the same image and slices as in line 2"),
        ("image,labels\np1.nii.gz,p1.nii.gz\np2.nii.gz,p1.nii.gz", "line 3: the same labels as in line 2"),
        ("image,slices\n\n,\np1.nii.gz,0-3", "line 4: slices '0-3'"),
        ('image,patient\np1.nii.gz,"anna\np2.nii.gz,ben', "unexpected end of data.* each quotation mark closed"),
        ('image,patient\np1.nii.gz,"anna\np2.nii.gz,ben"', "line 3: 2 cells; expected 2, .* on one line"),
        ("image", "names no scan"),
    ],
)
def test_bad_manifests(tmp_path, rows, message):
    for name in ("p1", "p2"):
        write_nifti(tmp_path / f"{name}.nii.gz", drawn()[1])
    (tmp_path / "list.csv").write_text(rows + "\n")
    refused(tmp_path / "list.csv", message, lungs="none")


def test_the_readmes_manifest_can_be_read(tmp_path):
    readme = Path(__file__).parents[2] / "unet_segnet" / "cohort" / "README.md"
    (rows,) = re.findall(r"^    (image,labels,.*(?:\n    .+)+)", readme.read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "list.csv").write_text(rows.replace("\n    ", "\n") + "\n")
    for name in re.findall(r"[^,\s]+\.nii\.gz", rows):
        write_nifti(tmp_path / name, drawn()[1])
    found = find_cases(tmp_path / "list.csv")
    assert not found.problems
    assert [(case.patient, case.slices, case.part) for case in found.cases] == [
        ("anna", None, ""),
        ("ben", (1, 40), "test"),
    ]


def test_two_pictures_of_one_patient_may_share_their_labels(tmp_path):
    """Such as two reconstructions of one scan."""
    for name in ("sharp", "soft"):
        write_nifti(tmp_path / f"{name}.nii.gz", drawn()[1])
    rows = "image,labels,patient\nsharp.nii.gz,sharp.nii.gz,{}\nsoft.nii.gz,sharp.nii.gz,{}\n"
    (tmp_path / "list.csv").write_text(rows.format("a", "a"))
    assert not find_cases(tmp_path / "list.csv").problems
    (tmp_path / "list.csv").write_text(rows.format("a", "b"))
    assert len(find_cases(tmp_path / "list.csv").problems) == 1


def test_eight_bit_slices_without_lungs_are_refused_with_the_way_out(tmp_path):
    write_slice(tmp_path, "s1")
    from PIL import Image

    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(tmp_path / "images" / "s1.png")
    refused(tmp_path, "its lungs cannot be found in 8-bit grey levels")
    assert load_cohort(tmp_path, size=32, lungs="none").slices.images.min() == 90


def test_what_a_scan_of_a_data_set_lacks_is_told_with_a_way_out_that_there_is(tmp_path):
    """Neither a mask nor a series is named by an option of `train`, as they are of `predict`."""
    write_volume(tmp_path / "no lungs", "p1")
    rmtree(tmp_path / "no lungs" / "lungs")
    write_nifti(tmp_path / "no lungs" / "images" / "p1.nii.gz", np.full((3, 32, 32), -1000, np.int16))
    refused(
        tmp_path / "no lungs", r"p1.nii.gz: its lungs cannot be found in Hounsfield units \(.*\); give masks \(lungs/"
    )
    images, labels, _ = drawn()
    for series in ("1.2.3", "1.2.4"):
        for index, image in enumerate(images):
            (tmp_path / "two" / "images" / "p1").mkdir(parents=True, exist_ok=True)
            path = tmp_path / "two" / "images" / "p1" / f"{series}.{index}.dcm"
            dicom_slice(image, AFFINE, index, series=series).save_as(path)
    write_nifti(tmp_path / "two" / "labels" / "p1.nii.gz", labels)
    refused(tmp_path / "two", r"p1: holds 2 DICOM series: .*; expected one: name a folder that holds it alone$")


def test_doubts_about_found_lungs_are_told_of_each_scan(tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_volume(tmp_path, name)
    rmtree(tmp_path / "lungs")
    sides = np.ones((3, 32, 32), np.uint8)
    monkeypatch.setattr(
        load,
        "find_lungs",
        lambda scan, *rest: FoundLungs(sides, "found", assumed=("a third has no air",) if scan.name == "b" else ()),
    )
    notes = load_cohort(tmp_path, size=32).notes
    assert [note for note in notes if "no air" in note] == ["lungs of b: a third has no air"]


def test_labels_of_another_patient_are_told(tmp_path):
    for number in (1, 2, 3):
        write_volume(tmp_path, f"p{number}", seed=number, lesion=1)
    assert not any("outside the lungs" in note for note in load_cohort(tmp_path, size=32).notes)
    for number in (2, 3):
        labels = np.roll(drawn(seed=number, lesion=1)[1], 14, axis=2)
        write_nifti(tmp_path / "labels" / f"p{number}.nii.gz", labels)
    (note,) = [note for note in load_cohort(tmp_path, size=32).notes if "outside the lungs" in note]
    assert note.startswith("WARNING: p2: 100% of its lesion pixels lie outside the lungs; expected labels that belong")
    assert "1 more such scans" in note


def test_no_data_is_one_clear_line(tmp_path):
    refused(
        tmp_path,
        r"no data set in .* the smallest one is images/NAME.nii.gz with the labels .* `unet-segnet data manifest",
    )
    refused(tmp_path / "missing", "no data set .* no folder of that path")
    (tmp_path / "images").mkdir()
    refused(tmp_path, "no scan in this folder")
    refused(tmp_path / "missing.csv", "cannot be read")


def test_the_released_slices_keep_their_split_and_are_mended(real_data):
    cohort = load_cohort(real_data)
    assert len(cohort) == cohort.num_unknown == 100
    assert any(re.search("masks 033 and 039", note) for note in cohort.notes)
    tested = [name for name, part in zip(cohort.slices.names, cohort.parts, strict=True) if part == "test"]
    assert len(tested) == 18 and f"{real_data.name}/071" in tested


@pytest.mark.parametrize("geometry", ["phantom", "front to the right", "none", "identity"])
def test_slices_in_medsegs_layout_are_those_that_the_studies_see(tmp_path, geometry):
    """In Hounsfield units: as the networks know them, by the affine, or as MedSeg's own file, which has none."""
    from unet_segnet.data.catalogue import load_slices
    from unet_segnet.data.phantom import write_phantom

    write_phantom(tmp_path, num_slices=3, seed=2, size=48)
    expected = load_slices(str(tmp_path), size=48)
    for path in tmp_path.glob("*.nii.gz"):
        array = np.asarray(nibabel.load(path).dataobj)
        if geometry == "front to the right":  # another program's order of the same voxels
            affine = nibabel.load(path).affine @ np.array([[0, 1, 0, 0], [-1, 0, 0, 47], [0, 0, 1, 0], [0, 0, 0, 1]])
            nibabel.save(nibabel.Nifti1Image(np.rot90(array, 1), affine), path)
        elif geometry != "phantom":
            nibabel.save(nibabel.Nifti1Image(array, None if geometry == "none" else np.eye(4)), path)
    cohort = load_cohort(tmp_path, size=48)
    for part in ("images", "labels", "lungs"):
        np.testing.assert_array_equal(getattr(cohort.slices, part), getattr(expected, part))


def test_a_cohort_reads_from_a_released_folder_of_volumes_by_manifest(ct20_data, tmp_path):
    from unet_segnet.commands import data as command

    def manifest(path, *more):
        words = ["manifest", str(ct20_data), "--to", str(path), "--orientation", "upright", *more]
        return command.data(command.build_parser().parse_args(words))

    path = tmp_path / "ct20.csv"
    more = ("--volume-orientation", "upside-down", "--test", "volumes")
    assert manifest(path, "--slices-per-patient", "10", *more) == 0
    cases = find_cases(path).cases
    assert len(cases) == 19 and [case.part for case in cases].count("test") == 9
    assert cases[0].patient == "tr01" and cases[0].slices == (1, 10) and cases[-1].orientation == "upside-down"
    with pytest.raises(InputError, match="cannot be divided among patients of 7"):
        manifest(tmp_path / "other.csv", "--slices-per-patient", "7")


def test_binary_merges_the_lesion_classes(tmp_path):
    write_cohort(tmp_path, 2)
    write_volume(tmp_path, "p3", lesion=2)
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.class_names == ("background", "value 1", "value 2")
    with pytest.raises(InputError, match=r"would be a guess .* value,name / 0,background / 1,infected / 2,infected"):
        cohort.binary()
    (tmp_path / "classes.csv").write_text("value,name\n0,healthy\n1,glass\n2,scar\n")
    merged = load_cohort(tmp_path, size=32).binary()
    np.testing.assert_array_equal(merged.slices.labels, cohort.slices.labels > 0)
    assert merged.classes.text() == "0 = not infected, 1 = infected, 2 = infected"


def test_more_slices_than_memory_holds_are_refused_before_they_are_resized(tmp_path, monkeypatch):
    write_cohort(tmp_path, 1)
    monkeypatch.setattr(load, "MAX_VOXELS", 2 * 32 * 32)
    refused(tmp_path, "has 3 slices, which are 32x32 each for the network; expected at most 2")


def test_a_user_that_is_not_there_is_one_line():
    refused("~nobody-of-that-name/list.csv", "there is no such user")
    refused("~nobody-of-that-name/scans", "there is no such user")


def test_lungs_at_the_edge_of_the_picture_are_told_of_cohorts_too(tmp_path):
    """Two patients, one of whose two slices each the scanner's field has cut in the middle of a lung."""
    from unet_segnet.cohort.examine import examine_cohort
    from unet_segnet.data.phantom import phantom_slices

    slices = phantom_slices(2, seed=1, size=96)
    images, labels = slices.images.astype(np.int16), slices.labels
    first = np.flatnonzero(slices.lungs.any(axis=(0, 2)))[0]
    for name, rows in (("whole", slice(None)), ("cut", slice(first + 12, None))):
        for kind, array in (("images", images), ("labels", labels)):
            write_nifti(tmp_path / kind / f"{name}.nii.gz", array[:, rows])
    cohort = load_cohort(tmp_path, size=32)
    assert {name: facts.cut_off for name, facts in cohort.facts.items()} == {"whole": 0, "cut": 2}
    assert "lungs: cut off by the picture's edge and left out there, in 2 of 4 slices" in cohort.notes
    told = [fact for fact in examine_cohort(tmp_path).facts if "cut off by the edge in 2, patient cut" in fact]
    assert len(told) == 1


def test_a_manifests_name_is_without_its_ending_however_that_is_written(tmp_path):
    write_volume(tmp_path, "p1")
    (tmp_path / "LIST.CSV").write_text("image,labels,lungs\nimages/p1.nii.gz,labels/p1.nii.gz,lungs/p1.nii.gz\n")
    assert (
        load_cohort(tmp_path / "LIST.CSV", size=32).name == "LIST"
        and load_cohort(tmp_path, size=32).name == tmp_path.name
    )
