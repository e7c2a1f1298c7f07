"""One training = one folder: configuration, history, per-slice counts, weights, finished or not.

OUT/grid/released-binary-segnet/exp4-seed0/        a run of the grid
OUT/kfold/released-binary-segnet/fold2-exp4-seed0/ a run of the five folds
    config.json    everything that determines the run
    history.npz    loss, accuracy and learning rate per iteration, validation
    counts.npz     a confusion matrix and a mean BF score per test and validation slice
    model.keras    the trained network
    result.json    how it came about (versions, device, time); its presence means: finished
    state.*        the state of an unfinished run, removed at the end
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.files import save_network, weights_sha256, write_arrays, write_json
from experiments.locks import alone
from experiments.options import DTYPES, EXPERIMENTS, NETS, PROBLEMS, SEEDS, STREAMS, VARIANTS
from experiments.provenance import begin, provenance
from unet_segnet.errors import InputError, one_line
from unet_segnet.files import read_small

FORMAT = 1
ENDS = ("finished", "diverged")
AGAIN = "remove the run's folder to train it again"
STUDIES = ("grid", "kfold")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class RunSpec:
    """What distinguishes one training from another.

    Attributes:
        study: "grid" or "kfold".
        net: "segnet" or "unet".
        variant: "paper" or "released".
        problem: "binary" or "multiclass".
        experiment: configuration of Table 2, 1..9.
        seed: of kernels, shuffling, augmentation and dropout.
        fold: 0..4, or None for the grid.
        stream: "numpy" or "matlab", where the random numbers come from.
        encoder_weights: None, "imagenet" or a file, for the VGG16 encoder.
    """

    study: str
    net: str
    variant: str
    problem: str
    experiment: int
    seed: int = 0
    fold: int | None = None
    stream: str = "numpy"
    encoder_weights: str | None = None

    @property
    def group(self) -> Path:
        """The folder of all runs of this study, network, variant and problem, below the output folder."""
        return Path(self.study) / f"{self.variant}-{self.problem}-{self.net}"

    @property
    def name(self) -> str:
        """The run's own folder name."""
        fold = "" if self.fold is None else f"fold{self.fold + 1}-"
        stream = "" if self.stream == "numpy" else f"-{self.stream}"
        weights = "" if self.encoder_weights is None else "-pretrained"
        return f"{fold}exp{self.experiment}-seed{self.seed}{stream}{weights}"


class RunFolder:
    """The files of one run. Everything is written to a temporary file first and moved into place.

    Arguments:
        out: folder of all runs.
        spec: `RunSpec`, or another study's with a `group` and a `name`.
    """

    def __init__(self, out: Path, spec):
        self.path = Path(out) / spec.group / spec.name
        self.config, self.result = self.path / "config.json", self.path / "result.json"
        self.history, self.counts = self.path / "history.npz", self.path / "counts.npz"
        self.model, self.state = self.path / "model.keras", self.path / "state"
        self.first_layer = self.path / "first_layer.npz"  # of the second study

    @property
    def finished(self) -> bool:
        """Whether the run ended; it may have diverged."""
        return self.result.exists()

    def check(self, config: dict, force: bool) -> None:
        """Hold the folder's configuration against the one asked for.

        Raises:
            InputError: the folder belongs to a run with other settings, and `force` is not given.
        """
        if not self.config.exists() or force:
            return
        found = read_json(self.config)
        different = sorted(_differences(found, json.loads(json.dumps(config))))
        if different:
            raise InputError(
                f"{self.config}: this folder holds a run with other settings ({', '.join(different)}); "
                "give another folder with --out, or --force to throw that run away"
            )

    def dtype(self) -> str | None:
        """The data type in which the run was begun; None where there is none, or its settings cannot be read."""
        try:
            return dtype_in(read_json(self.config))
        except InputError:
            return None

    def epochs_done(self) -> int:
        """Epochs that the saved state of an unfinished run holds; 0 where there is none, or none that can be read."""
        try:
            return len(read_arrays(self.state.with_suffix(".history.npz"), ("epoch_seconds",))["epoch_seconds"])
        except (InputError, TypeError):
            return 0

    def lock(self):
        """A context in which this process alone works on the run.

        Raises:
            HeldError: another process does, on entering.
            InputError: the folder cannot be written.
            OSError: the disk is full.
        """
        return alone(self.path, self.path / "lock")

    def complete(self, config: dict, train: Callable[[], None], force: bool = False) -> Path:
        """Train a run, or go on with it, or leave it alone if it is finished.

        Arguments:
            config: everything that determines it.
            train: called alone in the folder; goes on from `state` where there is one and writes the result.
            force: throw a finished or different run away.

        Returns:
            The run's folder.

        Raises:
            InputError: the folder holds a run with other settings.
            HeldError: another process works on it.
        """
        self.check(config, force)
        if self.finished and not force:
            return self.path
        with self.lock():
            self.check(config, force)  # again: another process may have been here meanwhile
            if self.finished and not force:
                return self.path
            if force or not self.config.exists():  # without it, nobody knows what a state belongs to
                self.clear()
            write_json(self.config, config)
            train()
        return self.path

    def clear(self) -> None:
        """Remove what an earlier run left; the result first, so that half a removal is an unfinished run."""
        for path in (self.result, self.config, self.history, self.counts, self.model, self.first_layer):
            path.unlink(missing_ok=True)
        self.remove_state()

    def remove_state(self) -> None:
        """Remove what only an unfinished run needs, and what a killed one left half written."""
        for path in self.left_over():
            path.unlink(missing_ok=True)

    def left_over(self) -> list[Path]:
        """The files of which `remove_state` tells."""
        return [*self.path.glob("state.*"), *self.path.glob("*.tmp*")]


def dtype_in(config: dict) -> str | None:
    """The data type that a run's settings name; None where they name none that there is."""
    recipe = config.get("recipe")
    dtype = recipe.get("dtype") if isinstance(recipe, dict) else None
    return dtype if dtype in DTYPES else None


def _differences(found, wanted, prefix=""):
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            yield from _differences(found.get(key), wanted.get(key), f"{prefix}{key}.")
    elif found != wanted:
        yield f"{prefix.rstrip('.')}: {_short(found)} there, {_short(wanted)} asked for"


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."


def read_json(path: Path) -> dict:
    """Read one of a run folder's JSON files.

    Raises:
        InputError: it is missing, damaged, or not an object.
    """
    try:
        content = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {AGAIN}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings; {AGAIN}")
    return content


def read_config(folder: Path) -> dict:
    """The settings of a run.

    Raises:
        InputError: the file is missing, damaged, or of another version.
    """
    path = folder / "config.json"
    config = read_json(path)
    if config.get("format") != FORMAT:
        found = config.get("format")
        raise InputError(f"{path}: written by another version (format {found}, expected {FORMAT}); {AGAIN}")
    return config


def read_result(folder: Path) -> dict:
    """The result of a run that ended; its "status" is "finished" or "diverged".

    Raises:
        InputError: the file is missing or damaged, or does not say how the run ended, or how long it took as a number.
    """
    path = folder / "result.json"
    result = read_json(path)
    if result.get("status") not in ENDS:
        raise InputError(f"{path}: does not say how the run ended; {AGAIN}")
    seconds = result.get("training_seconds", 1.0)
    if not is_time(seconds):
        raise InputError(f"{path}: training_seconds is no time ({seconds!r:.40}); {AGAIN}")
    return result


def is_time(seconds) -> bool:
    """Can it be how long a training took?"""
    return type(seconds) in (int, float) and 0 < seconds < 1e12


def read_arrays(path: Path, names: tuple[str, ...]) -> dict:
    """Read named arrays of an .npz file.

    Raises:
        InputError: it is missing, damaged, or lacks one of them.
    """
    from experiments.npz import read_npz

    try:
        return read_npz(path, names)
    except Exception as error:  # a damaged .npz raises a dozen kinds
        reason = one_line(error)
        raise InputError(f"{path}: cannot be read ({reason}); {AGAIN}") from error


def finished_folders(out: Path) -> list[Path]:
    """The folders of all finished runs below an output folder, sorted.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        return sorted(
            result.parent
            for study in STUDIES
            for result in (Path(out) / study).glob("*/*/result.json")
            if not result.parent.name.startswith(".")
        )
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{out}: cannot be read ({error.strerror}); give another folder") from error


def make_config(spec: RunSpec, recipe, slices, split, data: dict) -> dict:
    """Everything that determines a run, ready for JSON.

    Raises:
        InputError: the file with the encoder's weights cannot be read.
    """
    import keras

    return {
        "format": FORMAT,
        **asdict(spec),
        **weights_by_content(spec.encoder_weights),
        "recipe": asdict(recipe),
        "data": {**data, "sha256": slices.sha256(), "classes": list(slices.class_names)},
        "split": {part: [slices.names[index] for index in getattr(split, part)] for part in PARTS},
        "backend": keras.config.backend(),
    }


def weights_by_content(source: str | None) -> dict:
    """What a run's settings say of the file that its encoder started from: the name and the SHA-256, not the path.

    Arguments:
        source: None, "imagenet" (one file, which Keras knows by its checksum) or a file.

    Raises:
        InputError: the file cannot be read.
    """
    if source in (None, "imagenet"):
        return {"encoder_weights": source}
    return {"encoder_weights": Path(source).name, "encoder_weights_sha256": weights_sha256(source)}


def run(spec: RunSpec, recipe, slices, split, data: dict, out: Path, force: bool = False, report=None) -> Path:
    """Train and evaluate one run, or go on with it, or leave it alone if it is finished.

    Arguments:
        spec: which run.
        recipe: `unet_segnet.training.Recipe`.
        slices: all slices, ready for the network.
        split: `unet_segnet.data.Split` of them.
        data: description of the data for the configuration (name, window).
        out: folder of all runs.
        force: throw a finished or different run away.
        report: called after each epoch with the number of finished epochs and a line about it.

    Returns:
        The run's folder.

    Raises:
        InputError: the folder holds a run with other settings.
        HeldError: another process works on it.
    """
    folder = RunFolder(out, spec)
    config = make_config(spec, recipe, slices, split, data)

    def train():
        _train_and_evaluate(spec, recipe, slices, split, data, folder, report)

    return folder.complete(config, train, force)


def _train_and_evaluate(spec, recipe, slices, split, data, folder, report):
    import keras
    import numpy as np

    from unet_segnet import metrics
    from unet_segnet.data import median_frequency_weights
    from unet_segnet.models import build_model
    from unet_segnet.streams import MatlabStream, NumpyStream
    from unet_segnet.training import DivergedError, predict, train

    def build(**random):
        return build_model(
            spec.net,
            variant=spec.variant,
            num_classes=slices.num_classes,
            input_shape=(*slices.images.shape[1:], 1),
            encoder_weights=spec.encoder_weights,
            **random,
        )

    started = begin()
    stream = NumpyStream(spec.seed) if spec.stream == "numpy" else MatlabStream(spec.net, spec.seed, len(slices))
    parts = {part: slices.subset(getattr(split, part)) for part in PARTS}
    # The weights come from all slices, as the authors' do: three of the 72 numbers that determine the loss
    # have seen the test labels. It is their study that is reproduced.
    class_weights = median_frequency_weights(slices.labels, slices.num_classes)
    try:
        result = train(
            build,
            parts["train"].images,
            parts["train"].labels,
            parts["validation"].images,
            parts["validation"].labels,
            class_weights,
            recipe,
            stream,
            seed=spec.seed,
            checkpoint=folder.state,
            report=report,
        )
    except DivergedError as error:
        write_arrays(folder.history, error.history)
        write_json(folder.result, {"status": "diverged", "epoch": error.epoch, **provenance(started)})
        folder.remove_state()
        return
    counts = {}
    for part in ("test", "validation"):
        predictions = predict(result.model, parts[part].images)
        labels, num_classes = parts[part].labels, slices.num_classes
        counts[f"{part}_names"] = np.asarray(parts[part].names)
        counts[f"{part}_confusion"] = metrics.confusion_matrices(labels, predictions, num_classes)
        counts[f"{part}_bf"] = np.array(
            [metrics.mean_bf_score(*pair, num_classes) for pair in zip(labels, predictions, strict=True)]
        )
    save_network(result.model, folder.model, _facts(parts["train"], data))
    write_arrays(folder.history, result.history)
    write_arrays(folder.counts, counts)
    summary = {
        "status": "finished",
        "input_mean": result.mean,
        "class_weights": class_weights.tolist(),
        "parameters": result.model.count_params(),
        "training_seconds": float(result.history["epoch_seconds"].sum()),
        "one_class_only": bool((counts["test_confusion"].sum(axis=(0, 1)) > 0).sum() == 1),
    }
    write_json(folder.result, {**summary, **provenance(started)})
    folder.remove_state()
    keras.utils.clear_session(free_memory=True)


def _facts(train, data) -> dict:
    """What the network's own file says of it."""
    from experiments.baselines import class_histograms, fit_thresholds
    from unet_segnet.cohort.seen import slice_marks

    return {
        "class_names": list(train.class_names),
        "window": data.get("window"),
        "data": data["name"],
        "thresholds": list(fit_thresholds(class_histograms(train.images, train.labels, train.num_classes))),
        "slices": slice_marks(train.images),
    }


def load_counts(path: Path):
    """The `RunCounts` of a finished run's folder, or None where the run diverged or is not finished.

    Raises:
        InputError: one of its files is missing, damaged, or of another version.
    """
    return read_run(path)[2] if (Path(path) / "result.json").exists() else None


def read_run(path: Path) -> tuple[dict, dict, object]:
    """The settings, the result and the `RunCounts` of a run that ended; None for the counts of one that diverged.

    Raises:
        InputError: one of its files is missing, damaged, or of another version.
    """
    from experiments.tables import RunCounts

    path = Path(path)
    result, config = read_result(path), read_config(path)
    if result["status"] != "finished":
        return config, result, None
    names = ("test_names", "test_confusion", "validation_confusion")
    counts = read_arrays(path / "counts.npz", names)
    try:
        fields = {key: config[key] for key in ("net", "problem", "variant", "experiment", "seed", "fold", "stream")}
        _check_counts(fields, counts)
        run_counts = RunCounts(**fields, **{**counts, "test_names": tuple(map(str, counts["test_names"]))})
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: config.json and counts.npz do not belong together ({error}); {AGAIN}") from error
    return config, result, run_counts


def _check_counts(fields: dict, counts: dict) -> None:
    """Raise ValueError for settings and counts that no run has."""
    from unet_segnet.data.splits import NUM_FOLDS

    strings = {"net": NETS, "problem": PROBLEMS, "variant": VARIANTS, "stream": STREAMS}
    wrong = [key for key, known in strings.items() if fields[key] not in known]
    numbers = {"experiment": EXPERIMENTS, "seed": SEEDS} | (
        {} if fields["fold"] is None else {"fold": range(NUM_FOLDS)}
    )
    wrong += [key for key, known in numbers.items() if type(fields[key]) is not int or fields[key] not in known]
    wrong += [] if counts["test_names"].ndim == 1 else ["test_names"]
    for name in ("test_confusion", "validation_confusion"):
        confusion = counts[name]
        if confusion.dtype.kind not in "iu" or confusion.ndim != 3 or (confusion < 0).any():
            wrong.append(name)
    if wrong:
        raise ValueError(f"impossible value of {', '.join(wrong)}")
