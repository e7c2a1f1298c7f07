"""The bench command measures what it says and writes it; how fast it is, is no matter of a test."""

import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tables import read_records, records

from experiments.bench import slices as bench_slices
from experiments.bench.__main__ import IN_README
from experiments.bench.options import BENCH_PARTS, bench_parser
from experiments.bench.session import NO_ACCELERATOR, OURS, PROCESSOR, Session
from experiments.bench.small import command_names
from experiments.bench.speed import processor, speed
from experiments.bench.whole import project, study_trainings
from experiments.bench.workers import Timing, Worker, _serve, alternate, once
from unet_segnet.errors import InputError
from unet_segnet.output.tabular import Table

ROOT = Path(__file__).parents[3]
TINY = (
    "--size", 32, "--epoch-size", 32, "--repeats", 1, "--epochs", 3, "--slices", 3, "--peak-size", 64,
    "--tool-slices", 4, "--tool-size", 64,
)  # fmt: skip


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "experiments.bench", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def session():
    """A processor without bfloat16 units, where nothing has been measured."""
    options = bench_parser("bench", "").parse_args(["--repeats", "3", "--batch", "4", "--paper-batch", "2"])
    machine = {"device": "cpu", "bfloat16": False, "provenance": {"backend": "tensorflow"}}
    return Session(options, machine)


@pytest.mark.slow
def test_every_part_has_its_table_with_the_machine_beside_it(tmp_path):
    # One data type, whatever units this processor has, and one network: each more is a dozen processes more.
    one = ("--dtypes", "float32", "--variants", "released", "--nets", "unet", "--networks", "pspnet/vgg11")
    result = bench(*TINY, *one, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    tables = result.stdout.split("\nwritten to ")[0]
    assert max(map(len, tables.splitlines())) <= 100
    report = json.loads((tmp_path / "bench.json").read_text())
    assert {"tables", "timings", "versions", "device", "command"} <= report.keys()
    parts = {*BENCH_PARTS, "frameworks", "bench"} - {"step", "inference"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{part}.csv" for part in parts} | {"bench.json"}
    beside = report["tables"]["processor"]
    assert beside["rows"] or beside["notes"] == ["There is no accelerator to compare the processor with."]
    for part in parts - {"processor"}:
        rows = read_records(tmp_path / f"{part}.csv")
        assert len(rows) == len(report["tables"][part]["rows"]) > 0
        assert {row["machine"] for row in rows} == {report["device"]}

    rows = read_records(tmp_path / "bench.csv")
    assert [(row["network"], row["variant"], row["batch"]) for row in rows] == [("unet", "released", "4")]
    for row in rows:
        step = float(row["training ms/step"]) / 1000
        assert float(row["training slices/s"]) == pytest.approx(int(row["batch"]) / step)
        assert float(row["memory MiB"]) > 100
    memory = read_records(tmp_path / "memory.csv")
    assert [row["slices"] for row in memory] == ["4", "8"]
    # The kernel counts the peak a little behind.
    assert all(1.02 * float(row["memory peak"]) >= float(row["MiB after epoch last"]) > 100 for row in memory)
    whole = {row["what"]: row for row in read_records(tmp_path / "epoch.csv")}
    assert float(whole["18 bare steps"]["ratio"]) == 1
    assert read_records(tmp_path / "project.csv")[-1]["trainings"] == "28"  # of one network
    assert "both have: 0." in report["tables"]["metrics"]["notes"][1]
    of_study = read_records(tmp_path / "encoders.csv")
    assert {row["network"] for row in of_study} == {"pspnet/vgg11"} and of_study[0]["run by"] == "ours"
    *stages, command = read_records(tmp_path / "tool.csv")
    assert sum(float(row["s"]) for row in stages) == pytest.approx(float(command["s"]))
    assert all(float(row["s"]) > 0 for row in stages)


@pytest.mark.slow
def test_parts_without_networks(tmp_path):
    out = tmp_path / "new"
    readme = tmp_path / "README.md"
    readme.write_text("<!-- speed:begin -->\nold\n<!-- speed:end -->\n")
    arguments = ("--parts", "augmentation,metrics", "--out", out, "--readme", readme, *TINY)
    result = bench(*arguments)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in out.iterdir()} == {"augmentation.csv", "metrics.csv", "bench.json"}
    (row,) = read_records(out / "augmentation.csv")
    assert float(row["slices/s"]) == pytest.approx(1000 / float(row["ms/slice"]))
    counts, scores, boundary, scan = read_records(out / "metrics.csv")
    assert float(counts["ratio"]) == pytest.approx(float(counts["scikit-learn s"]) / float(counts["ours s"]))
    assert (scores["slices"], boundary["scikit-learn s"], scan["slices"]) == ("3", "", "3")
    text = readme.read_text()
    assert "Measured on" in text and "scikit-learn" in text and "old" not in text

    before = (out / "bench.json").read_bytes()
    again = bench(*arguments)
    assert (again.returncode, (out / "bench.json").read_bytes()) == (2, before)
    assert "--force" in again.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("folder", "section", "parts"),
    [
        ("bench", "speed", {"bench", "layers", "epoch", "metrics"}),
        ("bench-bfloat16", "speed-bfloat16", {"bench", "layers"}),
        ("bench-amx", "speed-amx", {"bench", "layers"}),
        ("bench-second", "speed-second", {"encoders", "tool"}),
    ],
)
def test_the_readme_shows_the_committed_tables(folder, section, parts):
    results = ROOT / "experiments" / "results"
    report = json.loads((results / folder / "bench.json").read_text(encoding="utf-8"))
    readme = (results / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(f"<!-- {section}:begin -->")[2].partition(f"<!-- {section}:end -->")[0]
    assert f"Measured on {report['device']}." in shown
    tables = {name: table for name in IN_README if (table := report["tables"].get(name)) and table["rows"]}
    assert tables.keys() >= parts
    for table in tables.values():
        rows = tuple(map(tuple, table["rows"]))
        assert Table(table["title"], tuple(table["columns"]), rows, tuple(table["notes"])).to_markdown() in shown


def test_what_fails_is_one_line_and_leaves_nothing(tmp_path):
    result = bench("--parts", "step", "--out", tmp_path, KERAS_BACKEND="none_such")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: measuring the machine failed:")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--nets", "vnet"), "expected some of segnet, unet"),
        (("--parts", "steps"), "expected some of peak, step"),
        (("--size", "100"), "expected a multiple of 32"),
        (("--networks", "unet/resnet18,unet/resnet19"), "got 'unet/resnet19'"),
        (("--epochs", "2"), "give at least 3"),
        (("--readme", str(ROOT / "LICENSE")), "speed:begin"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(arguments, expected):
    result = bench(*arguments)
    assert result.returncode == 2
    assert expected in result.stderr.splitlines()[-1]


class Fake:
    """A worker whose repetitions take so many seconds; it records its turns."""

    def __init__(self, log, name, seconds):
        self.log, self.name, self.seconds = log, name, seconds

    def run(self, task, count=1):
        self.log.append((self.name, count))
        if self.seconds is None:
            raise InputError("no")
        return self.seconds


class Held(SimpleNamespace):
    """A worker as a context manager; tests give it a `run`."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_workers_alternate_and_short_turns_are_repeated():
    log = []
    found = alternate({"slow": Fake(log, "slow", 2.0), "quick": Fake(log, "quick", 0.1)}, "step", 2, "")
    assert log == [("slow", 1), ("quick", 1), ("slow", 1), ("quick", 1), ("quick", 3), ("slow", 1), ("quick", 3)]
    assert found["slow"] == Timing(2.0, (2.0, 2.0))
    assert (Timing(9, (1.0, 2.0, 5.0)).median, Timing(9, (1.0, 2.0, 5.0)).spread) == (2.0, 2.0)


def test_a_worker_that_may_fail_is_left_out():
    refused = {}
    found = alternate({"a": Fake([], "a", 1.0), "b": Fake([], "b", None)}, "step", 1, "", refused=refused)
    assert (list(found), refused) == (["a"], {"b": "no"})
    with pytest.raises(InputError):
        alternate({"b": Fake([], "b", None)}, "step", 1, "")


def test_a_worker_that_breaks_or_dies_is_one_line():
    with pytest.raises(InputError, match="measuring this failed: AttributeError: "):
        once("this", "slices", "no_such_function")
    with Worker("this", "slices", "augmentations", size=16, num_slices=1) as worker:
        assert 0 < worker.run("augment", 2) < 60
        worker._process.kill()
        with pytest.raises(InputError, match="measuring this failed: its process ended \\(killed"):
            worker.run("augment")


def test_slices_hold_lungs_and_all_classes():
    images, labels = bench_slices.made_up_slices(3, 64, num_classes=4)
    assert images.shape == labels.shape == (3, 64, 64)
    assert images.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (images[labels > 0] > 0).all()


def test_scored_slices_are_streamed_whole():
    blocks = list(bench_slices.scored_blocks(5, 64, 4, block=2))
    assert [len(labels) for labels, _ in blocks] == [2, 2, 1]
    assert all(labels.shape == predictions.shape for labels, predictions in blocks)
    assert all((labels != predictions).any() for labels, predictions in blocks)


def test_scores_equal_those_of_scikit_learn_also_without_a_class():
    labels, predictions = next(bench_slices.scored_blocks(2, 64, 4))
    labels[1][labels[1] == 2], predictions[1][predictions[1] == 2] = 0, 0
    predictions[1][predictions[1] == 3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = bench_slices.sklearn_scores(labels, predictions, 4)
    ours = bench_slices.our_scores(labels, predictions, 4)
    assert np.isnan(ours["dice"][1, 2])
    for name in bench_slices.SKLEARN_SCORES:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, err_msg=name)
        assert bench_slices.largest_difference(ours[name], theirs[name]) < 1e-12
    nan, one = np.array([np.nan]), np.array([1.0])
    assert bench_slices.largest_difference(nan, one) == float("inf")
    assert bench_slices.largest_difference(nan, nan) == 0


def test_the_commands_are_found():
    assert {"bench", "grid", "kfold", "parity", "report", "unet-segnet data"} <= set(command_names())
    assert not {"small", "options"} & set(command_names())


@pytest.mark.parametrize("fails_at", ["memory", "step"])  # as it begins, or in its first turn
def test_ratios_are_to_the_fastest_of_pytorch(session, monkeypatch, fails_at):
    seconds = {"eager": 1.0, "compile": 0.5, OURS: 0.25}
    session.options.against, session.options.nets = ("eager", "compile"), ("segnet",)
    session.options.variants, session.options.dtypes = ("released",), ("float32", "mixed_bfloat16")
    session.peaks = {"float32": 8e9}
    monkeypatch.setattr("experiments.bench.session.has_torch", lambda: True)

    class Worker(Held):
        def run(self, task, count=1):
            if self.setting.way == "compile" and self.setting.dtype == "float32" and task == fails_at:
                raise InputError("no compiler")
            known = {"multiply-adds": [1, 10**8], "memory": 500.4 if self.setting.way == OURS else 400.32}
            if task in known:
                return known[task]
            slow = 2 if self.setting.dtype == "float32" else 1
            return slow * seconds[self.setting.way]

    monkeypatch.setattr(session, "worker", lambda setting: Worker(setting=setting))
    tables = speed(session)
    assert list(tables) == ["frameworks", "bench"]
    ours = records(tables["bench"])
    assert [row["training: ratio"] for row in ours] == [1.0, 2.0]
    assert [row["inference: ratio"] for row in ours] == [1.0, 2.0]
    assert [row["training: peak %"] for row in ours] == [10, None]  # 4 slices of 1e8 in 0.5 s, of 8e9 a second
    assert [(row["memory: MiB"], row["memory: ratio"]) for row in ours] == [(500, 1.25), (500, 1.25)]
    frameworks = tables["frameworks"]
    assert Counter(row[4] for row in frameworks.rows) == {"ours": 2, "PyTorch": 2, "compiled": 1, "compiled: none": 1}
    assert any("no compiler" in note for note in frameworks.notes)
    assert max(map(len, frameworks.to_text().splitlines())) <= 100


def test_without_pytorch_its_rows_say_so(session, monkeypatch):
    monkeypatch.setattr("experiments.bench.session.has_torch", lambda: False)
    session.options.nets, session.options.variants = ("unet",), ("released",)

    class Worker(Held):
        def run(self, task, count=1):
            return [1, 1] if task == "multiply-adds" else 1.0

    monkeypatch.setattr(session, "worker", lambda setting: Worker())
    tables = speed(session, ("step",))
    assert [row[4] for row in tables["frameworks"].rows] == ["ours", "PyTorch: none"]
    assert any("not installed" in note for note in tables["frameworks"].notes)
    assert tables["bench"].rows[0][7] is None


def test_a_step_on_the_accelerator_is_compared_with_the_same_step_on_the_processor(session, monkeypatch):
    seconds = {PROCESSOR: 3.5, OURS: 0.1}
    session.options.nets, session.options.variants = ("unet",), ("released",)
    session.machine |= {"device": "cuda", "provenance": {"backend": "jax", "device": "NVIDIA H200"}}
    started = []

    class Worker(Held):
        def run(self, task, count=1):
            return seconds[self.setting.way]

    monkeypatch.setattr(session, "worker", lambda setting: started.append(setting) or Worker(setting=setting))
    monkeypatch.setattr(
        "experiments.bench.speed.once", lambda *_, **more: {"provenance": {"device": "Xeon, 16 cores", "threads": 16}}
    )
    table = processor(session)["processor"]
    (row,) = records(table)
    assert (row["network"], row["dtype"], row["batch"]) == ("unet", "float32", 4)
    assert (row["processor: ms/step"], row["accelerator: ms/step"]) == (3500, 100)
    assert row["ratio"] == pytest.approx(35)
    assert {setting.way for setting in started} == {PROCESSOR, OURS}
    assert len({(setting.dtype, setting.batch, setting.size) for setting in started}) == 1
    assert "Xeon, 16 cores, 16 threads" in table.notes[0] and "NVIDIA H200" in table.notes[0]
    assert max(map(len, table.to_text().splitlines())) <= 100


def test_without_an_accelerator_the_processor_is_not_measured(session, monkeypatch):
    monkeypatch.setattr(session, "worker", lambda setting: pytest.fail("measured"))
    table = processor(session)["processor"]
    assert table.rows == () and "no accelerator" in table.notes[0]


def test_the_processor_is_measured_where_every_accelerator_is_hidden(session, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    made = []
    monkeypatch.setattr("experiments.bench.session.Worker", lambda *arguments, **_: made.append(arguments))
    session.worker(session.setting("unet", "released", "float32", PROCESSOR))
    session.worker(session.setting("unet", "released", "float32"))
    assert [arguments[3] for arguments in made] == [NO_ACCELERATOR, None]
    assert NO_ACCELERATOR["CUDA_VISIBLE_DEVICES"] == ""


def test_a_worker_has_its_environment_before_anything_is_imported(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set there ends with the test
    seen, sent = [], []
    monkeypatch.setattr(
        bench_slices, "told", lambda channel, **_: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]), raising=False
    )
    _serve(SimpleNamespace(send_bytes=sent.append), "slices", "told", {"CUDA_VISIBLE_DEVICES": ""}, "{}")
    assert (seen, sent) == ([""], [])


def test_the_study_is_112_trainings():
    trainings = {net: study_trainings(net) for net in ("segnet", "unet")}
    assert 2 * sum(found.total() for found in trainings.values()) == 112
    # SegNet, Table 2: mini-batches of 4, 8 and 12; its best ones have 4.
    assert trainings["segnet"] == {(4, 160 * 18): 6, (8, 160 * 9): 6, (12, 160 * 6): 6, (4, 160 * 17): 10}


def test_the_study_is_extrapolated_from_steps(session, monkeypatch):
    session.options.nets, session.options.variants = ("segnet",), ("released",)
    monkeypatch.setattr(session, "step", lambda setting: Timing(37.0, (0.9, 1.0, 1.1)))
    session.epoch_factor = 1.1
    row, total = project(session)["project"].rows
    steps = 160 * 6 * (18 + 9 + 6) + 160 * 10 * 17
    per_step = 160 * (6 * (18 * 1 + 9 * 2 + 6 * 3) + 10 * 17 * 1)  # a mini-batch of 8 takes twice one of 4
    assert row[:4] == ("released", "segnet", 28, steps)
    assert row[5] == pytest.approx(1.1 * per_step / 3600)
    assert row[6] == pytest.approx(28 * 36 / 3600)
    assert total[-1] == pytest.approx(row[5] + row[6])
