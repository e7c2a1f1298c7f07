"""What label values mean where nobody says it: lungs must never count as lesion."""

import json

import numpy as np
import pytest
from own_data import drawn, write_nifti, write_slice, write_volume

from unet_segnet.cohort.classes import Classes, read_classes
from unet_segnet.cohort.conventions import labels_of, pair_classes
from unet_segnet.cohort.examine import examine_cohort
from unet_segnet.cohort.load import load_cohort
from unet_segnet.commands import data as command
from unet_segnet.commands.cohort_options import load_own
from unet_segnet.commands.train import build_parser
from unet_segnet.errors import InputError

MIDDLE = 16  # of 32 rows, between the lungs of `drawn`


def sided(labels, lungs, right=1, left=2, infection=3):
    """Labels as Zenodo 3757476 has them: one lung, the other lung, infection."""
    values = lungs.copy()
    values[:, :MIDDLE][lungs[:, :MIDDLE] > 0] = right
    values[:, MIDDLE:][lungs[:, MIDDLE:] > 0] = left
    values[labels > 0] = infection
    return values


def write_sided(folder, num_patients=3, with_lungs=True, **values):
    """The scans of `num_patients` with such labels; returns the true lesions of all of them."""
    truth = []
    for number in range(1, num_patients + 1):
        _, labels, lungs = write_volume(folder, f"p{number}", seed=number, lesion=1)
        write_nifti(folder / "labels" / f"p{number}.nii.gz", sided(labels, lungs, **values))
        truth.append(labels > 0)
        if not with_lungs:
            (folder / "lungs" / f"p{number}.nii.gz").unlink()
    return np.concatenate(truth)


@pytest.mark.parametrize("with_lungs", [True, False], ids=["lung masks", "found lungs"])
def test_lungs_and_infection_are_known_by_where_they_lie(tmp_path, with_lungs):
    truth = write_sided(tmp_path, with_lungs=with_lungs)
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.class_names == ("not infected", "infected")
    np.testing.assert_array_equal(cohort.slices.labels, truth)
    assert any("as in Zenodo 3757476" in note for note in cohort.notes)
    np.testing.assert_array_equal(cohort.binary().slices.labels, truth)
    assert any("as in Zenodo 3757476" in fact for fact in examine_cohort(tmp_path).facts)


def test_so_are_they_where_nobody_knows_the_lungs(tmp_path):
    truth = write_sided(tmp_path, with_lungs=False)
    np.testing.assert_array_equal(load_cohort(tmp_path, size=32, lungs="none").slices.labels, truth)


@pytest.mark.parametrize("values", [{"right": 1, "left": 1, "infection": 2}, {"right": 4, "left": 5, "infection": 6}])
def test_lungs_of_another_convention_are_asked_about(tmp_path, values):
    write_sided(tmp_path, **values)
    lung, lesion = values["right"], values["infection"]
    with pytest.raises(
        InputError, match=rf"fill 100% of the lungs: some .* value,name / 0,background / .*{lesion},infe"
    ):
        load_cohort(tmp_path, size=32)
    assert any("to be lungs, not lesions" in problem for problem in examine_cohort(tmp_path).problems)
    rows = {0: "background", values["left"]: "Lung_Right", lung: "left lung", lesion: "infected"}
    (tmp_path / "classes.csv").write_text("\n".join(["value,name", *(f"{v},{n}" for v, n in rows.items())]) + "\n")
    cohort = load_cohort(tmp_path, size=32)  # lungs are background also where they have a name
    assert cohort.slices.class_names == ("background", "infected")
    assert any("left lung" in note and "is taken for background" in note for note in cohort.notes)


def test_so_are_lungs_that_are_marked_in_part_or_whose_place_nobody_knows(tmp_path):
    write_sided(tmp_path)
    for number in range(1, 4):  # the first of three slices without labels: two thirds of the lungs are marked
        *_, lungs = drawn(seed=number, lesion=1)
        labels = sided(drawn(seed=number, lesion=1)[1], lungs)
        labels[0] = 0
        write_nifti(tmp_path / "labels" / f"p{number}.nii.gz", labels)
    with pytest.raises(InputError, match=r"fill 67% of the lungs: .* 1,background / 2,background / 3,infected"):
        load_cohort(tmp_path, size=32)
    write_sided(tmp_path / "none", right=1, left=1, infection=2, with_lungs=False)
    write_nifti(tmp_path / "none" / "labels" / "p1.nii.gz", drawn(lesion=3)[1])
    with pytest.raises(InputError, match="% of the slices: some of them seem to be lungs"):
        load_cohort(tmp_path / "none", size=32, lungs="none")


def test_lungs_in_some_of_the_files_are_asked_about(tmp_path):
    write_sided(tmp_path, num_patients=2)
    for number in range(3, 9):
        write_volume(tmp_path, f"p{number}", seed=number, lesion=1)
    with pytest.raises(InputError, match=r"p1.nii.gz: its labels .* seem to mark lungs, as those of 2 of the 8"):
        load_cohort(tmp_path, size=32)


def test_lung_masks_in_place_of_labels_are_asked_about(tmp_path):
    write_volume(tmp_path, "p1", lesion=1)
    write_nifti(tmp_path / "labels" / "p1.nii.gz", drawn(lesion=1)[2])
    with pytest.raises(InputError, match="1 seems to be lungs, not lesions"):
        load_cohort(tmp_path, size=32)
    (tmp_path / "classes.csv").write_text("value,name\n0,healthy\n1,infected\n")  # who says so is believed
    assert load_cohort(tmp_path, size=32).slices.labels.any()


def test_one_lung_mask_among_labels_is_told(tmp_path):
    for number in range(4):
        write_volume(tmp_path, f"p{number}", seed=number, lesion=1)
    write_nifti(tmp_path / "labels" / "p2.nii.gz", drawn(seed=2, lesion=1)[2])
    (warning,) = [note for note in load_cohort(tmp_path, size=32).notes if note.startswith("WARNING")]
    assert "1 of 4 label files" in warning and "(p2)" in warning and "lung masks" in warning


def test_the_studys_classes_on_both_sides_are_no_lungs(tmp_path):
    for number, lesion in enumerate((1, 2, 3), 1):
        write_volume(tmp_path, f"p{number}", seed=number, lesion=lesion)
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.class_names == ("C0", "C1", "C2", "C3")
    assert any("are taken for the study's classes" in note for note in cohort.notes)


def test_one_file_of_0_and_255_among_0_and_1(tmp_path):
    arrays = [write_volume(tmp_path, f"p{number}", seed=number, lesion=1) for number in range(1, 5)]
    write_nifti(tmp_path / "labels" / "p3.nii.gz", arrays[2][1] * np.uint8(255))
    cohort = load_cohort(tmp_path, size=32)
    np.testing.assert_array_equal(cohort.slices.labels, np.concatenate([labels for _, labels, _ in arrays]))
    (warning,) = [note for note in cohort.notes if note.startswith("WARNING")]
    assert "1 of 4 label files have the values 0 and 255" in warning and "p3.nii.gz" in warning
    assert len(examine_cohort(tmp_path).warnings) == 1


def test_1_and_255_in_one_file_are_asked_about(tmp_path):
    _, labels, _ = write_volume(tmp_path, "p1", lesion=1)
    labels[0, 0, 0] = 255
    write_nifti(tmp_path / "labels" / "p1.nii.gz", labels)
    with pytest.raises(InputError, match=r"hold the values 0, 1, 255 .* 1,infected / 255,infected"):
        load_cohort(tmp_path, size=32)


@pytest.mark.parametrize("levels", [3, 5, 60])
def test_smoothed_masks_are_refused(tmp_path, levels):
    """Grey levels between 0 and 255 along the border of a lesion; none of them may count as one."""
    from PIL import Image

    write_slice(tmp_path, "s1")
    path = tmp_path / "labels" / "s1.png"
    mask = np.asarray(Image.open(path)).copy()
    mask.flat[:levels] = np.linspace(0, 255, levels)
    Image.fromarray(mask.astype(np.uint8)).save(path)
    with pytest.raises(InputError, match="anti-aliased"):
        load_cohort(tmp_path, size=32)


def test_other_values_in_one_file_are_told(tmp_path):
    for number, lesion in enumerate((1, 1, 1, 2)):
        write_volume(tmp_path, f"p{number}", seed=number, lesion=lesion)
    (warning,) = examine_cohort(tmp_path).warnings
    assert "1 of 4 label files mark 2, where most mark 1 (p3)" in warning


def test_units_of_two_kinds_are_told_before_all_else(tmp_path, capsys):
    for number in range(4):
        images, *_ = write_volume(tmp_path, f"p{number}", seed=number, lesion=1)
        if number > 1:
            grey = (np.clip((images + 1100) / 1500, 0, 1) * 255).astype(np.uint8)
            write_nifti(tmp_path / "images" / f"p{number}.nii.gz", grey)
    options = command.build_parser().parse_args(["check", str(tmp_path)])
    assert command.data(options) == 0
    printed = capsys.readouterr().out
    assert "2 in Hounsfield units (p0, p1) and 2 in 8-bit grey levels (p2, p3)" in printed
    assert printed.rstrip().endswith("usable, with 1 warning(s): see whether they are meant")
    options = build_parser().parse_args(["--data", str(tmp_path), "--net", "unet"])
    load_own(options, (-1100, 400), 32)  # before `train` trains
    assert "WARNING: scans of two kinds" in capsys.readouterr().out


NNUNET = {"background": 0, "GGO": 1, "lung": 3, "consolidation": 2}


@pytest.mark.parametrize("labels", [NNUNET, {str(value): name for name, value in NNUNET.items()}], ids=["v2", "v1"])
def test_labels_of_dataset_json(tmp_path, labels):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    classes = read_classes(tmp_path / "dataset.json")
    assert classes.names == ("background", "GGO", "consolidation")
    assert classes.index_of == {0: 0, 1: 1, 2: 2, 3: 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "an object"),
        ("{}", "names no labels"),
        ('{"labels": {"background": 0, "whole": [1, 2]}}', r"label 'whole' is \[1, 2\], which is no class of its own"),
        ('{"labels": {"background": 0, "GGO": 1, "ignore": 2}}', "label 'ignore' is 2"),
    ],
)
def test_bad_dataset_json(tmp_path, text, message):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_classes(tmp_path / "dataset.json")


def test_one_truth_file_alone():
    """As `predict` compares one scan with: lungs and infection, none at all, or what cannot be known."""
    _, labels, lungs = drawn(lesion=1)
    found, classes = labels_of(sided(labels, lungs), "t.nii", lungs=lungs > 0)
    np.testing.assert_array_equal(found, labels > 0)
    assert "Zenodo" in classes.notes[0]
    healthy, meant = labels_of(sided(labels * 0, lungs), "t.nii", lungs=lungs > 0)
    assert "3 for infection, of which there is none" in meant.notes[0] and "none" not in classes.notes[0]
    assert not healthy.any()
    assert not labels_of(labels * 0, "t.nii")[0].any()
    with pytest.raises(InputError, match=r"t\.nii.*anti-aliased"):
        labels_of(labels * np.uint8(255) + np.uint8(128) * (np.roll(labels, 1, 1) > labels), "t.nii")
    meant = Classes(("healthy", "scar", "ground glass"), {0: 0, 1: 1, 2: 2})  # another background, another order
    pairing = pair_classes(("background", "ground glass", "scar"), meant)
    assert pairing.names == ("background", "ground glass", "scar") and not pairing.notes
    assert list(pairing.of_network[:3]) == [0, 1, 2] and list(pairing.of_labels[:3]) == [0, 2, 1]
    study = ("C0", "C1", "C2", "C3")
    meant = Classes(("healthy", "Consolidation", "GGO", "effusion"), {0: 0, 1: 1, 2: 2, 3: 3})
    pairing = pair_classes(study, meant)
    assert pairing.names == ("C0", "GGO", "Consolidation", "effusion") and list(pairing.of_labels[:4]) == [0, 2, 1, 3]
    assert pairing.notes == (
        "The network's classes are taken by their names: C0 for C0, C1 for GGO, C2 for Consolidation, C3 for effusion.",
    )
    with pytest.raises(
        InputError,
        match=r"pleural effusion, the data's .*: the same name stands at another place",
    ):
        pair_classes(study, Classes(("healthy", "consolidation", "ground-glass", "fibrosis"), dict(meant.index_of)))
    mixed = labels + (np.roll(labels, 1, 1) > 0)
    pairing = pair_classes(("a", "b", "c"), labels_of(mixed, "t.nii")[1])
    assert pairing.notes and pairing.names == ("background", "value 1", "value 2")
    with pytest.raises(InputError, match="would be a guess"):
        pair_classes(("not infected", "infected"), labels_of(mixed, "t.nii")[1])


def test_masks_in_colour_are_asked_about_and_read(tmp_path):
    from PIL import Image

    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    labels = []
    for number in range(3):
        _, label = write_slice(tmp_path, f"s{number}", seed=number)
        labels.append((label > 0) * (1 + number % 2) if number < 2 else label * 0)  # red, green, and all black in grey
        picture = Image.fromarray(palette[labels[-1]])
        (picture if number < 2 else picture.convert("L")).save(tmp_path / "labels" / f"s{number}.png")
    with pytest.raises(
        InputError, match=r"s0.png is in colour \(#000000, #ff0000; .* #000000,background / #ff0000,class 1"
    ):
        load_cohort(tmp_path, size=32)
    rows = "value,name\n#000000,healthy\n#00FF00,glass\n"
    (tmp_path / "classes.csv").write_text(rows)
    with pytest.raises(InputError, match="has the colour #ff0000, which stands for no class"):
        load_cohort(tmp_path, size=32)
    (tmp_path / "classes.csv").write_text(rows + "#ff0000,consolidation\n")
    cohort = load_cohort(tmp_path, size=32)
    assert cohort.slices.class_names == ("healthy", "glass", "consolidation")
    np.testing.assert_array_equal(cohort.slices.labels, np.array([0, 2, 1], np.uint8)[np.stack(labels)])
    assert "#ff0000 = consolidation" in cohort.classes.text() and not examine_cohort(tmp_path).problems


@pytest.mark.parametrize(
    "name", ["lung", "Left Lung", "lung_right", "lungs (healthy)", "upper lobe", "normal", "L lung"]
)
def test_names_of_healthy_lung_are_background(tmp_path, name):
    (tmp_path / "classes.csv").write_text(f"value,name\n0,background\n1,{name}\n2,infected\n")
    assert read_classes(tmp_path / "classes.csv").index_of == {0: 0, 1: 0, 2: 1}


@pytest.mark.parametrize(
    ("rows", "index_of"),
    [
        ("255,not infected\n0,infected", {255: 0, 0: 1}),  # masks of all but the lesions
        ("255,No lesion\n0,infected", {255: 0, 0: 1}),
        ("0,outside\n1,left lung\n3,infected", {0: 0, 1: 0, 3: 1}),
    ],
)
def test_a_background_has_any_value_or_name_in_the_first_row(tmp_path, rows, index_of):
    (tmp_path / "classes.csv").write_text(f"value,name\n{rows}\n")
    assert read_classes(tmp_path / "classes.csv").index_of == index_of


@pytest.mark.parametrize("name", ["lung lesion", "covid lung", "pneumonia", "left", "GGO"])
def test_names_of_lesions_are_not(tmp_path, name):
    (tmp_path / "classes.csv").write_text(f"value,name\n0,background\n1,{name}\n2,infected\n")
    assert read_classes(tmp_path / "classes.csv").index_of == {0: 0, 1: 1, 2: 2}


def test_a_mask_of_all_but_the_lesions_is_asked_about(tmp_path):
    """0 for what is infected, 255 for everything else; nobody knows the lungs."""
    for number in (1, 2):
        _, labels, _ = write_volume(tmp_path, f"p{number}", seed=number, lesion=1)
        (tmp_path / "lungs" / f"p{number}.nii.gz").unlink()
        write_nifti(tmp_path / "labels" / f"p{number}.nii.gz", np.where(labels > 0, 0, 255).astype(np.uint8))
    with pytest.raises(InputError, match=r"255 seems to be lungs, or all but the lesions, not lesions; say it in"):
        load_cohort(tmp_path, size=32, lungs="none")
    (tmp_path / "classes.csv").write_text("value,name\n2,scar\n1,ground glass\n0,background\n")
    with pytest.raises(InputError, match=r"classes\.csv, line 4: names the background; put it in the first row"):
        read_classes(tmp_path / "classes.csv")
    (tmp_path / "classes.csv").write_text("value,name\n255,healthy\n0,infected\n")
    assert 0 < load_cohort(tmp_path, size=32, lungs="none").slices.labels.mean() < 0.2
