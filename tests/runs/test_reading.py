"""Run folders that are damaged or made up: one line that names the file, whatever is in them."""

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from run_folders import make_run, spec

from experiments.bizopoulos2021 import evidence as compare_collect
from experiments.saood2021 import evidence as collect
from experiments.saood2021.runs import KIND, read_finished
from unet_segnet.errors import InputError
from unet_segnet.output.npz import EXPANDED, read_npz
from unet_segnet.output.records import read_json


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "runs", spec())


def refused(folder, what):
    with pytest.raises(InputError, match=what) as caught:
        read_finished(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000])
def test_json_without_end(run, content):
    run.config.write_text(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(run.config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("net", []), ("problem", {}), ("experiment", "4"), ("experiment", True), ("seed", None), ("fold", [1])),
        *(
            ("net", "fpn"),
            ("problem", "own"),
            ("variant", "later"),
            ("stream", "none"),
            ("experiment", 10),
            ("fold", 5),
        ),
    ],
)
def test_settings_that_no_run_has(run, key, value):
    run.config.write_text(json.dumps({**json.loads(run.config.read_text()), key: value}))
    refused(run.path, f"impossible value of {key}")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("test_names", np.array("t1")),
        ("test_confusion", np.ones((2, 2, 2))),
        ("test_confusion", -np.ones((2, 2, 2), int)),
        ("validation_confusion", np.ones(3, int)),
    ],
)
def test_counts_that_cannot_be(run, name, array):
    arrays = {**read_npz(run.counts, ("test_names", "test_confusion", "validation_confusion")), name: array}
    np.savez(run.counts, **arrays)
    refused(run.path, f"impossible value of {name}")


def test_an_array_that_claims_petabytes_or_is_packed_oddly(run):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(run.counts, "w") as archive:
        archive.writestr("test_names.npy", stream.getvalue())
    refused(run.path, "does not fit")
    with zipfile.ZipFile(run.counts, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("test_names.npy", bytes(EXPANDED + 1))
    refused(run.path, "declares")
    with zipfile.ZipFile(run.counts, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("test_names.npy", stream.getvalue())
    refused(run.path, "compressed in an unknown way")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("result.json", r"result\.json: does not say how the run ended; remove the run's folder"),
        ("config.json", r"config\.json: written by another version \(format None, expected 1\); remove the run"),
    ],
)
def test_files_of_another_version_are_refused_by_all_who_read_them(run, tmp_path, monkeypatch, file, line):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "none"))
    second = tmp_path / "second" / "compare" / "lung" / "unet-vgg11" / "seed0"
    shutil.copytree(run.path, second)
    for folder in (run.path, second):
        (folder / file).write_text('{"version": 2}')
    refused(run.path, line)
    for reader, runs in ((collect.collect, "runs"), (compare_collect.collect, "second")):
        with pytest.raises(InputError, match=line):
            reader(tmp_path / runs, None)


@pytest.mark.parametrize("seconds", ['"long"', "true", "0", "-1", "NaN", "Infinity", "[1]", "1" * 400])
def test_a_training_of_an_impossible_time(run, seconds):
    run.result.write_text(f'{{"status": "finished", "training_seconds": {seconds}}}')
    refused(run.path, r"result\.json: training_seconds is no time \(.*\); remove the run's folder")


@pytest.mark.parametrize("key", ["recipe", "data"])
def test_a_report_of_runs_without_settings(run, tmp_path, monkeypatch, key):
    monkeypatch.setenv("UNET_SEGNET_DATA", str(tmp_path / "none"))
    run.config.write_text(json.dumps({**json.loads(run.config.read_text()), key: [1]}))
    with pytest.raises(InputError, match=r"config\.json: holds no recipe or data"):
        collect.collect(tmp_path / "runs", None)


def test_a_folder_of_an_impossible_name(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        KIND.folders(tmp_path / ("9" * 5000))


def test_each_file_of_settings_is_read_once(run, monkeypatch):
    """By the tables at a study's end, and by the look at finished runs before another one is trained."""
    from types import SimpleNamespace

    from experiments.saood2021 import results as summary
    from unet_segnet.runs import reading

    read = []
    original = reading.read_json
    monkeypatch.setattr(reading, "read_json", lambda path, *more: read.append(path.name) or original(path, *more))
    options = SimpleNamespace(epochs=160, size=256, loss="weights", stream="numpy")
    assert len(summary.finished_runs([run.path], options)[0]) == 1
    assert sorted(read) == ["config.json", "result.json"]
    read.clear()
    reading.check_finished([run], KIND)
    assert sorted(read) == ["config.json", "result.json"]
