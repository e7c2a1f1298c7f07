"""Same seed, same machine, same threads for each training: the same bits, whatever --workers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_commands import result

ROOT = Path(__file__).parents[2]
WORKERS = 2
SHARE = max((os.cpu_count() or 1) // WORKERS, 1)  # of the cores, that each of the workers gets


def grid(data, out, *more, **environment):
    arguments = ["--net", "segnet", "--variant", "released", "--size", "32", "--data", data, "--epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.grid", *map(str, arguments), "--out", str(out), *more],
        cwd=ROOT,
        env={**os.environ, "UNET_SEGNET_DATA": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def threads(out):
    """The threads of each run, as its provenance has them."""
    return [json.loads(path.read_text())["threads"] for path in sorted(out.rglob("result.json"))]


@pytest.mark.slow
def test_weights_and_tables_are_the_same_bits_whatever_the_workers(twenty_slices, tmp_path):
    """Also of a run that is the last to be left: it gets no more threads than the others."""
    one, two = tmp_path / "one", tmp_path / "two"
    grid(twenty_slices, one, "--only", "4,5", TF_NUM_INTRAOP_THREADS=str(SHARE), OMP_NUM_THREADS=str(SHARE))
    grid(twenty_slices, two, "--only", "4,5", "--workers", str(WORKERS))
    assert threads(one) == threads(two) == [SHARE, SHARE]
    assert result(one) == result(two)

    shutil.rmtree(two / "grid" / "released-binary-segnet" / "exp5-seed0")
    done = grid(twenty_slices, two, "--only", "4,5", "--workers", str(WORKERS))
    assert "1 finished, 1 to do" in done.stdout
    assert threads(two) == [SHARE, SHARE]
    assert result(one) == result(two)
