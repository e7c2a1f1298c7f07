"""Scans end to end, by networks that never saw their source: lungs, lesions in them, and what stands beside.

    whole.csv, .md    a row for each scan, and for all scans of a source

In the true lungs stand beside each other: the network; the first study's, which marks infected tissue in grey levels of
a fixed window; a grey threshold, the level (of `unet_segnet.data.normalise.lung_levels`) of the largest Dice over the
lungs of all sources but the tested one; and other people's labels of the same scans (ct20's volumes).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.networks.runs import OF_TASK, STUDY, TESTS_ALONE
from experiments.networks.sources import read_cases
from unet_segnet.errors import InputError
from unet_segnet.output.records import check_folder, read_json, write_text
from unet_segnet.output.tabular import Table

COLUMNS = (
    "source", "scan", "slices", "lungs: Hounsfield units", "lungs: network", "lungs: both",
    "lesions in true lungs: network", "lesions in true lungs: first study's", "lesions in true lungs: grey threshold",
    "lesions in true lungs: other people", "lesions end to end: network", "lesions end to end: first study's",
    "called infected, percent: network", "called infected, percent: first study's", "AUC of slices: network",
    "AUC of slices: first study's",
)  # fmt: skip
NOTES = (
    "Dice at the scans' own size. all pixels: of the pixels of all scans together; mean: of the scans' own. called "
    "infected: of the lungs that were found, end to end. Volume 3 of medseg9 is left out, being volume 2 again.",
    "other people: ct20's labels of those slices of the same scans that it has, found by their lungs, at 256x256.",
)
OTHERS = {2: 1, 3: 2, 5: 3, 6: 4, 7: 5, 8: 6, 9: 7, 4: 8, 1: 9}  # medseg9's volumes -> ct20's names of the same scans
LEVELS = np.arange(0.3, 1.5, 0.02)


@dataclass(frozen=True)
class Files:
    """A scan and what people marked in it, None where nobody did; `others`: lungs and lesions by other people."""

    source: str
    name: str
    scan: Path
    lungs: Path | None = None
    lesions: Path | None = None
    others: tuple[Path, Path] | None = None


def files_of(source: str) -> Iterator[Files]:
    """The whole scans of a source; none of those that have single slices."""
    from unet_segnet.data.catalogue import find_data

    if source == "medseg9":
        folder, ct20 = find_data(source), find_data("ct20")
        for number in sorted(OTHERS):
            scan, lesions, lungs = (folder / f"{kind}/{number}.nii.gz" for kind in ("rp_im", "rp_msk", "rp_lung_msk"))
            others = tuple(ct20 / f"{kind}/{OTHERS[number]}.nii.gz" for kind in ("rp_lung_msk", "rp_msk"))
            if number != 3:
                yield Files(source, str(number), scan, lungs, lesions, others)
    elif source == "lctsc3":
        for path in sorted((find_data(source) / "images").glob("*.nii.gz")):
            yield Files(source, path.name.removesuffix(".nii.gz"), path, path.parents[1] / "lungs" / path.name)
    elif source in ("normal001", "P001"):
        yield Files(source, source, find_data("covid-ct-md") / source)


def write_whole_table(out: Path, results: Path, network: str, seed: int) -> None:
    """Print the table and write it as whole.csv.

    Arguments:
        out: folder of the runs whose networks are used.
        results: of the table.
        network: architecture and encoder of these, as in their folders' names.
        seed: of these.

    Raises:
        InputError: a network that was trained without a source is missing, or data are.
    """
    from unet_segnet.networks.load import load_model

    check_folder(results)
    networks = {
        source: {task: network_without(out, task, source, network, seed) for task in OF_TASK}
        for source in ("medseg9", "lctsc3", "normal001", "P001")
    }
    first, rows = load_model("binary"), []
    for source, paths in networks.items():
        lesions, level = load_model(paths["lesions"]), grey_threshold(source)
        scans = []
        for files in files_of(source):
            scans.append(counts_of(files, str(paths["lungs"]), {"network": lesions, "first study's": first}, level))
            rows.append(_row(source, files.name, scans[-1:]))
            print(f"{source} {files.name}", flush=True)
        if len(scans) > 1:
            rows += [_row(source, "all pixels", scans), _row(source, "mean", scans, mean=True)]
    table = Table("Whole scans, by networks that never saw their source.", COLUMNS, tuple(rows), NOTES)
    results.mkdir(parents=True, exist_ok=True)
    table.to_csv(results / "whole.csv")
    write_text(results / "whole.md", table.to_markdown())
    print(f"{table.to_text()}\nwritten to {results}: whole.csv, whole.md")


def network_without(out: Path, task: str, source: str, network: str, seed: int) -> Path:
    """The network of a task that never saw a source: left out, or no source of that task (then of all others).

    Raises:
        InputError: there is none.
    """
    teaches = source in OF_TASK[task] and source not in TESTS_ALONE
    for folder in sorted((out / STUDY).glob(f"{task}-*/{network}/seed{seed}")):
        left_out = read_json(folder / "config.json")["without"]
        if (source in left_out if teaches else not left_out) and (folder / "model.keras").is_file():
            return folder / "model.keras"
    raise InputError(f"{out}: no network of {task} that was trained without {source}; train one with `without`")


def grey_threshold(source: str) -> float:
    """The level of the largest Dice over all lungs of the other sources with marked lesions."""
    from experiments.networks.learning import LESION, OUTSIDE, lesion_examples

    found = np.zeros((len(LEVELS), 3))
    for other in OF_TASK["lesions"]:
        for case in read_cases(other) if other not in (source, *TESTS_ALONE) else ():
            levels, codes = lesion_examples(case)
            inside, marked = levels[codes < OUTSIDE].astype(np.float32), codes[codes < OUTSIDE] == LESION
            for index, level in enumerate(LEVELS):
                found[index] += overlap(inside > level, marked)
    return float(LEVELS[np.argmax([dice_of(of) for of in found])])


def counts_of(files: Files, lungs: str, networks: dict, level: float) -> dict[str, np.ndarray]:
    """Of each score that a scan has, what it is made from: `overlap`, or pixels called infected and of lung.

    Arguments:
        files: the scan's.
        lungs: the file of the network that finds lungs.
        networks: of lesions, by the column they stand in.
        level: the grey threshold.
    """
    from unet_segnet.data.normalise import lung_levels
    from unet_segnet.inference.find_lungs import find_lungs
    from unet_segnet.inference.lungs import lung_masks
    from unet_segnet.inference.segmentation import Prepared, segment
    from unet_segnet.scans import lay_on, read_scan, to_network

    scan = read_scan(files.scan)
    slices = to_network(scan)

    def mask(path):
        return to_network(lay_on(scan, read_scan(path)), like=slices).images > 0

    both = find_lungs(scan, slices, "auto", network=lungs)
    found = {"slices": len(slices.images)}
    if files.lungs:
        true = mask(files.lungs)
        ways = {
            "Hounsfield units": lung_masks(slices.images, slices.spacing),
            "network": find_lungs(scan, slices, lungs).sides,
            "both": both.sides,
        }
        found |= {f"lungs: {way}": overlap(sides > 0, true) for way, sides in ways.items()}
    truth = mask(files.lesions) if files.lesions else None
    for name, model in networks.items():
        whole = segment(Prepared(scan, slices, both, True), model)
        marked = whole.labels > 0
        inside = marked & (both.sides > 0)
        found[f"called infected, percent: {name}"] = np.array([inside.sum(), (both.sides > 0).sum()])
        found[f"by slice: {name}"] = inside.sum(axis=(1, 2))
        if truth is not None:
            given = segment(Prepared(scan, slices, replace(both, sides=true.astype(np.uint8)), True), model)
            found[f"lesions end to end: {name}"] = overlap(marked, truth)
            found[f"lesions in true lungs: {name}"] = overlap((given.labels > 0) & true, truth)
    if truth is not None:
        dense = (lung_levels(slices.images, true) > level) & true
        found["lesions in true lungs: grey threshold"] = overlap(dense, truth)
    if files.others:
        found["lesions in true lungs: other people"] = overlap(*both_labels(true, truth, *map(_others, files.others)))
    if files.source == "P001":
        (case,) = read_cases("P001")
        found["infected"] = case.infected
    return found


def both_labels(lungs, lesions, other_lungs, other_lesions) -> tuple[np.ndarray, np.ndarray]:
    """Other people's lesions, (num_slices, size, size) bool, and those of the same slices, at their size.

    Arguments:
        lungs, lesions: (num_slices, height, width) bool, of a whole scan.
        other_lungs, other_lesions: likewise of some of its slices, nobody knows which: those with the most alike lungs.
    """
    from unet_segnet.data.resize import resize_labels

    lungs, lesions = (resize_labels(masks, other_lungs.shape[1:]) for masks in (lungs, lesions))
    alike = [[dice_of(overlap(one, other)) for other in lungs] for one in other_lungs]
    return other_lesions, lesions[np.nanargmax(alike, axis=1)]


def _others(path: Path) -> np.ndarray:
    from unet_segnet.scans import read_scan, to_network

    return to_network(read_scan(path), "upside-down").images > 0


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pixels of both, of the one, of the other."""
    return np.array([np.count_nonzero(one & other), np.count_nonzero(one), np.count_nonzero(other)])


def dice_of(counts: np.ndarray) -> float:
    """Of an `overlap`; NaN where there is nothing in either."""
    both, one, other = counts
    return float(2 * both / (one + other)) if one + other else float("nan")


def _row(source: str, name: str, scans: list[dict], mean: bool = False) -> tuple:
    cells = [source, name, sum(scan["slices"] for scan in scans)]
    for column in COLUMNS[3:]:
        kind, _, who = column.partition(": ")
        of = [scan[column] for scan in scans if column in scan]
        if kind == "AUC of slices":
            cells.append(_auc(scans[0], who) if len(scans) == 1 else None)
        elif not of:
            cells.append(None)
        else:
            score = _share if kind.startswith("called") else dice_of
            cells.append(float(np.mean([score(one) for one in of])) if mean else score(sum(of)))
    return tuple(cells)


def _share(counts: np.ndarray) -> float:
    return float(100 * counts[0] / counts[1])


def _auc(scan: dict, who: str) -> float | None:
    from experiments.networks.table import slice_auc

    return slice_auc(scan["infected"].astype(int), scan[f"by slice: {who}"]) if "infected" in scan else None
