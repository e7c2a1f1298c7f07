"""`unet-segnet data look`: a page and a picture of every scan, with what check finds in it."""

import csv
import gc
import re
import weakref

import nibabel
import numpy as np
import pytest
from own_data import drawn, write_cohort, write_nifti, write_slice, write_volume
from PIL import Image

from unet_segnet.commands import data as command
from unet_segnet.commands import data_look
from unet_segnet.errors import InputError


def call(*arguments):
    """The exit status that `unet-segnet data look` would leave with."""
    return command.data(command.build_parser().parse_args(["look", *map(str, arguments)]))


def read(out):
    """The page without its styles and scripts, and the rows of look.csv by case."""
    page = re.sub(r"<(style|script)>.*?</\1>", "", (out / "index.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    with (out / "look.csv").open(newline="", encoding="utf-8") as file:
        return page, {row["case"]: row for row in csv.DictReader(file)}


def section(page, case):
    """What the page says about a case."""
    (found,) = [part for part in page.split("<section ")[1:] if f">{case}</h2>" in part]
    return found


def test_every_scan_has_a_picture_and_a_row(tmp_path, capsys):
    out, made = tmp_path / "out", {}
    for number in (1, 2, 3):  # of the size that the networks take: pixels stay what they are
        made[f"p{number}"] = [np.roll(of, 9 * number, axis=1) for of in drawn(seed=number, lesion=1, size=256)]
        for kind, array in zip(("images", "labels", "lungs"), made[f"p{number}"], strict=True):
            write_nifti(tmp_path / "own" / kind / f"p{number}.nii.gz", array)
    assert call(tmp_path / "own", "--out", out) == 0
    page, rows = read(out)
    assert {path.name for path in out.iterdir()} == {"index.html", "look.csv", "p1.png", "p2.png", "p3.png"}
    assert "0 problem(s)" in capsys.readouterr().out
    for name, (images, labels, lungs) in made.items():
        grey = np.clip((images.astype(np.int16) + 1100.0) * 255 / 1500, 0, 255)
        row, inside = rows[name], lungs > 0
        assert (row["slices"], row["slices_with_lesion"], row["patient"]) == ("3", "2", name)
        assert float(row["lesion_share_of_lungs"]) == pytest.approx((labels > 0).sum() / inside.sum(), abs=1e-4)
        assert int(row["lung_level"]) == pytest.approx(np.median(grey[inside & (labels == 0)]), abs=1)
        assert int(row["lesion_level"]) == pytest.approx(np.median(grey[labels > 0]), abs=1)
        with Image.open(out / row["picture"]) as picture:
            assert picture.format == "PNG" and picture.width > 600
        assert f'alt="Slices {row["slices_shown"]} of {name} with the contours' in section(page, name)
        assert "3 slices of 256x256" in section(page, name)
    assert page.count("data:image/png;base64,") == 3


def test_a_bad_scan_is_told_by_its_name_and_the_others_are_shown(tmp_path, capsys):
    folder = write_cohort(tmp_path / "own", 3)
    (folder / "images" / "p2.nii.gz").write_bytes(b"")
    write_nifti(folder / "labels" / "p3.nii.gz", np.roll(drawn(seed=3, lesion=1)[1], 14, axis=2))
    assert call(folder, "--out", tmp_path / "out") == 1
    page, rows = read(tmp_path / "out")
    assert list(rows) == ["p1", "p3"] and "and 1 that could not be read" in page
    assert "p2.nii.gz is empty or cut off" in section(page, "p2") and "<img" not in section(page, "p2")
    assert "62% of its lesion pixels lie outside the lungs" in section(page, "p3")
    assert "Problem" in section(page, "p3") and "Problem" not in section(page, "p1")
    assert "outside the lungs" in rows["p3"]["problems"] and rows["p1"]["problems"] == ""
    assert "p2.nii.gz is empty or cut off" in capsys.readouterr().out


def test_what_concerns_several_scans_stands_beside_each(tmp_path):
    folder = write_cohort(tmp_path / "own", 3)
    for kind in ("images", "labels", "lungs"):
        (folder / kind / "p9.nii.gz").write_bytes((folder / kind / "p1.nii.gz").read_bytes())
    (folder / "labels" / "p3.nii.gz").unlink()
    assert call(folder, "--out", tmp_path / "out") == 1
    page, rows = read(tmp_path / "out")
    for name in ("p1", "p9"):
        assert "are the same picture" in section(page, name)
    assert "same picture" not in section(page, "p2") and "without labels" in section(page, "p3")
    assert (rows["p3"]["slices_with_lesion"], rows["p3"]["lesion_level"], rows["p3"]["lung_level"] != "") == (
        "",
        "",
        True,
    )


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path):
    folder, out = tmp_path / "own", tmp_path / "deep" / "out"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name in ("a", "b"):
        for kind in ("images", "labels"):
            (folder / kind / f"{name}.nii.gz").write_bytes(b"")
    for data, message in (
        (folder, "a.nii.gz is empty or cut off.*2 more problems"),
        (tmp_path / "none", "none"),
        (tmp_path / "none.csv", "none.csv"),
    ):
        with pytest.raises(InputError, match=message) as error:
            call(data, "--out", out)
        assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"own"}


def test_a_page_is_replaced_by_force_alone_and_nothing_else_ever(tmp_path):
    folder, out = write_cohort(tmp_path / "own", 2), tmp_path / "out"
    assert call(folder, "--out", out) == 0
    before = (out / "index.html").read_bytes()
    with pytest.raises(InputError, match="--force"):
        call(folder, "--out", out)
    (folder / "images" / "p1.nii.gz").unlink()
    assert call(folder, "--out", out, "--force") == 1
    assert (out / "index.html").read_bytes() != before and not (out / "p1.png").exists()
    (out / "p9.png").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'p9\.png', which this command did not write and never removes"):
        call(folder, "--out", out, "--force")
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match="never replaced"):
        call(folder, "--out", folder, "--force")
    assert sorted(folder.rglob("*")) == before


def test_labels_that_nobody_described_are_drawn_by_their_values(tmp_path):
    for name, value in (("a", 1), ("b", 77)):
        write_volume(tmp_path / "own", name, lesion=value, seed=value)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 1
    page, rows = read(tmp_path / "out")
    assert "grey levels of smoothed" in page.split("<section ")[0]
    assert all(row["slices_with_lesion"] == "2" and row["lesion_level"] for row in rows.values())
    (tmp_path / "classes.csv").write_text("value,name\n0,healthy\n1,lesion\n77,other\n")
    assert call(tmp_path / "own", "--out", tmp_path / "out", "--force", "--classes", tmp_path / "classes.csv") == 0


def test_a_value_that_stands_for_no_class_is_seen(tmp_path, monkeypatch):
    drawn_classes = []
    draw = data_look._drawn
    monkeypatch.setattr(data_look, "_drawn", lambda case, of: drawn_classes.append(of) or draw(case, of))
    for name, value in (("a", 1), ("b", 5)):
        write_volume(tmp_path / "own", name, lesion=value, seed=value)
    (tmp_path / "own" / "classes.csv").write_text("value,name\n0,healthy\n1,lesion\n")
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 1
    assert drawn_classes[0].names == ("healthy", "lesion", "unknown value") and drawn_classes[0].index_of[5] == 2
    page, rows = read(tmp_path / "out")
    assert "has unknown values (5)" in section(page, "b") and rows["b"]["slices_with_lesion"] == "0"


def test_values_that_stand_for_lungs_are_no_lesion(tmp_path):
    images, labels, lungs = drawn(lesion=3, size=64)
    sides = lungs.copy()
    sides[:, 32:] *= 2
    write_nifti(tmp_path / "own" / "images" / "a.nii.gz", images)
    write_nifti(tmp_path / "own" / "labels" / "a.nii.gz", np.where(labels > 0, 3, sides).astype(np.uint8))
    write_nifti(tmp_path / "own" / "lungs" / "a.nii.gz", lungs)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 0
    _, rows = read(tmp_path / "out")
    assert float(rows["a"]["lesion_share_of_lungs"]) == pytest.approx((labels > 0).sum() / lungs.sum(), abs=1e-4)
    assert int(rows["a"]["lung_level"]) < 60 < int(rows["a"]["lesion_level"])


def test_the_slices_with_the_most_lesion_of_each_stretch_are_shown(tmp_path):
    images, labels, lungs = drawn(num_slices=32, size=64)
    lungs[:2] = lungs[-6:] = labels[:] = 0  # 24 slices show lungs: stretches of four
    for index, side in ((3, 4), (4, 9), (5, 6), (17, 2)):
        labels[index, 8 : 8 + side, 16 : 16 + side] = 1
    for kind, array in (("images", images), ("labels", labels), ("lungs", lungs)):
        write_nifti(tmp_path / "own" / kind / "a.nii.gz", array)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 0
    _, rows = read(tmp_path / "out")
    # Counted from 1; of a stretch without lesion the one after its middle.
    assert rows["a"]["slices_shown"] == "005, 009, 013, 018, 021, 025"


def test_names_that_no_file_can_have(tmp_path):
    long = "x" * 200
    for name in (long, "plain"):
        write_volume(tmp_path / "own", name, seed=len(name), lesion=1)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 0
    page, rows = read(tmp_path / "out")
    assert {row["picture"] for row in rows.values()} == {"case 2.png", "plain.png"}
    assert all((tmp_path / "out" / row["picture"]).is_file() for row in rows.values()) and long in page


def test_names_that_are_no_text(tmp_path):
    for number, name in enumerate(("p\udce9\x1b[31m", "<b>$x_1$ & 'y'", "plain")):
        images, labels, _ = drawn(seed=number, lesion=1)
        write_nifti(tmp_path / "own" / name / "ct.nii.gz", images)
        write_nifti(tmp_path / "own" / name / "seg.nii.gz", labels)
    assert call(tmp_path / "own", "--out", tmp_path / "out", "--lungs", "none") == 0
    page, _ = read(tmp_path / "out")
    assert "p\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m</h2>" in page and "<b>$" not in page
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_loose_slices_and_scans_without_lung_masks(tmp_path):
    for number in range(2):
        write_slice(tmp_path / "own", f"s{number}", seed=number, size=64)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 0
    _, rows = read(tmp_path / "out")
    assert [row["slices"] for row in rows.values()] == ["1", "1"] and all(row["lung_level"] for row in rows.values())
    assert call(tmp_path / "own", "--out", tmp_path / "none", "--lungs", "none") == 0
    _, rows = read(tmp_path / "none")
    assert all(row["lesion_level"] and int(row["lung_level"]) > 0 for row in rows.values())


def test_the_layouts_of_the_studies(tmp_path):
    folder = tmp_path / "medseg"
    images, labels, lungs = drawn(num_slices=8, size=64, lesion=1)
    for kind, array in (("tr_im", images), ("tr_mask", labels), ("tr_lungmasks_updated", lungs)):
        write_nifti(folder / f"{kind}.nii.gz", array)
    for name in ("1", "2"):
        for kind, array in (("rp_im", images), ("rp_msk", labels), ("rp_lung_msk", lungs)):
            write_nifti(folder / kind / f"{name}.nii.gz", array)
    (folder / "rp_im" / "2.nii.gz").write_bytes(b"")
    assert call(folder, "--out", tmp_path / "out") == 1
    page, rows = read(tmp_path / "out")
    assert list(rows) == ["slices 001 to 006", "slices 007 to 008", "volume 1"]
    assert "2.nii.gz is empty or cut off" in section(page, "volume 2")
    assert "lungs: given with the scans" in section(page, "volume 1")


def test_one_scan_at_a_time_is_in_memory(tmp_path, monkeypatch):
    write_cohort(tmp_path / "own", 4)
    alive, most = weakref.WeakSet(), []
    add = data_look.Kept.add

    def watched(self, one, counts):
        add(self, one, counts)
        alive.add(one)
        del one
        gc.collect()
        most.append(len(alive))

    monkeypatch.setattr(data_look.Kept, "add", watched)
    assert call(tmp_path / "own", "--out", tmp_path / "out") == 0
    assert most == [1, 1, 1, 1]


def test_mask_options_are_those_of_check(tmp_path):
    folder = write_cohort(tmp_path / "own", 2)
    for path in (folder / "images").iterdir():
        nibabel.save(nibabel.Nifti1Image(np.asarray(nibabel.load(path).dataobj), np.eye(4)), path)
    assert call(folder, "--out", tmp_path / "out", "--orientation", "upright", "--lungs", "none") in (0, 1)
    page, _ = read(tmp_path / "out")
    assert "orientation PLS as given" in page
