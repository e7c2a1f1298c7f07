"""Finds what the report is made from: finished runs, the test volumes, and networks whose weights are at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments import RESULTS
from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.pictures import Pictures, add_pictures
from experiments.bizopoulos2021.protocol import ARTICLE_DATA, ARTICLE_LESION_B
from experiments.bizopoulos2021.published import EXPERIMENTS, INITIALISATIONS, number, stated
from experiments.bizopoulos2021.runs import KIND
from experiments.reporting.judgement import how_many
from unet_segnet.errors import InputError
from unet_segnet.runs.folder import AGAIN
from unet_segnet.runs.reading import Run, read_run

# What the article states of its recipe, by the names that a run's configuration has.
RECIPE = (
    *("size", "normalise", "epochs", "loss", "learning_rate", "batch_size", "beta_1", "beta_2", "epsilon"),
    *("flip", "rotation"),
)
UNITS = {"size": "pixels", "epochs": "epochs"}


def collect(runs: Path | None, data: str | None = None) -> Evidence:
    """Everything at hand.

    Arguments:
        runs: a folder of runs as `python -m experiments.compare` writes it, beside the committed results; None:
            these alone.
        data: name or path of the data set with the test volumes; None: that of the runs, or MedSeg's.

    Returns:
        `Evidence`; of a run that is in both places, on the same data by the same recipe, the one in `runs`.

    Raises:
        InputError: `runs` is given and is no folder, or a run's files are damaged; or `data` is given and is not to
            be had.
    """
    if runs is not None and not runs.is_dir():
        raise InputError(f"{runs}: no such folder; give the folder of the runs, or leave --runs out")
    missing: list[str] = []
    found: dict[tuple, CompareRun] = {}
    for root in (RESULTS, runs):
        for run in _finished_runs(root, missing) if root else ():
            found[run.experiment, *run.model, run.seed, run.protocol] = run
    ordered = _told_apart([found[key] for key in sorted(found, key=str)])
    if not ordered:
        missing.append(
            "No run of the second study: the tables hold the published figures alone. `python -m experiments.compare` "
            "trains."
        )
    title = ", ".join(sorted({run.source for run in ordered})) or "the published figures alone"
    evidence = Evidence(ordered, title, own=runs)
    missing += _alone(evidence)
    return add_pictures(replace(evidence, missing=tuple(missing)), data, runs)


def _told_apart(runs: Sequence[CompareRun]) -> tuple[CompareRun, ...]:
    """The runs, marked where their data's files are not those of most runs on data of that name."""
    files: dict[tuple[str, str | None], Counter] = {}
    for run in runs:
        files.setdefault((run.data, run.test), Counter())[run.sha256] += 1
    most = {data: hashes.most_common(1)[0][0] for data, hashes in files.items()}
    return tuple(
        run if run.sha256 == most[run.data, run.test] else replace(run, other_files=True, article_data=False)
        for run in runs
    )


def _alone(evidence: Evidence) -> Iterator[str]:
    """A sentence for each group of runs that are not to be compared with the others."""
    kept = {*evidence.comparable, *evidence.of_equal_slices}
    others = [run for run in evidence.runs if run not in kept and run.initialisation in INITIALISATIONS]
    told = [(run.source, ", ".join((*run.changes, *_unlike(run, evidence.comparable[0])))) for run in others]
    for (data, how), count in Counter(told).items():
        how = f"{data} ({how})" if how else data
        yield (
            f"{how_many(count, 'run')} on {how}: beside other data or another recipe than the "
            f"{len(evidence.comparable)} compared here, and so only in the tables of scores."
        )


def _unlike(run: CompareRun, other: CompareRun) -> Iterator[str]:
    """What `changes` do not say of how a run's recipe differs from that of another."""
    if run.source == other.source and run.split != other.split:
        yield "another split"
    if run.scale != other.scale:
        yield f"scale {run.scale}"
    if run.dtype != other.dtype:
        yield f"in {run.dtype}"


def _finished_runs(root: Path, missing: list[str]) -> Iterator[CompareRun]:
    for folder in KIND.folders(root):
        where = folder.relative_to(root).as_posix()
        run = read_run(folder, KIND)
        if run.counts is None:
            missing.append(f"{where} diverged; it is in no table.")
            continue
        found = compare_run(run)
        if run.result.get("one_class_only"):
            missing.append(f"{where} predicts one class only; it is in the tables as it is.")
        if found.initialisation not in INITIALISATIONS:
            missing.append(f"{where} began from other weights than the article's runs; it is in no part of Table II.")
        yield found


def compare_run(run: Run) -> CompareRun:
    """A run of `KIND` that finished, as the report takes it.

    Raises:
        InputError: its history is missing or damaged.
    """
    config, result, counts = run.config, run.result, run.counts
    data, recipe = config["data"], config["recipe"]
    seconds = run.history(("epoch_seconds", "validation_seconds"))
    name, volumes = str(data.get("name", "unknown")), tuple(map(str, counts["test_volumes"]))
    test = None
    if "test" in data:
        if not isinstance(data["test"], dict):
            raise InputError(f"{run.folder}/config.json: does not say what the run was tested on; {AGAIN}")
        test = str(data["test"].get("name", "unknown"))
    return CompareRun(
        experiment=config["experiment"],
        architecture=config["architecture"],
        encoder=config["encoder"],
        initialisation="none" if config.get("encoder_weights") is None else str(config["encoder_weights"]),
        seed=config["seed"],
        names=tuple(map(str, counts["test_names"])),
        volumes=volumes,
        confusion=counts["test_confusion"].astype(np.int64),
        data=name,
        article_data=name == ARTICLE_DATA and test is None and len(volumes) == number("test_slices"),
        changes=tuple(_changes({**data, **recipe})),
        parameters=result.get("parameters", 0),
        seconds=tuple(float(np.median(values)) if values.size else float("nan") for values in seconds.values()),
        device=str(result.get("device", "unknown device")),
        conditions=(
            str(config.get("backend", "unknown backend")),
            f"{result.get('threads', 'unknown')} threads",
            str(recipe.get("dtype", "unknown data type")),
        ),
        folder=run.folder,
        config=config,
        test=test,
    )


def _changes(settings: dict) -> Iterator[str]:
    """In what a run's settings differ from the article's recipe, for notes."""
    for key in RECIPE:
        value, wanted = settings.get(key), stated(key)
        if value is not None and (value != float(wanted) if isinstance(value, int | float) else value != wanted):
            yield f"{value} {UNITS[key]}" if key in UNITS else f"{key} {value}"


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the report may draw on.

    Attributes:
        runs: finished runs, one per folder; what is averaged or compared takes the `comparable` ones of them alone.
        data: for titles.
        missing: what could not be had, a sentence each, and what would bring it.
        histograms: experiment -> (edges of the bins, share of all pixels in each, share of the mask's pixels in
            each), of the test volumes as the networks take them; empty without data.
        histogram_data: name of the data set that these are of.
        histograms_of_runs: are its files those of the comparable runs?
        pictures: of one test volume, an entry per experiment; empty without data.
        own: the folder of the user's own runs, which go before the committed ones.
    """

    runs: tuple[CompareRun, ...]
    data: str
    missing: tuple[str, ...] = ()
    histograms: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)
    histogram_data: str = ""
    histograms_of_runs: bool = False
    pictures: tuple[Pictures, ...] = ()
    own: Path | None = None

    @cached_property
    def comparable(self) -> tuple[CompareRun, ...]:
        """The runs that are averaged and that claims are judged by: the largest group of one data set and recipe, of
        those with runs of the user's own if there are any.

        Where the test volumes are of another data set than what trained: an experiment in which the group has fewer
        models, or as many but fewer runs, than another that was tested and trained alike, on other slices, has the
        runs of that one; lesion B with as many of both those on the article's own slices.
        """
        largest = self.of_equal_slices
        if not largest or largest[0].test is None:
            return largest
        alike = [group for group in self._groups if group[0].all_but_training == largest[0].all_but_training]
        chosen: list[CompareRun] = []
        for experiment in EXPERIMENTS:
            of_each = [[run for run in group if run.experiment == experiment] for group in (largest, *alike)]
            chosen += max(of_each, key=_worth)
        return tuple(run for run in self.runs if run in set(chosen))

    @cached_property
    def _groups(self) -> list[list[CompareRun]]:
        groups: dict[tuple, list[CompareRun]] = {}
        for run in self.runs:
            if run.initialisation in INITIALISATIONS:
                groups.setdefault(run.protocol, []).append(run)
        return list(groups.values())

    @cached_property
    def of_equal_slices(self) -> tuple[CompareRun, ...]:
        """The largest group, of which all were trained on the same slices: for what compares experiments."""

        def worth(group: list[CompareRun]) -> tuple:
            own = self.own is not None and any(run.folder.is_relative_to(self.own) for run in group)
            return own, len(group), -len(group[0].deviations)  # of one size the one that is nearest to the article

        return tuple(max(self._groups, key=worth, default=[]))


def _worth(runs: list[CompareRun]) -> tuple[int, int, bool]:
    """Of runs of one experiment: models, runs, and whether they were trained on the article's own slices of it."""
    own = any(run.experiment == "lesion_b" and run.data == ARTICLE_LESION_B for run in runs)
    return len({run.model for run in runs}), len(runs), own
