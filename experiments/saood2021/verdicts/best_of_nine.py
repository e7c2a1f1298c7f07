"""The best of nine configurations: how often the printed winners would win again, were the printed means true."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.reporting.rules import recurrence
from experiments.saood2021 import published

GROUPS = tuple(published.BEST_EXPERIMENT)
"""Network and problem of each of the four grids."""


def recurrences(deviations: Mapping[tuple[str, str], float], seed: int = 0) -> dict[tuple[str, str], float]:
    """Network and problem -> how often the printed best of the nine would be the best of nine new trainings.

    Arguments:
        deviations: network and problem -> standard deviation of a training's accuracy.
        seed: of the draws.
    """
    found = {}
    for net, problem in GROUPS:
        means = [accuracy.mean for accuracy in published.global_accuracy(net, problem).values()]
        found[net, problem] = recurrence(np.array(means), deviations[net, problem], seed)
    return found
