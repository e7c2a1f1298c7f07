"""The test volumes as the networks of the second study take them, and what networks at hand make of one of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from experiments.bizopoulos2021.counts import CompareRun
from experiments.bizopoulos2021.protocol import SIZE
from experiments.bizopoulos2021.published import DICE, EXPERIMENTS, stated
from unet_segnet.errors import InputError
from unet_segnet.measures.metrics import confusion_matrices

# Normalised intensities from end to end; what lies beyond counts in the last bin.
# Of 256 grey levels each bin holds four: unequal numbers would look like a comb.
BINS = {"hu": np.linspace(-2, 2, 101), "minmax": np.linspace(-0.5 / 255, 255.5 / 255, 65)}
SHOWN_ENCODERS = ("best_encoder", "worst_encoder")  # of Figure 3, as the article names them
SAME = 1e-3  # share of the pixels that may be counted otherwise on another device


@dataclass(frozen=True, eq=False)
class Pictures:
    """One test volume as the networks of one experiment take it, and what they make of it.

    Attributes:
        experiment: "lung", "lesion_a" or "lesion_b".
        volume: its name.
        source: the data set's name.
        images: (n, H, W) float32, the networks' input.
        masks: (n, H, W) bool, the truth.
        names: (n,) of the slices.
        slices: run -> (H, W) bool, what the networks at hand make of the slice with the largest mask.
        predictions: run -> (n, H, W) bool, of the whole volume, of fewer runs.
    """

    experiment: str
    volume: str
    source: str
    images: np.ndarray
    masks: np.ndarray
    names: tuple[str, ...]
    slices: dict[CompareRun, np.ndarray] = field(default_factory=dict)
    predictions: dict[CompareRun, np.ndarray] = field(default_factory=dict)


def add_pictures(evidence, data: str | None, runs: Path | None):
    """The `Evidence` with histograms of the test volumes, and one of them with predictions.

    Arguments:
        evidence: with its runs.
        data: name or path of the data set; None: the one of the runs that claims are judged by, or MedSeg's, where
            they are found and whole.
        runs: folder of the runs, where the phantom's files lie.

    Raises:
        InputError: `data` is given and is not to be had, or a file of it is damaged.
    """
    compared, missing, pictures, histograms = evidence.comparable, list(evidence.missing), [], {}
    try:
        opened, without = _open_all(compared, data, runs)
        missing += without
        all_same = all(same for _, same in opened.values())
        to_show = _volume_to_show(compared) if all_same else None
        shown = {}
        for experiment, (study, _) in opened.items():
            histograms[experiment], shown[experiment] = _read_volumes(study, experiment, to_show)
    except InputError as error:
        if data is not None:
            raise
        return replace(evidence, missing=(*missing, f"The test volumes: {error}."))
    if compared and not all_same:
        folder = next(study.folder for study, same in opened.values() if not same)
        missing.append(f"The data in {folder} are not those of the runs: no predicted masks are drawn.")
    for experiment, volume in shown.items():
        if volume is None:
            continue
        of_this = [run for run in compared if run.experiment == experiment and run.weights]
        picture, sentences = _picture(experiment, _volumes_name(opened[experiment][0]), volume, of_this)
        pictures.append(picture)
        missing += sentences
    return replace(
        evidence,
        histograms=histograms,
        histogram_data=" and ".join(dict.fromkeys(_volumes_name(study) for study, _ in opened.values())),
        histograms_of_runs=all_same,
        pictures=tuple(pictures),
        missing=tuple(missing),
    )


def _volumes_name(study) -> str:
    return study.test_name or study.name


def _open_all(compared: tuple[CompareRun, ...], data: str | None, runs: Path | None) -> tuple[dict, list[str]]:
    """By experiment, the data set as its runs take it: they may have been trained on slices of different kinds.

    Returns:
        Experiment -> what `_open` gives, and a sentence for each experiment of which that is not to be had.

    Raises:
        InputError: it is so of all of them.
    """
    opened, found, without = {}, {}, {}
    for experiment, title in EXPERIMENTS.items():
        run = next((run for run in compared if run.experiment == experiment), compared[0] if compared else None)
        key = run and run.protocol
        try:
            if key not in opened:
                opened[key] = _open(run, data, runs)
            found[experiment] = opened[key]
        except InputError as error:
            without[title] = error
    if not found:
        raise next(iter(without.values()))
    return found, [f"The test volumes of {title}: {error}." for title, error in without.items()]


def _open(run: CompareRun | None, data: str | None, runs: Path | None):
    """The data set, and whether it is that of the run, whose size and normalisation it then has."""
    from experiments.bizopoulos2021.data import open_data

    settings = run.config["data"] if run else {}
    name, test = data or (run and run.data), None
    if run and run.test:
        name, test = run.data, data or run.test
    study = open_data(name, settings.get("size", SIZE), settings.get("normalise"), runs or Path("runs"), test)
    if run and (study.sha256, study.test_sha256) == run.sha256:
        return study, True
    return replace(study, size=SIZE, rule=None), False


def _read_volumes(study, experiment: str, shown: str | None) -> tuple:
    """The histogram of all test volumes in an experiment, and the volume of that name, None where there is none."""
    counted, found = _Histogram(BINS[study.normalisation]), None
    for volume in study.volumes(experiment):
        counted.add(volume.images, volume.masks > 0)
        if volume.name == shown:
            found = volume
    return counted.shares(), found


class _Histogram:
    """Counts intensities of all pixels and of those of the mask, a volume at a time."""

    def __init__(self, edges: np.ndarray):
        self.edges = edges
        self.counts = np.zeros((2, len(edges) - 1), np.int64)

    def add(self, images: np.ndarray, masks: np.ndarray) -> None:
        for image, mask in zip(images, masks, strict=True):
            clipped = np.clip(image, self.edges[0], self.edges[-1])
            for counts, values in zip(self.counts, (clipped, clipped[mask]), strict=True):
                counts += np.histogram(values, self.edges)[0]

    def shares(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges, share of all pixels, share of the mask's pixels."""
        total = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return self.edges, *(self.counts / total)


def _volume_to_show(runs: tuple[CompareRun, ...]) -> str:
    """The volume with the most foreground, by what the runs counted: of lesions where a run looked for them."""
    run = max(runs, key=lambda run: run.experiment != "lung")
    volumes = np.array(run.volumes)
    foreground = run.confusion[:, 1].sum(axis=1)
    return max(dict.fromkeys(run.volumes), key=lambda name: foreground[volumes == name].sum())


def _picture(experiment: str, source: str, volume, runs: list[CompareRun]) -> tuple[Pictures, list[str]]:
    """A volume and what the networks at hand make of it."""
    masks = volume.masks > 0
    picture = Pictures(experiment, volume.name, source, volume.images, masks, volume.names)
    at = fullest_slice(picture)
    whole, sliced, missing = {}, {}, []
    wanted = runs_of_volumes(runs)
    for run in dict.fromkeys([*wanted, *runs_of_slices(runs)]):
        indices = np.arange(len(masks)) if run in wanted else np.array([at])
        predicted = _predict(run, volume.images[indices])
        if not _as_counted(run, [volume.names[index] for index in indices], masks[indices], predicted):
            missing.append(f"{run.label}: its network does not predict what its run counted; it is not drawn.")
            continue
        sliced[run] = predicted[at] if run in wanted else predicted[0]
        if run in wanted:
            whole[run] = predicted
    return replace(picture, slices=sliced, predictions=whole), missing


def _predict(run: CompareRun, images: np.ndarray) -> np.ndarray:
    """(n, H, W) bool, what the run's network finds."""
    from unet_segnet.output.console import import_keras

    import_keras()
    import unet_segnet.models  # noqa: F401  the networks' layers
    from unet_segnet.networks.load import load_model
    from unet_segnet.training.soft_dice import predict_foreground

    return predict_foreground(load_model(run.weights), images) > 0


def _as_counted(run: CompareRun, names: list[str], masks: np.ndarray, predicted: np.ndarray) -> bool:
    """Do predictions agree with the pixels that the run counted on the same slices?"""
    if not set(names) <= set(run.names):
        return False
    counts = confusion_matrices(masks.astype(np.uint8), predicted.astype(np.uint8), 2)
    difference = np.abs(counts - run.confusion[[run.names.index(name) for name in names]]).sum()
    return bool(difference <= 2 * SAME * masks.size)


def chosen_runs(runs: list[CompareRun], which: str) -> dict[str, CompareRun]:
    """Architecture -> the run to show: with the encoder of that name in the article, from random weights, if it ran.

    Else the same encoder from other weights, then the highest Dice over the test slices, the lowest for the worst.

    Arguments:
        runs: of one experiment.
        which: "best_encoder", "worst_encoder" or "volume_encoder".
    """
    sign = 1 if which == "worst_encoder" else -1

    def preference(run: CompareRun) -> tuple:
        dice = float(run.scores()[:, DICE].mean())
        return run.encoder != stated(which), run.initialisation != "none", sign * dice, run.label

    chosen: dict[str, CompareRun] = {}
    for run in sorted(runs, key=preference):
        chosen.setdefault(run.architecture, run)
    return chosen


def runs_of_slices(runs: list[CompareRun]) -> list[CompareRun]:
    """Those of one experiment that Figure 3 shows."""
    return [run for which in SHOWN_ENCODERS for run in chosen_runs(runs, which).values()]


def runs_of_volumes(runs: list[CompareRun]) -> list[CompareRun]:
    """Those of one experiment that Figure 7 shows."""
    return list(chosen_runs(runs, "volume_encoder").values())


def fullest_slice(pictures: Pictures) -> int:
    """Index of the slice with the largest true mask."""
    return int(pictures.masks.sum(axis=(1, 2)).argmax())
