"""Carry out a list of trainings: skip the finished ones, go on with the others, several at a time on request."""

import multiprocessing
import os
import signal
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context
from pathlib import Path

from experiments.saood2021.runs import RunSpec, run
from unet_segnet.commands.console import MEMORY_ADVICE, Progress, import_keras, out_of_memory
from unet_segnet.errors import InputError, one_line
from unet_segnet.output.locks import HeldError
from unet_segnet.runs.checks import check_finished
from unet_segnet.runs.folder import RunFolder


@dataclass(frozen=True)
class Job:
    """One training: which, by what recipe, on what split."""

    spec: RunSpec
    recipe: object
    split: object

    def train(self, data, options, plain: bool = False) -> None:
        """Train the run; see `attempt`."""
        _train(self, data[self.spec.problem], options, plain)


def carry_out(jobs: list[Job], data, options) -> list[Path]:
    """Train what is not finished.

    Arguments:
        jobs: the trainings, in the order in which they begin.
        data: `experiments.running.options.LoadedData`.
        options: the command's; `out`, `force` and `workers` are used.

    Returns:
        The run folders, in the order of the jobs.

    Raises:
        InputError: a folder holds a run with other settings or one that is damaged, another process works on it, or
            a process that trained was killed.
    """
    folders = [] if options.force else [RunFolder(options.out, job.spec) for job in jobs]
    finished = [folder for folder in folders if folder.finished]
    without = check_finished(finished)
    print(f"{len(jobs)} runs in {options.out}: {len(finished)} finished, {len(jobs) - len(finished)} to do", flush=True)
    if without:
        print(f"{len(without)} of them without the network (model.keras), such as {without[0]}", flush=True)
    if options.workers == 1 or len(jobs) == len(finished):
        return [_train(job, data, options) for job in jobs]
    return _side_by_side(jobs, data, options)


def _side_by_side(jobs, data, options):
    divide_threads(options.workers)
    with ProcessPoolExecutor(options.workers, get_context("spawn"), initializer=_begin) as pool:
        futures = [pool.submit(_train, job, data, options) for job in jobs]
        try:
            wait(futures)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise InputError(
                f"{options.out}: a process that trained was killed; is memory short? What is finished is kept: start "
                "the same command again, or with fewer --workers"
            ) from None


def _begin():
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_keras()  # quietly, before a job that arrives does


def divide_threads(workers: int) -> None:
    """Give each of the processes that begin from now on its share of the processor's cores."""
    threads = max((os.cpu_count() or 1) // workers, 1)
    # Read when the backend is imported, which in the new processes has yet to happen.
    os.environ.update(TF_NUM_INTRAOP_THREADS=str(threads), OMP_NUM_THREADS=str(threads))


def _train(job, data, options, plain=False):
    import_keras()
    progress = Progress(job.recipe.epochs, f"{job.spec.group.name} {job.spec.name}")
    progress.terminal &= not plain  # bars of several processes would overwrite each other
    return run(
        job.spec, job.recipe, data.slices, job.split, data.description, options.out, options.force, progress.update
    )


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        kind: "finished"; "held", another process works on it; "failed", this run cannot be trained; "stopped", a
            fault that the next run would meet too, such as a full disk.
        message: one line, empty where it finished.
    """

    kind: str
    message: str = ""


def attempt(job, data, options, plain: bool = False) -> Outcome:
    """Train one run and say how it ended; faults of ours are raised.

    Arguments:
        job: the training, a `Job` or another study's with a `spec` and `train(data, options, plain)`.
        data: what the job's `train` takes; `LoadedData` by problem for a `Job`.
        options: the command's.
        plain: progress as lines, also on a terminal.
    """
    try:
        job.train(data, options, plain)
    except HeldError as error:
        return Outcome("held", str(error))
    except InputError as error:
        return Outcome("failed", str(error))
    except Exception as error:
        folder = RunFolder(options.out, job.spec).path
        if out_of_memory(error):
            return Outcome("failed", f"{folder}: {MEMORY_ADVICE}")
        if not isinstance(error, OSError):
            raise
        return Outcome("stopped", f"{folder}: {one_line(error)}; make room or mend it and start the same command again")
    return Outcome("finished")


class Here:
    """Trains in this process: `start` returns when the run has ended."""

    workers = 1

    def __init__(self, data, options):
        self.data, self.options, self.ended = data, options, []

    def start(self, job: Job) -> None:
        """Train a run."""
        self.ended.append((job, attempt(job, self.data, self.options)))

    def wait(self) -> tuple[Job, Outcome]:
        """The run that has ended, and how."""
        return self.ended.pop()

    def close(self) -> None:
        """Nothing to do."""


class Lanes:
    """Processes that train side by side, each one run at a time.

    A process that dies (killed, out of memory) costs its own run alone, and none outlives this process.

    Arguments:
        data: see `attempt`.
        options: the command's; `workers` is the number of processes.
    """

    def __init__(self, data, options):
        self.data, self.options, self.workers = data, options, options.workers
        self.idle, self.busy = {}, {}  # this end of the pipe -> process; -> (process, job)

    def start(self, job: Job) -> None:
        """Begin a run; at most `workers` at a time."""
        alive = {pipe: process for pipe, process in self.idle.items() if process.is_alive()}
        pipe, process = alive.popitem() if alive else self._new()
        self.idle = alive
        pipe.send(job)
        self.busy[pipe] = process, job

    def wait(self) -> tuple[Job, Outcome]:
        """Wait for the next run to end: which, and how."""
        pipe = connection.wait(list(self.busy))[0]
        process, job = self.busy.pop(pipe)
        try:
            outcome = pipe.recv()
        except (EOFError, OSError):
            process.join()
            died = f"its process died (exit status {process.exitcode})"
            return job, Outcome("failed", f"{RunFolder(self.options.out, job.spec).path}: {died}; is memory short?")
        self.idle[pipe] = process
        return job, outcome

    def close(self) -> None:
        """End the processes; runs that had not ended go on when they are started again."""
        for process in (*self.idle.values(), *(process for process, _ in self.busy.values())):
            process.terminate()
            process.join()

    def _new(self):
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_lane, args=(theirs, self.data, self.options), daemon=True)
        process.start()
        theirs.close()
        return ours, process


def _lane(pipe, data, options):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _begin()
    while True:
        try:
            job = pipe.recv()
        except EOFError:  # the parent has gone
            return
        try:
            outcome = attempt(job, data, options, plain=True)
        except Exception as error:
            traceback.print_exc()
            folder = RunFolder(options.out, job.spec).path
            outcome = Outcome("failed", f"{folder}: {type(error).__name__}, see the traceback above")
        pipe.send(outcome)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
