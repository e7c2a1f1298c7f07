"""The paper's Tables 1 to 7, ours beside the published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.saood2021 import published, spread
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS, configurations
from experiments.saood2021.runs import PRETRAINED
from experiments.saood2021.tables.scores import accuracy_table, class_table, five_fold_table
from experiments.saood2021.tables.trainings import STREAMS, lesion_dice, notes_on_kinds
from unet_segnet.data import five_folds, paper_split
from unet_segnet.data.balance import class_sizes
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures.baselines import Baseline, evaluate_baselines
from unet_segnet.measures.metrics import confusion_matrices, dice, global_accuracy
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Hundredths, Signed, Table

RAW_MASKS = "dataset/raw/tr_mask.nii.gz"  # below the folder of the released slices
LAST_EPOCHS_COLUMNS = tuple(f"last epochs: {name}" for name in ("accuracy", "sigma", "Dice", "sigma of Dice"))
LAST_EPOCHS_NOTE = (
    "last epochs: mean and sigma (standard deviation, n - 1) over the last epochs of a training, which show what its "
    "result owes to the epoch at which it stopped; accuracy and Dice are those of its last network."
)


def paper_tables(evidence: Evidence) -> dict[str, Table]:
    """Tables 1 to 7 by file name; those of trainings once per variant that has finished runs.

    The variant "released", which is what the authors trained, is there even before any of our runs is, with the
    published values alone. Runs whose encoders started from other weights have tables of their own, a set for each
    of these weights.
    """
    tables = {"table1_class_sizes": size_table(evidence), "table2_configurations": configuration_table(evidence)}
    tables |= _training_tables(evidence)
    for suffix, runs in pretrained_runs(evidence).items():
        tables |= _training_tables(replace(evidence, runs=runs), suffix)
    return tables


def pretrained_runs(evidence: Evidence) -> dict[str, tuple[FinishedRun, ...]]:
    """How the names of their tables end ("_pretrained", "_pretrained2", ...) -> the runs from the same weights."""
    sources = sorted({run.counts.encoder_weights for run in evidence.pretrained})
    return {
        f"_pretrained{number if number > 1 else ''}": tuple(
            run for run in evidence.pretrained if run.counts.encoder_weights == source
        )
        for number, source in enumerate(sources, start=1)
    }


def _training_tables(evidence: Evidence, suffix: str = "") -> dict[str, Table]:
    """Tables 3 to 7; with a suffix for their names, those of networks and variants that ran alone."""
    networks, always = (None, ()) if suffix else (NETS, ("released",))
    tables = {}
    for number, problem in ((3, "binary"), (5, "multiclass")):
        baselines = grid_baselines(evidence, problem)
        for variant in VARIANTS:
            finished = evidence.grid(problem, variant)
            runs = [run.counts for run in finished]
            if not runs and variant not in always:
                continue
            arguments = {
                "networks": networks,
                "baselines": baselines,
                "data": evidence.data,
                "problem": problem,
                "notes": _notes(evidence, f"grid/{variant}-{problem}-", bool(suffix), finished),
            }
            tables[f"table{number}_{problem}_{variant}{suffix}"] = accuracy_table(
                runs, released=problem == "binary", **arguments
            )
            tables[f"table{number + 1}_{problem}_{variant}{suffix}"] = class_table(runs, **arguments)
    for problem in PROBLEMS:
        for variant in VARIANTS:
            finished = evidence.folds(problem, variant)
            runs = [run.counts for run in finished]
            if runs or variant in always:
                tables[f"table7_{problem}_{variant}{suffix}"] = five_fold_table(
                    runs,
                    baselines=_fold_baselines(evidence, problem, runs),
                    data=evidence.data,
                    problem=problem,
                    networks=networks,
                    notes=_notes(evidence, f"kfold/{variant}-{problem}-", bool(suffix), finished),
                )
    return tables


def _notes(evidence: Evidence, group: str, pretrained: bool, finished: list[FinishedRun]) -> tuple[str, ...]:
    """What there is to say of the runs whose folder begins so: diverged, left out, of one class, not trained alike."""
    of_these = (
        sentence
        for sentence in evidence.missing
        if sentence.startswith(group) and sentence.split()[0].endswith(PRETRAINED) == pretrained
    )
    return (*of_these, *notes_on_kinds(finished))


def size_table(evidence: Evidence) -> Table:
    """Table 1: pixels of each class, and pixels of all slices that contain it, as printed and as counted."""
    masks = None if evidence.folder is None else evidence.folder / RAW_MASKS
    counted, notes = None, []
    if masks is not None and masks.is_file():
        from unet_segnet.data.nifti import read_labels

        counted = class_sizes(read_labels(masks), 4)
        notes.append(f"Counted in {RAW_MASKS}, 512x512.")
    else:
        notes.append(f"Not counted: {RAW_MASKS} is not at hand.")
    rows = []
    for index, (name, printed) in enumerate(published.class_sizes().items()):
        ours = (None, None) if counted is None else (int(counted[0][index]), int(counted[1][index]))
        difference = None if counted is None else Signed(ours[0] / printed[0] - 1)
        rows.append((name, *(round(value) for value in printed), *ours, difference))
    return Table(
        "Table 1. Size of the classes in the 100 slices, pixels.",
        ("class", "published: class", "published: its slices", "counted: class", "counted: its slices", "rel. diff."),
        tuple(rows),
        ("its slices: all pixels of the slices that contain the class.", *notes),
    )


def configuration_table(evidence: Evidence) -> Table:
    """Table 2: the nine configurations of each network, and which of them have finished here."""
    rows = []
    for net in NETS:
        for experiment, setting in published.hyperparameters(net).items():
            done = [
                sum(
                    (run.counts.net, run.counts.experiment, run.counts.fold) == (net, experiment, None)
                    for run in evidence.grid(problem, variant)
                )
                for variant in VARIANTS
                for problem in PROBLEMS
            ]
            rate = f"{setting.initial_learning_rate:.0e}".replace("e-0", "e-")
            rows.append((NETWORKS[net].title, experiment, rate, setting.mini_batch, *done))
    return Table(
        "Table 2. The configurations, and how many trainings of each are finished here.",
        (
            *("network", "exp.", "initial learning rate", "mini-batch"),
            *(f"{variant}: {problem}" for variant in VARIANTS for problem in PROBLEMS),
        ),
        tuple(rows),
        ("Everything else is the same in all of them: Adam, 160 epochs, learning rate x 0.95 after every 12.",),
    )


def trainings_table(evidence: Evidence) -> Table | None:
    """The finished trainings: what each was, how it did, how long it took, where its files come from; None without.

    Scores of the last epochs have columns where some training counted them, what an encoder started from where some
    training started from other than random weights.
    """
    runs = (*evidence.runs, *evidence.pretrained)
    if not runs:
        return None
    from unet_segnet.training.class_weighted import Recipe  # its import is the backend's

    late = [_over_last_epochs(run) for run in runs]
    counted = any(cells[0] is not None for cells in late)
    rows = []
    for run, late_scores in zip(runs, late, strict=True):
        counts, seconds = run.counts, run.result.get("training_seconds")
        fold = None if counts.fold is None else counts.fold + 1
        about = (NETWORKS[counts.net].title, counts.variant, counts.problem, counts.experiment, fold, counts.seed)
        num_slices = len((paper_split() if counts.fold is None else five_folds()[counts.fold]).train)
        num_slices -= num_slices % configurations(counts.net)[counts.experiment].mini_batch
        times = (round(seconds / 60), Hundredths(num_slices * Recipe().epochs / seconds)) if seconds else (None, None)
        origin = (run.result.get(key) for key in ("device", "commit", "finished_at"))
        accuracy = float(global_accuracy(counts.test_confusion).mean())
        printed = published.global_accuracy(counts.net, counts.problem).get(counts.experiment)
        off = Signed(accuracy - printed.mean) if printed and fold is None else None
        overlap = float(lesion_dice(counts.test_confusion.sum(axis=0)))
        about += (counts.encoder_weights or "random",) if evidence.pretrained else ()
        about += (STREAMS[counts.stream], run.dtype, run.result.get("parameters"))
        rows.append((*about, accuracy, off, overlap, *(late_scores if counted else ()), *times, *origin))
    about = ("network", "variant", "problem", "exp.", "fold", "seed")
    about += ("encoder from",) if evidence.pretrained else ()
    about += ("random numbers", "data type", "parameters")
    return Table(
        "The finished trainings.",
        (
            *(*about, "accuracy", "diff.", "Dice"),
            *(LAST_EPOCHS_COLUMNS if counted else ()),
            *("minutes", "slices/s", "device", "commit", "finished"),
        ),
        tuple(rows),
        (
            "parameters: all numbers of the network, the means and variances of its normalisation among them.",
            "accuracy: mean global accuracy over the test slices; diff.: less the published mean (Tables 3 and 5).",
            "Dice: of the lesion classes, their mean, from the pixels of all test slices together.",
            *((LAST_EPOCHS_NOTE,) if counted else ()),
            "minutes: of all epochs with their validations; the machine may have had other work beside them.",
            "slices/s: training slices, on average over these minutes; a last mini-batch that is not full is left out.",
        ),
    )


def _over_last_epochs(run: FinishedRun) -> tuple[float | None, ...]:
    """Mean and sigma of accuracy, then of Dice, over the last epochs; None for each where they were not counted."""
    cells = []
    for score in (spread.accuracy, spread.lesion_dice):
        scores = spread.of_last_epochs(run, score)
        cells += [float(np.mean(scores)), float(np.std(scores, ddof=1))] if len(scores) > 1 else [None, None]
    return tuple(cells)


def _problem_slices(evidence: Evidence, problem: str):
    return evidence.slices.binary() if problem == "binary" else evidence.slices


def grid_baselines(evidence: Evidence, problem: str) -> tuple[Baseline, ...]:
    """On the 18 test slices; without slices, all background alone, from the truth in any run's counts."""
    if evidence.slices is not None:
        slices = _problem_slices(evidence, problem)
        split = paper_split(len(slices))
        return evaluate_baselines(slices.subset(split.train), slices.subset(split.test))
    for run in evidence.runs:
        if run.counts.fold is None and run.counts.problem == problem:
            truth = run.counts.test_confusion.sum(axis=2)
            background = np.zeros_like(run.counts.test_confusion)
            background[:, :, 0] = truth
            return (Baseline("all background", "every pixel is background", background),)
    return ()


def _fold_baselines(evidence: Evidence, problem: str, runs):
    """On each fold; none unless all five were trained, for the table has means over them."""
    if evidence.slices is None or len({run.fold for run in runs}) < NUM_FOLDS:
        return ()
    slices = _problem_slices(evidence, problem)
    return [evaluate_baselines(slices.subset(f.train), slices.subset(f.test)) for f in five_folds(len(slices))]


def agreement_table(evidence: Evidence) -> Table | None:
    """How far networks at hand agree with each other on the test slices, as Dice and pixels; None for fewer than two.

    Two trainings of one recipe differ in their weights; what they make of a slice should not.
    """
    if evidence.slices is None:
        return None
    rows = []
    for position, first in enumerate(evidence.networks):
        for second in evidence.networks[position + 1 :]:
            if first.problem == second.problem:
                lesions = [(network.predictions > 0).astype(np.uint8) for network in (first, second)]
                counts = confusion_matrices(*lesions, 2).sum(axis=0)
                rows.append((first.label, second.label, float(dice(counts)[1]), int(counts[0, 1] + counts[1, 0])))
    if not rows:
        return None
    return Table(
        "Agreement between trained networks on the 18 test slices.",
        ("network", "other network", "Dice", "pixels that differ"),
        tuple(rows),
        ("Dice of the lesions that the two predict, all lesion classes together; of 1,179,648 pixels.",),
    )
