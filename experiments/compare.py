"""'Comprehensive comparison of deep learning models ...': 4 architectures on 25 encoders, 3 experiments.

    python -m experiments.compare --only architecture=unet,encoder=resnet18 --experiment lung
    python -m experiments.compare --encoder-weights none,imagenet --executor ray --gpus-per-run 1
    python -m experiments.compare --dry-run
    python -m experiments.compare --plan experiments/bizopoulos2021/plan.csv
    python -m experiments.compare report

Each network is trained on the first 80 of 100 slices, the epoch that does best on the other 20 is kept, and tested on
nine volumes. The same command started again skips what is finished and goes on with what is not. `report` gives Table
II and Figures 2 to 8.
"""

import sys

from experiments.bizopoulos2021.options import compare_parser, planned_options
from unet_segnet.commands.arguments import check_machine, settle_dtype
from unet_segnet.output.console import run_command, say
from unet_segnet.output.records import check_folder
from unet_segnet.runs.executors import share_machine
from unet_segnet.runs.loop import carry_out, print_counts, unfinished


def main() -> None:
    """The command, or the one of the first word `report`."""
    if sys.argv[1:2] == ["report"]:
        from experiments.bizopoulos2021.report import main as report

        sys.exit(report(sys.argv[2:]))
    options = compare_parser(__doc__.splitlines()[0]).parse_args()
    run_command(lambda: follow(options.plan, sys.argv[1:]) if options.plan else compare(options), options)


def follow(plan, given: list[str]) -> int:
    """Carry out a plan, row by row; returns the exit status.

    Arguments:
        plan: its file.
        given: the command's arguments.
    """
    status = 0
    for part, options in planned_options(plan, given):
        say(f"{part}: {', '.join(options.experiment)}, {options.data}, seeds {', '.join(map(str, options.seeds))}")
        status = max(status, compare(options))
    return status


def compare(options) -> int:
    """Train what is not trained; returns the exit status."""
    share_machine(options.workers)
    check_machine(options)
    check_folder(options.out)
    from experiments.bizopoulos2021.data import open_data, slice_counts
    from experiments.bizopoulos2021.plan import check_starts, planned_jobs, print_plan
    from experiments.bizopoulos2021.runs import KIND

    settle_dtype(options)
    if options.dry_run:
        counts = slice_counts(options.data, options.test)
        print_plan(planned_jobs(options), *counts, options)
        return 0
    data = open_data(options.data, options.size, options.normalise, options.out, options.test)
    data.check_experiments(options.experiment)
    for note in data.facts.notes:
        say(f"note: {note}")
    jobs = planned_jobs(options)
    left = unfinished(jobs, data, options, KIND)
    print_counts(jobs, left, options)
    if left:
        data.check()
        check_starts(left)
    ended = carry_out(left, data, options, finished=lambda job: print(_summary(job, options), flush=True))
    if not ended.faults:
        shown = options.test or options.data or data.name  # as they were found
        say(f"Table II and figures: python -m experiments.compare report --runs {options.out} --data {shown}")
    return ended.status


def _summary(job, options) -> str:
    """A line about a run that ended."""
    from experiments.bizopoulos2021.runs import KIND
    from unet_segnet.measures.metrics import dice
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.reading import read_run

    run, name = read_run(RunFolder(options.out, job.spec).path, KIND), job.spec.group / job.spec.name
    if run.counts is None:
        return f"{name}: diverged in epoch {run.result['epoch']}"
    return (
        f"{name}: best epoch {run.result['best_epoch']} of {job.recipe.epochs}, validation loss "
        f"{run.result['validation_loss']:.4f}, Dice of all test pixels "
        f"{dice(run.counts['test_confusion'].sum(axis=0))[1]:.4f}"
    )


if __name__ == "__main__":
    main()
