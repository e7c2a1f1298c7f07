"""What `unet-segnet data check` finds in labelled scans of one's own, the leak above all."""

import csv
import shutil

import numpy as np
import pytest
from own_data import AFFINE, drawn, write_cohort, write_nifti, write_slice, write_volume
from PIL import Image

from unet_segnet.cohort.copies import find_copies
from unet_segnet.cohort.examine import examine_cohort
from unet_segnet.commands import data as command


def call(*arguments):
    """The exit status that `unet-segnet data` would leave with."""
    return command.data(command.build_parser().parse_args(list(map(str, arguments))))


def checked(folder, capsys, *options):
    status = call("check", folder, *options)
    return status, capsys.readouterr().out


def test_sound_data_is_usable(tmp_path, capsys):
    write_cohort(tmp_path / "own", 3)
    status, printed = checked(tmp_path / "own", capsys, "--csv", tmp_path / "slices.csv")
    assert status == 0 and printed.rstrip().endswith("usable")
    assert "p1: 3 slices of 32x32" in printed and "8 x 5 x 5 mm" in printed and "LPS by the affine" in printed
    assert "3 patients" in printed and "0 = not infected, 1 = infected" in printed
    with (tmp_path / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 and {row["patient"] for row in rows} == {"p1", "p2", "p3"}
    assert int(rows[0]["pixels_infected"]) > 0 and rows[0]["lesion_outside_lung"] == "0.0000"


@pytest.mark.parametrize("turn", [lambda image: image, np.fliplr, np.rot90], ids=["same", "mirrored", "turned"])
def test_the_same_slice_under_two_patients_names_is_a_leak(tmp_path, capsys, turn):
    """A slice of patient anna's volume stands, as 8-bit picture, among ben's."""
    folder = tmp_path / "own"
    images, labels, lungs = write_volume(folder, "anna", lesion=1)
    write_volume(folder, "ben", seed=5, lesion=1)
    grey = (np.clip((images[1] + 1100) * 255 / 1500, 1, 255) * lungs[1]).astype(np.uint8)
    for kind, array in (("images", grey), ("labels", labels[1])):
        Image.fromarray(np.ascontiguousarray(turn(array))).save(folder / kind / "extra.png")
    rows = ["image,labels,lungs,patient,orientation", "images/extra.png,labels/extra.png,,ben,network"]
    rows += [f"images/{who}.nii.gz,labels/{who}.nii.gz,lungs/{who}.nii.gz,{who}," for who in ("anna", "ben")]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    status, printed = checked(folder / "list.csv", capsys)
    assert status == 1
    assert "slice extra/extra of patient ben and slice anna/002 of patient anna are the same picture: a leak" in printed
    assert "1 problem(s)" in printed


def test_copies_within_a_patient_are_no_leak():
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    images[2] = images[0]
    assert find_copies(images, ["a", "b", "a"]) == []
    assert find_copies(images, ["a", "b", "c"]) == [(0, 2)]
    assert find_copies(np.zeros((2, 32, 32), np.uint8), ["a", "b"]) == []


def test_tips_of_lungs_are_no_copies_of_each_other():
    """Ellipses of a few pixels in noise, one a patient: among 400 some are alike by chance."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    images = np.zeros((400, 256, 256), np.uint8)
    for image in images:
        (row, column), (height, width) = generator.uniform(90, 130, 2), generator.uniform(1, 5, 2)
        inside = ((y - row) / height) ** 2 + ((x - column) / width) ** 2 < 1
        image[inside] = generator.integers(60, 120, inside.sum())
    assert find_copies(images, [str(index) for index in range(len(images))]) == []


def test_neighbours_and_other_patients_are_no_copies(ct20_data, tmp_path):
    orientations = ("--orientation", "upright", "--volume-orientation", "upside-down")
    assert call("manifest", ct20_data, "--to", tmp_path / "all.csv", "--slices-per-patient", "10", *orientations) == 0
    found = examine_cohort(tmp_path / "all.csv")
    assert found.problems == []
    assert "19 patients" in found.facts
    # Every slice for itself: of neighbours in a volume none is taken for the other.
    listed = (tmp_path / "all.csv").read_text().splitlines()
    (tmp_path / "one.csv").write_text("\n".join([listed[0], listed[-1]]) + "\n")
    from unet_segnet.cohort.load import load_cohort

    images = load_cohort(tmp_path / "one.csv").slices.images
    assert find_copies(images, [str(index) for index in range(len(images))]) == []


def test_every_problem_is_listed(tmp_path, capsys):
    folder = tmp_path / "own"
    for name in ("p1", "p2", "p3", "p4"):
        write_volume(folder, name, seed=int(name[1]), lesion=1)
    (folder / "classes.csv").write_text("value,name\n0,healthy\n1,lesion\n")
    _, labels, _ = drawn(seed=1, lesion=5)
    write_nifti(folder / "labels" / "p1.nii.gz", labels)
    write_nifti(folder / "labels" / "p2.nii.gz", labels[:, :16])
    moved = AFFINE.copy()
    moved[:3, 3] = 50
    write_nifti(folder / "labels" / "p3.nii.gz", labels, moved)
    write_nifti(folder / "labels" / "p4.nii.gz", np.roll(drawn(seed=4, lesion=1)[1], 14, axis=2))
    write_nifti(folder / "labels" / "p9.nii.gz", labels)
    (folder / "images" / "bad.nii.gz").write_bytes(b"")
    status, printed = checked(folder, capsys)
    assert status == 1
    for problem in (
        "p1.nii.gz: has unknown values (5), which stand for no class; expected 0 = healthy, 1 = lesion",
        "p2.nii.gz is 16x32x3, the scan is 32x32x3",
        "p3.nii.gz: lies up to",
        "p4: 100% of its lesion pixels lie outside the lungs",
        "p9.nii.gz: there is no p9 in images/",
        "bad.nii.gz is empty or cut off",
    ):
        assert problem in printed, problem
    assert "6 problem(s)" in printed


def test_what_cannot_be_split_is_said(tmp_path, capsys):
    write_volume(tmp_path / "one", "p1", lesion=1)
    status, printed = checked(tmp_path / "one", capsys)
    assert status == 0 and "one patient only: a split by patient is not possible" in printed
    for number in range(2):
        write_slice(tmp_path / "loose", f"s{number}", seed=number)
    shutil.copy(tmp_path / "loose" / "images" / "s0.png", tmp_path / "loose" / "images" / "s3.png")
    status, printed = checked(tmp_path / "loose", capsys)
    assert "3 slices of unknown patients" in printed
    assert "without labels, left out of training and scoring: s3" in printed
    assert status == 1 and "slice s0/s0 of patient unknown and slice s3/s3 of patient unknown are the same" in printed


def test_a_manifest_of_a_folder_can_be_edited_and_read_again(tmp_path, capsys):
    folder = write_cohort(tmp_path / "own", 2)
    assert call("manifest", folder, "--to", folder / "list.csv") == 0
    lines = (folder / "list.csv").read_text().splitlines()
    capsys.readouterr()
    assert call("manifest", folder, "--to", tmp_path / "a b.csv") == 0
    assert f"check '{tmp_path}/a b.csv'`" in capsys.readouterr().out  # can be pasted
    assert lines[0].startswith("image,labels,lungs,patient")
    assert lines[1].startswith("images/p1.nii.gz,labels/p1.nii.gz,lungs/p1.nii.gz,")
    status, printed = checked(folder / "list.csv", capsys)
    assert status == 0 and "2 patients" in printed
    with pytest.raises(command.InputError, match="--force"):
        call("manifest", folder, "--to", folder / "list.csv")
