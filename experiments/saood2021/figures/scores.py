"""Which figures the evidence allows, with their captions; those it does not, in plain words."""

from __future__ import annotations

import numpy as np

from experiments.reporting.content import Figure
from experiments.saood2021 import published
from experiments.saood2021.article import background_accuracy
from experiments.saood2021.counts import CLASS_NAMES, RunCounts
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.figures.networks import dream_figures, network_figures
from experiments.saood2021.figures.strips import strip_figures
from experiments.saood2021.protocol import NETS, VARIANTS
from experiments.saood2021.spread import best_runs
from experiments.saood2021.tables.trainings import grid_runs, stacked
from unet_segnet.data import paper_split
from unet_segnet.measures import metrics
from unet_segnet.models.registry import NETWORKS
from unet_segnet.plots import scores, slices, training

PROBLEM_NAMES = {"binary": "binary", "multiclass": "four classes"}
_ONE_OF_SEVERAL = (
    "replay: trained with the authors' random numbers; of several trainings of a configuration one is shown."
)


def figures(evidence: Evidence) -> tuple[Figure, ...]:
    """Figures 1 to 5 of the article and those beyond it, as far as the evidence reaches."""
    made: list[Figure] = []
    if evidence.slices is not None:
        made += _data_figures(evidence)
    made += network_figures(evidence)
    for problem in PROBLEM_NAMES:
        made += strip_figures(evidence, problem)
        made += _configuration_figures(evidence, problem)
    if figure := _training_figure(evidence):
        made.append(figure)
    made += dream_figures(evidence)
    made += _slice_figures(evidence)
    return tuple(made)


def missing_figures(evidence: Evidence) -> tuple[str, ...]:
    """A sentence for each figure that could not be drawn, and what would bring it."""
    lines = []
    if evidence.slices is None:
        lines.append("Figures 1 and 2 and the contours need the slices: unet-segnet data fetch.")
    for (net, problem), experiment in published.BEST_EXPERIMENT.items():
        if _best_run(evidence, net, problem) is None:
            lines.append(
                f"Figure 4 has no curve of ours for {NETWORKS[net].title}, {PROBLEM_NAMES[problem]}: python -m "
                f"experiments.grid --net {net} --problem {problem} --variant released --only {experiment}."
            )
    own = {(network.net, network.problem) for network in evidence.networks if network.key.startswith("own")}
    for problem in PROBLEM_NAMES:
        if not any(of == problem for _, of in own):
            lines.append(
                f"No network of ours for {PROBLEM_NAMES[problem]} is at hand: no contours and no deep dreams of it. "
                "A finished run that kept its weights brings them, with --runs."
            )
    return tuple(lines)


def _data_figures(evidence: Evidence) -> list[Figure]:
    data = evidence.slices
    order = np.argsort(-(data.labels > 0).sum(axis=(1, 2)), kind="stable")
    with_effusion = [index for index in order if (data.labels[index] == 3).any()]
    chosen = sorted([*with_effusion[:2], *[index for index in order if index not in with_effusion[:2]][:2]])
    few = data.subset(chosen)
    num_with = [int((data.labels == index).any(axis=(1, 2)).sum()) for index in range(1, data.num_classes)]
    return [
        Figure(
            "figure1_slices",
            "Figure 1. Slices, lungs and labels",
            f"Slices {', '.join(few.names)} of {evidence.data}: those with most lesion, two of them with effusion. C1 "
            "ground glass, C2 consolidation, C3 pleural effusion. The article's panel of unmasked slices is "
            "missing: the release has slices in which all but the lungs had been masked, and no others. Turned front "
            "up, the patient's right on the left; they were released lying sideways.",
            slices.slice_and_labels(_upright(few.images), _upright(few.labels), few.names, few.class_names),
            "Four lung-masked CT slices above, the same slices with coloured lesion labels below.",
        ),
        Figure(
            "figure2_accumulated_labels",
            "Figure 2. Where the lesions are",
            f"Number of the {len(data)} slices of {evidence.data} on which each pixel is a lesion, of all classes and "
            f"of each (C1 on {num_with[0]} slices, C2 on {num_with[1]}, C3 on {num_with[2]}); each panel has its own "
            "scale. Front up, the patient's right on the left.",
            slices.accumulated_labels(_upright(data.labels), data.class_names),
            "Four heat maps of lesion frequency; most lesions lie towards the back of both lungs.",
        ),
    ]


def _upright(arrays: np.ndarray) -> np.ndarray:
    """Slices (n, height, width) front up and the patient's right on the left; the data has them lying sideways."""
    return np.swapaxes(arrays, 1, 2)


def _configuration_figures(evidence: Evidence, problem: str) -> list[Figure]:
    """Heat map of learning rate and mini-batch, and means with standard deviations (Tables 3 and 5)."""
    number = 3 if problem == "binary" else 5
    # The variant that the authors trained has its place even where nothing ran.
    variants = [variant for variant in VARIANTS if variant == "released" or evidence.grid(problem, variant)]
    panels, series = {}, {}
    for net in NETS:
        name, settings = NETWORKS[net].title, published.hyperparameters(net)
        printed = published.global_accuracy(net, problem)
        found = {"published": {e: (value.mean, value.standard_deviation) for e, value in printed.items()}}
        found |= {
            f"ours, variant {variant}": _accuracies(grid_runs(evidence, problem, variant, net)) for variant in variants
        }
        panels[name] = {
            source: {
                (settings[e].initial_learning_rate, settings[e].mini_batch): mean for e, (mean, _) in values.items()
            }
            for source, values in found.items()
        }
        for source, values in found.items():
            series.setdefault(source, []).extend((f"{name} {e}", *pair) for e, pair in values.items())
    series = {source: rows for source, rows in series.items() if rows}
    background = background_accuracy()
    own = f"and ours, {_trainings([run.counts for variant in variants for run in evidence.grid(problem, variant)])}"
    return [
        Figure(
            f"table{number}_{problem}_map",
            f"Learning rate and mini-batch, {PROBLEM_NAMES[problem]}",
            f"Mean global accuracy over the 18 test slices of each configuration of Table 2: the published of Table "
            f"{number} {own} (a dash: not run). All background has {background:.3f}.",
            scores.configuration_map(panels),
            "Grids of mean accuracy over initial learning rate and mini-batch size, published beside ours.",
        ),
        Figure(
            f"table{number}_{problem}_sigma",
            f"Mean and standard deviation, {PROBLEM_NAMES[problem]}",
            f"Global accuracy over the 18 test slices, mean and standard deviation (n - 1) of each configuration: the "
            f"plot that the article has inside Table {number}, {own}. Dashed line: all background, {background:.3f}.",
            scores.mean_and_sigma(series, background),
            "Points with error bars for the nine configurations of each network.",
        ),
    ]


def _accuracies(runs: list[RunCounts]) -> dict[int, tuple[float, float]]:
    """Configuration -> mean and standard deviation (n - 1) over slices, averaged over its trainings."""
    found = {}
    for experiment in sorted({run.experiment for run in runs}):
        accuracy = metrics.global_accuracy(stacked([run for run in runs if run.experiment == experiment]))
        found[experiment] = float(accuracy.mean()), float(accuracy.std(axis=0, ddof=1).mean())
    return found


def _trainings(runs: list[RunCounts]) -> str:
    """How many trainings of ours, and their seeds, for a caption."""
    if not runs:
        return "of which none has run yet"
    seeds = sorted({run.seed for run in runs})
    number = f"{len(runs)} training{'s' if len(runs) > 1 else ''}"
    configurations = {(run.net, run.variant, run.experiment) for run in runs}
    several = ", averaged over the trainings of a configuration" if len(configurations) < len(runs) else ""
    return f"{number} of seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}{several}"


def _training_figure(evidence: Evidence) -> Figure | None:
    runs, told = [], []
    for (net, problem), experiment in published.BEST_EXPERIMENT.items():
        ours, run = None, _best_run(evidence, net, problem)
        if run is not None:
            history = run.history()
            ours = {key: history[key] for key in ("accuracy", "loss")}
            random = "the authors' random stream" if run.counts.stream == "matlab" else "own random numbers"
            told.append(
                f"{NETWORKS[net].title} {PROBLEM_NAMES[problem]} {experiment}: variant {run.counts.variant}, seed "
                f"{run.counts.seed}, {random}"
            )
        authors = None
        if problem == "binary":
            released = published.training_curves(net, experiment)
            authors = {"accuracy": released["training_accuracy"] / 100, "loss": released["training_loss"]}
        if ours is not None or authors is not None:
            runs.append((f"{NETWORKS[net].title} {experiment}, {PROBLEM_NAMES[problem]}", ours, authors))
    if not runs:
        return None
    return Figure(
        "figure4_training",
        "Figure 4. Training accuracy and loss",
        "The configurations that the article calls the best: moving average over 18 iterations, raw values behind. "
        "Wide grey line: the authors' released curves (binary runs alone were released); thin blue line, ours: "
        + ("; ".join(told) if told else "none has run")
        + ". 160 epochs of 72 slices of COVID19-DL each.",
        training.training_comparison(runs),
        "Curves of training accuracy rising and loss falling, ours drawn over the authors'.",
    )


def _slice_figures(evidence: Evidence) -> list[Figure]:
    """Contours and per-slice Dice of networks at hand, confusion matrices of runs."""
    made = []
    for problem in PROBLEM_NAMES:
        networks = [network for network in evidence.networks if network.problem == problem]
        names: tuple[str, ...] = ()
        dices: dict[str, np.ndarray] = {}
        if evidence.slices is not None and networks:
            test = evidence.slices.subset(paper_split(len(evidence.slices)).test)
            truth = (test.labels > 0).astype(np.uint8)
            labels, names = truth if problem == "binary" else test.labels, test.names
            for network in networks:
                made.append(
                    Figure(
                        f"contours_{network.key}",
                        f"True and predicted lesions, {network.label}",
                        f"All {len(test)} test slices of {evidence.data} in the order of the split, cut to the lungs; "
                        f"{PROBLEM_NAMES[problem]}; contours and Dice of all lesion classes together. White line: true "
                        "contour, dashed yellow: predicted; blue: missed, striped red: false alarm"
                        + ("." if problem == "binary" else ", purple: one lesion class taken for another."),
                        slices.contours(
                            _upright(test.images), _upright(labels), _upright(network.predictions), test.names
                        ),
                        "Eighteen lung slices with true and predicted lesion contours and their differences.",
                    )
                )
                found = (network.predictions > 0).astype(np.uint8)
                dices[network.label] = metrics.dice(metrics.confusion_matrices(truth, found, 2))[:, 1]
        matrices: dict[str, np.ndarray] = {}
        for net in NETS:
            if best := _best_run(evidence, net, problem):
                run = best.counts
                names = names or run.test_names
                replay = ", replay" if run.stream == "matlab" else ""
                label = f"{NETWORKS[net].title} {run.experiment}, ours (variant {run.variant}, seed {run.seed}{replay})"
                matrices[label] = run.test_confusion.sum(axis=0)
                dice = metrics.dice(metrics.lesions_together(stacked([run], names)[:, 0]))[:, 1]
                # The run's own network may be among those at hand.
                if not any(np.array_equal(dice, other, equal_nan=True) for other in dices.values()):
                    dices[label] = dice
            if problem == "binary":
                experiment = published.BEST_EXPERIMENT[net, problem]
                label = f"{NETWORKS[net].title} {experiment}, the authors'"
                matrices[label] = published.confusion_matrix(net, experiment)
        if dices:
            made.append(
                Figure(
                    f"dice_{problem}",
                    f"Dice slice by slice, {PROBLEM_NAMES[problem]}",
                    f"Dice of all lesion classes together on each of the {len(names)} test slices, in the order of the "
                    "first network's; dotted: means over slices. The tables pool the pixels of all slices instead. "
                    + _ONE_OF_SEVERAL,
                    scores.dice_by_slice(dices, names),
                    "Dice of each test slice for several networks, rising from left to right.",
                )
            )
        if matrices:
            made.append(
                Figure(
                    f"confusion_{problem}",
                    f"Confusion matrices, {PROBLEM_NAMES[problem]}",
                    "Share of each true class that is predicted as each class, pixels below (k: thousands), the 18 "
                    "test slices together. The authors released theirs of the binary runs. " + _ONE_OF_SEVERAL,
                    scores.confusion_matrices(matrices, CLASS_NAMES[problem]),
                    "Confusion matrices with shares and pixel counts.",
                )
            )
    return made


def _best_run(evidence: Evidence, net: str, problem: str) -> FinishedRun | None:
    """The run that stands for a network's published best configuration, of the variant that was released if it ran.

    Of several trainings the one with the authors' random numbers, for it stands beside theirs; then the lowest seed.
    """
    for variant in VARIANTS:
        if runs := best_runs(evidence, problem, variant, net):
            return min(runs, key=lambda run: (run.counts.stream != "matlab", run.counts.seed))
    return None
