"""The whole of 'U-Net versus SegNet' in one command: 56 trainings per variant, then its tables.

    python -m experiments.study --dry-run
    python -m experiments.study --variant released --budget 600
    python -m experiments.study --plan experiments/saood2021/plan.csv --skip-published
    python -m experiments.study --plan experiments/saood2021/side_study.csv
    python -m experiments.study --pack study.zip          on the machine that trained
    python -m experiments.study --merge study.zip         on the machine that collects

The plan comes first: what is finished, what is left, and how long that will take by measured times. Trainings begin
in the order of worth: the best configurations of Tables 4 and 6, the nine configurations, the five folds, further
seeds. Run folders are those of `grid` and `kfold`. A study that is interrupted at any moment goes on where it was
when the same command is started again.
"""

import os
import sys
import time

from experiments.saood2021.options import check_options, load_data, make_job, study_parser
from experiments.saood2021.protocol import PROBLEMS
from unet_segnet.commands.arguments import settle_dtype
from unet_segnet.errors import InputError
from unet_segnet.output.console import run_command, say
from unet_segnet.runs.executors import share_machine

EXCHANGE = ("pack", "merge", "out", "force")  # the options that have a meaning with --pack and --merge


def main() -> None:
    """The command."""
    options = study_parser("python -m experiments.study", __doc__.splitlines()[0]).parse_args()
    run_command(lambda: exchange(options) if options.merge or options.pack else study(options), options)


def exchange(options) -> int:
    """Take archives of runs in, write archives of runs out; returns the exit status."""
    if options.dry_run:
        raise InputError("--dry-run prints the plan of trainings; leave it out with --pack and --merge")
    of_trainings = [name for name in _given(options) if name not in EXCHANGE]
    if of_trainings:
        raise InputError(
            f"--{of_trainings[0].replace('_', '-')} is for trainings; leave it out with --pack and --merge, which take "
            "all finished runs"
        )
    from experiments.saood2021.archive import merge, pack

    if options.merge:
        for line in merge(options.merge, options.out, options.force):
            print(line)
    if not options.pack:
        return 0
    lines, left_out = pack(options.out, options.pack, options.force)
    for line in lines:
        print(line)
    for line in left_out:
        print(f"error: left out: {line}", file=sys.stderr)
    return 2 if left_out else 0


def _given(options) -> list[str]:
    """The options that are not what they are when left out."""
    otherwise = vars(study_parser("", "").parse_args([]))
    return [name for name, value in vars(options).items() if value != otherwise[name]]


def study(options) -> int:
    """Print the plan, train what is left of it and fits in the budget, print the tables; returns the exit status."""
    began = time.monotonic()
    if options.budget is not None and options.executor == "ray" and "RAY_ADDRESS" in os.environ:
        raise InputError("--budget: a cluster takes all runs at once; leave it out, or unset RAY_ADDRESS")
    share_machine(options.workers)
    _check_plan(options)
    from experiments.saood2021.plan import planned_specs, settle_lengths

    specs = planned_specs(options)
    settle_lengths(options, specs)
    check_options(options, ((spec.net, spec.variant) for spec in specs))
    data = load_data(options, (options.problem,) if options.problem else PROBLEMS)
    settle_dtype(options)
    from experiments.saood2021.results import show_results
    from experiments.saood2021.runs import KIND
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import unfinished

    jobs = _jobs(specs, options, data)
    if options.skip_published:
        from experiments import RESULTS

        jobs = {job: part for job, part in jobs.items() if not RunFolder(RESULTS, job.spec).finished}
    left = unfinished(list(jobs), data, options, KIND)
    estimates = _estimates(left, data, options)
    _print_plan("The study", jobs, left, estimates, options, again=options.force)
    if options.dry_run:
        return 0
    deadline = None if options.budget is None else began + 60 * options.budget

    ended = train_within(left, data, options, estimates, deadline)
    without = show_results(jobs, data, options)
    undone = [job for job in jobs if not RunFolder(options.out, job.spec).finished]
    _print_plan("What is done", jobs, undone, estimates, options)
    if ended.waiting and deadline is not None:
        names = ", ".join(str(job.spec.group / job.spec.name) for job in ended.waiting)
        say(f"not started, for they would not be finished within {options.budget:g} minutes: {names}")
    return 2 if without else ended.status


def train_within(jobs: list, data: dict, options, estimates, deadline: float | None):
    """Train, in the given order, what can be finished before a deadline.

    Arguments:
        jobs: the trainings.
        data: `LoadedData` by problem.
        options: the command's.
        estimates: `Estimates`; each run that ends is added to them.
        deadline: of `time.monotonic`, or None.

    Returns:
        `unet_segnet.runs.loop.Ended`; what waits there would not have been finished.
    """
    from experiments.saood2021.estimates import time_left
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import carry_out
    from unet_segnet.runs.timing import duration

    def estimate_of(job):
        return time_left(job, estimates, options.out, again=options.force)  # which throws a saved state away

    def fits(job):
        estimate = estimate_of(job)
        return deadline is None or (estimate and time.monotonic() + estimate.seconds <= deadline)

    return carry_out(
        jobs,
        data,
        options,
        choose=lambda waiting: next(filter(fits, waiting), None),
        begun=lambda job: f"about {duration(estimate_of(job).seconds)}",
        finished=lambda job: estimates.add(RunFolder(options.out, job.spec).path),
    )


def _check_plan(options) -> None:
    """Refuse what chooses trainings beside a plan that names them.

    Raises:
        InputError: one of these options is given too.
    """
    chosen = [name for name in ("variant", "parts", "net", "problem", "seeds") if name in _given(options)]
    if options.plan is not None and chosen:
        raise InputError(f"--plan {options.plan}: names its trainings; leave --{chosen[0]} out")


def _jobs(specs, options, data) -> dict:
    """The planned trainings with the part of the study that each belongs to.

    Raises:
        InputError: there are none.
    """
    from unet_segnet.data import five_folds, paper_split

    if not specs:
        raise InputError(
            "nothing to train: the parts 'seeds' and 'more' take the second and further of --seeds, and a network that "
            "the article has not is trained by grid and kfold"
        )
    num_slices = len(next(iter(data.values())).slices)
    split = paper_split(num_slices)
    folds = five_folds(num_slices) if any(spec.fold is not None for spec in specs) else []
    return {
        make_job(options, spec, split if spec.fold is None else folds[spec.fold]): part for spec, part in specs.items()
    }


def _estimates(left, data, options):
    """Times from finished runs; for a network without any, from a few steps, unless the plan alone is wanted."""
    from experiments import RESULTS
    from experiments.saood2021.estimates import Estimates
    from unet_segnet.devices import accelerators
    from unet_segnet.runs.timing import this_machine

    estimates = Estimates(this_machine(options))
    estimates.add_finished(RESULTS, options.out)
    for job in left:
        if not options.dry_run and estimates.of(job) is None:
            print(f"timing a few steps of {job.spec.net}, variant {job.spec.variant}, {job.recipe.dtype}", flush=True)
            crowd = options.workers if accelerators() else 1  # on a processor, each has its own cores
            estimates.time_steps(job, data[job.spec.problem].slices, crowd)
    return estimates


def _print_plan(title, jobs, left, estimates, options, again=False) -> None:
    from experiments.saood2021.estimates import time_left
    from experiments.saood2021.plan import plan_table
    from unet_segnet.runs.timing import duration

    print(f"\n{plan_table(f'{title}, in {options.out}.', jobs, left, estimates, options.out, again).to_text()}")
    found = [estimate for job in left if (estimate := time_left(job, estimates, options.out, again))]
    line = f"{len(jobs)} runs in {options.out}: {len(jobs) - len(left)} finished, {len(left)} left"
    if found:
        seconds = sum(estimate.seconds for estimate in found) / options.workers
        side_by_side = f", {options.workers} side by side" if options.workers > 1 else ""
        of_some = f" for {len(found)} of them" if len(found) < len(left) else ""
        line += f", about {duration(seconds)}{of_some}{side_by_side}"
    say(f"{line}; on {estimates.machine.device}")


if __name__ == "__main__":
    main()
