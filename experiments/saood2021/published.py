"""The figures of 'U-Net versus SegNet', as printed or as its authors released them.

Each function reads one file of `experiments/reference/saood2021` (the README beside it says what each is) and
returns plain dictionaries and dataclasses. Networks are "segnet" and "unet", problems "binary" and
"multiclass"; for a network that the study did not train, dictionaries are empty. Values are returned as they
were published, slips included.
"""

import csv
from dataclasses import dataclass
from functools import cache

import numpy as np

from experiments import REFERENCE
from experiments.reporting.judgement import Claim

FOLDER = REFERENCE / "saood2021"
SCORES = ("sensitivity", "specificity", "dice", "g_mean", "f2")
# The configuration that the paper calls the best of the nine, chosen on the test slices.
BEST_EXPERIMENT = {
    ("segnet", "binary"): 4,
    ("unet", "binary"): 4,
    ("segnet", "multiclass"): 7,
    ("unet", "multiclass"): 4,
}
_ACCURACY_TABLE = {"binary": "table3_binary", "multiclass": "table5_multiclass"}


@dataclass(frozen=True)
class Hyperparameters:
    """One configuration of a network (Table 2): initial learning rate and slices per mini-batch."""

    initial_learning_rate: float
    mini_batch: int


@dataclass(frozen=True)
class Accuracy:
    """Global accuracy over the 18 test slices (Tables 3 and 5), each a share of 1; sigma divides by n - 1."""

    mean: float
    standard_deviation: float
    variance: float


@dataclass(frozen=True)
class ImageMetrics:
    """The authors' five scores of one test slice, as MATLAB's evaluateSemanticSegmentation gave them."""

    global_accuracy: float
    mean_accuracy: float
    mean_iou: float
    weighted_iou: float
    mean_bf_score: float


def class_sizes() -> dict[str, tuple[float, float]]:
    """Table 1 as printed: class -> (pixel count, image pixel count) over the 100 slices of 512x512."""
    rows = _rows("table1_class_sizes.csv")
    return {row["class"]: (float(row["pixel_count"]), float(row["image_pixel_count"])) for row in rows}


def hyperparameters(net: str) -> dict[int, Hyperparameters]:
    """Table 2: experiment 1..9 -> its hyperparameters."""
    return {
        int(row["experiment"]): Hyperparameters(float(row["initial_learning_rate"]), int(row["mini_batch"]))
        for row in _rows("table2_hyperparameters.csv")
        if row["network"] == net
    }


def global_accuracy(net: str, problem: str) -> dict[int, Accuracy]:
    """Table 3 (binary) or 5 (multiclass): experiment 1..9 -> global accuracy over the test slices."""
    return {
        int(row["experiment"]): Accuracy(float(row["mean"]), float(row["standard_deviation"]), float(row["variance"]))
        for row in _rows(f"{_ACCURACY_TABLE[problem]}_global_accuracy.csv")
        if row["network"] == net
    }


def class_scores(net: str, problem: str) -> dict[str, dict[str, float]]:
    """Table 4 (binary, from the released tables) or 6 (multiclass): class -> score name -> value.

    Classes are "infected", or "C1" to "C3"; score names are `SCORES`. Each score comes from the confusion
    matrix of all test slices together.
    """
    if problem == "binary":
        rows = [{"class": "infected", **row} for row in _rows("table4_binary_scores_released.csv")]
    else:
        rows = _rows("table6_multiclass_scores.csv")
    return {
        row["class"]: {score: float(row[score]) for score in SCORES} for row in rows if row["network"].lower() == net
    }


def five_fold(net: str, problem: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Table 7: class -> score name -> (mean, standard deviation) over the five folds."""
    return {
        row["class"]: {score: (float(row[f"{score}_mean"]), float(row[f"{score}_std"])) for score in SCORES}
        for row in _rows("table7_five_fold.csv")
        if row["network"] == net and row["problem"] == problem
    }


def confusion_matrix(net: str, experiment: int) -> np.ndarray:
    """The released confusion matrix of one binary run: (2, 2) int64 pixels of the 18 test slices.

    Rows are the truth (not infected, infected). Raises KeyError for a run that was not released.
    """
    matrix = np.full((2, 2), -1, np.int64)
    for row in _rows("confusion_matrices.csv"):
        if row["network"] == net and int(row["experiment"]) == experiment:
            matrix[int(row["true_class"]), int(row["predicted_class"])] = int(row["pixels"])
    if (matrix < 0).any():
        raise KeyError(f"no confusion matrix was released for {net}, experiment {experiment}")
    return matrix


def image_metrics(net: str, experiment: int) -> dict[int, ImageMetrics]:
    """The released scores of one binary run: slice number (one-based, in test order) -> its five scores."""
    fields = ImageMetrics.__dataclass_fields__
    return {
        int(row["slice"]): ImageMetrics(**{field: float(row[field]) for field in fields})
        for row in _rows("image_metrics.csv")
        if row["network"] == net and int(row["experiment"]) == experiment
    }


def training_curves(net: str, experiment: int) -> dict[str, np.ndarray]:
    """The released curves of one binary run, each (num_iterations,) float32.

    Keys: "training_loss", "training_accuracy", "validation_loss", "validation_accuracy", "learning_rate";
    accuracies in percent; validation is NaN at iterations without one. Raises KeyError for a run that was not
    released.
    """
    names = {
        "training_loss": "TrainingLoss",
        "training_accuracy": "TrainingAccuracy",
        "validation_loss": "ValidationLoss",
        "validation_accuracy": "ValidationAccuracy",
        "learning_rate": "BaseLearnRate",
    }
    with np.load(FOLDER / "training_curves.npz", allow_pickle=False) as curves:
        return {name: curves[f"{net}2_{experiment}_{matlab}"] for name, matlab in names.items()}


def stated(name: str) -> float:
    """A number that stands in the article's text or in its repository; KeyError where there is none of the name."""
    return _stated()[name]


@cache
def claims() -> tuple[Claim, ...]:
    """Every checkable claim of the article."""
    return tuple(Claim(**row) for row in _rows("claims.csv"))


@cache
def _stated() -> dict[str, float]:
    return {row["name"]: float(row["value"]) for row in _rows("text_numbers.csv")}


@cache
def _rows(file: str) -> tuple[dict[str, str], ...]:
    with (FOLDER / file).open(newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream))
