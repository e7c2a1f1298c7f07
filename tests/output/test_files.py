"""Files that are small or are refused, whatever they say of themselves, and names that are no text."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unet_segnet.cohort.cases import find_cases
from unet_segnet.cohort.manifest import Case, write_manifest
from unet_segnet.data.splits import read_splits
from unet_segnet.errors import InputError
from unet_segnet.networks.facts import read_facts
from unet_segnet.networks.load import load_model
from unet_segnet.output import files
from unet_segnet.output.npz import read_npz
from unet_segnet.output.records import read_json
from unet_segnet.scans import scan_name

ROOT = Path(__file__).parents[2]
NOT_TEXT = os.fsdecode(b"scan\xff.nii.gz")
posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    return tmp_path / "pipe.csv"


def test_small_files_come_whole_and_larger_ones_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_small(path) == files.read_small(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        files.read_small(path, 4)


@posix
@pytest.mark.parametrize(
    "read", [read_json, find_cases, lambda path: read_splits(path, (), ())], ids=["run", "manifest", "split"]
)
def test_nobody_waits_for_the_writer_of_a_pipe(pipe, read):
    with pytest.raises(InputError, match=r"pipe\.csv: .*no plain file"):
        read(pipe)


@pytest.mark.parametrize(
    "read", [lambda path: read_npz(path, ("x",)), read_facts, load_model], ids=["arrays", "facts", "network"]
)
def test_archives_of_too_many_files_are_refused_before_they_are_listed(tmp_path, monkeypatch, read):
    path = tmp_path / "many.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}.npy", b"")
    monkeypatch.setattr(files._DirectoryReader, "limit", 1000)
    wanted = (InputError, zipfile.BadZipFile)
    with pytest.raises(wanted, match=r"its directory takes \d+ bytes, expected at most 1000"):
        read(path)


def test_large_members_of_an_archive_are_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("one", bytes(5000))
    monkeypatch.setattr(files._DirectoryReader, "limit", 1000)
    with files.open_archive(tmp_path / "one.zip") as archive:
        assert archive.read("one") == bytes(5000)


@posix
def test_names_that_are_no_text_are_told(tmp_path):
    path = tmp_path / NOT_TEXT
    with pytest.raises(InputError, match=r"scan\\xff\.nii\.gz'.* not UTF-8; rename") as told:
        scan_name(path)
    str(told.value).encode()
    manifest = tmp_path / "manifest.csv"
    with pytest.raises(InputError, match="not UTF-8"):
        write_manifest(manifest, [Case("scan", path)])
    assert list(tmp_path.iterdir()) == []


def test_commands_print_names_that_are_no_text():
    code = r"from unet_segnet.output.console import run_command; run_command(lambda: print('scan\udcff'))"
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=strict, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "scan\\udcff\n", "")
