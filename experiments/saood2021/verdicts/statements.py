"""What the article says in its text: numbers and claims, read from `experiments/reference/saood2021`."""

from __future__ import annotations

import csv
from functools import cache

from experiments.saood2021.published import FOLDER

# VGG16's convolutions, stage by stage: filters, layers (Simonyan and Zisserman, 2015), on three channels, 3x3, with
# biases. `unet_segnet.models.segnet` builds them; here they are only counted.
VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


@cache
def _numbers() -> dict[str, float]:
    with (FOLDER / "text_numbers.csv").open(newline="", encoding="utf-8") as stream:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(stream)}


def stated(name: str) -> float:
    """A number that stands in the article's text or in its repository; KeyError where there is none of the name."""
    return _numbers()[name]


@cache
def claims() -> dict[str, tuple[str, str]]:
    """Every checkable claim: name -> (the claim in one sentence, where the article makes it)."""
    with (FOLDER / "claims.csv").open(newline="", encoding="utf-8") as stream:
        return {row["name"]: (row["claim"], row["source"]) for row in csv.DictReader(stream)}


def vgg16_parameters(num_stages: int) -> int:
    """Parameters of the convolutions of VGG16's first stages, 1 to 5."""
    total, channels = 0, 3
    for filters, layers in VGG16_STAGES[:num_stages]:
        for _ in range(layers):
            total += (9 * channels + 1) * filters
            channels = filters
    return total
