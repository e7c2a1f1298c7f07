"""Replaying the authors' training from MATLAB's random stream: input mean, first loss, first iterations."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.matlab_facts import are_released
from experiments.saood2021.protocol import EPOCHS
from unet_segnet.errors import InputError
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Table

CSV_COLUMNS = ("network", "problem", "experiment", "iteration", "released", "replayed")


@dataclass(frozen=True)
class Replay:
    """The first iterations of one of the authors' runs, trained again.

    Attributes:
        net, problem, experiment: which run.
        released: (N,) loss of each iteration as the authors' curves have it, or None where none is known.
        replayed: (N,) ours.
    """

    net: str
    problem: str
    experiment: int
    released: np.ndarray | None
    replayed: np.ndarray

    @property
    def rmse(self) -> float | None:
        """Root of the mean squared difference of the losses; None without released ones."""
        if self.released is None:
            return None
        return float(np.sqrt(np.mean((self.replayed - self.released) ** 2)))

    def to_json(self) -> dict:
        """Plain lists and numbers."""
        return {
            "net": self.net,
            "problem": self.problem,
            "experiment": self.experiment,
            "iterations": len(self.replayed),
            "released": None if self.released is None else [float(value) for value in self.released],
            "replayed": [float(value) for value in self.replayed],
            "rmse": self.rmse,
        }


def epochs_for(net: str, experiment: int, iterations: int, slices) -> int:
    """The epochs of a run that hold its first iterations.

    Raises:
        InputError: the run has fewer iterations.
    """
    from unet_segnet.data import paper_split

    an_epoch = max(len(paper_split(len(slices)).train) // published.hyperparameters(net)[experiment].mini_batch, 1)
    if iterations > EPOCHS * an_epoch:
        raise InputError(
            f"--iterations {iterations}: {net}, experiment {experiment}, has {EPOCHS * an_epoch} iterations "
            f"({EPOCHS} epochs of {an_epoch}); ask for no more than these"
        )
    return math.ceil(iterations / an_epoch)


def replay(net: str, experiment: int, iterations: int, slices, report=None) -> Replay:
    """Train whole epochs from MATLAB's stream until `iterations` are reached; the losses of these are kept.

    It goes through `unet_segnet.training.class_weighted.train`, as every other run of ours does, without validation
    slices: validation has no effect on the losses.

    Arguments:
        net: "segnet" or "unet", in the released variant.
        experiment: configuration of Table 2.
        iterations: how many, up to the 160 epochs of a run.
        slices: all slices, of two or four classes; the released curves are of the authors' slices.
        report: as in `unet_segnet.training.class_weighted.train`.

    Raises:
        InputError: more iterations than a run has, or fewer slices than a mini-batch.
    """
    from unet_segnet.data import median_frequency_weights, paper_split
    from unet_segnet.training.class_weighted import Recipe, train
    from unet_segnet.training.streams import MatlabStream

    setting = published.hyperparameters(net)[experiment]
    training = slices.subset(paper_split(len(slices)).train)
    recipe = Recipe(
        learning_rate=setting.initial_learning_rate,
        batch_size=setting.mini_batch,
        epochs=epochs_for(net, experiment, iterations, slices),
    )
    nothing = slices.subset([])
    result = train(
        _builder(net, slices),
        training.images,
        training.labels,
        nothing.images,
        nothing.labels,
        median_frequency_weights(slices.labels, slices.num_classes),
        recipe,
        MatlabStream(num_slices=len(slices), restarts=NETWORKS[net].restarts_stream),
        report=report,
    )
    problem = "binary" if slices.num_classes == 2 else "multiclass"
    curve = None
    if problem == "binary" and are_released(slices):
        curve = published.training_curves(net, experiment)["training_loss"][:iterations].astype(np.float64)
    return Replay(net, problem, experiment, curve, result.history["loss"][:iterations])


def input_mean(net: str, slices) -> float:
    """Mean grey level of one augmented pass over the training slices, drawn where the authors' runs drew it."""
    return _begin(net, slices)[3]


def first_loss(net: str, batch_size: int, slices) -> float:
    """Loss of the first mini-batch before anything is learned, dropout and batch statistics as in training."""
    import keras

    from unet_segnet.data import median_frequency_weights
    from unet_segnet.training.class_weighted import AugmentedBatches
    from unet_segnet.training.losses import WeightedCrossEntropy

    model, stream, training, mean = _begin(net, slices)
    images, labels = AugmentedBatches(training.images, training.labels, batch_size, stream)[0]
    # `predict` would switch every layer of the model itself to inference; a layer without a mode keeps it in training.
    in_training = keras.Sequential([keras.layers.Lambda(lambda x: model(x, training=True))])
    probabilities = in_training.predict_on_batch(images.astype(np.float32) - np.float32(mean))
    loss = WeightedCrossEntropy(median_frequency_weights(slices.labels, slices.num_classes))
    return float(loss(labels, probabilities))


def _begin(net: str, slices):
    """A new network that subtracts nothing, the stream after the normalisation pass, training slices, their mean."""
    from unet_segnet.data import paper_split
    from unet_segnet.training.streams import MatlabStream
    from unet_segnet.training.translations import augment

    training = slices.subset(paper_split(len(slices)).train)
    stream = MatlabStream(num_slices=len(slices), restarts=NETWORKS[net].restarts_stream)
    model = _builder(net, slices)(draw=stream.draw_kernel)
    images, _ = augment(training.images, training.labels, stream.normalisation_pass(len(training)))
    return model, stream, training, float(images.mean(dtype=np.float64))


def _builder(net: str, slices):
    from unet_segnet.models import build_model

    def build(**random):
        shape = (*slices.images.shape[1:], 1)
        return build_model(net, variant="released", num_classes=slices.num_classes, input_shape=shape, **random)

    return build


def replay_table(done: Replay) -> Table:
    """The losses of a replay, iteration by iteration, the released ones beside them."""
    setting = published.hyperparameters(done.net)[done.experiment]
    title = (
        f"Training loss of {done.net}, {done.problem}, experiment {done.experiment} (initial learning rate "
        f"{setting.initial_learning_rate:g}, mini-batch {setting.mini_batch}), replayed."
    )
    numbers = range(1, len(done.replayed) + 1)
    if done.released is None:
        note = (
            "No released curve is known for this problem."
            if done.problem == "multiclass"
            else "Not compared with the released curve, as these are not the slices of the study."
        )
        rows = [(number, f"{loss:.4f}") for number, loss in zip(numbers, done.replayed, strict=True)]
        return Table(title, ("iteration", "replayed"), tuple(rows), (note,))
    rows = [
        (number, f"{released:.4f}", f"{ours:.4f}", f"{ours - released:+.4f}")
        for number, released, ours in zip(numbers, done.released, done.replayed, strict=True)
    ]
    note = f"RMSE over {len(rows)} iterations: {done.rmse:.5f}"
    return Table(title, ("iteration", "released", "replayed", "difference"), tuple(rows), (note,))


def read_csv(path: Path) -> list[list[str]]:
    """The rows of a table of replays; none where there is no file yet.

    Raises:
        InputError: the file cannot be read, or is something else.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); give another file with --csv") from error
    whole = all(len(row) == len(CSV_COLUMNS) and row[2].isdigit() and row[3].isdigit() for row in rows)
    if tuple(header) != CSV_COLUMNS or not whole:
        raise InputError(
            f"{path}: is no table of replays (columns {', '.join(CSV_COLUMNS)}); give another file with --csv"
        )
    return rows


def csv_with(rows: list[list[str]], new: Replay) -> str:
    """A table of replays as CSV, the losses of `new` in place of earlier ones of the same run.

    Where no losses were released, their column is empty.
    """
    run = [new.net, new.problem, str(new.experiment)]
    kept = [row for row in rows if row[:3] != run]
    released = [""] * len(new.replayed) if new.released is None else [f"{loss:.6f}" for loss in new.released]
    for iteration, (known, ours) in enumerate(zip(released, new.replayed, strict=True), 1):
        kept.append([*run, str(iteration), known, f"{ours:.6f}"])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(sorted(kept, key=lambda row: (row[0], row[1], int(row[2]), int(row[3]))))
    return out.getvalue()
