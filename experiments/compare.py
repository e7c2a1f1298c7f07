"""'Comprehensive comparison of deep learning models ...': 4 architectures on 25 encoders, 3 experiments.

    python -m experiments.compare --only architecture=unet,encoder=resnet18 --experiment lung
    python -m experiments.compare --encoder-weights none,imagenet --executor ray --gpus-per-run 1
    python -m experiments.compare --dry-run
    python -m experiments.compare report

Each network is trained on the first 80 of 100 slices, the epoch that does best on the other 20 is kept, and tested on
nine volumes. The same command started again skips what is finished and goes on with what is not. `report` gives Table
II and Figures 2 to 8.
"""

import os
import sys
import textwrap

from experiments.bizopoulos2021.protocol import compare_parser
from unet_segnet.commands.arguments import settle_dtype
from unet_segnet.commands.console import run_command
from unet_segnet.errors import InputError
from unet_segnet.output.records import check_folder


def main() -> None:
    """The command, or the one of the first word `report`."""
    if sys.argv[1:2] == ["report"]:
        from experiments.bizopoulos2021.report import main as report

        sys.exit(report(sys.argv[2:]))
    options = compare_parser(__doc__.splitlines()[0]).parse_args()
    run_command(lambda: compare(options))


def compare(options) -> int:
    """Train what is not trained; returns the exit status."""
    if options.workers > 1:
        from unet_segnet.runs.loop import divide_threads

        divide_threads(options.workers)
        # Read when the backend is imported: no process, this one included, may take the whole accelerator.
        os.environ.update(TF_FORCE_GPU_ALLOW_GROWTH="true", XLA_PYTHON_CLIENT_PREALLOCATE="false")
    if options.gpus_per_run is not None and options.executor != "ray":
        raise InputError("--gpus-per-run is for Ray to give: use it with --executor ray")
    check_folder(options.out)
    from experiments.bizopoulos2021.data import open_data, slice_counts
    from experiments.bizopoulos2021.plan import check_starts, planned_jobs, print_plan

    settle_dtype(options)
    if options.dry_run:
        counts = slice_counts(options.data)
        print_plan(planned_jobs(options), *counts, options)
        return 0
    data = open_data(options.data, options.size, options.normalise, options.out)
    for note in data.facts.notes:
        _say(f"note: {note}")
    jobs = planned_jobs(options)
    left = _unfinished(jobs, data, options)
    print(f"{len(jobs)} runs in {options.out}: {len(jobs) - len(left)} finished, {len(left)} to do", flush=True)
    if left:
        data.check()
        check_starts(left)
    faults = carry_out(left, data, options)
    if not faults:
        _say(f"Table II and figures: python -m experiments.compare report --runs {options.out} --data {data.name}")
    return 2 if faults else 0


def carry_out(waiting: list, data, options) -> list[str]:
    """Train runs in the given order, as many at a time as the executor takes; returns what went wrong, a line each."""
    executor = _executor(len(waiting), data, options)
    waiting, running, faults, total = list(waiting), 0, [], len(waiting)
    try:
        while waiting or running:
            while waiting and running < executor.workers:
                job = waiting.pop(0)
                print(f"{total - len(waiting)}/{total} {job.spec.group / job.spec.name}", flush=True)
                executor.start(job)
                running += 1
            job, outcome = executor.wait()
            running -= 1
            if outcome.kind == "finished":
                print(_summary(job, options), flush=True)
            elif outcome.kind == "held":
                print(f"left alone: {outcome.message}", flush=True)
            else:
                faults.append(outcome.message)
                print(f"error: {outcome.message}", file=sys.stderr, flush=True)
            if outcome.kind == "stopped":
                waiting = []
    finally:
        executor.close()
    return faults


def _executor(num_jobs, data, options):
    from unet_segnet.runs.loop import Here, Lanes

    if options.executor == "ray":
        from unet_segnet.runs.ray_cluster import RayRuns

        return RayRuns(num_jobs, data, options)
    return Lanes(data, options) if options.workers > 1 else Here(data, options)


def _unfinished(jobs, data, options):
    """Those that are to be trained; a run with other settings or that is damaged is told now, not after hours."""
    from experiments.bizopoulos2021.runs import make_config
    from unet_segnet.runs.checks import SECOND_STUDY, check_finished
    from unet_segnet.runs.folder import RunFolder

    left, finished = [], []
    for job in jobs:
        folder = RunFolder(options.out, job.spec)
        if folder.config.exists():
            folder.check(make_config(job.spec, job.recipe, data), options.force)
        if options.force or not folder.finished:
            left.append(job)
        else:
            finished.append(folder)
    if without := check_finished(finished, SECOND_STUDY):
        _say(f"{len(without)} finished runs are there without the network (model.keras), such as {without[0]}")
    return left


def _summary(job, options):
    """A line about a run that ended."""
    from unet_segnet.measures.metrics import dice
    from unet_segnet.runs.folder import RunFolder, read_arrays, read_json

    folder = RunFolder(options.out, job.spec)
    result, name = read_json(folder.result), job.spec.group / job.spec.name
    if result["status"] != "finished":
        return f"{name}: diverged in epoch {result['epoch']}"
    confusion = read_arrays(folder.counts, ("test_confusion",))["test_confusion"]
    return (
        f"{name}: best epoch {result['best_epoch']} of {job.recipe.epochs}, validation loss "
        f"{result['validation_loss']:.4f}, Dice of all test pixels {dice(confusion.sum(axis=0))[1]:.4f}"
    )


def _say(text):
    print(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False), flush=True)


if __name__ == "__main__":
    main()
