"""The bench command measures what it says and writes it; how fast it is, is no matter of a test."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "experiments.bench", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_row_per_network_with_the_machine_beside_it(tmp_path):
    result = bench("--size", 16, "--batch", 2, "--repeats", 1, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    table = result.stdout.split("\nwritten to ")[0]
    assert max(map(len, table.splitlines())) <= 100
    with (tmp_path / "bench.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["network"] for row in rows] == ["segnet", "unet"]
    for row in rows:
        step = float(row["training ms/step"]) / 1000
        assert float(row["training slices/s"]) == pytest.approx(2 / step, rel=0.2)
        assert float(row["memory MiB"]) > 100
    assert {"rows", "versions", "device"} <= json.loads((tmp_path / "bench.json").read_text()).keys()


def test_a_row_that_fails_is_one_line(tmp_path):
    result = bench("--nets", "segnet", "--size", 16, "--out", tmp_path, KERAS_BACKEND="none_such")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: measuring segnet released float32 failed:")
    assert not list(tmp_path.iterdir())


def test_unknown_networks_are_refused():
    result = bench("--nets", "vnet")
    assert result.returncode == 2
    assert "expected some of segnet, unet" in result.stderr
