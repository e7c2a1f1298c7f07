"""Where trainings are carried out: in this process or in several beside it; on Ray, see `ray_cluster`."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from multiprocessing import connection, get_context
from multiprocessing.reduction import ForkingPickler

from unet_segnet.output.console import import_keras
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import Job, Outcome, attempt

EXECUTORS = ("local", "ray")


def make_executor(num_jobs: int, data, options):
    """What carries out `num_jobs` trainings as the options say: has `workers`, `start`, `wait` and `close`.

    Raises:
        InputError: Ray is asked for and not to be had.
    """
    if options.executor == "ray":
        from unet_segnet.runs.ray_cluster import RayCluster

        return RayCluster(num_jobs, data, options)
    return Pool(data, options) if options.workers > 1 else InProcess(data, options)


def share_machine(workers: int) -> None:
    """Settle, before the backend is imported, that trainings side by side share processor and accelerator.

    Each process that begins from now on has its share of the cores, and none takes the whole accelerator.
    """
    if workers > 1:
        threads = str(max((os.cpu_count() or 1) // workers, 1))
        os.environ.update(TF_NUM_INTRAOP_THREADS=threads, OMP_NUM_THREADS=threads)
        os.environ.update(TF_FORCE_GPU_ALLOW_GROWTH="true", XLA_PYTHON_CLIENT_PREALLOCATE="false")


class InProcess:
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


class Pool:
    """Processes that train side by side, each one run at a time.

    A process that dies (killed, out of memory) costs its own run alone, and none outlives this process.

    Arguments:
        data: what the jobs take.
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
        with contextlib.suppress(OSError):  # it died: `wait` finds that out
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
            died = f"its process died (exit status {process.exitcode}); is memory short? What is finished is kept"
            return job, Outcome("failed", f"{RunFolder(self.options.out, job.spec).path}: {died}")
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
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        # Not as an argument of the process: of one that dies while it begins, nobody would ever read the whole of it.
        with contextlib.suppress(OSError):
            ours.send_bytes(ForkingPickler.dumps((self.data, self.options)))
        return ours, process


def _serve(pipe):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        content = pipe.recv_bytes()  # before anything slow: the parent waits until it is read
        import_keras()  # quietly, before what arrives does
        data, options = pickle.loads(content)
    except EOFError:  # the parent has gone
        return
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
