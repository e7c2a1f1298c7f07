"""The paper's tables from pixel counts: pure functions, the published values beside our own.

Table 3/5 (`accuracy_table`), 4/6 (`class_table`) and 7 (`five_fold_table`) take finished runs as `RunCounts` and
return a `Table`, which prints as text of at most 100 columns, as Markdown and as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.counts import CLASS_NAMES, PAPER_SLICES, SCORES, RunCounts
from experiments.saood2021.protocol import NETS, configurations
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures import metrics
from unet_segnet.measures.baselines import Baseline
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Cell, Signed, Table

ALONE = "alone"  # trained of a network's nine configurations


def accuracy_table(
    runs: Iterable[RunCounts],
    networks: Sequence[str] | None = None,
    baselines: Sequence[Baseline] = (),
    data: str = "COVID19-DL",
    notes: Sequence[str] = (),
    problem: str | None = None,
    released: bool = False,
) -> Table:
    """Table 3 (binary) or 5 (multiclass): global accuracy of the nine configurations of each network.

    Arguments:
        runs: grid runs of one problem, variant and test set; configurations without one print "-".
        networks: rows for these networks; by default those that have a run.
        baselines: their results on the same test slices.
        data: name of the data set, for the title; the difference to the published values is left out where it
            does not hold the paper's slices.
        notes: more notes, printed last.
        problem: needed where there is no run yet; the table then holds the published values.
        released: a column with the mean of the released slices where it is not the printed one.

    Raises:
        ValueError: no run, or runs that do not belong together.
    """
    runs = _checked(runs, problem)
    problem, networks = problem or runs[0].problem, networks or list(dict.fromkeys(run.net for run in runs))
    statistics = ("mean", "sigma", "var", "spread")[: 4 if _averaged(runs) else 3]
    rows: list[tuple[Cell, ...]] = []
    for net in networks:
        of_net = [run for run in runs if run.net == net]
        settings, printed = configurations(net), published.global_accuracy(net, problem)
        best = _best(of_net)
        for experiment in sorted({*settings, *(run.experiment for run in of_net)}):
            trainings = [run.test_confusion for run in of_net if run.experiment == experiment]
            ours = _accuracy_statistics(trainings)[: len(statistics)]
            row: list[Cell] = [NETWORKS[net].title, experiment, None, None, len(trainings), *ours]
            if setting := settings.get(experiment):
                row[2:4] = f"{setting.initial_learning_rate:.0e}".replace("e-0", "e-"), setting.mini_batch
            difference = None
            if paper := printed.get(experiment):
                row += [paper.mean, paper.standard_deviation, paper.variance]
                difference = Signed(ours[0] - paper.mean) if data in PAPER_SLICES else None
            else:
                row += [None] * 3
            if released:
                row.append(_released_mean(net, problem, experiment))
            rows.append((*row, difference, _best_mark(experiment, best)))
    for baseline in baselines:
        ours = _accuracy_statistics([baseline.test_confusion])[:3]
        rows.append((baseline.name, *(None,) * 4, *ours, *(None,) * (len(statistics) + 2 + released)))
    own_notes = [
        "mean, sigma, var: mean, standard deviation (n - 1) and variance of the global accuracy over the test "
        "slices. ILR: initial learning rate.",
        "best: the configuration with the highest mean on the test slices (test: as in the paper, which scores "
        "it on the same slices), on the validation slices (val.), or on both; alone: no other was trained.",
    ]
    if len(statistics) == 4:
        own_notes.insert(
            1,
            "Averaged over the trainings of a configuration, which differ in seed or random stream: sigma is the mean "
            "of the trainings' own, not that of averaged slices, which would be smaller. spread: standard deviation "
            "(n - 1) of the mean over them.",
        )
    if released:
        own_notes.append(
            "rel.: the mean of the slices that the authors released, where it is more than a thousandth from the "
            "printed one."
            if problem == "binary"
            else "rel.: empty, because no slices of the four-class runs were released."
        )
    if problem == "binary" and _published(networks):
        own_notes.append(
            "The printed means are truncated, not rounded. SegNet 3 is printed as 0.919, its released slices "
            "give 0.910; the printed SegNet variances repeat Table 5."
        )
    return Table(
        f"Table {3 if problem == 'binary' else 5}. Global accuracy, {_describe(runs, problem, data)}.",
        (
            *("network", "exp.", "ILR", "batch", "runs"),
            *(f"reproduced: {name}" for name in statistics),
            *("published: mean", "published: sigma", "published: var"),
            *(("published: rel.",) if released else ()),
            *("diff.", "best"),
        ),
        tuple(rows),
        (*own_notes, *_baseline_notes(baselines), *_data_notes(data, networks), *notes),
    )


def class_table(
    runs: Iterable[RunCounts],
    networks: Sequence[str] | None = None,
    baselines: Sequence[Baseline] = (),
    data: str = "COVID19-DL",
    notes: Sequence[str] = (),
    problem: str | None = None,
) -> Table:
    """Table 4 (binary) or 6 (multiclass): class scores of each network's best configuration.

    Scores come from the confusion matrix of all test slices together; with several trainings of a configuration they
    are averaged over these. Arguments and errors as for `accuracy_table`.
    """
    runs = _checked(runs, problem)
    problem, networks = problem or runs[0].problem, networks or list(dict.fromkeys(run.net for run in runs))
    rows: list[tuple[Cell, ...]] = []
    for net in networks:
        name = NETWORKS[net].title
        of_net = [run for run in runs if run.net == net]
        best = _best(of_net)
        for experiment in dict.fromkeys(e for e in best.values() if e is not None):
            pooled = [run.test_confusion.sum(axis=0) for run in of_net if run.experiment == experiment]
            scores = metrics.mean_defined([_class_scores(matrix) for matrix in pooled], axis=0)
            mark = _best_mark(experiment, best)
            source = mark if mark == ALONE else f"best on {mark}"
            rows += _class_rows((name, experiment, source), problem, scores)
        printed = published.class_scores(net, problem)
        chosen = published.BEST_EXPERIMENT.get((net, problem))
        rows += [(name, chosen, "published", class_name, *scores.values()) for class_name, scores in printed.items()]
        pooled = [run.test_confusion.sum(axis=0) for run in of_net if run.experiment == chosen]
        if pooled and data in PAPER_SLICES:
            ours = metrics.mean_defined([_class_scores(matrix) for matrix in pooled], axis=0)
            rows += _difference_rows((name, chosen, "difference"), problem, ours, printed)
    for baseline in baselines:
        scores = _class_scores(baseline.test_confusion.sum(axis=0))
        rows += _class_rows((baseline.name, None, "baseline"), problem, scores)
    difference = "; difference: ours less the published, of the configuration that the article calls the best"
    difference = difference if _published(networks) else ""
    own_notes = [
        f"Scores of each class against the rest, from the confusion matrix of all test slices together{difference}.",
        "best on test / val. / both: the configuration with the highest mean global accuracy on the test slices "
        "(as in the paper, which scores it on the same slices), on the validation slices, or on both; alone: no "
        "other was trained.",
    ]
    if _averaged(runs):
        own_notes.insert(
            1, "Scores are averaged over the trainings of a configuration, which differ in seed or random stream."
        )
    if any(isinstance(cell, float) and math.isnan(cell) for row in rows for cell in row):
        own_notes.append('"-": undefined, because the class is absent from the truth.')
    if problem == "binary" and _published(networks):
        own_notes.append(
            "Published: the authors' released tables; the text of the paper gives SegNet's specificity as 0.945."
        )
    number = 4 if problem == "binary" else 6
    return Table(
        f"Table {number}. Class scores of the best configuration, {_describe(runs, problem, data)}.",
        ("network", "exp.", "source", "class", *SCORES),
        tuple(rows),
        (*own_notes, *_baseline_notes(baselines), *_data_notes(data, networks), *notes),
    )


def five_fold_table(
    runs: Iterable[RunCounts],
    baselines: Sequence[Sequence[Baseline]] = (),
    data: str = "COVID19-DL",
    notes: Sequence[str] = (),
    problem: str | None = None,
    networks: Sequence[str] | None = None,
) -> Table:
    """Table 7: class scores over the folds, the test slices of a fold pooled.

    With several trainings on a fold, its scores are first averaged over these.

    Arguments:
        runs: runs with a fold, of one problem and variant.
        baselines: the results of the baselines on each fold, one sequence per fold.
        data, notes, problem, networks: as for `accuracy_table`.

    Raises:
        ValueError: no run, or runs that do not belong together.
    """
    runs = _checked(runs, problem, folds=True)
    problem, networks = problem or runs[0].problem, networks or list(dict.fromkeys(run.net for run in runs))
    rows: list[tuple[Cell, ...]] = []
    unfinished: list[str] = []
    left_out: list[str] = []

    def add(name: str, scores_of_folds: Sequence[np.ndarray]) -> np.ndarray:
        mean, deviation = (of(scores_of_folds, axis=0) for of in (metrics.mean_defined, metrics.deviation_defined))
        spreads = np.stack([mean, deviation], axis=-1).reshape(len(mean), -1)
        rows.extend(_class_rows((name,), problem, spreads))
        missing = np.isnan(scores_of_folds).sum(axis=0)
        for class_name, of_class in zip(CLASS_NAMES[problem], missing, strict=True):
            left_out.extend(
                f"{name} {class_name} {score} {count} of {len(scores_of_folds)}"
                for score, count in zip(SCORES, of_class, strict=True)
                if count
            )
        return mean

    for net in networks:
        name = NETWORKS[net].title
        of_net = [run for run in runs if run.net == net]
        printed, chosen = published.five_fold(net, problem), published.BEST_EXPERIMENT.get((net, problem))
        difference = []
        for experiment in dict.fromkeys(run.experiment for run in of_net):
            folds: dict[int, list[np.ndarray]] = {}
            for run in of_net:
                if run.experiment == experiment:
                    scores = _class_scores(run.test_confusion.sum(axis=0))
                    folds.setdefault(run.fold, []).append(scores)
            mean = add(
                f"{name} exp. {experiment}", [metrics.mean_defined(of_fold, axis=0) for of_fold in folds.values()]
            )
            if experiment == chosen and len(folds) == NUM_FOLDS and data in PAPER_SLICES:
                means = {of: {score: pair[0] for score, pair in scores.items()} for of, scores in printed.items()}
                for row in _difference_rows((f"{name}, diff.",), problem, mean, means):
                    difference.append((*row[:2], *(cell for value in row[2:] for cell in (value, None))))
            if len(folds) < NUM_FOLDS:
                unfinished.append(f"{name} exp. {experiment}: {len(folds)} of {NUM_FOLDS} folds.")
        for class_name, scores in printed.items():
            rows.append((f"{name}, publ.", class_name, *(v for pair in scores.values() for v in pair)))
        rows += difference
    for of_folds in zip(*baselines, strict=True):
        add(of_folds[0].name, [_class_scores(b.test_confusion.sum(axis=0)) for b in of_folds])
    own_notes = [
        "Scores of each class against the rest, from the confusion matrix of all test slices of a fold; mean and "
        "sigma, the standard deviation (n - 1), over the folds.",
        "A score that is undefined in a fold (NaN: the class is absent there) is left out of mean and sigma: "
        + ("; ".join(left_out) if left_out else "none was")
        + ".",
        *unfinished,
    ]
    if not runs:
        own_notes = own_notes[:1]
    if len({(run.net, run.experiment, run.fold) for run in runs}) < len(runs):
        own_notes.insert(1, "The scores of a fold are first averaged over its trainings.")
    if baselines:
        own_notes.append("The grey threshold is fitted on the training slices of each fold.")
    return Table(
        f"Table 7. Class scores over the folds, {_describe(runs, problem, data)}.",
        ("network", "class", *(f"{score}: {part}" for score in SCORES for part in ("mean", "sigma"))),
        tuple(rows),
        (*own_notes, *_data_notes(data, networks), *notes),
    )


def best_experiment(runs: Iterable[RunCounts], on: str) -> int | None:
    """The configuration of one network with the highest mean global accuracy per slice, averaged over trainings.

    Arguments:
        runs: grid runs of one network, problem and variant.
        on: "test" (as the paper chose) or "validation".

    Returns:
        the experiment, the lowest among equals; None where nothing was counted.
    """
    means: dict[int, list[float]] = {}
    for run in runs:
        confusion = run.test_confusion if on == "test" else run.validation_confusion
        if len(confusion):
            means.setdefault(run.experiment, []).append(float(np.mean(metrics.global_accuracy(confusion))))
    return max(sorted(means), key=lambda experiment: np.mean(means[experiment]), default=None)


def _checked(runs: Iterable[RunCounts], problem: str | None = None, folds: bool = False) -> tuple[RunCounts, ...]:
    runs = tuple(runs)
    if not runs and problem:
        return runs
    if problem and problem != runs[0].problem:
        raise ValueError(f"the runs must be of the {problem} problem. Received: {runs[0].problem}")
    if not runs:
        raise ValueError("a table needs at least one finished run. Received: none")
    if len({(run.problem, run.variant, run.encoder_weights) for run in runs}) > 1:
        raise ValueError("the runs of a table must share problem, variant and encoder weights")
    keys = [(run.net, run.experiment, run.seed, run.stream, run.fold) for run in runs]
    if len(set(keys)) < len(keys):
        raise ValueError("the runs of a table must differ in network, experiment, seed, stream or fold")
    if any((run.fold is None) == folds for run in runs):
        raise ValueError(f"the runs of this table must {'each have a' if folds else 'not have a'} fold")
    if len({(run.fold, run.test_names) for run in runs}) > len({run.fold for run in runs}):
        raise ValueError("the runs of a table must be tested on the same slices")
    return runs


def _describe(runs: Sequence[RunCounts], problem: str, data: str) -> str:
    """Variant, problem, seeds, number of test slices and data set, for a title."""
    if not runs:
        return f"{problem} problem, published values alone: none of our runs is finished"
    seeds = sorted({run.seed for run in runs})
    names = {run.fold: run.test_names for run in runs}
    num_slices = sum(map(len, names.values()))
    weights = f", encoder from {runs[0].encoder_weights}" if runs[0].encoder_weights else ""
    return (
        f"{runs[0].problem} problem, variant {runs[0].variant}{weights}, seed{'s' if len(seeds) > 1 else ''} "
        f"{', '.join(map(str, seeds))}, n={num_slices} test slices"
        + (f" in {len(names)} fold{'s' if len(names) > 1 else ''}" if None not in names else "")
        + f" of {data}"
    )


def _averaged(runs: Sequence[RunCounts]) -> bool:
    """Whether a configuration has several trainings, of several seeds or random streams."""
    return len({(run.net, run.experiment) for run in runs}) < len(runs)


def _accuracy_statistics(confusions: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Mean, sigma and variance of the global accuracy over slices, then sigma of the mean over trainings.

    Takes one (n, K, K) per training and averages the first three over them; all NaN for none.
    """
    if not confusions:
        return (math.nan,) * 4
    accuracy = np.stack([metrics.global_accuracy(confusion) for confusion in confusions], axis=1)
    means, sigmas = metrics.mean_defined(accuracy, axis=0), metrics.deviation_defined(accuracy, axis=0)
    spread = metrics.deviation_defined(means)
    return float(means.mean()), float(sigmas.mean()), float((sigmas**2).mean()), float(spread)


def _class_scores(confusion: np.ndarray) -> np.ndarray:
    """(K, number of SCORES) from one (K, K)."""
    return np.stack([score(confusion) for score in SCORES.values()], axis=-1)


def _class_rows(prefix: tuple[Cell, ...], problem: str, scores: np.ndarray) -> list[tuple[Cell, ...]]:
    """A row per class: the prefix, the class name and its scores."""
    return [
        (*prefix, class_name, *map(float, of_class))
        for class_name, of_class in zip(CLASS_NAMES[problem], scores, strict=True)
    ]


def _difference_rows(prefix: tuple[Cell, ...], problem: str, ours: np.ndarray, printed: dict) -> list[tuple[Cell, ...]]:
    """A row for each class that has published scores: ours (K, number of SCORES) less them."""
    names = CLASS_NAMES[problem]
    return [
        (*prefix, name, *(Signed(o - p) for o, p in zip(ours[names.index(name)], scores.values(), strict=True)))
        for name, scores in printed.items()
    ]


def _released_mean(net: str, problem: str, experiment: int) -> float | None:
    """Mean global accuracy of the released slices of a run, where it is not the printed one."""
    slices = published.image_metrics(net, experiment) if problem == "binary" else {}
    printed = published.global_accuracy(net, problem).get(experiment)
    if not slices or printed is None:
        return None
    mean = float(np.mean([slice_.global_accuracy for slice_ in slices.values()]))
    return mean if abs(mean - printed.mean) > 0.001 else None


def _best(runs: Sequence[RunCounts]) -> dict[str, int | None]:
    """The best configuration of a network by what it is chosen on; of a single one there is no choice."""
    trained = {run.experiment for run in runs}
    if len(trained) == 1:
        return {ALONE: trained.pop()}
    return {on: best_experiment(runs, on) for on in ("test", "validation")}


def _best_mark(experiment: int, best: dict[str, int | None]) -> str | None:
    chosen = [on for on, best_of in best.items() if best_of == experiment]
    return "both" if len(chosen) == 2 else {"validation": "val."}.get(chosen[0], chosen[0]) if chosen else None


def _baseline_notes(baselines: Sequence[Baseline]) -> list[str]:
    return [f"{baseline.name}: {baseline.description}." for baseline in baselines]


def _published(networks: Sequence[str]) -> bool:
    """Whether the article has any of these networks."""
    return not set(NETS).isdisjoint(networks)


def _data_notes(data: str, networks: Sequence[str]) -> list[str]:
    note = f"The published values are those of the paper's 100 slices, not of {data}: not to be compared."
    return [note] if data not in PAPER_SLICES and _published(networks) else []
