"""The figures of 'Comprehensive comparison of deep learning models for lung and COVID-19 lesion segmentation', as data.

Read from `experiments/reference/bizopoulos2021`; the README beside that folder says what each file is. Scores are in
percent, as printed, slips included. A grid of scores has the axes experiment, initialisation, architecture, encoder,
score, in the order of the constants below and of `encoders()`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

import numpy as np

from experiments import REFERENCE
from experiments.reporting.judgement import Claim

FOLDER = REFERENCE / "bizopoulos2021"
EXPERIMENTS = {"lung": "lung", "lesion_a": "lesion A", "lesion_b": "lesion B"}
INITIALISATIONS = {"none": "random", "imagenet": "ImageNet"}
ARCHITECTURES = {"unet": "U-Net", "linknet": "LinkNet", "fpn": "FPN", "pspnet": "PSPNet"}
SCORES = ("sensitivity", "specificity", "dice")
DICE = SCORES.index("dice")
COSTS = ("parameters_millions", "train_seconds_per_epoch", "validation_seconds_per_epoch")


@dataclass(frozen=True)
class Parameters:
    """Trainable parameters of one model.

    Attributes:
        printed: millions, as Table II has them.
        built: those of the model that the article trained.
        used: those of them that receive a gradient, which is all that our model has.
    """

    printed: float
    built: int
    used: int


@cache
def table2() -> dict[tuple[str, str], dict[str, float]]:
    """(architecture, encoder) -> the row of Table II; encoders "mean" and "std", architecture "global" too."""
    return {
        (row["architecture"], row["encoder"]): {
            key: float(value) for key, value in row.items() if key not in ("architecture", "encoder")
        }
        for row in _rows("table2.csv")
    }


@cache
def encoders() -> tuple[str, ...]:
    """The 25 encoders, in the order of Table II."""
    return tuple(dict.fromkeys(encoder for _, encoder in table2() if encoder not in ("mean", "std")))


def models() -> list[tuple[str, str]]:
    """The 100 pairs of architecture and encoder, in the order of Table II."""
    return [(architecture, encoder) for architecture in ARCHITECTURES for encoder in encoders()]


@cache
def parameters() -> dict[tuple[str, str], Parameters]:
    """(architecture, encoder) -> the number of parameters."""
    return {
        (row["architecture"], row["encoder"]): Parameters(
            float(row["published_millions"]), int(row["parameters"]), int(row["used_parameters"])
        )
        for row in _rows("parameter_counts.csv")
    }


def parameter_grid(which: str) -> np.ndarray:
    """(architectures, encoders) millions of parameters; `which` is a field of `Parameters`."""
    scale = 1 if which == "printed" else 1e-6
    return _grid(lambda *model: getattr(parameters()[model], which) * scale)


def score_grid() -> np.ndarray:
    """(3, 2, 4, 25, 3) scores of Table II, percent."""
    return np.array(
        [
            [
                [[[table2()[a, n][f"{e}__{i}__{s}"] for s in SCORES] for n in encoders()] for a in ARCHITECTURES]
                for i in INITIALISATIONS
            ]
            for e in EXPERIMENTS
        ]
    )


def cost_grid(column: str) -> np.ndarray:
    """(architectures, encoders) of one of `COSTS`."""
    return _grid(lambda *model: table2()[model][column])


def filled_scores(scores: np.ndarray) -> np.ndarray:
    """What Table II's scores of lesions would be on the test slices that have some, percent.

    The released code gives every other slice all scores of 100, whatever is predicted there: from the mean over all
    slices and their numbers the mean over the ones with lesion follows. Of lungs, how many slices have some is not
    published.
    """
    slices, filled = number("test_slices"), number("test_slices_with_lesion")
    return (slices * np.asarray(scores) - 100 * (slices - filled)) / filled


def stated(name: str) -> str:
    """What `stated.csv` holds, mostly of the article's text, as printed; KeyError for an unknown name."""
    return _stated()[name]


def number(name: str) -> float:
    """`stated`, as a number."""
    return float(stated(name))


@cache
def claims() -> tuple[Claim, ...]:
    """Every checkable claim of the article, in our words and in its own, with where it stands."""
    return tuple(Claim(**row) for row in _rows("claims.csv"))


def _grid(value) -> np.ndarray:
    return np.array([[value(architecture, encoder) for encoder in encoders()] for architecture in ARCHITECTURES])


@cache
def _stated() -> dict[str, str]:
    return {row["name"]: row["value"] for row in _rows("stated.csv")}


def _rows(file: str) -> list[dict[str, str]]:
    with (FOLDER / file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
