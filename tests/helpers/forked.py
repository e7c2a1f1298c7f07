"""Commands in processes of their own that begin with the libraries imported.

They are forked from a server that has imported them once: on tiny slices that import takes longer than all the rest.
"""

import os
import runpy
import signal
import subprocess
import sys
import tempfile
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest import mock

from unet_segnet.commands import VERBS

ROOT = Path(__file__).parents[2]
# One thread of linear algebra: that of NumPy is settled as it is imported.
SERVER = {
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "helpers", ROOT / "tests" / "robustness"))),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1",
}
KINDS = ("in", "out", "err")


def start(target, *arguments) -> ForkServerProcess:
    """Start `target(*arguments)` in a process of the server; it begins with `become`."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["forked_preload"])
    with mock.patch.dict(os.environ, SERVER):
        forkserver.ensure_running()
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def become(where: Path, home: Path, environment: dict) -> None:
    """Give this process a group, a folder, an environment and an output (`where`/out and `where`/err) of its own."""
    os.setsid()
    os.chdir(home)
    os.environ.clear()
    os.environ.update(environment)
    for number, kind in enumerate(KINDS):
        os.dup2(os.open(where / kind, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)


def words(name: str) -> list[str]:
    """What follows `python -m` to run a command: a verb of `unet-segnet`, or one of the studies'."""
    return ["unet_segnet", name] if name in VERBS else [f"experiments.{name}"]


def be(name: str, arguments: list[str]) -> None:
    """Run a command in this process, as `python -m` would."""
    module, *verb = words(name)
    sys.argv = [f"{module.replace('.', '/')}.py", *verb, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_command(
    name: str, *arguments, seconds: float = 600, shrunk: bool = False, **environment
) -> subprocess.CompletedProcess:
    """What the command NAME says in the project's folder, and its exit status.

    Arguments:
        name: of the command.
        arguments: turned into text.
        seconds: after which it hangs.
        shrunk: the released networks have a few layers only; compiling all of them takes most of a short training.
        environment: variables besides those of this process; too late for what is read by an import (KERAS_BACKEND).

    Raises:
        subprocess.TimeoutExpired: it hangs.
    """
    arguments = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        process = start(_run, name, arguments, Path(folder), {**os.environ, **environment}, shrunk)
        process.join(seconds)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            raise subprocess.TimeoutExpired([name, *arguments], seconds)
        out, err = ((Path(folder) / kind).read_text() for kind in KINDS[1:])
    return subprocess.CompletedProcess([name, *arguments], process.exitcode, out, err)


def shrink_networks() -> None:
    """Leave the released networks a few layers, for what does not depend on how many they have."""
    from unet_segnet.models import segnet, unet

    segnet.RELEASED_STAGES = ((4, 1),) * 2
    unet.DEPTHS = {**unet.DEPTHS, "released": 1}


def _run(name, arguments, where, environment, shrunk):
    become(where, ROOT, environment)
    if shrunk:
        shrink_networks()
    be(name, arguments)
