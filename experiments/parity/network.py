"""One of the authors' networks on the authors' test slices, beside what is known of it."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.protocol import EXPERIMENTS, NETS
from unet_segnet.errors import InputError
from unet_segnet.output.tabular import Table

IMAGE_METRICS = {
    "global_accuracy": "global acc.",
    "mean_accuracy": "mean acc.",
    "mean_iou": "mean IoU",
    "weighted_iou": "weighted IoU",
    "mean_bf_score": "mean BF",
}
# No two of the 18 released confusion matrices are nearer than 742 pixels.
SAME_RUN_PIXELS = 300
PROBLEM_OF = {2: "binary", 4: "multiclass"}
_FILE_NAME = re.compile(r"(segnet|unet)(\d+)_\d+_(\d[\d.]*(?:e-?\d+)?)_(\d+)(?:_|$)")


@dataclass(frozen=True)
class Evaluation:
    """What a network predicts on the test slices.

    Attributes:
        class_names: of the network, in the order of the labels.
        slice_names: (n) the test slices in their order.
        confusion: (n, K, K) int64 pixels; rows are the truth.
        image_metrics: name as in `IMAGE_METRICS` -> (n,) float64.
    """

    class_names: tuple[str, ...]
    slice_names: tuple[str, ...]
    confusion: np.ndarray
    image_metrics: dict[str, np.ndarray]

    @property
    def pooled(self) -> np.ndarray:
        """(K, K) pixels of all test slices together."""
        return self.confusion.sum(axis=0)

    def scores(self) -> dict[str, np.ndarray]:
        """The paper's scores of every class, each (K,), from the pooled pixels."""
        return class_scores(self.pooled)


@dataclass(frozen=True)
class ReleasedRun:
    """What is known of the run that a network file comes from.

    Attributes:
        net, experiment: which run.
        found_by: how the file was attributed to it, for the reader.
        confusion: (2, 2), or None where none was released.
        image_metrics: name -> (n,), or None.
        mean_global_accuracy: as released, or as printed in Table 5.
        scores: class index -> score name -> value.
    """

    net: str
    experiment: int
    found_by: str
    confusion: np.ndarray | None
    image_metrics: dict[str, np.ndarray] | None
    mean_global_accuracy: float
    scores: dict[int, dict[str, float]]


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Sensitivity, specificity, Dice, G-mean and F2 of every class, each (K,), from (K, K) pixels."""
    from unet_segnet.measures import metrics

    return {name: getattr(metrics, name)(confusion) for name in published.SCORES}


def load_network_and_slices(path: Path, data: str | None):
    """A network of two or four classes and all slices, labelled and sized for it.

    Returns:
        `MatlabNetwork` and `Slices`.

    Raises:
        InputError: the file holds no network, or one for other classes or images; or there is no data.
    """
    from unet_segnet.matlab.mat_file import read_layer_graph
    from unet_segnet.output.console import import_keras

    graph = read_layer_graph(path)  # a file that holds no network is refused before the slow import
    import_keras()
    from unet_segnet.data import load_slices
    from unet_segnet.matlab.networks import build_network

    network = build_network(graph, str(path))
    num_classes, (height, width, channels) = len(network.class_names), network.model.input_shape[1:]
    if num_classes not in PROBLEM_OF:
        raise InputError(
            f"{path}: the network tells {num_classes} classes apart ({', '.join(network.class_names)}); "
            "expected 2 (not infected, infected) or 4 (C0 to C3), as the labels of the slices"
        )
    if height != width or channels != 1 or network.model.output_shape[1:3] != (height, width):
        raise InputError(
            f"{path}: the network takes images of {height}x{width}x{channels} and gives maps of "
            f"{'x'.join(map(str, network.model.output_shape[1:3]))}; expected square grey images and maps of their size"
        )
    return network, load_slices(data, PROBLEM_OF[num_classes], size=height)


def evaluate(network, test) -> Evaluation:
    """Predict the test slices and score them.

    Arguments:
        network: `MatlabNetwork`.
        test: `Slices` with as many classes.
    """
    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures import metrics

    predictions = predict(network.model, test.images, batch_size=2)
    confusion = metrics.confusion_matrices(test.labels, predictions, test.num_classes)
    pairs = zip(test.labels, predictions, strict=True)
    scores = {name: getattr(metrics, name)(confusion) for name in IMAGE_METRICS if name != "mean_bf_score"}
    scores["mean_bf_score"] = np.array([metrics.mean_bf_score(*pair, test.num_classes) for pair in pairs])
    return Evaluation(network.class_names, test.names, confusion, scores)


def differing_pixels(ours: np.ndarray, released: np.ndarray) -> int:
    """The fewest pixels that must change their prediction to turn one confusion matrix into the other."""
    return int(np.abs(ours - released).sum()) // 2


def differing_pixels_by_slice(evaluation: Evaluation, released: ReleasedRun) -> int:
    """The differences of right pixels in the single slices, their sizes added up."""
    pixels = evaluation.confusion.sum(axis=(1, 2))
    ours, theirs = evaluation.image_metrics["global_accuracy"], released.image_metrics["global_accuracy"]
    return int(np.abs(np.rint((ours - theirs) * pixels)).sum())


def find_released_run(path: Path, evaluation: Evaluation) -> ReleasedRun | None:
    """The released run that a network file belongs to: the one with (nearly) this confusion matrix, else by its name.

    Arguments:
        path: the file; names are like segnet2_256_0.001_4_160.mat: network and classes, size, learning rate,
            mini-batch, epochs.
        evaluation: on the authors' test slices.

    Returns:
        The run, or None where nothing is known of it.
    """
    num_classes = len(evaluation.class_names)
    if num_classes == 2:
        matrices = {(net, k): published.confusion_matrix(net, k) for net in NETS for k in EXPERIMENTS}
        nearest = min(matrices, key=lambda run: np.abs(matrices[run] - evaluation.pooled).sum())
        if differing_pixels(evaluation.pooled, matrices[nearest]) <= SAME_RUN_PIXELS:
            return _released_run(*nearest, num_classes, "its confusion matrix")
    named = _FILE_NAME.match(path.stem)
    if named and int(named[2]) == num_classes:
        for experiment, setting in published.hyperparameters(named[1]).items():
            if setting == published.Hyperparameters(float(named[3]), int(named[4])):
                return _released_run(named[1], experiment, num_classes, "the file's name")
    return None


def _released_run(net: str, experiment: int, num_classes: int, found_by: str) -> ReleasedRun:
    problem = PROBLEM_OF[num_classes]
    if problem == "binary":
        confusion = published.confusion_matrix(net, experiment)
        rows = list(published.image_metrics(net, experiment).values())
        metrics = {name: np.array([getattr(row, name) for row in rows]) for name in IMAGE_METRICS}
        scores = {1: {name: float(values[1]) for name, values in class_scores(confusion).items()}}
        mean = float(metrics["global_accuracy"].mean())
        return ReleasedRun(net, experiment, found_by, confusion, metrics, mean, scores)
    scores = {}
    if experiment == published.BEST_EXPERIMENT[net, problem]:
        scores = {int(name[1]): values for name, values in published.class_scores(net, problem).items()}
    mean = published.global_accuracy(net, problem)[experiment].mean
    return ReleasedRun(net, experiment, found_by, None, None, mean, scores)


def confusion_table(evaluation: Evaluation, released: ReleasedRun | None) -> Table:
    """Pixels of every pair of classes, the released ones beside them."""
    matrices = {"ours": evaluation.pooled}
    if released and released.confusion is not None:
        matrices["released"] = released.confusion
    columns = tuple(f"{name}: {predicted}" for name in matrices for predicted in evaluation.class_names)
    rows = [
        (truth, *(int(value) for matrix in matrices.values() for value in matrix[index]))
        for index, truth in enumerate(evaluation.class_names)
    ]
    notes = ["Rows: truth; columns: prediction; all test slices together."]
    if "released" in matrices:
        notes.append(
            f"Differing pixels: {differing_pixels(*matrices.values())} of {evaluation.pooled.sum()}. Differences of "
            f"opposite sign cancel in a pooled matrix: slice by slice, the accuracies differ by "
            f"{differing_pixels_by_slice(evaluation, released)}."
        )
    else:
        notes.append("No released confusion matrix is known for this network.")
    return Table("Confusion matrix, pixels.", ("truth", *columns), tuple(rows), tuple(notes))


def image_table(evaluation: Evaluation, released: ReleasedRun | None) -> Table:
    """The five scores of each test slice, the released ones beside them."""
    ours, theirs = evaluation.image_metrics, released.image_metrics if released else None
    columns, rows = ["slice"], [[name] for name in evaluation.slice_names]
    rows += [["mean"], ["max diff."]] if theirs else [["mean"]]
    for name, title in IMAGE_METRICS.items():
        for source, values in (("ours", ours), ("released", theirs)):
            if values is None:
                continue
            columns.append(f"{title}: {source}" if theirs else title)
            cells = [_digits(value) for value in (*values[name], np.nanmean(values[name]))]
            if theirs:
                cells.append(f"{np.nanmax(np.abs(ours[name] - theirs[name])):.1e}" if source == "ours" else "")
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)
    notes = ["acc.: accuracy, of all pixels or averaged over the classes. BF: boundary F1 score."]
    if not theirs:
        notes.append("No released scores per slice are known for this network.")
    return Table("Scores of each test slice.", tuple(columns), tuple(map(tuple, rows)), tuple(notes))


def score_table(evaluation: Evaluation, released: ReleasedRun | None) -> Table:
    """The paper's scores of the lesion classes from all test slices together, the released ones beside them."""
    rows = []
    for index, name in list(enumerate(evaluation.class_names))[1:]:
        ours = {score: float(values[index]) for score, values in evaluation.scores().items()}
        sources = {"ours": ours}
        if released and index in released.scores:
            sources["released"] = released.scores[index]
        rows += [(name, source, *map(_digits, values.values())) for source, values in sources.items()]
    mean = float(evaluation.image_metrics["global_accuracy"].mean())
    note = f"Mean global accuracy over the test slices: {mean:.5f}"
    note += f" (released: {released.mean_global_accuracy:.5g})." if released else "."
    return Table(
        "Scores of the lesion classes, all test slices together.",
        ("class", "source", *(score.replace("_", "-") for score in published.SCORES)),
        tuple(rows),
        (note,),
    )


def to_json(evaluation: Evaluation, released: ReleasedRun | None) -> dict:
    """The figures as plain lists and numbers, NaN as None; slices and classes in their order."""
    accuracies = evaluation.image_metrics["global_accuracy"]
    content = {
        "classes": list(evaluation.class_names),
        "slices": list(evaluation.slice_names),
        "confusion_matrix": evaluation.pooled.tolist(),
        "global_accuracy_per_slice": accuracies.tolist(),
        "mean_global_accuracy": float(accuracies.mean()),
        "image_metrics": {name: _without_nan(values) for name, values in evaluation.image_metrics.items()},
        "scores": {name: _without_nan(values) for name, values in evaluation.scores().items()},
    }
    if released:
        content["released_run"] = {"net": released.net, "experiment": released.experiment}
        content["released_mean_global_accuracy"] = released.mean_global_accuracy
        if released.confusion is not None:
            content["released_confusion_matrix"] = released.confusion.tolist()
            content["differing_pixels"] = differing_pixels(evaluation.pooled, released.confusion)
            content["differing_pixels_by_slice"] = differing_pixels_by_slice(evaluation, released)
    return content


def _digits(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5f}"


def _without_nan(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
