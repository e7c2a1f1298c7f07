"""The paper's Tables 1 to 7, ours beside the published."""

from __future__ import annotations

import numpy as np

from experiments.saood2021 import published
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import NETS, PROBLEMS, VARIANTS, configurations
from experiments.saood2021.tables.scores import accuracy_table, class_table, five_fold_table
from experiments.saood2021.tables.trainings import STREAMS, lesion_dice, notes_on_kinds
from unet_segnet.data import five_folds, paper_split
from unet_segnet.data.balance import class_sizes
from unet_segnet.data.splits import NUM_FOLDS
from unet_segnet.measures.baselines import Baseline, evaluate_baselines
from unet_segnet.measures.metrics import confusion_matrices, dice, global_accuracy
from unet_segnet.models.registry import NETWORKS
from unet_segnet.output.tabular import Hundredths, Signed, Table

RAW_MASKS = "dataset/raw/tr_mask.nii.gz"


def paper_tables(evidence: Evidence) -> dict[str, Table]:
    """Tables 1 to 7 by file name; those of trainings once per variant that has finished runs.

    The variant "released", which is what the authors trained, is there even before any of our runs is, with the
    published values alone.
    """
    tables = {"table1_class_sizes": size_table(evidence), "table2_configurations": configuration_table(evidence)}
    for number, problem in ((3, "binary"), (5, "multiclass")):
        baselines = grid_baselines(evidence, problem)
        for variant in VARIANTS:
            finished = evidence.grid(problem, variant)
            runs = [run.counts for run in finished]
            if not runs and variant != "released":
                continue
            arguments = {
                "networks": NETS,
                "baselines": baselines,
                "data": evidence.data,
                "problem": problem,
                "notes": (*_notes_on_runs(evidence, f"grid/{variant}-{problem}-"), *notes_on_kinds(finished)),
            }
            tables[f"table{number}_{problem}_{variant}"] = accuracy_table(
                runs, released=problem == "binary", **arguments
            )
            tables[f"table{number + 1}_{problem}_{variant}"] = class_table(runs, **arguments)
    for problem in PROBLEMS:
        for variant in VARIANTS:
            finished = evidence.folds(problem, variant)
            runs = [run.counts for run in finished]
            if runs or variant == "released":
                tables[f"table7_{problem}_{variant}"] = five_fold_table(
                    runs,
                    baselines=_fold_baselines(evidence, problem, runs),
                    data=evidence.data,
                    problem=problem,
                    networks=NETS,
                    notes=(*_notes_on_runs(evidence, f"kfold/{variant}-{problem}-"), *notes_on_kinds(finished)),
                )
    return tables


def _notes_on_runs(evidence: Evidence, group: str) -> tuple[str, ...]:
    """What there is to say of the runs whose folder begins so: diverged, left out, or of one class only."""
    return tuple(sentence for sentence in evidence.missing if sentence.startswith(group))


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
    """The finished trainings: what each was, how it did, how long it took, where its files come from; None without."""
    if not evidence.runs:
        return None
    from unet_segnet.training.class_weighted import Recipe  # its import is the backend's

    rows = []
    for run in evidence.runs:
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
        rows.append((*about, STREAMS[counts.stream], run.dtype, accuracy, off, overlap, *times, *origin))
    about = ("network", "variant", "problem", "exp.", "fold", "seed", "random numbers", "data type")
    return Table(
        "The finished trainings.",
        (*about, "accuracy", "diff.", "Dice", "minutes", "slices/s", "device", "commit", "finished"),
        tuple(rows),
        (
            "accuracy: mean global accuracy over the test slices; diff.: less the published mean (Tables 3 and 5).",
            "Dice: of the lesion classes, their mean, from the pixels of all test slices together.",
            "minutes: of all epochs with their validations; the machine may have had other work beside them.",
            "slices/s: training slices, on average over these minutes; a last mini-batch that is not full is left out.",
        ),
    )


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
