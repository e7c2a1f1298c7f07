"""The side study: do larger mini-batches make the networks worse, at equal epochs and at equal updates?

`experiments.saood2021.protocol` says what its trainings have in common and in what they differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.evidence import FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, SIDE, SIDE_CUT, SIDE_STUDIES, VARIANTS
from experiments.saood2021.spread import accuracy, lesion_dice
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Signed, Table

EQUAL = {SIDE: "epochs", SIDE_CUT: "updates"}  # of the two trainings of a pair, by the study of the smaller mini-batch
NUM_PAIRS = 12  # of each kind in the whole side study: 3 learning rates, 2 networks, 2 problems


@dataclass(frozen=True)
class Pair:
    """The smallest and the largest mini-batch at one learning rate.

    Attributes:
        equal: "epochs" or "updates".
        variant, net, problem: of both.
        learning_rate: of both, in the beginning.
        batches: slices in a mini-batch, smallest and largest.
        updates: that the two make.
        accuracies, dice: over the test slices; means over seeds.
    """

    equal: str
    variant: str
    net: str
    problem: str
    learning_rate: float
    batches: tuple[int, int]
    updates: tuple[int, int]
    accuracies: tuple[float, float]
    dice: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Has the largest mini-batch the lower accuracy?"""
        return self.accuracies[1] < self.accuracies[0]


def pairs_of_rates(net: str) -> list[tuple[int, int]]:
    """Configurations of one learning rate with the smallest and the largest mini-batch (Table 2)."""
    settings = published.hyperparameters(net)
    by_rate: dict[float, list[int]] = {}
    for experiment, setting in settings.items():
        by_rate.setdefault(setting.initial_learning_rate, []).append(experiment)
    by_batch = [sorted(group, key=lambda e: settings[e].mini_batch) for group in by_rate.values()]
    return [(group[0], group[-1]) for group in by_batch]


def side_pairs(runs: Iterable[FinishedRun], equal: str | None = None) -> list[Pair]:
    """The pairs of the side study of which both trainings ran.

    Arguments:
        runs: of the side study.
        equal: "epochs" or "updates"; both where it is left out.
    """
    found: dict[tuple, list[FinishedRun]] = {}
    for run in runs:
        counts = run.counts
        found.setdefault((run.study, counts.variant, counts.net, counts.problem, counts.experiment), []).append(run)
    pairs = []
    for study in SIDE_STUDIES:
        for variant in VARIANTS:
            for problem in PROBLEMS:
                for net in NETS:
                    for small, large in pairs_of_rates(net):
                        of = variant, net, problem
                        both = _of_equal_seeds(found.get((study, *of, small), []), found.get((SIDE, *of, large), []))
                        if all(both) and equal in (None, EQUAL[study]):
                            pairs.append(_pair(EQUAL[study], of, *both))
    # Of a study that was made shorter, to try it, a cut training may make some updates more than the largest's.
    return [pair for pair in pairs if pair.equal == "epochs" or pair.updates[0] == pair.updates[1]]


def _of_equal_seeds(*both: list[FinishedRun]) -> list[list[FinishedRun]]:
    """The trainings of each side whose seed the other has too."""
    seeds = set.intersection(*({run.counts.seed for run in runs} for runs in both))
    return [[run for run in runs if run.counts.seed in seeds] for runs in both]


def _pair(equal: str, of: tuple[str, str, str], small: list[FinishedRun], large: list[FinishedRun]) -> Pair:
    accuracies, dice = (
        tuple(float(np.mean([score(run.counts.test_confusion) for run in runs])) for runs in (small, large))
        for score in (accuracy, lesion_dice)
    )
    recipes = [runs[0].config["recipe"] for runs in (small, large)]
    batches = tuple(recipe["batch_size"] for recipe in recipes)
    updates = tuple(_updates(runs[0]) for runs in (small, large))
    return Pair(equal, *of, recipes[0]["learning_rate"], batches, updates, accuracies, dice)


def _updates(run: FinishedRun) -> int:
    recipe = run.config["recipe"]
    return recipe["epochs"] * (len(run.config["split"]["train"]) // recipe["batch_size"])


def batches_table(runs: Iterable[FinishedRun], data: str) -> Table | None:
    """Every pair of the side study; None where there is none."""
    runs, rows = list(runs), []
    for pair in side_pairs(runs):
        differences = [Signed(large - small) for small, large in (pair.accuracies, pair.dice)]
        rows.append(
            (
                *(f"equal {pair.equal}", NETWORKS[pair.net].title, pair.variant, pair.problem),
                *(f"{pair.learning_rate:g}", *pair.batches, *pair.updates),
                *(*pair.accuracies, differences[0], *pair.dice, differences[1]),
            )
        )
    if not rows:
        return None
    scores = [f"{score}: {which}" for score in ("accuracy", "Dice") for which in ("smallest", "largest", "diff.")]
    settings = [f"{what}: {which}" for what in ("mini-batch", "updates") for which in ("smallest", "largest")]
    sizes = " and ".join(f"{size}x{size}" for size in sorted({run.config["data"]["size"] for run in runs}))
    return Table(
        f"Side study: mini-batches at equal epochs and at equal updates, {data}, {sizes} pixels.",
        ("compared", "network", "variant", "problem", "learning rate", *settings, *scores),
        tuple(rows),
        (
            "Ours alone: the article has slices of 256x256 and equal epochs. equal updates: the smallest mini-batch is "
            "cut to as many updates as the largest makes, and the learning rate falls after as many.",
            "accuracy: mean global accuracy over the test slices; Dice: of the lesion classes, their mean, from the "
            "pixels of all test slices together; of the last network. diff.: largest less smallest.",
        ),
    )
