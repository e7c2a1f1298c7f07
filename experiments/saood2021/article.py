"""What follows from the article's own numbers: for the errata and for claims that need no training."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments import RESULTS
from experiments.saood2021 import published

PARITY = RESULTS / "parity.csv"
BENCH = RESULTS / "bench"
NUM_SLICES, SIZE = 100, 512  # of Table 1
# VGG16's convolutions, stage by stage: filters, layers (Simonyan and Zisserman, 2015), on three channels, 3x3, with
# biases. `unet_segnet.models.segnet` builds them; here they are only counted.
VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def num_pixels() -> int:
    """All pixels of Table 1."""
    return NUM_SLICES * SIZE * SIZE


def remaining_pixels() -> tuple[float, float]:
    """What C0, C1 and C2 as printed leave for C3, and how far their printed digits (five each) may put it off."""
    printed = [published.class_sizes()[name][0] for name in ("C0", "C1", "C2")]
    error = sum(0.5 * 10.0 ** (np.floor(np.log10(size)) - 4) for size in printed)
    return num_pixels() - sum(printed), float(error)


def weights_of_sizes(sizes: np.ndarray) -> np.ndarray:
    """Median frequency weights from pixels of each class (4,) and the printed pixels of its slices."""
    frequencies = sizes / np.array([image for _, image in published.class_sizes().values()])
    return np.median(frequencies) / frequencies


def background_accuracy() -> float:
    """Mean global accuracy on the 18 test slices of calling every pixel healthy: from a released confusion matrix.

    All slices have one size, so the mean over slices is the share of healthy pixels.
    """
    rows = published.confusion_matrix("segnet", 4).sum(axis=1)
    return float(rows[0] / rows.sum())


def lesion_share() -> float:
    """Share of lesion pixels in the 18 test slices."""
    return 1 - background_accuracy()


def implied_healthy(net: str) -> tuple[float, float]:
    """What the best four-class network does to healthy pixels, from Tables 5 and 6 and the test slices.

    Returns:
        the share of healthy pixels that it leaves healthy, and the share of all pixels that are lesion and called
        another class, healthy or another lesion.

    A class's Dice, sensitivity and specificity give its share of the pixels (false positives per true pixel are
    2 S / D - S - 1, and (1 - specificity) per other pixel), these the missed lesion pixels, and the global accuracy
    what is left for mistaken healthy ones.
    """
    accuracy = published.global_accuracy(net, "multiclass")[published.BEST_EXPERIMENT[net, "multiclass"]].mean
    missed = 0.0
    for scores in published.class_scores(net, "multiclass").values():
        false = 2 * scores["sensitivity"] / scores["dice"] - scores["sensitivity"] - 1
        odds = (1 - scores["specificity"]) / false
        missed += (1 - scores["sensitivity"]) * odds / (1 + odds)
    return 1 - (1 - accuracy - missed) / background_accuracy(), missed


def follows(formula: Callable[..., float], parts: Sequence[float], printed: float) -> bool:
    """Does a printed number follow from printed parts of three digits, be they rounded or cut off?

    Each printed v stands for anything in [v - 0.0005, v + 0.001]; the formula must be monotone in each part.
    """
    ranges = [(part - 0.0005, part + 0.001) for part in parts]
    values = [formula(*corner) for corner in itertools.product(*ranges)]
    return min(values) <= printed + 0.001 and max(values) >= printed - 0.0005


def five_fold_means_are_possible(scores: dict[str, tuple[float, float]]) -> bool:
    """Can the means of a row of Table 7 be those of one set of folds?

    G-mean is concave in sensitivity and specificity, F2 in sensitivity and Dice: the mean over folds cannot exceed
    the value at the means.
    """
    mean = {name: value + 0.001 for name, (value, _) in scores.items()}
    g_mean = (mean["sensitivity"] * mean["specificity"]) ** 0.5
    f2 = 5 / (3 / mean["sensitivity"] + 2 / mean["dice"])
    return scores["g_mean"][0] - 0.0005 <= g_mean and scores["f2"][0] - 0.0005 <= f2


def parity_check(name: str) -> dict[str, str]:
    """One row of the committed table of parity with MATLAB; KeyError where there is none of the name."""
    return {row["check"]: row for row in _rows(PARITY)}[name]


def step_milliseconds() -> dict[str, float]:
    """Network -> milliseconds of one training step in the committed bench (released networks, mini-batch 4)."""
    return {
        row["network"]: float(row["training ms/step"])
        for row in _rows(BENCH / "bench.csv")
        if (row["variant"], row["batch"], row["dtype"]) == ("released", "4", "float32")
    }


def accelerator_speed_ups() -> list[dict[str, str]]:
    """Rows of the committed bench of a training step on an accelerator and on the processor beside it; may be none."""
    path = BENCH / "processor.csv"
    return _rows(path) if path.exists() else []


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def vgg16_parameters(num_stages: int) -> int:
    """Parameters of the convolutions of VGG16's first stages, 1 to 5."""
    total, channels = 0, 3
    for filters, layers in VGG16_STAGES[:num_stages]:
        for _ in range(layers):
            total += (9 * channels + 1) * filters
            channels = filters
    return total
