"""Fixtures shared by all tests: where the real data is, or a clear reason to skip."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import words

from unet_segnet.processor import prepare_processor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
prepare_processor()  # as all commands do

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "experiments" / "reference"
# Files that take long, with -m slow or without, begin: so that no process waits for one of them at the end.
FIRST = (
    *("robustness/test_faults.py", "experiments/bench/test_bench.py", "experiments/parity/test_parity.py"),
    *("experiments/saood2021/test_report.py", "models/test_networks.py", "training/test_class_weighted.py"),
    *("commands/test_train.py", "experiments/test_grid.py", "robustness/test_fuzz.py", "networks/test_load.py"),
)


def pytest_collection_modifyitems(items):
    order = {ROOT / "tests" / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(FIRST)))


def _data_set(name: str) -> Path:
    root = os.environ.get("UNET_SEGNET_DATA")
    if not root:
        pytest.skip("needs real slices: set UNET_SEGNET_DATA to the folder that holds the data sets")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"needs real slices: {folder} does not exist")
    return folder


@pytest.fixture(scope="session", autouse=True)
def real_fsync():
    """Nobody waits here until files are on the disk: they are thousands. Gives the function that does wait."""
    real = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield real


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the 100 released slices (COVID19-DL), or skip."""
    return _data_set("COVID19-DL")


@pytest.fixture(scope="session")
def ct20_data() -> Path:
    """The folder of the ct20 data set, or skip."""
    return _data_set("ct20")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The published and released figures, committed with the project."""
    return REFERENCE


@pytest.fixture
def start():
    """Begins a command, `start(name, *arguments)`, in a process that does not outlive the test, however that ends."""
    begun = []

    def begin(name, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        command = [sys.executable, "-m", *words(name), *map(str, arguments)]
        begun.append(subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        with process:  # waits for its end and closes its pipes
            process.kill()
