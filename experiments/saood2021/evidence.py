"""Finds what the report is made from: finished runs, the slices, and networks whose weights are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from experiments import RESULTS
from experiments.saood2021.counts import PAPER_SLICES, RunCounts
from experiments.saood2021.protocol import EPOCHS, NETS, PROBLEMS, SIDE_EPOCHS, SIDE_SIZE, SIDE_STUDIES, SIZE, length
from experiments.saood2021.runs import KIND, read_finished, read_last_epochs
from unet_segnet.data.splits import PARTS
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS
from unet_segnet.runs.folder import AGAIN
from unet_segnet.runs.reading import Run

# What may differ from the study's recipe without making another study of it: see `Recipe`.
FREE_SETTINGS = ("learning_rate", "batch_size", "validation", "dtype")


def collect(runs: Path | None, data: str | None) -> Evidence:
    """Everything at hand.

    Arguments:
        runs: a folder of runs as `grid` and `kfold` write it, beside the committed results; None: these alone.
        data: name or path of the data set, or None for the default one.

    Returns:
        `Evidence`; of a run that is in both places, the one in `runs`. Without data, its slices are None.

    Raises:
        InputError: `runs` is given and is no folder, or a run's files are damaged; or `data` is given and is not
            to be had or does not hold the paper's slices.
    """
    if runs is not None and not runs.is_dir():
        raise InputError(f"{runs}: no such folder; give the folder of the runs, or leave --runs out")
    from unet_segnet.data import load_slices

    missing: list[str] = []
    slices, name, folder = _load_data(data, missing)
    known = {} if slices is None else {SIZE: slices}

    @cache
    def sha256(problem: str, size: int) -> str | None:
        if known and size not in known:
            known[size] = load_slices(data, "multiclass", size=size)
        of_size = known.get(size)
        return of_size and (of_size.binary() if problem == "binary" else of_size).sha256()

    found: dict[tuple, FinishedRun] = {}
    for root, committed in ((RESULTS, True), (runs, False)):
        for run in _finished_runs(root, committed, name, sha256, missing) if root else ():
            counts = run.counts
            key = (counts.net, counts.variant, counts.problem, counts.experiment)
            found[(*key, counts.fold, counts.seed, counts.stream, counts.encoder_weights, run.side and run.study)] = run
    ordered = [found[key] for key in sorted(found, key=str)]
    side = tuple(run for run in ordered if run.side)
    ordered = [run for run in ordered if not run.side]
    if slices is not None and any(run.committed for run in ordered):
        name = PAPER_SLICES[0]  # whatever their folder is called
    runs = tuple(run for run in ordered if run.counts.encoder_weights is None)
    pretrained = tuple(run for run in ordered if run.counts.encoder_weights is not None)
    networks = tuple(_networks(runs, slices, folder)) if slices is not None else ()
    return Evidence(runs, slices, name, networks, tuple(missing), folder, pretrained, side)


def _finished_runs(
    root: Path, committed: bool, name: str, sha256: Callable[[str, int], str | None], missing: list[str]
) -> Iterator[FinishedRun]:
    """Runs on these slices: of this `sha256` by problem and size, or where they are not at hand of this name."""
    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.training.class_weighted import Recipe

    standard = {field.name: field.default for field in fields(Recipe) if field.name not in FREE_SETTINGS}
    for folder in KIND.folders(root):
        run, counts = read_finished(folder)
        config, outcome = run.config, run.result
        where = folder.relative_to(root).as_posix()
        if counts is None:
            missing.append(f"{where} diverged in epoch {outcome.get('epoch', '?')}; it is in no table.")
            continue
        recipe, data = config.get("recipe", {}), config.get("data", {})
        if not (isinstance(recipe, dict) and isinstance(data, dict)):
            raise InputError(f"{folder}/config.json: holds no recipe or data; {AGAIN}")
        changed = [] if counts.net in NETS else [f"network {counts.net}"]
        side = config["study"] in SIDE_STUDIES
        size, epochs = (SIDE_SIZE, SIDE_EPOCHS) if side else (SIZE, EPOCHS)
        expected = dict(standard)
        if not changed:
            lengths = length(config["study"], counts.net, counts.experiment, epochs, Recipe.drop_period)
            expected.update(zip(("epochs", "drop_period"), lengths, strict=True))
        changed += [f"{key} {recipe.get(key)}" for key, value in expected.items() if recipe.get(key) != value]
        changed += [f"size {data.get('size')}"] if data.get("size") != size else []
        changed += ["pretrained encoder"] if side and counts.encoder_weights is not None else []
        known = None if changed else sha256(counts.problem, size)
        if known is None and data.get("name") != name:
            changed.append(f"{data.get('name')}")
        elif known not in (None, data.get("sha256")):
            changed.append("other slices of that name" if data.get("name") == name else f"{data.get('name')}")
        changed += ["another split"] if config.get("split") != parts_of_the_paper(counts.fold) else []
        if changed:
            protocol = "side study's" if side else "paper's"
            missing.append(
                f"{where} is not a run of the {protocol} protocol ({', '.join(changed)}); it is in no table."
            )
            continue
        if outcome.get("one_class_only"):
            missing.append(f"{where} predicts one class only; it is in the tables as it is.")
        yield FinishedRun(folder, config, outcome, counts, committed)


def parts_of_the_paper(fold: int | None) -> dict[str, list[str]]:
    """Names of the slices in each part, as a run's configuration has them."""
    from unet_segnet.data import five_folds, paper_split

    split = paper_split() if fold is None else five_folds()[fold]
    return {part: [f"{index + 1:03}" for index in getattr(split, part)] for part in PARTS}


def _load_data(data: str | None, missing: list[str]):
    """Slices with four classes, the data set's name and folder; (None, name, None) where there are none."""
    from unet_segnet.data import load_slices
    from unet_segnet.data.catalogue import find_data

    try:
        folder = find_data(data)
        slices = load_slices(data, "multiclass")
    except InputError as error:
        if data is not None:
            raise
        missing.append(
            f"The slices ({error}): without them there are no figures of slices, no class sizes, no grey-threshold "
            "baseline and no viewer."
        )
        return None, PAPER_SLICES[0], None
    if len(slices) != 100:
        raise InputError(
            f"{folder}: holds {len(slices)} slices; the report needs the paper's 100 (`unet-segnet data fetch`)"
        )
    return slices, folder.resolve().name, folder


def _networks(runs, slices, folder: Path) -> Iterator[Network]:
    """The project's own networks or, where there is none, those of finished runs; the authors' where at hand."""
    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.data import paper_split
    from unet_segnet.networks.load import model_facts, pretrained

    test = slices.subset(paper_split(len(slices)).test)
    own = {}
    known = pretrained()
    for problem in PROBLEMS:
        if problem in known:
            facts = model_facts(problem)
            own[facts["net"], problem] = (facts["variant"], facts["experiment"], known[problem])
    for run in sorted(runs, key=_validation_accuracy):  # the last one stays, and the test slices choose nothing
        counts = run.counts
        if counts.fold is None and run.weights:
            own[counts.net, counts.problem] = (counts.variant, counts.experiment, run.weights)
    for (net, _), (variant, experiment, path) in sorted(own.items()):
        label = f"{NETWORKS[net].title} exp. {experiment}, variant {variant}, ours"
        yield _network("own", label, net, path, test)
    for path in sorted(folder.glob("results/networks/**/*.mat")):
        net = next((net for net in NETS if path.name.startswith(net)), None)
        if net is not None:
            yield _network("authors", f"{NETWORKS[net].title}, the authors' ({path.name})", net, path, test)


def _validation_accuracy(run: FinishedRun) -> float:
    """Mean over the validation slices; without any, the lowest there is."""
    from unet_segnet.measures.metrics import global_accuracy

    confusion = run.counts.validation_confusion
    return float(global_accuracy(confusion).mean()) if len(confusion) else 0.0


def _network(whose: str, label: str, net: str, path: Path, test) -> Network:
    from unet_segnet.inference.prediction import predict
    from unet_segnet.networks.load import load_model

    model = load_model(path)
    problem = "binary" if model.output_shape[-1] == 2 else "multiclass"
    return Network(f"{whose}-{net}-{problem}", label, net, problem, lambda: model, predict(model, test.images))


@dataclass(frozen=True)
class FinishedRun(Run):
    """One finished training.

    Attributes:
        counts: its per-slice confusion matrices and what distinguishes it.
        committed: True where it is one of the project's own results, False where it comes from --runs.
    """

    counts: RunCounts
    committed: bool

    @property
    def study(self) -> str | None:
        """One of `experiments.saood2021.protocol.STUDIES`."""
        return self.config.get("study")

    @property
    def side(self) -> bool:
        """Is it one of the side study of mini-batches?"""
        return self.study in SIDE_STUDIES

    def history(self, names: tuple[str, ...] = KIND.history) -> dict[str, np.ndarray]:
        """Loss, accuracy and learning rate per iteration, and the validation."""
        return super().history(names)

    def last_epochs(self) -> dict[str, np.ndarray] | None:
        """Counts after each of the last epochs, (epochs, n, K, K) by part; None where they were not counted.

        Raises:
            InputError: the file is damaged, or cannot belong to this training.
        """
        return read_last_epochs(self.folder, self.counts)


@dataclass(frozen=True)
class Network:
    """A trained network whose weights are at hand, and what it predicts.

    Attributes:
        key: for file names, such as "own-segnet-binary" or "authors-segnet-binary".
        label: for captions, such as "SegNet exp. 4, ours" or "SegNet exp. 4, the authors'".
        net: "segnet" or "unet".
        problem: "binary" or "multiclass".
        load: gives the `keras.Model` (images of 0..255 in, class probabilities out).
        predictions: (18, 256, 256) uint8 class index of the test slices, in the order of the split.
    """

    key: str
    label: str
    net: str
    problem: str
    load: Callable[[], object]
    predictions: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """All that the report may draw on.

    Attributes:
        runs: finished runs of the grid (`counts.fold` is None) and of the five folds, all from random weights.
        slices: the 100 slices with labels of four classes, or None where no data was found.
        data: the data set's name, for titles.
        networks: those whose weights are at hand; needs slices.
        missing: what could not be had, a sentence each, and what would bring it.
        folder: of the data set, or None.
        pretrained: finished runs whose encoders started from other weights. They are another study: in rows and
            tables of their own, in no mean, figure or verdict with others.
        side: finished runs of the side study of mini-batches, likewise.
    """

    runs: tuple[FinishedRun, ...]
    slices: object | None
    data: str
    networks: tuple[Network, ...] = ()
    missing: tuple[str, ...] = ()
    folder: Path | None = None
    pretrained: tuple[FinishedRun, ...] = ()
    side: tuple[FinishedRun, ...] = ()

    def grid(self, problem: str, variant: str) -> list[FinishedRun]:
        """Runs of the grid of one problem and variant."""
        return [run for run in self.runs if run.counts.fold is None and self._is(run, problem, variant)]

    def folds(self, problem: str, variant: str) -> list[FinishedRun]:
        """Runs of the five folds of one problem and variant."""
        return [run for run in self.runs if run.counts.fold is not None and self._is(run, problem, variant)]

    @staticmethod
    def _is(run: FinishedRun, problem: str, variant: str) -> bool:
        return (run.counts.problem, run.counts.variant) == (problem, variant)
