"""Carry out a list of trainings: skip the finished ones, go on with the others, several at a time on request."""

import os
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from experiments.console import Progress, import_keras
from experiments.runs import RunFolder, RunSpec, run


@dataclass(frozen=True)
class Job:
    """One training: which, by what recipe, on what split."""

    spec: RunSpec
    recipe: object
    split: object


def carry_out(jobs: list[Job], data, options) -> list[Path]:
    """Train what is not finished.

    Arguments:
        jobs: the trainings, in the order in which they begin.
        data: `experiments.options.LoadedData`.
        options: the command's; `out`, `force` and `workers` are used.

    Returns:
        The run folders, in the order of the jobs.

    Raises:
        InputError: a folder holds a run with other settings, or another process works on it.
    """
    finished = 0 if options.force else sum(RunFolder(options.out, job.spec).finished for job in jobs)
    print(f"{len(jobs)} runs in {options.out}: {finished} finished, {len(jobs) - finished} to do", flush=True)
    if options.workers == 1 or len(jobs) - finished < 2:
        return [_train(job, data, options) for job in jobs]
    return _side_by_side(jobs, data, options)


def _side_by_side(jobs, data, options):
    threads = max((os.cpu_count() or 1) // options.workers, 1)
    # Read when the backend is imported, which in the new processes has yet to happen.
    os.environ.update(
        TF_NUM_INTRAOP_THREADS=str(threads), OMP_NUM_THREADS=str(threads), XLA_PYTHON_CLIENT_PREALLOCATE="false"
    )
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_train, job, data, options) for job in jobs]
        try:
            wait(futures)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _train(job, data, options):
    import_keras()
    progress = Progress(job.recipe.epochs, f"{job.spec.net} {job.spec.name}")
    return run(
        job.spec, job.recipe, data.slices, job.split, data.description, options.out, options.force, progress.update
    )
