"""The whole of 'U-Net versus SegNet' in one command: 56 trainings per variant, then its tables.

    python -m experiments.study --dry-run
    python -m experiments.study --variant released --budget 600
    python -m experiments.study --pack study.zip          on the machine that trained
    python -m experiments.study --merge study.zip         on the machine that collects

The plan comes first: what is finished, what is left, and how long that will take by measured times. Trainings begin
in the order of worth: the best configurations of Tables 4 and 6, the nine configurations, the five folds, further
seeds. Run folders are those of `grid` and `kfold`. A study that is interrupted at any moment goes on where it was
when the same command is started again.
"""

import argparse
import sys
import textwrap
import time

from experiments.running.options import check_options, load_data, make_recipe, study_parser
from experiments.saood2021.protocol import NETS
from unet_segnet.commands.arguments import settle_dtype
from unet_segnet.commands.console import run_command
from unet_segnet.errors import InputError

EXCHANGE = ("pack", "merge", "out", "force")  # the options that have a meaning with --pack and --merge


def main() -> None:
    """The command."""
    options = study_parser("python -m experiments.study", __doc__.splitlines()[0]).parse_args()
    run_command(lambda: exchange(options) if options.merge or options.pack else study(options))


def exchange(options) -> int:
    """Take archives of runs in, write archives of runs out; returns the exit status."""
    if options.dry_run:
        raise InputError("--dry-run prints the plan of trainings; leave it out with --pack and --merge")
    otherwise = vars(study_parser("", "").parse_args([]))
    of_trainings = [name for name, value in vars(options).items() if value != otherwise[name] and name not in EXCHANGE]
    if of_trainings:
        raise InputError(
            f"--{of_trainings[0].replace('_', '-')} is for trainings; leave it out with --pack and --merge, which take "
            "all finished runs"
        )
    from experiments.running.archive import merge, pack

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


def study(options) -> int:
    """Print the plan, train what is left of it and fits in the budget, print the tables; returns the exit status."""
    began = time.monotonic()
    from unet_segnet.runs.loop import divide_threads

    if options.workers > 1:
        divide_threads(options.workers)
    check_options(options, (options.net,) if options.net else NETS)
    data = _load(options)
    settle_dtype(options)
    jobs = _jobs(options, data)
    left = _unfinished(jobs, options, again=options.force)
    estimates = _estimates(left, data, options)
    _print_plan("The study", jobs, left, estimates, options, again=options.force)
    if options.dry_run:
        return 0
    deadline = None if options.budget is None else began + 60 * options.budget
    faults, late = carry_out(left, data, options, estimates, deadline)
    print_tables(jobs, data, options)
    _print_plan("What is done", jobs, _unfinished(jobs, options), estimates, options)
    if late:
        names = ", ".join(str(job.spec.group / job.spec.name) for job in late)
        _say(f"not started, for they would not be finished within {options.budget:g} minutes: {names}")
    return 2 if faults else 0


def _load(options) -> dict:
    """`LoadedData` by problem; read once."""
    from dataclasses import replace

    if options.problem:
        return {options.problem: load_data(options, options.problem)}
    data = load_data(options, "multiclass")
    return {"multiclass": data, "binary": replace(data, slices=data.slices.binary())}


def _jobs(options, data) -> dict:
    """The planned trainings with the part of the study that each belongs to.

    Raises:
        InputError: a folder holds a run with other settings, or one that is damaged; better now than after hours.
    """
    from experiments.saood2021.plan import planned_specs
    from experiments.saood2021.runs import make_config
    from unet_segnet.data import five_folds, paper_split
    from unet_segnet.runs.checks import check_finished
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import Job

    specs = planned_specs(options)
    if not specs:
        raise InputError(
            "nothing to train: the parts 'seeds' and 'more' take the second and further of --seeds, and a network that "
            "the article has not is trained by grid and kfold"
        )
    num_slices = len(next(iter(data.values())).slices)
    split = paper_split(num_slices)
    folds = five_folds(num_slices) if any(spec.fold is not None for spec in specs) else []
    jobs = {}
    for spec, part in specs.items():
        recipe = make_recipe(options, spec)
        job = Job(spec, recipe, split if spec.fold is None else folds[spec.fold])
        folder, of_problem = RunFolder(options.out, spec), data[spec.problem]
        if folder.config.exists():
            config = make_config(spec, recipe, of_problem.slices, job.split, of_problem.description)
            folder.check(config, options.force)
        jobs[job] = part
    if not options.force:
        folders = [RunFolder(options.out, job.spec) for job in jobs]
        if without := check_finished([folder for folder in folders if folder.finished]):
            _say(f"{len(without)} finished runs are there without the network (model.keras), such as {without[0]}")
    return jobs


def _unfinished(jobs, options, again=False) -> list:
    from unet_segnet.runs.folder import RunFolder

    return [job for job in jobs if again or not RunFolder(options.out, job.spec).finished]


def _estimates(left, data, options):
    """Times from finished runs; for a network without any, from a few steps, unless the plan alone is wanted."""
    from experiments.running.estimates import Estimates, this_machine
    from experiments import RESULTS
    from unet_segnet.devices import accelerators

    estimates = Estimates(this_machine(options))
    estimates.add_finished(RESULTS, options.out)
    for job in left:
        if not options.dry_run and estimates.of(job) is None:
            print(f"timing a few steps of {job.spec.net}, variant {job.spec.variant}, {job.recipe.dtype}", flush=True)
            crowd = options.workers if accelerators() else 1  # on a processor, each has its own cores
            estimates.time_steps(job, data[job.spec.problem].slices, crowd)
    return estimates


def _print_plan(title, jobs, left, estimates, options, again=False) -> None:
    from experiments.running.estimates import duration, time_left
    from experiments.saood2021.plan import plan_table

    print(f"\n{plan_table(f'{title}, in {options.out}.', jobs, left, estimates, options.out, again).to_text()}")
    found = [estimate for job in left if (estimate := time_left(job, estimates, options.out, again))]
    line = f"{len(jobs)} runs in {options.out}: {len(jobs) - len(left)} finished, {len(left)} left"
    if found:
        seconds = sum(estimate.seconds for estimate in found) / options.workers
        side_by_side = f", {options.workers} side by side" if options.workers > 1 else ""
        of_some = f" for {len(found)} of them" if len(found) < len(left) else ""
        line += f", about {duration(seconds)}{of_some}{side_by_side}"
    _say(f"{line}; on {estimates.machine.device}")


def carry_out(waiting: list, data: dict, options, estimates, deadline: float | None) -> tuple[list[str], list]:
    """Train in the given order what can be finished before the deadline.

    Arguments:
        waiting: `Job`s.
        data: `LoadedData` by problem.
        options: the command's; `out`, `force` and `workers` are used.
        estimates: `Estimates`; each run that ends is added to them.
        deadline: of `time.monotonic`, or None.

    Returns:
        What went wrong, a line each, and the jobs that were not started for lack of time.
    """
    from experiments.running.estimates import duration, time_left
    from unet_segnet.runs.folder import RunFolder
    from unet_segnet.runs.loop import Here, Lanes

    lanes = Lanes(data, options) if options.workers > 1 else Here(data, options)
    waiting, running, started, total, faults = list(waiting), 0, 0, len(waiting), []

    def estimate_of(job):
        return time_left(job, estimates, options.out, again=options.force)  # which throws a saved state away

    def fits(job):
        estimate = estimate_of(job)
        return deadline is None or (estimate and time.monotonic() + estimate.seconds <= deadline)

    try:
        while waiting or running:
            while running < lanes.workers and (job := next(filter(fits, waiting), None)):
                waiting.remove(job)
                started += 1
                about = duration(estimate_of(job).seconds)
                print(f"{started}/{total} {job.spec.group / job.spec.name}: about {about}", flush=True)
                lanes.start(job)
                running += 1
            if not running:
                break
            job, outcome = lanes.wait()
            running -= 1
            if outcome.kind == "finished":
                estimates.add(RunFolder(options.out, job.spec).path)
            elif outcome.kind == "held":
                print(f"left alone: {outcome.message}", flush=True)
            else:
                faults.append(outcome.message)
                print(f"error: {outcome.message}", file=sys.stderr, flush=True)
            if outcome.kind == "stopped":
                waiting, total = [], started
    finally:
        lanes.close()
    return faults, waiting


def print_tables(jobs: dict, data: dict, options) -> None:
    """Print and write the tables of all planned runs that are finished, as `grid` and `kfold` do."""
    from experiments.saood2021.summary import grid_tables
    from experiments.saood2021.tables.scores import five_fold_table
    from unet_segnet.measures.baselines import evaluate_baselines
    from unet_segnet.output.tabular import write_tables

    finished: dict[tuple, list] = {}
    for job in jobs:
        spec = job.spec
        key = (spec.variant, spec.problem, spec.net if spec.fold is None else options.net, spec.fold is not None)
        finished.setdefault(key, []).append(job)
    for (variant, problem, net, folds), members in finished.items():
        runs, notes, used = _runs(members, options)
        if not runs:
            continue
        of_problem = data[problem]
        splits = list({job.spec.fold: job.split for job in used}.values())
        baselines = [
            evaluate_baselines(of_problem.slices.subset(split.train), of_problem.slices.subset(split.test))
            for split in splits
        ]
        about = {"data": of_problem.name, "notes": notes}
        if folds:
            folder = options.out / "kfold" / f"{variant}-{problem}{f'-{net}' if net else ''}"
            tables = {"table7": five_fold_table(runs, baselines=baselines, **about)}
        else:
            folder = options.out / members[0].spec.group
            tables = grid_tables(problem, runs, networks=[net], baselines=baselines[0], **about)
        _say(f"written to {folder}: {', '.join(write_tables(tables, folder))}")


def _runs(jobs, options):
    """The counts of those jobs that are finished, notes on them, and the jobs; nothing where none ended well."""
    from experiments.saood2021.summary import finished_runs
    from unet_segnet.runs.folder import RunFolder

    used = [job for job in jobs if RunFolder(options.out, job.spec).finished]
    if not used:
        return [], [], []
    encoder_weights = next((job.spec.encoder_weights for job in used if job.spec.encoder_weights), None)
    about = argparse.Namespace(**{**vars(options), "encoder_weights": encoder_weights})
    try:
        runs, notes = finished_runs([RunFolder(options.out, job.spec).path for job in used], about)
    except InputError as error:
        _say(f"no table of {jobs[0].spec.group}: {error}")
        return [], [], []
    return runs, notes, used


def _say(text: str) -> None:
    print(textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False), flush=True)


if __name__ == "__main__":
    main()
