"""What choosing the best of nine configurations on the test slices is worth, against the validation slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS
from experiments.saood2021.tables.scores import best_experiment
from experiments.saood2021.tables.stopping import PART
from experiments.saood2021.tables.trainings import accuracy_matrix, grid_runs, lesion_dice, over_trainings, stacked
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, Signed, Table

RESAMPLES = 4999


@dataclass(frozen=True)
class Candidates:
    """The configurations of one network among which one is chosen.

    Attributes:
        source: whose runs.
        net: "segnet" or "unet".
        problem: "binary" or "multiclass".
        accuracies: configuration -> global accuracy of each test slice (n,).
        dice: configuration -> Dice of the lesion classes over all test slices, the mean of its trainings.
        chosen: criterion -> the configuration that it chooses; "test acc." first.
    """

    source: str
    net: str
    problem: str
    accuracies: Mapping[int, np.ndarray]
    dice: Mapping[int, float]
    chosen: Mapping[str, int]

    def accuracy(self, criterion: str) -> float:
        """Mean accuracy on the test slices of the configuration that a criterion chooses."""
        return float(np.mean(self.accuracies[self.chosen[criterion]]))


def selection_table(evidence: Evidence) -> Table | None:
    """Best on the test slices, as in the paper, against best on the validation slices: the authors' runs and ours."""
    candidates = [*released_candidates(), *own_candidates(evidence)]
    rows: list[tuple[Cell, ...]] = []
    for group in candidates:
        shares, optimism = resampled_choice(np.stack(list(group.accuracies.values())))
        order = list(group.accuracies)
        for criterion, experiment in group.chosen.items():
            rows.append(
                (
                    *(group.source, group.problem, NETWORKS[group.net].title, len(order), criterion, experiment),
                    *(group.accuracy(criterion), group.dice[experiment]),
                    Signed(group.accuracy(criterion) - group.accuracy("test acc.")),
                    float(shares[order.index(experiment)]),
                    Signed(optimism) if criterion == "test acc." else None,
                )
            )
    return Table(
        f"Configurations chosen on the test slices, as the paper did, or on the validation slices, {evidence.data}.",
        (
            *("runs", "problem", "network", "of", "chosen on", "exp."),
            *("test: accuracy", "test: Dice", "diff.", "share", "optimism"),
        ),
        tuple(rows),
        (
            "val.: the authors' validation accuracy and loss are means over the last quarter of the released curves "
            "(10 slices, SegNet's normalised by the validation batch itself), as last values are chance; ours is "
            "counted with the finished network. of: configurations that ran.",
            "diff.: accuracy on the test slices, less that of the configuration chosen on the test slices.",
            "share: of 4,999 resamples of the test slices, those in which this configuration is the best. optimism: "
            "how much higher the best of a resample scores there than on the slices left out of it, on average.",
            *_order_notes(candidates),
        ),
    )


def released_candidates() -> list[Candidates]:
    """The nine released binary runs of each network."""
    found = []
    for net in NETS:
        experiments = list(published.hyperparameters(net))
        accuracies = {e: released_accuracies(net, e) for e in experiments}
        late = {e: late_validation(net, e) for e in experiments}
        chosen = {
            "test acc.": max(experiments, key=lambda e: accuracies[e].mean()),
            "val. acc.": max(experiments, key=lambda e: late[e][0]),
            "val. loss": min(experiments, key=lambda e: late[e][1]),
        }
        dice = {e: float(lesion_dice(published.confusion_matrix(net, e))) for e in experiments}
        found.append(Candidates("authors'", net, "binary", accuracies, dice, chosen))
    return found


def own_candidates(evidence: Evidence) -> list[Candidates]:
    """Own networks of which at least two configurations ran and were validated."""
    found = []
    for variant in VARIANTS:
        for problem in PROBLEMS:
            for net in NETS:
                accuracies = accuracy_matrix(evidence, problem, variant, net)
                runs = grid_runs(evidence, problem, variant, net)
                by_validation = best_experiment(runs, "validation")
                if len(accuracies) < 2 or by_validation is None:
                    continue
                chosen = {"test acc.": best_experiment(runs, "test"), "val. acc.": by_validation}
                dice = {}
                for experiment in accuracies:
                    of_one = [run for run in runs if run.experiment == experiment]
                    dice[experiment] = float(over_trainings(lesion_dice)(stacked(of_one).sum(axis=0)))
                found.append(Candidates(f"ours, {variant}", net, problem, accuracies, dice, chosen))
    return found


def released_accuracies(net: str, experiment: int) -> np.ndarray:
    """Global accuracy of each of the 18 test slices (18,) of one released binary run, in the order of the split."""
    return np.array([slice_.global_accuracy for slice_ in published.image_metrics(net, experiment).values()])


def late_validation(net: str, experiment: int) -> tuple[float, float]:
    """Validation accuracy (a share of 1) and loss of one released binary run, means over its last quarter.

    Their last values are chance: by them U-Net's choice is ahead of SegNet's on the test slices, by the means not.
    """
    curves = published.training_curves(net, experiment)
    validated = np.flatnonzero(~np.isnan(curves["validation_loss"]))
    late = validated[validated >= (1 - PART) * len(curves["validation_loss"])]
    accuracy, loss = (float(curves[f"validation_{what}"][late].mean(dtype=np.float64)) for what in ("accuracy", "loss"))
    return accuracy / 100, loss


def resampled_choice(accuracies: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Choose the best configuration again and again, each time on slices drawn with replacement.

    Arguments:
        accuracies: (configurations, n slices).
        seed: of the draws.

    Returns:
        (configurations,) share of the draws in which each is the best (the first of equals), and the mean over
        draws of how much higher the chosen one scores on the drawn slices than on those that were not drawn.
    """
    num_slices = accuracies.shape[1]
    drawn = np.random.default_rng(seed).multinomial(num_slices, np.full(num_slices, 1 / num_slices), RESAMPLES)
    drawn = drawn[(drawn == 0).any(axis=1)]
    if not len(drawn):  # a single slice
        drawn = np.ones((1, num_slices))
    means = drawn @ accuracies.T / num_slices
    best = means.argmax(axis=1)
    left_out = (drawn == 0).astype(np.float64)
    number = left_out.sum(axis=1)
    rows = np.arange(len(best))
    outside = np.divide((left_out @ accuracies.T)[rows, best], number, out=np.full(len(best), np.nan), where=number > 0)
    shares = np.bincount(best, minlength=len(accuracies)) / len(best)
    return shares, float(np.mean(means[rows, best] - outside))


def _order_notes(candidates: list[Candidates]) -> list[str]:
    """Whether the choice of slices changes which network comes out ahead."""
    notes = []
    groups: dict[tuple[str, str], dict[str, Candidates]] = {}
    for group in candidates:
        groups.setdefault((group.source, group.problem), {})[group.net] = group
    for (source, problem), by_net in groups.items():
        if len(by_net) < 2:
            continue
        leads = {}
        for criterion in by_net[NETS[0]].chosen:
            values = [by_net[net].accuracy(criterion) for net in NETS]
            leads[criterion] = (
                values[0] > values[1],
                f"{values[0]:.3f} and {values[1]:.3f} ({criterion})",
            )
        ahead = {segnet for segnet, _ in leads.values()}
        told = ", ".join(text for _, text in leads.values())
        which = "depends on the choice" if len(ahead) > 1 else "does not depend on the choice"
        notes.append(
            f"Which network is ahead on the test slices {which} ({source} runs, {problem}): SegNet and U-Net score "
            f"{told}."
        )
    return notes
