"""Processes that each hold one thing to be timed, and take turns.

Every framework and every setting gets a process of its own: an allocator setting cannot be undone, two frameworks
in one process would share their threads and memory, and only so is peak memory that of one thing. A process that
waits for its turn costs nothing. Messages are JSON, so nothing is unpickled.
"""

import contextlib
import importlib
import json
import math
import multiprocessing
import os
import statistics
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unet_segnet.errors import InputError
from unet_segnet.output.console import Progress, import_keras

KERAS_MODULES = ("keras_networks", "layers")
SHORTEST_TURN = 0.3
"""Seconds: what takes less is repeated within a turn."""


class Channel:
    """The worker's end: `for task, count in channel.turns(): channel.reply(result)`."""

    def __init__(self, connection):
        self._connection = connection

    def turns(self) -> Iterator[tuple[str, int]]:
        """The parent's turns, each a task and the number of repetitions asked for."""
        while True:
            yield self.wait()

    def wait(self) -> tuple[str, int]:
        """One turn.

        Raises:
            EOFError: the parent wants no more, or is gone.
        """
        task, count = json.loads(self._connection.recv_bytes())
        if task is None:
            raise EOFError
        return task, count

    def reply(self, result) -> None:
        """Answer with anything that JSON holds."""
        self._connection.send_bytes(json.dumps({"result": result}).encode())

    def refuse(self, message: str) -> None:
        """End with one line for the user instead of an answer."""
        self._connection.send_bytes(json.dumps({"error": message}).encode())


class Worker:
    """A process that calls `experiments.MODULE.FUNCTION(channel, **arguments)`.

    Arguments:
        label: what it measures, for messages.
        module, function: what to call; it takes turns until `EOFError`.
        environment: variables that are set in the process before anything is imported that reads them.
        arguments: JSON values for it.

    A context manager; the process starts with the object and ends with the context.
    """

    def __init__(self, label: str, module: str, function: str, environment: dict[str, str] | None = None, **arguments):
        self.label = label
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, module, function, environment or {}, json.dumps(arguments)), daemon=True
        )
        self._process.start()
        theirs.close()

    def run(self, task: str, count: int = 1):
        """Give it a turn of `count` repetitions and return its answer.

        Raises:
            InputError: it refused, or its process ended.
        """
        try:
            self._connection.send_bytes(json.dumps([task, count]).encode())
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._process.join()
            raise InputError(
                f"measuring {self.label} failed: its process ended ({_reason(self._process.exitcode)}); "
                "leave this part out with --parts, or use a smaller --batch"
            ) from None
        if "error" in answer:
            raise InputError(f"measuring {self.label} failed: {answer['error']}")
        return answer["result"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._connection.send_bytes(b"[null, 0]")
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


def _reason(exit_code):
    if exit_code == -9:
        return "killed, most likely for want of memory"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit status {exit_code}"


def _serve(connection, module, function, environment, arguments):
    os.environ.update(environment)
    # One GPU serves several of these processes.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    channel = Channel(connection)
    try:
        if module in KERAS_MODULES:
            import_keras()
        getattr(importlib.import_module(f"experiments.bench.{module}"), function)(channel, **json.loads(arguments))
    except InputError as error:
        channel.refuse(str(error))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    except Exception as error:
        traceback.print_exc()
        channel.refuse(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}")


@dataclass(frozen=True)
class Timing:
    """Seconds of one repetition.

    Attributes:
        first: of the first one, with tracing, compilation and first use of memory.
        seconds: of each turn that counts.
    """

    first: float
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the turns that count."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Largest minus smallest of the turns that count, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def of_processes(timings: Sequence[Timing]) -> Timing:
    """What several processes took, each of which counts as one turn: its median.

    The same code is up to an eighth slower in one process than in the next, whose memory lies elsewhere.
    """
    if len(timings) == 1:
        return timings[0]
    first = statistics.median(timing.first for timing in timings)
    return Timing(first, tuple(timing.median for timing in timings))


def alternate(workers: dict, task: str, repeats: int, label: str, count: int = 1, refused: dict | None = None) -> dict:
    """Let workers take turns, round after round, so that all of them see the same moods of the machine.

    Arguments:
        workers: by any key; each answers with seconds per repetition.
        task: of all of them.
        repeats: rounds that count, after one that does not.
        label: what is measured, for the progress.
        count: repetitions in a turn; more where a turn would be shorter than `SHORTEST_TURN`.
        refused: if given, a worker that fails in its first turn is left out, and its message is put here by its key.

    Returns:
        A `Timing` by key.

    Raises:
        InputError: a worker failed.
    """
    bar = Progress(repeats + 1, label)
    first = {}
    for key, worker in workers.items():
        try:
            first[key] = worker.run(task)
        except InputError as error:
            if refused is None:
                raise
            refused[key] = str(error)
    bar.update(1)
    counts, seconds = dict.fromkeys(first, count), {key: [] for key in first}
    for turn in range(repeats):
        for key in first:
            found = workers[key].run(task, counts[key])
            if turn == 0 and found * counts[key] < SHORTEST_TURN:
                counts[key] = math.ceil(SHORTEST_TURN / max(found, 1e-6))
                found = workers[key].run(task, counts[key])
            seconds[key].append(found)
        bar.update(turn + 2)
    return {key: Timing(first[key], tuple(seconds[key])) for key in first}


def once(label: str, module: str, function: str, **arguments):
    """The answer of a worker to a single turn."""
    with Worker(label, module, function, **arguments) as worker:
        return worker.run("once")
