"""What the first study consists of, in the order of worth, and how long what is left will take.

Times are measured: on finished runs of the same machine, or on a few training steps. None is typed in.
"""

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from experiments.saood2021.estimates import Estimates, time_left
from experiments.saood2021.options import weights_for
from experiments.saood2021.protocol import (
    EPOCHS,
    EXPERIMENTS,
    SIDE_EPOCHS,
    SIDE_SIZE,
    SIDE_STUDIES,
    SIZE,
    STUDIES,
    VARIANTS,
)
from experiments.saood2021.published import BEST_EXPERIMENT
from experiments.saood2021.runs import Job, RunSpec, check_settings
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.errors import InputError, one_line
from unet_segnet.runs.timing import duration

PLAN = Path(__file__).with_name("plan.csv")  # what decides most of the open claims first
SIDE_PLAN = Path(__file__).with_name("side_study.csv")  # mini-batches, on small slices
GROUPS = (("segnet", "binary"), ("unet", "binary"), ("unet", "multiclass"), ("segnet", "multiclass"))


def planned_specs(options) -> dict[RunSpec, str]:
    """The trainings that the options ask for, in the order in which they begin, each with its part of the study.

    With one seed there are 56 per variant: 9 configurations and 5 folds, times 2 networks and 2 problems. Order:
    per variant the best configurations of Tables 4 and 6, the rest of the nine, the folds; then, for all variants,
    the further seeds of the best configurations; last, where asked for, those of all others.

    Arguments:
        options: of the command; plan, variant, parts, net, problem, seeds, stream and encoder_weights are used.

    Raises:
        InputError: a plan's file that is no plan.
    """
    if options.plan is not None:
        return read_plan(options.plan, options)
    variants = VARIANTS if options.variant == "both" else (options.variant,)
    early = [(part, variant) for variant in variants for part in ("best", "grid", "folds")]
    late = [(part, variant) for part in ("seeds", "more") for variant in variants]
    chosen: dict[RunSpec, str] = {}
    for part, variant in early + late:
        if part not in options.parts:
            continue
        for net, problem in GROUPS:
            if options.net in (None, net) and options.problem in (None, problem):
                for spec in _specs(part, net, variant, problem, options):
                    chosen.setdefault(spec, part)
    return chosen


def _specs(part, net, variant, problem, options) -> Iterator[RunSpec]:
    encoder_weights = weights_for(options, net, variant)
    best = BEST_EXPERIMENT[net, problem]
    seeds = options.seeds[1:] if part in ("seeds", "more") else options.seeds[:1]
    for seed in seeds:
        if part in ("best", "seeds"):
            yield RunSpec("grid", net, variant, problem, best, seed, None, options.stream, encoder_weights)
        if part in ("grid", "more"):
            for experiment in EXPERIMENTS:
                yield RunSpec("grid", net, variant, problem, experiment, seed, None, options.stream, encoder_weights)
        if part in ("folds", "more"):
            for fold in range(NUM_FOLDS):
                yield RunSpec("kfold", net, variant, problem, best, seed, fold, options.stream, encoder_weights)


def read_plan(file: Path, options) -> dict[RunSpec, str]:
    """The trainings of a plan, in its order, each with its part.

    Arguments:
        file: CSV with the columns part, study, net, variant, problem, experiments ("1,2") and seeds ("0,1"), a row for
            each set of trainings; a kfold has all its folds. Those of the side study go without others.
        options: of the command; stream and encoder_weights are used.

    Raises:
        InputError: a row that the study has no training for, naming it, a file that cannot be read, or trainings of
            the side study among others.
    """
    chosen: dict[RunSpec, str] = {}
    try:
        with Path(file).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read ({one_line(error)}); give a plan, such as {PLAN}") from error
    for number, row in enumerate(rows, 2):
        try:
            if row["study"] not in STUDIES:
                raise ValueError(f"study {row['study']!r}")
            folds = range(NUM_FOLDS) if row["study"] == "kfold" else (None,)
            of = {key: row[key] for key in ("net", "variant", "problem")}
            experiments, seeds = ([int(part) for part in row[key].split(",")] for key in ("experiments", "seeds"))
            for seed in seeds:
                for experiment in experiments:
                    for fold in folds:
                        weights = weights_for(options, of["net"], of["variant"])
                        spec = RunSpec(row["study"], *of.values(), experiment, seed, fold, options.stream, weights)
                        check_settings(asdict(spec))
                        chosen.setdefault(spec, row["part"])
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"{file}: line {number} is no set of trainings ({one_line(error)}); expected part, study, net, "
                f"variant, problem, experiments and seeds, see {PLAN}"
            ) from error
    if not chosen:
        raise InputError(f"{file}: plans no training; give a plan, such as {PLAN}")
    if len({spec.study in SIDE_STUDIES for spec in chosen}) > 1:
        raise InputError(f"{file}: the side study has slices of another size; give its trainings a plan of their own")
    return chosen


def settle_lengths(options, specs) -> None:
    """Give --size and --epochs, where they were left out, the values of what is planned."""
    side = any(spec.study in SIDE_STUDIES for spec in specs)
    options.size = options.size or (SIDE_SIZE if side else SIZE)
    options.epochs = options.epochs or (SIDE_EPOCHS if side else EPOCHS)


def plan_table(title: str, jobs: dict[Job, str], left: list[Job], estimates: Estimates, out: Path, again: bool = False):
    """The plan as a `Table`: for each part, variant, problem and network, what is finished, and the time left.

    Arguments:
        title: of the table.
        jobs: every planned training with its part.
        left: those that are not finished.
        estimates: their times.
        out: folder of the runs, where unfinished ones have their state.
        again: they begin from the beginning, as with --force.
    """
    from unet_segnet.models.registry import NETWORKS
    from unet_segnet.output.tabular import Table

    groups: dict[tuple, list[Job]] = {}
    for job, part in jobs.items():
        groups.setdefault((part, job.spec.variant, job.spec.problem, NETWORKS[job.spec.net].title), []).append(job)
    rows = []
    for group, members in groups.items():
        undone = [job for job in members if job in left]
        found = [time_left(job, estimates, out, again) for job in undone]
        known = all(found)
        seconds = duration(sum(estimate.seconds for estimate in found)) if known else "?"
        sources = ", ".join(dict.fromkeys(estimate.source for estimate in found)) if known else "not measured yet"
        counts = (len(members), len(members) - len(undone), len(undone))
        rows.append((*group, *counts, seconds if undone else None, sources if undone else None))
    columns = ("part", "variant", "problem", "network", "runs", "finished", "left", "time left", "measured on")
    return Table(title, columns, tuple(rows))
