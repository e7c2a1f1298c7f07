"""Carry out a list of trainings: skip the finished ones, go on with the others, several at a time on request."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from unet_segnet.output.console import say, with_flags
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import Job
from unet_segnet.runs.reading import RunKind, check_finished


def unfinished(jobs: Sequence[Job], data, options, kind: RunKind) -> list[Job]:
    """Those that are to be trained, in their order; says which of the others lack their network.

    Raises:
        InputError: a folder holds a run with other settings or one that is damaged: better now than after hours.
    """
    left, finished = [], []
    for job in jobs:
        folder = RunFolder(options.out, job.spec)
        if folder.config.exists():
            folder.check(job.config(data), options.force)
        if options.force or not folder.finished:
            left.append(job)
        else:
            finished.append(folder)
    without = check_finished(finished, kind)
    if without:
        say(f"{len(without)} finished runs are there without the network (model.keras), such as {without[0]}")
    return left


def print_counts(jobs: Sequence[Job], left: Sequence[Job], options) -> None:
    """Say how many runs are finished and how many are to be trained."""
    print(f"{len(jobs)} runs in {options.out}: {len(jobs) - len(left)} finished, {len(left)} to do", flush=True)


@dataclass
class Ended:
    """What came of a list of trainings.

    Attributes:
        faults: what went wrong, a line each.
        held: jobs that another process works on.
        waiting: jobs that were not begun.
    """

    faults: list[str] = field(default_factory=list)
    held: list[Job] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The command's exit status: 2 where results are missing that nobody chose to leave out."""
        return 2 if self.faults or self.held else 0


def carry_out(
    jobs: Sequence[Job],
    data,
    options,
    choose: Callable[[list[Job]], Job | None] = lambda waiting: waiting[0],
    begun: Callable[[Job], str] = lambda job: "",
    finished: Callable[[Job], None] = lambda job: None,
) -> Ended:
    """Train the jobs, as many at a time as the executor takes.

    Arguments:
        jobs: the trainings, in the order in which they begin.
        data: what they take.
        options: the command's; `out`, `force`, `workers`, `executor` and `gpus_per_run` are used.
        choose: which of those that wait begins next; None where none should any more.
        begun: more to say of a training as it begins.
        finished: called for each training that ended well.
    """
    from unet_segnet.runs.executors import make_executor

    ended = Ended(waiting=list(jobs))
    if not ended.waiting:
        return ended
    executor, running, started, total = make_executor(len(jobs), data, options), 0, 0, len(jobs)
    try:
        while ended.waiting or running:
            while running < executor.workers and ended.waiting and (job := choose(ended.waiting)):
                ended.waiting.remove(job)
                started += 1
                more = begun(job)
                print(f"{started}/{total} {job.spec.group / job.spec.name}{f': {more}' if more else ''}", flush=True)
                executor.start(job)
                running += 1
            if not running:
                break
            job, outcome = executor.wait()
            running -= 1
            if outcome.kind == "finished":
                finished(job)
            elif outcome.kind == "held":
                ended.held.append(job)
                say(f"left alone: {with_flags(outcome.message, options)}")
            else:
                ended.faults.append(with_flags(outcome.message, options))
                print(f"error: {ended.faults[-1]}", file=sys.stderr, flush=True)
            if outcome.kind == "stopped":
                ended.waiting, total = [], started
    finally:
        executor.close()
    return ended
