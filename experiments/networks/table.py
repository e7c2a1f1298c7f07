"""The scores of all finished trainings on what they were not trained on, from the counts in their folders."""

from pathlib import Path

import numpy as np

from experiments.networks.runs import HALF, KIND, STUDY, TEST, THRESHOLDS, best_threshold, dice_of, scans_of
from unet_segnet.errors import InputError
from unet_segnet.output.tabular import Table
from unet_segnet.runs.reading import read_run

COLUMNS = (
    "task", "without", "network", "seed", "tested on", "scans", "slices", "threshold", "Dice: all pixels",
    "Dice: mean of scans", "Dice: at 0.5", "sensitivity", "precision", "share of lungs", "AUC of slices",
)  # fmt: skip
NOTES = (
    "Counted at the scans' own size. The threshold is chosen by the mean Dice of the validation scans of sources that "
    "were trained on (the one nearest to 0.5 of those within 0.02 of the best); all scores but that at 0.5 are at it. "
    "share of lungs: found lesion over found lungs, "
    "percent. AUC of slices: infected or not, by the marked area.",
    "Volume 3 of medseg9 is left out, being volume 2 again. The 100 slices of COVID19-DL are of unknown patients, so "
    "that its test slices may be of those that were trained on. Lungs: medseg9, ct20, lctsc3 as marked by people, "
    "COVID19-DL as cut out there, normal001 and P001 as found by their Hounsfield units.",
)


def write_score_table(out: Path, results: Path) -> None:
    """Print the table and write it as scores.csv, with where each run comes from in runs.json.

    Raises:
        InputError: no run is finished, or its counts cannot be read.
    """
    from unet_segnet.output.records import check_folder, write_json

    folders = KIND.folders(out)
    if not folders:
        raise InputError(f"{out / STUDY}: no finished run; train some, or give another folder with `out`")
    check_folder(results)
    rows, records = [], {}
    for folder in folders:
        run = read_run(folder, KIND)
        if run.counts is not None:
            rows += score_rows(run.config, run.counts)
            records[folder.relative_to(out / STUDY).as_posix()] = {"config": run.config, "result": run.result}
    table = Table(
        "Networks for other people's scans, tested on what they were not trained on.", COLUMNS, tuple(rows), NOTES
    )
    results.mkdir(parents=True, exist_ok=True)
    table.to_csv(results / "scores.csv")
    write_json(results / "runs.json", records)
    print(f"{table.to_text()}\nwritten to {results}: scores.csv, runs.json")


def score_rows(config: dict, counts: dict[str, np.ndarray]) -> list[tuple]:
    """The rows of a run: one for each source that it was tested on.

    Arguments:
        config: of the run.
        counts: its counts.npz.
    """
    at = best_threshold(counts)
    rows = []
    for source in dict.fromkeys(counts["sources"][counts["parts"] == TEST].tolist()):
        chosen = (counts["parts"] == TEST) & (counts["sources"] == source)
        confusion, scans = counts["confusion"][chosen], scans_of(counts, chosen)
        marked = confusion[:, at, :, 1].sum(axis=-1)
        share = 100 * marked.sum() / counts["lung_pixels"][chosen].sum() if config["task"] == "lesions" else None
        (_, wrong), (missed, found) = confusion[:, at].sum(axis=0)
        known = missed + found > 0  # what is to be found is marked, and there
        rows.append(
            (
                config["task"],
                ", ".join(config["without"]) or "-",
                f"{config['architecture']} {config['encoder']}",
                config["seed"],
                source,
                len(scans),
                len(confusion),
                THRESHOLDS[at],
                dice_of(sum(scans)[at]) if known else None,
                float(np.nanmean([dice_of(of[at]) for of in scans])) if known and len(scans) > 1 else None,
                dice_of(sum(scans)[HALF]) if known else None,
                float(found / (missed + found)) if known else None,
                float(found / (wrong + found)) if known and wrong + found else None,
                share,
                slice_auc(counts["infected"][chosen], marked) if config["task"] == "lesions" else None,
            )
        )
    return rows


def slice_auc(infected: np.ndarray, marked: np.ndarray) -> float | None:
    """Area under the ROC curve of slices by their marked area; None where one kind of slice is missing.

    Arguments:
        infected: (num_slices,) 1 or 0; -1 unknown.
        marked: (num_slices,) pixels.
    """
    from scipy.stats import rankdata

    marked, infected = marked[infected >= 0], infected[infected >= 0] == 1
    positive, negative = int(infected.sum()), int((~infected).sum())
    if not positive or not negative:
        return None
    ranks = rankdata(marked)[infected].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
