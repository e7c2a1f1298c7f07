"""Fixtures of the commands' tests."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start():
    """Begins a command, `start(name, *arguments)`, in a process that does not outlive the test, however that ends."""
    begun = []

    def begin(name, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        command = [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)]
        begun.append(subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr, text=True))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def no_committed_runs(tmp_path_factory):
    """The second study's runs that a module makes are all that there are; their data are not at hand."""
    from experiments.compare import collect

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "RESULTS", tmp_path_factory.mktemp("results"))
        patch.setenv("UNET_SEGNET_DATA", str(tmp_path_factory.mktemp("nowhere")))
        yield
