"""`unet-segnet data`: fetch from a server on this machine, check, phantom, and their exit statuses."""

import csv
import hashlib
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nibabel
import numpy as np
import pytest
from own_data import write_cohort
from PIL import Image

from unet_segnet.commands import data as command
from unet_segnet.data import fetch as release
from unet_segnet.data.nifti import write_volume
from unet_segnet.errors import InputError

PROJECT = Path(__file__).parents[2]
FILES = {"LICENSE": b"CC0", "dataset/im/256/i001.png": b"one" * 50, "dataset/raw/tr_mask.nii.gz": b"two" * 99}


def status(arguments):
    """What a call of the verb says, as the exit status it would leave with."""
    return command.data(command.build_parser().parse_args(arguments))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A release of three files on 127.0.0.1; `requested` lists the paths that were asked for."""
    folder = tmp_path / "served"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(release, "read_manifest", lambda: manifest)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    requested = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            requested.append(self.path.lstrip("/"))
            super().do_GET()

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    http.folder, http.requested = folder, requested
    http.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield http
    http.shutdown()
    http.server_close()


def fetched(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fetch_downloads_every_file_and_then_nothing(server, tmp_path, capsys):
    to = tmp_path / "to"
    assert status(["fetch", "--to", str(to), "--base-url", server.url]) == 0
    assert fetched(to) == FILES
    assert sorted(server.requested) == sorted(FILES)
    assert "3 downloaded, 0 kept" in capsys.readouterr().out
    server.requested.clear()
    assert status(["fetch", "--to", str(to), "--base-url", server.url + "/"]) == 0
    assert server.requested == []
    assert "0 downloaded, 3 kept" in capsys.readouterr().out


def test_fetch_refuses_a_wrong_hash_and_keeps_nothing_of_it(server, tmp_path):
    to = tmp_path / "to"
    name = "dataset/im/256/i001.png"
    (server.folder / name).write_bytes(b"something else")
    with pytest.raises(InputError, match="SHA-256 differs"):
        release.fetch_release(to, server.url)
    assert fetched(to) == {"LICENSE": FILES["LICENSE"]}


def test_interrupted_fetch_goes_on_and_replaces_damaged_files(server, tmp_path):
    to = tmp_path / "to"
    (server.folder / "dataset/raw/tr_mask.nii.gz").unlink()
    with pytest.raises(InputError, match="HTTP status 404"):
        release.fetch_release(to, server.url)
    (server.folder / "dataset/raw/tr_mask.nii.gz").write_bytes(FILES["dataset/raw/tr_mask.nii.gz"])
    (to / "LICENSE").write_bytes(b"cut")
    server.requested.clear()
    assert release.fetch_release(to, server.url) == 2
    assert server.requested == ["LICENSE", "dataset/raw/tr_mask.nii.gz"]
    assert fetched(to) == FILES


def test_no_network_and_no_place_are_one_clear_line(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="check the network") as error:
        release.fetch_release(tmp_path / "to", server.url)
    assert "\n" not in str(error.value)
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        release.fetch_release(blocked, server.url)


def test_manifest_holds_the_release(real_data):
    manifest = release.read_manifest()
    assert len(manifest) == 303
    for name, digest in manifest.items():
        assert hashlib.sha256((real_data / name).read_bytes()).hexdigest() == digest, name


@pytest.fixture
def tree(tmp_path):
    """A sound PNG tree of three slices of 16x16, each lung in another third."""
    for number in range(3):
        image, label = np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8)
        image[:, 5 * number : 5 * number + 5] = 70
        label[4:8, 5 * number + 1 : 5 * number + 3] = 1 + number
        for path, array in ((f"im/256/i00{number + 1}.png", image), (mask_name(number + 1), label * np.uint8(85))):
            path = tmp_path / "set" / "dataset" / path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return tmp_path / "set"


def mask_name(number):
    return f"mask/multi/256/tr_mask_z00{number}.png"


def test_check_of_a_sound_tree(tree, tmp_path, capsys):
    table = tmp_path / "slices.csv"
    assert status(["check", str(tree), "--csv", str(table)]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith("usable")
    assert "C2                         8                 256" in printed
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["slice"] for row in rows] == ["001", "002", "003"]
    assert rows[1]["pixels_C2"] == "8" and rows[1]["lung_pixels"] == "80"
    assert rows[1]["lesion_outside_lung"] == "0.0000" and rows[1]["finding"] == ""


def test_check_never_replaces_a_table_unasked(tree, tmp_path):
    table = tmp_path / "slices.csv"
    table.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        status(["check", str(tree), "--csv", str(table)])
    assert table.read_text() == "mine"
    assert status(["check", str(tree), "--csv", str(table), "--force"]) == 0
    assert table.read_text().startswith("set,slice")


def test_check_names_an_exchange_that_loading_mends(tree, tmp_path, capsys):
    first, second = (tree / "dataset" / mask_name(number) for number in (1, 3))
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    assert status(["check", str(tree), "--csv", str(tmp_path / "t.csv")]) == 0
    printed = capsys.readouterr().out
    assert "mended on loading" in printed and "masks 001 and 003" in printed
    assert "mask exchanged with 003" in (tmp_path / "t.csv").read_text()


def test_check_lists_every_problem_and_fails(tree, capsys):
    dataset = tree / "dataset"
    Image.fromarray(np.full((16, 16), 100, np.uint8)).save(dataset / mask_name(1))
    (dataset / mask_name(2)).unlink()
    misfit = np.zeros((16, 16), np.uint8)
    misfit[:4, :4] = 85
    Image.fromarray(misfit).save(dataset / mask_name(3))
    assert status(["check", str(tree)]) == 1
    printed = capsys.readouterr().out
    for problem in ("unknown values (100)", "no file for slice 002", "slice 003 does not fit its image"):
        assert problem in printed
    assert "3 problem(s)" in printed


def test_check_of_slices_and_volumes_in_nifti(tmp_path, capsys):
    folder = tmp_path / "medseg"
    (folder / "rp_im").mkdir(parents=True)
    (folder / "rp_msk").mkdir()
    (folder / "rp_lung_msk").mkdir()
    images = np.full((4, 12, 12), -800, np.int16)
    labels, lungs = np.zeros((2, 4, 12, 12), np.uint8)
    lungs[:, 2:10, 2:10] = 1
    labels[:, 4:6, 4:6] = 2
    for stem, affine in (("tr_{}", None), ("rp_{}/3", np.diag([0.8, 0.8, 5, 1]))):
        names = ("im", "mask", "lungmasks_updated") if stem == "tr_{}" else ("im", "msk", "lung_msk")
        for name, array in zip(names, (images, labels, lungs), strict=True):
            write_volume(folder / f"{stem.format(name)}.nii.gz", array, affine)
    assert status(["check", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "4 slices of 12x12" in printed and "Hounsfield units" in printed
    assert "volume 3: 4 slices" in printed and "0.8 x 0.8 x 5 mm" in printed
    write_volume(folder / "rp_msk/3.nii.gz", np.ascontiguousarray(labels[:, ::-1, ::-1]) * 9)
    write_volume(folder / "tr_lungmasks_updated.nii.gz", lungs[:3])
    assert status(["check", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "label 18" in printed and "12x12x3" in printed


def test_manifest_tells_of_class_names_that_do_not_lie_beside_it(tmp_path, capsys):
    write_cohort(tmp_path / "scans", 2)
    arguments = ["manifest", str(tmp_path / "scans"), "--to"]
    assert status([*arguments, str(tmp_path / "plain.csv")]) == 0
    assert "--classes" not in capsys.readouterr().out
    (tmp_path / "scans" / "classes.csv").write_text("value,name\n0,healthy\n1,lesion\n")
    assert status([*arguments, str(tmp_path / "list.csv")]) == 0
    printed = capsys.readouterr().out
    assert f"--classes {tmp_path / 'scans' / 'classes.csv'}`" in printed and "looked for beside the table" in printed
    assert status([*arguments, str(tmp_path / "scans" / "list.csv")]) == 0
    assert "--classes" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "volumes"], "--test volumes is for the volumes in rp_im/, and there are none"),
        (["--volume-orientation", "upright"], "--volume-orientation is for the volumes in rp_im/"),
        (["--slices-per-patient", "2"], "has no tr_im.nii.gz, whose slices alone `slices_per_patient` divides"),
        (["--orientation", "bogus"], "orientation 'bogus'"),
        (["--volume-orientation", "bogus"], "orientation 'bogus'"),
    ],
)
def test_manifest_refuses_options_that_apply_to_nothing(tmp_path, options, message):
    write_cohort(tmp_path / "scans", 2)
    with pytest.raises(InputError, match=message):
        status(["manifest", str(tmp_path / "scans"), "--to", str(tmp_path / "list.csv"), *options])
    assert not (tmp_path / "list.csv").exists()


def test_manifest_of_volumes_has_no_slices_to_mark(tmp_path):
    (tmp_path / "rp_im").mkdir()
    (tmp_path / "rp_im" / "1.nii.gz").touch()
    with pytest.raises(InputError, match="--test slices leaves out the volumes in rp_im/, and there is nothing else"):
        status(["manifest", str(tmp_path), "--to", str(tmp_path / "list.csv"), "--test", "slices"])


def test_manifest_tells_which_partners_it_guessed(tmp_path, capsys):
    write_cohort(tmp_path / "scans", 2)
    (tmp_path / "scans" / "labels" / "p1.nii.gz").rename(tmp_path / "scans" / "labels" / "p1_mask.nii.gz")
    assert status(["manifest", str(tmp_path / "scans"), "--to", str(tmp_path / "list.csv")]) == 0
    assert "what the names share: p1_mask belongs to p1\n" in capsys.readouterr().out


def test_check_of_the_release_prints_table_1(real_data, capsys):
    assert status(["check", str(real_data)]) == 0
    printed = capsys.readouterr().out
    for text in ("24394464", "1196461", "589210", "34265", "26214400", "25165824", "20447232", "6553600"):
        assert text in printed
    assert "masks 033 and 039" in printed and "every mask equals its raw mask" in printed


def test_commands_leave_with_their_status(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "unet_segnet", "data", *arguments],
            cwd=PROJECT,
            env={**os.environ, "UNET_SEGNET_DATA": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    nothing = run("check", str(tmp_path))
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("error: no data set in") and nothing.stderr.count("\n") == 1
    offline = run("fetch", "--base-url", "http://127.0.0.1:9")
    assert offline.returncode == 2
    assert "check the network" in offline.stderr and "Traceback" not in offline.stderr
    assert run("check", "--help").returncode == 0


def test_phantom_that_is_too_small_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="`size` is at least 32"):
        status(["phantom", "--to", str(tmp_path / "phantom"), "--slices", "1", "--size", "17"])
    assert not (tmp_path / "phantom").exists()


def test_phantom_is_written_once(tmp_path, capsys):
    to = tmp_path / "phantom"
    options = ["phantom", "--to", str(to), "--slices", "4", "--size", "64", "--seed", "1"]
    assert status(options) == 0
    assert nibabel.load(to / "tr_im.nii.gz").shape == (64, 64, 4)
    with pytest.raises(InputError, match="--force"):
        status(options)
    capsys.readouterr()
    status(["check", str(to)])
    assert "4 slices of 64x64" in capsys.readouterr().out
