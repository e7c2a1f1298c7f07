"""Finds what the report of the second study is made from: finished runs and the test volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments import RESULTS
from experiments.bizopoulos2021.evidence import CompareRun, Evidence
from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, INITIALISATIONS, encoders, number, stated
from experiments.reporting.judgement import how_many
from unet_segnet.errors import InputError
from unet_segnet.runs.folder import AGAIN, read_arrays, read_config, read_result

ARTICLE_DATA = "medseg"
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
    from experiments.bizopoulos2021.figures.masks import add_pictures

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
    files: dict[str, Counter] = {}
    for run in runs:
        files.setdefault(run.data, Counter())[run.sha256] += 1
    most = {data: hashes.most_common(1)[0][0] for data, hashes in files.items()}
    return tuple(
        run if run.sha256 == most[run.data] else replace(run, other_files=True, article_data=False) for run in runs
    )


def _alone(evidence: Evidence) -> Iterator[str]:
    """A sentence for each group of runs that are not to be compared with the others."""
    kept = set(evidence.comparable)
    others = [run for run in evidence.runs if run not in kept and run.initialisation in INITIALISATIONS]
    told = [(run.source, ", ".join((*run.changes, *_unlike(run, evidence.comparable[0])))) for run in others]
    for (data, how), count in Counter(told).items():
        how = f"{data} ({how})" if how else data
        yield (
            f"{how_many(count, 'run')} on {how}: beside other data or another recipe than the {len(kept)} compared "
            "here, and so only in the tables of scores."
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
    for path in sorted((Path(root) / "compare").glob("*/*/*/result.json")):
        folder = path.parent
        if folder.name.startswith("."):
            continue
        where = folder.relative_to(root).as_posix()
        result = read_result(folder)
        if result["status"] == "diverged":
            missing.append(f"{where} diverged; it is in no table.")
            continue
        run = read_run(folder)
        if result.get("one_class_only"):
            missing.append(f"{where} predicts one class only; it is in the tables as it is.")
        if run.initialisation not in INITIALISATIONS:
            missing.append(f"{where} began from other weights than the article's runs; it is in no part of Table II.")
        yield run


def read_run(folder: Path) -> CompareRun:
    """A finished run.

    Raises:
        InputError: one of its files is missing or damaged.
    """
    result, config = read_result(folder), read_config(folder)
    data, recipe = config.get("data"), config.get("recipe")
    known = {"experiment": EXPERIMENTS, "architecture": ARCHITECTURES, "encoder": encoders()}
    if strange := [key for key, values in known.items() if config.get(key) not in list(values)]:
        raise InputError(f"{folder}/config.json: holds an unknown {strange[0]}, {config.get(strange[0])!r}; {AGAIN}")
    if not (isinstance(data, dict) and isinstance(recipe, dict) and isinstance(config.get("seed"), int)):
        raise InputError(f"{folder}/config.json: holds no recipe, data or seed; {AGAIN}")
    parameters = result.get("parameters", 0)
    if type(parameters) is not int:
        raise InputError(f"{folder}/result.json: its parameters are no number; {AGAIN}")
    counts = read_arrays(folder / "counts.npz", ("test_names", "test_volumes", "test_confusion"))
    confusion, names = counts["test_confusion"], counts["test_names"]
    sound = confusion.ndim == 3 and confusion.shape[1:] == (2, 2) and confusion.dtype.kind in "iu" and len(confusion)
    if not sound or names.shape != counts["test_volumes"].shape or names.shape != confusion.shape[:1]:
        raise InputError(f"{folder}/counts.npz: holds no 2x2 counts of named slices; {AGAIN}")
    seconds = read_arrays(folder / "history.npz", ("epoch_seconds", "validation_seconds"))
    name, volumes = str(data.get("name", "unknown")), tuple(map(str, counts["test_volumes"]))
    return CompareRun(
        experiment=config["experiment"],
        architecture=config["architecture"],
        encoder=config["encoder"],
        initialisation="none" if config.get("encoder_weights") is None else str(config["encoder_weights"]),
        seed=config["seed"],
        names=tuple(map(str, names)),
        volumes=volumes,
        confusion=confusion.astype(np.int64),
        data=name,
        article_data=name == ARTICLE_DATA and len(volumes) == number("test_slices"),
        changes=tuple(_changes({**data, **recipe})),
        parameters=parameters,
        seconds=tuple(float(np.median(values)) if values.size else float("nan") for values in seconds.values()),
        device=str(result.get("device", "unknown device")),
        conditions=(
            str(config.get("backend", "unknown backend")),
            f"{result.get('threads', 'unknown')} threads",
            str(recipe.get("dtype", "unknown data type")),
        ),
        folder=folder,
        config=config,
    )


def _changes(settings: dict) -> Iterator[str]:
    """In what a run's settings differ from the article's recipe, for notes."""
    for key in RECIPE:
        value, wanted = settings.get(key), stated(key)
        if value is not None and (value != float(wanted) if isinstance(value, int | float) else value != wanted):
            yield f"{value} {UNITS[key]}" if key in UNITS else f"{key} {value}"
