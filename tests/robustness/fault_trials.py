"""A command that meets a fault: starting, killing and judging it.

Each start is a process of its own in which the libraries are imported already, so that the moments at which it is
killed are moments of work.
"""

import os
import random
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import fault_child
import forked
from fault_child import Under
from fault_commands import COMMANDS, files_below, finished, result, write_inputs

SAME = "went on to the same result"
SAID = "said in one line what to do, then went on to the same result"
PROGRESS = re.compile(r"\S.* \d+/\d+  \d")
SUMMARY = re.compile(r"(\d+ of|all) \d+ inputs failed[;:] ")


class WrongError(Exception):
    """Something was lost or changed, or the command did not say what to do."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit status (of a signal, negative) and what it wrote."""

    status: int
    out: str
    err: str


class Running:
    """A process that runs a command."""

    def __init__(self, process, where: Path):
        self.process, self.where = process, where

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, seconds: float) -> Ended | None:
        """How it ended, or None where it still runs after so many seconds."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            return None
        out, err = ((self.where / kind).read_text(errors="replace") for kind in ("out", "err"))
        return Ended(self.process.exitcode, out, err)

    def innermost(self) -> str:
        """The file in which a process with little memory hangs, as it says when asked; then it is killed."""
        os.kill(self.pid, signal.SIGUSR1)
        time.sleep(2)
        self.kill()
        frames = re.findall(r'File "(.*)", line', (self.where / "err").read_text(errors="replace"))
        return frames[0] if frames else "no file"

    def kill(self) -> bool:
        """kill -9 it and those that it started; False where it had ended by itself."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group yet, or has ended
            self.process.kill()
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL


class Stage:
    """Where commands meet faults: a folder with the home, and the undisturbed results.

    Arguments:
        folder: empty; all that is done is done below it.
        names: of `COMMANDS`; those that they need are added.
    """

    def __init__(self, folder: Path, names):
        self.environment = {
            **os.environ,
            **forked.SERVER,  # for the workers of a command
            "UNET_SEGNET_DATA": str(folder / "none"),
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        self.folder, self.inputs, self.home = folder, folder / "inputs", folder / "home"
        self.results: dict[str, dict] = {}
        self.seconds: dict[str, float] = {}
        self.count = 0
        self.inputs.mkdir(parents=True)
        write_inputs(self.inputs)
        for name in sorted({*names, *(COMMANDS[name].needs or name for name in names)} | self._with_model(names)):
            self._undisturbed(name)

    @staticmethod
    def _with_model(names) -> set:
        return {"grid"} if "predict" in names else set()

    def _undisturbed(self, name: str) -> None:
        trial = Trial(self, name, random.Random(0))
        began = time.monotonic()
        ended = trial.start().wait(1800)
        self.seconds[name] = time.monotonic() - began
        if ended is None or ended.status != 0:
            raise RuntimeError(f"{name} does not run: {ended}")
        self.results[name] = result(trial.out)
        shutil.copytree(trial.out, self.done(name))
        if name == "grid":
            shutil.copy(next(trial.out.glob("grid/*/exp4-*/model.keras")), self.inputs)

    def done(self, name: str) -> Path:
        """The out/ of an undisturbed run of a command."""
        return self.folder / "done" / name


class Trial:
    """A command in a home of its own, about to meet a fault.

    Attributes:
        home, out: folders.
        rng: where chance comes from.
        seconds: that the command takes undisturbed.
        patience: seconds after which it hangs.
    """

    def __init__(self, stage: Stage, name: str, rng: random.Random, done: bool = False):
        self.stage, self.name, self.command, self.rng = stage, name, COMMANDS[name], rng
        self.home, self.out = stage.home, stage.home / "out"
        self.seconds = stage.seconds.get(name, 60.0)
        self.patience = 20 * self.seconds + 60
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(stage.inputs, self.home)
        if done:
            shutil.copytree(stage.done(name), self.out)
        elif self.command.needs:
            shutil.copytree(stage.done(self.command.needs), self.out)

    def start(self, under: Under = Under(), more=()) -> Running:  # noqa: B008  frozen
        """Start the command in the home."""
        self.stage.count += 1
        where = self.stage.folder / "outputs" / str(self.stage.count)
        where.mkdir(parents=True)
        arguments = [*self.command.arguments, *more]
        return Running(
            forked.start(
                fault_child.run, self.command.module, arguments, where, under, self.home, self.stage.environment
            ),
            where,
        )

    def finished(self) -> dict:
        """What is finished, to be held against later."""
        return finished(self.out, self.command)

    def check_kept(self, before: dict) -> None:
        """Raises WrongError where something that was finished is not as it was."""
        after = files_below(self.out)
        if lost := [name for name in before if name not in after]:
            raise WrongError(f"lost: {', '.join(lost)}")
        if changed := [name for name in before if before[name] != after[name]]:
            raise WrongError(f"changed: {', '.join(changed)}")

    def check_same(self, but: Path | None = None) -> None:
        """Raises WrongError where the result, one file left out, is not that of an undisturbed run."""
        expected, found = dict(self.stage.results[self.name]), result(self.out)
        if but is not None:
            expected.pop(but.relative_to(self.out).as_posix())
        if expected != found:
            names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise WrongError(f"another result: {', '.join(names)}")

    def judge(self, ended: Ended | None, before: dict) -> str:
        """SAME where the command went on to its result, else the line that it said.

        Raises:
            WrongError: neither, or something finished is no longer as it was `before`.
        """
        if ended is None:
            raise WrongError(f"no end within {self.patience:.0f} s")
        if "Traceback" in ended.err + ended.out:
            raise WrongError(f"a traceback: {' '.join(ended.err.split())[-600:]}")
        self.check_kept(before)
        if ended.status == 0:
            self.check_same()
            return SAME
        return self.said(ended)

    def said(self, ended: Ended) -> str:
        """The line that tells what is wrong. Raises WrongError where there is none, or more."""
        lines = [line for line in ended.err.splitlines() if not PROGRESS.match(line) and not SUMMARY.match(line)]
        allowed = (1, 2) if self.command.several_lines else (2,)
        unclear = [line for line in lines if not line.startswith("error: ") or len(line) > 700]
        if ended.status not in allowed or not lines or unclear or (len(lines) > 1 and not self.command.several_lines):
            raise WrongError(f"status {ended.status}, said {' | '.join(lines)[-600:]!r}")
        return lines[0]

    def go_on(self, more=()) -> None:
        """Start the same command again, undisturbed. Raises WrongError where the result is not the same."""
        more = (*more, *self.command.again)
        before = {} if "--force" in more else self.finished()
        if self.judge(ended := self.start(more=more).wait(self.patience), before) != SAME:
            raise WrongError(f"does not go on: {ended.err[-600:]}")
