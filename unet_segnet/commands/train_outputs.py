"""What trainings on own data leave beside their runs: tables of the test slices, and pictures of the first run."""

from collections.abc import Sequence
from pathlib import Path

from unet_segnet.output.console import say
from unet_segnet.training import PICTURE

SHOWN = (
    *("scores.csv", "scores.md", "patients.csv", "patients.md", "slices.csv"),
    *("training.png", "segmentations.png"),
)


def show(jobs: Sequence, folders: Sequence[Path], cohort, target: Path, notes: Sequence[str]) -> None:
    """Print the scores of the test slices, write them, and draw the first run.

    Arguments:
        jobs: finished `unet_segnet.cohort.training.OwnJob`s, the folds of one network.
        folders: of their runs.
        cohort: `unet_segnet.cohort.load.Cohort` with all slices.
        target: folder of tables and pictures.
        notes: for the tables.
    """
    import numpy as np

    from unet_segnet.cohort.training import KIND
    from unet_segnet.measures.baselines import evaluate_baselines
    from unet_segnet.measures.patient_scores import Method, ScoredSlices, score_tables, slice_table
    from unet_segnet.output.tabular import write_tables
    from unet_segnet.runs.pictures import draw_run
    from unet_segnet.runs.reading import read_run
    from unet_segnet.training.soft_dice import HISTORY_KEYS as COMPARE_KEYS

    tested, confusions, baselines, drawn = [], [], [], None
    notes = list(notes)
    for job, folder in zip(jobs, folders, strict=True):
        run = read_run(folder, KIND)
        result, counts = run.result, run.counts
        if counts is None:
            notes.append(f"{folder.name} diverged in epoch {result.get('epoch', '?')} and is left out.")
            continue
        if result.get("missing_classes"):
            notes.append(f"{folder.name}: {', '.join(result['missing_classes'])} is on no training slice: not learnt.")
        if result.get("one_class_only"):
            notes.append(f"{folder.name} predicts one class only and is in the table as it is.")
        if len(job.split.test):
            drawn = drawn or (job, folder)
            parts = [cohort.slices.subset(part) for part in (job.split.train, job.split.test)]
            baselines.append(evaluate_baselines(*parts))
            tested += job.split.test.tolist()
            confusions.append(counts["test_confusion"])
    networks = [path for folder in folders if (path := folder / "model.keras").is_file()]
    for path in networks:
        print(f"network: {path}")
    if not confusions:
        say(" ".join(["no test slices: nothing is scored." if networks else "nothing is scored.", *notes]))
        _remove_others(target, [PICTURE] if target in folders else [])  # which is this run's own
        return
    part = cohort.subset(tested)
    about = ScoredSlices(part.slices.names, part.groups, part.num_unknown, part.slices.class_names, jobs[0].spec.data)
    methods = [Method(jobs[0].spec.network, np.concatenate(confusions))]
    for of_folds in zip(*baselines, strict=True):
        is_same = len({one.description for one in of_folds}) == 1
        text = of_folds[0].description if is_same else "fitted on the training slices of each fold"
        methods.append(Method(of_folds[0].name, np.concatenate([one.test_confusion for one in of_folds]), text))
    files = write_tables(score_tables(about, methods, notes), target)
    slice_table(about, methods[0]).to_csv(target / "slices.csv")
    job, folder = drawn
    watched = COMPARE_KEYS if job.plan.recipe == "compare" else None
    pictures = draw_run(folder, cohort.slices.subset(job.split.test), target, watched)
    files += ["slices.csv", "split.json", *(file.name for file in pictures)]
    _remove_others(target, files)
    say(f"written to {target}: {', '.join(files)}")


def _remove_others(target: Path, files: list[str]) -> None:
    """Remove what is shown there of a run that --force threw away, once this one's own files are written."""
    for name in set(SHOWN) - set(files):
        (target / name).unlink(missing_ok=True)
