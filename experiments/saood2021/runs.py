"""One training of the first study, in a folder of its own (`unet_segnet.runs.folder`).

OUT/grid/released-binary-segnet/exp4-seed0/        a run of the grid
OUT/kfold/released-binary-segnet/fold2-exp4-seed0/ a run of the five folds
OUT/side/..., OUT/side-cut/...                     runs of the side study of mini-batches, as those of the grid

counts.npz holds a mean BF score per slice beside its confusion matrix; last_epochs.npz, in runs that counted it, the
confusion matrices after each of the last 40 epochs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from experiments.saood2021.counts import RunCounts
from experiments.saood2021.protocol import EXPERIMENTS, LAST_EPOCHS, PROBLEMS, STREAMS, STUDIES
from unet_segnet.commands.arguments import SEEDS
from unet_segnet.data.splits import NUM_FOLDS, PARTS
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS, VARIANTS
from unet_segnet.runs.folder import AGAIN, FORMAT, RunFolder, Trained, read_arrays, weights_by_content
from unet_segnet.runs.job import label
from unet_segnet.runs.reading import Run, RunKind, read_run

COUNTED = ("test", "validation")
PRETRAINED = "-pretrained"  # ends the folder names of runs whose encoder started from other weights


@dataclass(frozen=True)
class RunSpec:
    """What distinguishes one training from another.

    Attributes:
        study: one of `experiments.saood2021.protocol.STUDIES`.
        net: one of the registered networks of the first study's kind.
        variant: "paper" or "released".
        problem: "binary" or "multiclass".
        experiment: configuration of Table 2, 1..9.
        seed: of kernels, shuffling, augmentation and dropout.
        fold: 0..4 for kfold, else None.
        stream: "numpy" or "matlab", where the random numbers come from.
        encoder_weights: None, "imagenet" or a file, for the encoder.
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
        weights = "" if self.encoder_weights is None else PRETRAINED
        return f"{fold}exp{self.experiment}-seed{self.seed}{stream}{weights}"


@dataclass(frozen=True)
class Job:
    """One training of the first study; see `unet_segnet.runs.job.Job`.

    Attributes:
        spec: which.
        recipe: `unet_segnet.training.class_weighted.Recipe`.
        split: `unet_segnet.data.Split`.
        last_epochs: after how many of its last epochs it counts; no part of what determines the run.
    """

    spec: RunSpec
    recipe: object
    split: object
    last_epochs: int = LAST_EPOCHS

    def config(self, data) -> dict:
        """Everything that determines the run; `data` is a dict of `LoadedData` by problem.

        Raises:
            InputError: the file with the encoder's weights cannot be read.
        """
        import keras

        loaded = data[self.spec.problem]
        slices = loaded.slices
        return {
            "format": FORMAT,
            **asdict(self.spec),
            **weights_by_content(self.spec.encoder_weights),
            "recipe": asdict(self.recipe),
            "data": {**loaded.description, "sha256": slices.sha256(), "classes": list(slices.class_names)},
            "split": {part: [slices.names[index] for index in getattr(self.split, part)] for part in PARTS},
            "backend": keras.config.backend(),
        }

    def train(self, data, folder: RunFolder, progress) -> Trained:
        """Train on the split's training slices, count on the others."""
        from unet_segnet.data import median_frequency_weights
        from unet_segnet.inference.prediction import predict
        from unet_segnet.measures import metrics
        from unet_segnet.models import build_model
        from unet_segnet.training.class_weighted import train
        from unet_segnet.training.last_epochs import LastEpochs
        from unet_segnet.training.streams import MatlabStream, NumpyStream

        spec, loaded = self.spec, data[self.spec.problem]
        slices = loaded.slices

        def build(**random):
            return build_model(
                spec.net,
                variant=spec.variant,
                num_classes=slices.num_classes,
                input_shape=(*slices.images.shape[1:], 1),
                encoder_weights=spec.encoder_weights,
                **random,
            )

        stream = (
            NumpyStream(spec.seed)
            if spec.stream == "numpy"
            else MatlabStream(spec.seed, len(slices), NETWORKS[spec.net].restarts_stream)
        )
        parts = {part: slices.subset(getattr(self.split, part)) for part in PARTS}
        # The weights come from all slices, as the authors' do: three of the 72 numbers that determine the loss
        # have seen the test labels. It is their study that is reproduced.
        class_weights = median_frequency_weights(slices.labels, slices.num_classes)

        def count(model):
            return {
                f"{part}_confusion": metrics.confusion_matrices(of.labels, predict(model, of.images), of.num_classes)
                for part, of in parts.items()
                if part in COUNTED
            }

        last_epochs = LastEpochs(count, self.last_epochs)
        result = train(
            build,
            parts["train"].images,
            parts["train"].labels,
            parts["validation"].images,
            parts["validation"].labels,
            class_weights,
            self.recipe,
            stream,
            seed=spec.seed,
            checkpoint=folder.state,
            report=progress(self.recipe.epochs, label(self)).update,
            callbacks=folder.callbacks(),
            last_epochs=last_epochs,
        )
        counts = {}
        for part in COUNTED:
            predictions = predict(result.model, parts[part].images)
            labels, num_classes = parts[part].labels, slices.num_classes
            counts[f"{part}_names"] = np.asarray(parts[part].names)
            counts[f"{part}_confusion"] = metrics.confusion_matrices(labels, predictions, num_classes)
            counts[f"{part}_bf"] = np.array(
                [metrics.mean_bf_score(*pair, num_classes) for pair in zip(labels, predictions, strict=True)]
            )
        summary = {
            "input_mean": result.mean,
            "class_weights": class_weights.tolist(),
            "parameters": result.model.count_params(),
            "training_seconds": float(result.history["epoch_seconds"].sum()),
            "one_class_only": bool((counts["test_confusion"].sum(axis=(0, 1)) > 0).sum() == 1),
        }
        facts = _facts(parts["train"], loaded.description)
        further = {"last_epochs": counted} if (counted := last_epochs.arrays()) else {}
        return Trained(result.model, result.history, counts, summary, facts, further)


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


def check_settings(config: dict) -> None:
    """Whether a run of the study can have these settings.

    Raises:
        ValueError: it cannot, naming what is impossible.
    """
    known = {"net": NETWORKS, "problem": PROBLEMS, "variant": VARIANTS, "stream": STREAMS}
    wrong = [key for key, values in known.items() if config[key] not in list(values)]
    numbers = {"experiment": EXPERIMENTS, "seed": SEEDS}
    if config["fold"] is not None:
        numbers["fold"] = range(NUM_FOLDS)
    wrong += [key for key, values in numbers.items() if type(config[key]) is not int or config[key] not in values]
    if wrong:
        raise ValueError(f"impossible value of {', '.join(wrong)}")


def check_last_epochs(arrays: Mapping[str, np.ndarray], confusion: Mapping[str, np.ndarray]) -> None:
    """Whether these can be counts of a training's last epochs.

    Arguments:
        arrays: of last_epochs.npz.
        confusion: part -> (n, K, K), what its last network counted.

    Raises:
        ValueError: they cannot, saying why.
    """
    epochs = arrays["epoch"]
    if epochs.dtype.kind not in "iu" or epochs.ndim != 1 or not len(epochs) or epochs[0] < 1:
        raise ValueError("expected numbers of epochs, counted from 1")
    if not (np.diff(epochs) == 1).all():
        raise ValueError("expected epochs one after another")
    for part, last in confusion.items():
        counts = arrays[f"{part}_confusion"]
        if counts.dtype.kind not in "iu" or counts.shape != (len(epochs), *last.shape) or (counts < 0).any():
            raise ValueError(f"impossible counts of the {part} slices")
        if (counts.sum(axis=-1) != last.sum(axis=-1)).any():
            raise ValueError(f"its {part} slices are not those of counts.npz")


def _check(config: dict, result: dict, counts: Mapping[str, np.ndarray]) -> None:
    check_settings(config)
    wrong = [] if counts["test_names"].ndim == 1 else ["test_names"]
    for name in ("test_confusion", "validation_confusion"):
        confusion = counts[name]
        if confusion.dtype.kind not in "iu" or confusion.ndim != 3 or (confusion < 0).any():
            wrong.append(name)
    if wrong:
        raise ValueError(f"impossible value of {', '.join(wrong)}")
    _run_counts(config, counts)


KIND = RunKind(
    studies=STUDIES,
    history=(
        *("loss", "accuracy", "learning_rate"),
        *("validation_iteration", "validation_loss", "validation_accuracy", "epoch_seconds"),
    ),
    counts=tuple(f"{part}_{what}" for part in COUNTED for what in ("names", "confusion", "bf")),
    needed=("test_names", "test_confusion", "validation_confusion"),
    optional={"last_epochs.npz": ("epoch", *(f"{part}_confusion" for part in COUNTED))},
    check=_check,
)


def read_finished(folder: Path) -> tuple[Run, RunCounts | None]:
    """A run that ended and what it counted; None for the counts of one that diverged.

    Raises:
        InputError: one of its files is missing, damaged, of another version or kind.
    """
    run = read_run(folder, KIND)
    return run, None if run.counts is None else _run_counts(run.config, run.counts)


def read_last_epochs(folder: Path, counts: RunCounts) -> dict[str, np.ndarray] | None:
    """What a training counted after each of its last epochs: (epochs, n, K, K) by part; None where it did not.

    Arguments:
        folder: of the run.
        counts: what its last network counted.

    Raises:
        InputError: the file is damaged, or cannot belong to this training.
    """
    ((file, names),) = KIND.optional.items()
    path = folder / file
    if not path.is_file():
        return None
    arrays = read_arrays(path, names)
    try:
        check_last_epochs(arrays, {part: getattr(counts, f"{part}_confusion") for part in COUNTED})
    except ValueError as error:
        raise InputError(f"{path}: {error}; {AGAIN}") from error
    return arrays


def _run_counts(config: dict, counts: Mapping[str, np.ndarray]) -> RunCounts:
    fields = {key: config[key] for key in ("net", "problem", "variant", "experiment", "seed", "fold", "stream")}
    names = tuple(map(str, counts["test_names"]))
    weights, content = (config.get(f"encoder_weights{suffix}") for suffix in ("", "_sha256"))
    return RunCounts(
        **fields,
        test_names=names,
        test_confusion=counts["test_confusion"],
        validation_confusion=counts["validation_confusion"],
        encoder_weights=f"{weights} (SHA-256 {content!s:.8})" if content else str(weights) if weights else None,
    )
