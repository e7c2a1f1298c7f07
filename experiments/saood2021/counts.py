"""What a finished training counted, and how networks, classes and scores are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unet_segnet.data.catalogue import DEFAULT_NAMES
from unet_segnet.measures import metrics

CLASS_NAMES = {"binary": ("not infected", "infected"), "multiclass": ("C0", "C1", "C2", "C3")}
SCORES = {
    "sensitivity": metrics.sensitivity,
    "specificity": metrics.specificity,
    "Dice": metrics.dice,
    "G-mean": metrics.g_mean,
    "F2": metrics.f2,
}
PAPER_SLICES = DEFAULT_NAMES  # data sets that hold the 100 slices of the paper


@dataclass(frozen=True)
class RunCounts:
    """What a finished training counted.

    Attributes:
        net: its name in the registry.
        problem: "binary" or "multiclass".
        variant: "paper" or "released".
        experiment: the configuration of Table 2, 1..9.
        seed: random seed of the training.
        fold: number of the fold, or None for a run of the grid.
        test_names: names of the n test slices.
        test_confusion: (n, K, K) integers, pixels per slice; rows are the truth.
        validation_confusion: (m, K, K) integers, the same of the validation slices.
        stream: "numpy" or "matlab", where the training's random numbers came from; runs of one seed that differ
            in it count as two runs.
        encoder_weights: what the encoder started from, such as "imagenet" or a file's name with its SHA-256; None: from
            random numbers.
    """

    net: str
    problem: str
    variant: str
    experiment: int
    seed: int
    fold: int | None
    test_names: tuple[str, ...]
    test_confusion: np.ndarray
    validation_confusion: np.ndarray
    stream: str = "numpy"
    encoder_weights: str | None = None

    def __post_init__(self):
        num_classes = len(CLASS_NAMES[self.problem])
        expected = (len(self.test_names), num_classes, num_classes)
        if self.test_confusion.shape != expected:
            raise ValueError(f"test_confusion must be {expected}. Received: {self.test_confusion.shape}")
