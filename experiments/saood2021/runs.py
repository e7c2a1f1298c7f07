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

from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.saood2021.protocol import EXPERIMENTS, NETS, PROBLEMS, STREAMS, VARIANTS
from unet_segnet.commands.arguments import SEEDS
from unet_segnet.errors import InputError
from unet_segnet.networks.save import save_network
from unet_segnet.output.records import write_arrays, write_json
from unet_segnet.runs.folder import (
    AGAIN,
    FORMAT,
    PARTS,
    RunFolder,
    read_arrays,
    read_config,
    read_result,
    weights_by_content,
)
from unet_segnet.runs.provenance import begin, provenance

STUDIES = ("grid", "kfold")


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

    from unet_segnet.data import median_frequency_weights
    from unet_segnet.errors import DivergedError
    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures import metrics
    from unet_segnet.models import build_model
    from unet_segnet.training.class_weighted import train
    from unet_segnet.training.streams import MatlabStream, NumpyStream

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
    from unet_segnet.cohort.seen import slice_marks
    from unet_segnet.measures.baselines import class_histograms, fit_thresholds

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
    from experiments.saood2021.counts import RunCounts

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
