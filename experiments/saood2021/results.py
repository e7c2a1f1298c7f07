"""What a study shows at its end: tables on the screen and as files, pictures of one run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.saood2021.protocol import EPOCHS, SIDE, SIDE_STUDIES, SIZE
from experiments.saood2021.runs import KIND, Job, read_finished
from unet_segnet.errors import InputError
from unet_segnet.measures.metrics import global_accuracy
from unet_segnet.output.console import say, with_flags
from unet_segnet.output.tabular import write_tables
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.loop import carry_out, print_counts, unfinished
from unet_segnet.runs.pictures import draw_run


def finished_runs(folders: list[Path], options, encoder_weights: str | None = None) -> tuple[list, list[str]]:
    """The runs that ended well, each a `Run` with its `RunCounts`, and notes for the tables on how they came about.

    Raises:
        InputError: every run diverged, or a result does not say how its run ended.
    """
    runs, notes = [], []
    if options.epochs != EPOCHS:
        notes.append(f"Trained for {options.epochs} epochs; the published runs for {EPOCHS}.")
    if options.size != SIZE:
        notes.append(f"Slices of {options.size}x{options.size}; the published runs' have {SIZE}x{SIZE}.")
    if options.loss != "weights":
        notes.append("The loss is divided by the number of pixels (equation 1), not as the published runs did it.")
    if options.stream == "matlab":
        notes.append("Random numbers: the authors' MATLAB stream, replayed.")
    if encoder_weights:
        notes.append(f"Encoder started from {encoder_weights}.")
    in_type: dict[str | None, list[str]] = {}
    for folder in folders:
        run, counts = read_finished(folder)
        if counts is None:
            notes.append(f"{run.place} diverged in epoch {run.result.get('epoch', '?')} and is left out.")
            continue
        if run.result.get("one_class_only"):
            notes.append(f"{run.place} predicts one class only and is in the table as it is.")
        runs.append((run, counts))
        in_type.setdefault(run.dtype, []).append(run.place)
    if not runs:
        raise InputError(f"no run to show: {' '.join(notes)}")
    notes += [f"In {dtype}: {', '.join(of)}." for dtype, of in in_type.items() if dtype != "float32"]
    return runs, notes


def grid_tables(problem: str, runs, **about) -> dict:
    """Tables 3 and 4 (binary) or 5 and 6 (multiclass) by file name; `about` is handed to both."""
    from experiments.saood2021.tables.scores import accuracy_table, class_table

    first = 3 if problem == "binary" else 5
    return {f"table{first}": accuracy_table(runs, **about), f"table{first + 1}": class_table(runs, **about)}


def train_and_show(jobs: Sequence[Job], data: dict, options) -> int:
    """Train what is not trained and show the results of what is; returns the exit status, 2 where some are missing."""
    left = unfinished(jobs, data, options, KIND)
    print_counts(jobs, left, options)
    ended = carry_out(left, data, options)
    without = show_results(jobs, data, options)
    return 2 if without else ended.status


def show_results(jobs: Sequence[Job], data: dict, options) -> int:
    """Print and write the tables of those jobs that are finished, a set for each group of runs, and draw one run of it.

    Arguments:
        jobs: of the command.
        data: `LoadedData` by problem.
        options: the command's.

    Returns:
        How many groups of runs could not be shown: every run of theirs diverged, or a file of one is damaged.
    """
    groups: dict[tuple, list[Job]] = {}
    side = [job for job in jobs if job.spec.study in SIDE_STUDIES]
    if side:
        return _show_side(side, data, options)
    for job in jobs:
        spec, folds = job.spec, job.spec.fold is not None
        if RunFolder(options.out, spec).finished:  # the two networks' folds stand in one table
            net = options.net if folds else spec.net
            groups.setdefault((spec.study, spec.variant, spec.problem, net), []).append(job)
    without = 0
    for (study, variant, problem, net), members in groups.items():
        target = options.out / study / "-".join(filter(None, (variant, problem, net)))
        try:
            _show_group(members, data[problem], options, net, target)
        except InputError as error:
            print(f"error: {with_flags(f'no table of {target}: {error}', options)}", file=sys.stderr, flush=True)
            without += 1
    return without


def _show_side(jobs: Sequence[Job], data: dict, options) -> int:
    """Print and write the side study's table; returns 1 where a file of a run is damaged, else 0."""
    from experiments.saood2021.evidence import FinishedRun
    from experiments.saood2021.tables.batches import batches_table

    runs, target = [], options.out / SIDE
    try:
        for job in jobs:
            if (folder := RunFolder(options.out, job.spec)).finished:
                run, counts = read_finished(folder.path)
                if counts is not None:
                    runs.append(FinishedRun(run.folder, run.config, run.result, counts, committed=False))
    except InputError as error:
        print(f"error: {with_flags(f'no table of {target}: {error}', options)}", file=sys.stderr, flush=True)
        return 1
    if table := batches_table(runs, next(iter(data.values())).name):
        say(f"written to {target}: {', '.join(write_tables({'batches': table}, target))}")
    return 0


def _show_group(jobs: list[Job], data, options, net: str | None, target: Path) -> None:
    from experiments.saood2021.tables.scores import five_fold_table
    from unet_segnet.measures.baselines import evaluate_baselines

    folders = [RunFolder(options.out, job.spec).path for job in jobs]
    weights = next((job.spec.encoder_weights for job in jobs if job.spec.encoder_weights), None)
    runs, notes = finished_runs(folders, options, weights)
    counts = [counts for _, counts in runs]
    splits = list({job.spec.fold: job.split for job in jobs}.values())
    baselines = [evaluate_baselines(data.slices.subset(of.train), data.slices.subset(of.test)) for of in splits]
    about = {"data": data.name, "notes": notes}
    if jobs[0].spec.fold is None:
        tables = grid_tables(jobs[0].spec.problem, counts, networks=[net], baselines=baselines[0], **about)
    else:
        tables = {"table7": five_fold_table(counts, baselines=baselines, **about)}
    files = write_tables(tables, target)
    first = [pair for pair in runs if pair[1].fold in (None, 0)] or runs[:1]
    run, of_run = max(first, key=lambda pair: global_accuracy(pair[1].test_confusion).mean())
    test = [data.slices.names.index(name) for name in of_run.test_names]
    files += [figure.name for figure in draw_run(run.folder, data.slices.subset(test), target)]
    say(f"written to {target}: {', '.join(files)}")
