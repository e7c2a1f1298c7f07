"""What runs in a process that meets a fault: one command, as `python -m` would run it."""

import contextlib
import faulthandler
import os
import random
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from forked import be, become

YEAR = 365 * 86400.0


@dataclass(frozen=True)
class Under:
    """What a process finds.

    Attributes:
        memory: bytes of address space that it may take beyond those it has when it begins.
        file_bytes: the largest file that it may write.
        dies_at: (n, after): it kills itself before or after it moves its n-th file or folder into place.
        clock: seed of a clock that jumps by years.
    """

    memory: int | None = None
    file_bytes: int | None = None
    dies_at: tuple[int, bool] | None = None
    clock: int | None = None


def run(name: str, arguments: list[str], where: Path, under: Under, home: Path, environment: dict) -> None:
    """Run a command in the folder `home`; its output goes to `where`/out and `where`/err."""
    become(where, home, environment)
    if under.clock is not None:
        _jumping_clock(random.Random(under.clock))
    if under.dies_at is not None:
        _die_at_move(*under.dies_at)
    if under.memory is not None:
        faulthandler.register(signal.SIGUSR1, all_threads=False)  # where it hangs, see `Running.innermost`
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + under.memory,) * 2)
    if under.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (under.file_bytes,) * 2)
    be(name, arguments)


def _jumping_clock(rng: random.Random) -> None:
    """Let the clock of this process jump, back to 1970 at times; the monotonic one goes on as it must."""
    true = time.time
    offset = 0.0

    def now():
        nonlocal offset
        if rng.random() < 0.2:
            offset = rng.choice((0.0, -true(), rng.uniform(-40, 40) * YEAR))
        return max(true() + offset, 0.0)

    def of_now(function):
        return lambda seconds=None: function(now() if seconds is None else seconds)

    time.localtime, time.gmtime, time.ctime = map(of_now, (time.localtime, time.gmtime, time.ctime))
    time.time = now


def _die_at_move(number: int, after: bool) -> None:
    """kill -9 this process before or after its n-th `os.replace` or `os.rename`."""
    left = number

    def dying(move):
        def moved(*places, **more):
            nonlocal left
            left -= 1
            if left < 0:
                with contextlib.suppress(OSError):
                    if after:
                        move(*places, **more)
                os.kill(os.getpid(), signal.SIGKILL)
            move(*places, **more)

        return moved

    os.replace, os.rename = dying(os.replace), dying(os.rename)
