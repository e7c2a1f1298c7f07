"""The scores of all finished trainings on what they were not trained on, from the counts in their folders.

scores.csv, .md    Dice, sensitivity and precision of each source that was left out
reliability.csv    how often what was given some probability is so
runs.json          where each run comes from
"""

from pathlib import Path

import numpy as np

from experiments.networks.runs import HALF, KIND, STUDY, TEST, THRESHOLDS, dice_of, facts, scans_of
from experiments.networks.sources import UNKNOWN_PATIENTS
from unet_segnet.errors import InputError
from unet_segnet.inference.familiarity import familiarity, unfamiliar_notes
from unet_segnet.measures.calibration import bins_of, calibration_error, scaled
from unet_segnet.measures.statistics import FEWEST_UNITS, bootstrap_mean
from unet_segnet.output.tabular import Table
from unet_segnet.runs.reading import read_run

COLUMNS = (
    "task", "without", "network", "seed", "epochs", "tested on", "scans", "slices", "threshold", "Dice: all pixels",
    "Dice: mean of scans", "Dice: 95 % from", "Dice: to", "Dice: at 0.5", "sensitivity", "precision", "share of lungs",
    "AUC of slices", "calibration error: as it is", "calibration error: scaled", "unlike",
)  # fmt: skip
FEWEST_OF_EACH = 10  # slices with and without lesions; with one of a kind an area under a curve says nothing
BINS = (*COLUMNS[:6], "as it is: from", "as it is: to", "scaled: from", "scaled: to", "pixels", "share")
NOTES = (
    "Counted at the scans' own size. The threshold is half of the best Dice of the validation scans' pixels, of "
    "sources that were trained on, as a probability that is right (of lesions: its logit divided by a temperature); "
    "all scores but that at 0.5 are at it. 95 %: of the mean, over scans (bootstrap, BCa), from "
    f"{FEWEST_UNITS} on; with 8 to 10 it holds the truth in about 0.9 of cases. share of lungs: found lesion over "
    "found lungs, percent. AUC of slices: infected or not, by the marked area, where there are at least "
    f"{FEWEST_OF_EACH} of each.",
    "calibration error: mean difference of probability and share of pixels that are so, of pixels with a probability "
    f"above {THRESHOLDS[0]:g}; scaled: as the validation scans ask. unlike: scans whose grey levels lie outside of "
    "those that were learnt from, which `predict` would say.",
    "Volume 3 of medseg9 is left out, being volume 2 again. The 100 slices of COVID19-DL are of unknown patients, so "
    "that its test slices may be of those that were trained on. Lungs: medseg9, ct20, lctsc3 as marked by people, "
    "COVID19-DL as cut out there, normal001 and P001 as found by their Hounsfield units.",
)


def write_score_table(out: Path, results: Path) -> None:
    """Print the table and write it as scores.csv, with where each run comes from in runs.json.

    Raises:
        InputError: no run is finished, or its counts cannot be read.
    """
    from unet_segnet.output.records import check_folder, write_json, write_text

    folders = KIND.folders(out)
    if not folders:
        raise InputError(f"{out / STUDY}: no finished run; train some, or give another folder with `out`")
    check_folder(results)
    rows, bins, records = [], [], {}
    for folder in folders:
        run = read_run(folder, KIND)
        if run.counts is not None:
            rows += score_rows(run.config, run.result, run.counts)
            bins += reliability_rows(run.config, run.result, run.counts)
            records[folder.relative_to(out / STUDY).as_posix()] = {"config": run.config, "result": run.result}
    table = Table(
        "Networks for other people's scans, tested on what they were not trained on.", COLUMNS, tuple(rows), NOTES
    )
    results.mkdir(parents=True, exist_ok=True)
    table.to_csv(results / "scores.csv")
    write_text(results / "scores.md", table.to_markdown())
    Table("Probabilities and what is there.", BINS, tuple(bins)).to_csv(results / "reliability.csv")
    write_json(results / "runs.json", records)
    print(f"{table.to_text()}\nwritten to {results}: scores.csv, scores.md, reliability.csv, runs.json")


def score_rows(config: dict, result: dict, counts: dict[str, np.ndarray]) -> list[tuple]:
    """The rows of a run: one for each source that it was tested on; arguments as of `runs.facts`."""
    told = facts(config, result, counts)
    at = THRESHOLDS.index(told["threshold"])
    rows = []
    for source in dict.fromkeys(counts["sources"][counts["parts"] == TEST].tolist()):
        chosen = (counts["parts"] == TEST) & (counts["sources"] == source)
        confusion, scans = counts["confusion"][chosen], scans_of(counts, chosen)
        marked = confusion[:, at, :, 1].sum(axis=-1)
        share = 100 * marked.sum() / counts["lung_pixels"][chosen].sum() if config["task"] == "lesions" else None
        pooled = sum(scans)
        (_, wrong), (missed, found) = pooled[at]
        known = missed + found > 0  # what is to be found is marked, and there
        told_apart = source not in UNKNOWN_PATIENTS
        of_scans = [dice_of(of[at]) for of in scans] if known and told_apart and len(scans) > 1 else []
        mean = bootstrap_mean(of_scans) if of_scans else None
        limits = (mean.low, mean.high) if len(of_scans) >= FEWEST_UNITS else (None, None)
        rows.append(
            (
                *_which(config),
                source,
                len(scans) if told_apart else None,
                len(confusion),
                THRESHOLDS[at],
                dice_of(pooled[at]) if known else None,
                mean.estimate if mean else None,
                *limits,
                dice_of(pooled[HALF]) if known else None,
                float(found / (missed + found)) if known else None,
                float(found / (wrong + found)) if known and wrong + found else None,
                share,
                slice_auc(counts["infected"][chosen], marked) if config["task"] == "lesions" else None,
                *(
                    calibration_error(THRESHOLDS, pooled, temperature) if known else None
                    for temperature in (1.0, told.get("temperature", 1.0))
                ),
                _unlike(source, counts["cases"][chosen], result, told),
            )
        )
    return rows


def reliability_rows(config: dict, result: dict, counts: dict[str, np.ndarray]) -> list[tuple]:
    """Of each source that a run was tested on, the pixels between neighbouring thresholds, and how many are so.

    Probabilities as the network gives them and, beside these, scaled as `predict --probabilities` writes them.
    """
    rows, edges = [], np.array([*THRESHOLDS, 1.0])
    temperature = facts(config, result, counts).get("temperature", 1.0)
    both = edges[:-1], edges[1:], *(scaled(part, temperature) for part in (edges[:-1], edges[1:]))
    limits = np.round(np.transpose(both), 4).tolist()
    for source in dict.fromkeys(counts["sources"][counts["parts"] == TEST].tolist()):
        chosen = (counts["parts"] == TEST) & (counts["sources"] == source)
        _, pixels = bins_of(THRESHOLDS, counts["confusion"][chosen].sum(axis=0))
        if pixels[:, 1].any():  # else nobody marked them
            rows += [
                (*_which(config), source, *of_bin, int(number.sum()), float(number[1] / number.sum()))
                for of_bin, number in zip(limits, pixels, strict=True)
                if number.any()
            ]
    return rows


def _which(config: dict) -> tuple:
    network = f"{config['architecture']} {config['encoder']}"
    return config["task"], ", ".join(config["without"]) or "-", network, config["seed"], config["recipe"]["epochs"]


def _unlike(source: str, cases: np.ndarray, result: dict, told: dict) -> int | None:
    """How many of a source's scans are unlike what was learnt from; None where that is not known."""
    known = result.get("grey_figures", {})
    names = [name for name in (f"{source}/{case}" for case in dict.fromkeys(cases.tolist())) if name in known]
    if not names or "seen" not in told:
        return None
    return sum(bool(unfamiliar_notes(familiarity(known[name], told["seen"]))) for name in names)


def slice_auc(infected: np.ndarray, marked: np.ndarray) -> float | None:
    """Area under the ROC curve of slices by their marked area; None with fewer than FEWEST_OF_EACH of either kind.

    Arguments:
        infected: (num_slices,) 1 or 0; -1 unknown.
        marked: (num_slices,) pixels.
    """
    from scipy.stats import rankdata

    marked, infected = marked[infected >= 0], infected[infected >= 0] == 1
    positive, negative = int(infected.sum()), int((~infected).sum())
    if min(positive, negative) < FEWEST_OF_EACH:
        return None
    ranks = rankdata(marked)[infected].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
