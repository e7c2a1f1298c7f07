"""What a finished training of the second study counted, and grids of such numbers beside the published ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.bizopoulos2021.protocol import ONE_SCAN, RELEASED_RULE
from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, INITIALISATIONS, encoders
from unet_segnet.measures.metrics import foreground_scores, mean_defined


@dataclass(frozen=True, eq=False)
class CompareRun:
    """One finished training of the second study.

    Attributes:
        experiment, architecture, encoder: as in Table II.
        initialisation: "none", "imagenet", or another source of weights.
        seed: of the training.
        names: (n,) test slices.
        volumes: (n,) the volume of each.
        confusion: (n, 2, 2) pixels, rows the truth, background first.
        data: name of the data set that trained, and that tested where `test` is None.
        article_data: are they the article's, by their name and the number of test slices?
        changes: in what it differs from the article's recipe, such as "15 epochs"; empty where in nothing.
        parameters: trainable ones.
        seconds: median over the epochs of training and of validation.
        device: that it ran on.
        conditions: what else its times depend on, for texts: backend, threads, data type.
        folder: where its files are.
        config: what determined it (`config.json`).
        other_files: do most runs on data of that name have others?
        test: name of the data set that tested, where it is another one.
    """

    experiment: str
    architecture: str
    encoder: str
    initialisation: str
    seed: int
    names: tuple[str, ...]
    volumes: tuple[str, ...]
    confusion: np.ndarray
    data: str
    article_data: bool
    changes: tuple[str, ...]
    parameters: int
    seconds: tuple[float, float]
    device: str
    conditions: tuple[str, ...]
    folder: Path
    config: dict = field(default_factory=dict)
    other_files: bool = False
    test: str | None = None

    @property
    def model(self) -> tuple[str, str, str]:
        """Architecture, encoder and initialisation."""
        return self.architecture, self.encoder, self.initialisation

    @property
    def epochs(self) -> int:
        """That it was to train for."""
        return self.config["recipe"].get("epochs", 0)

    @property
    def label(self) -> str:
        """For captions and rows."""
        start = INITIALISATIONS.get(self.initialisation, self.initialisation)
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{ARCHITECTURES[self.architecture]} {self.encoder}, {start}{seed}"

    @property
    def source(self) -> str:
        """The data, for texts."""
        name = f"{self.data}, tested on {self.test}" if self.test else self.data
        return f"{name} (other files of that name)" if self.other_files else name

    @property
    def sha256(self) -> tuple[str | None, str | None]:
        """Of the data's files, and of those that tested where they are of another data set."""
        data = self.config["data"]
        return data.get("sha256"), data["test"].get("sha256") if self.test else None

    @property
    def dtype(self) -> str:
        """The data type that it was trained in."""
        return self.conditions[-1]

    @property
    def scale(self) -> str:
        """Of the augmentation; the article does not state it."""
        return str(self.config["recipe"].get("scale"))

    @property
    def split(self) -> str:
        """Which slices trained, validated and tested."""
        return json.dumps(self.config.get("split"), sort_keys=True)

    @property
    def deviations(self) -> tuple[str, ...]:
        """In what it differs from the article's protocol, such as "on ct20"; empty where in nothing."""
        return self.changes if self.article_data else (f"on {self.source}", *self.changes)

    @property
    def protocol(self) -> tuple:
        """What runs that are compared must have in common."""
        return self.data, self.test, self.sha256, self.split, self.changes, self.scale, self.dtype

    @property
    def all_but_training(self) -> tuple:
        """What runs that were tested on one data set have in common whatever they were trained on."""
        return self.test, self.sha256[1], self.changes, self.scale, self.dtype

    @property
    def scans(self) -> tuple[str, ...]:
        """The scan of each slice, by the name of its volume: two volumes may be one scan."""
        same = ONE_SCAN.get(self.test or self.data, {})
        return tuple(same.get(volume, volume) for volume in self.volumes)

    def scores(self, empty: str = RELEASED_RULE) -> np.ndarray:
        """(n, 3) sensitivity, specificity and Dice of each test slice, percent."""
        return 100 * foreground_scores(self.confusion, empty)

    def filled_scores(self) -> np.ndarray:
        """(3,) means over the test slices whose truth is not empty, percent; NaN where there is none."""
        filled = self.confusion[:, 1].sum(axis=1) > 0
        return mean_defined(100 * foreground_scores(self.confusion[filled], "nan"), axis=0)

    def volume_scores(self) -> dict[str, np.ndarray]:
        """Volume -> its three scores (3,), percent, the pixels of its slices together; NaN without denominator."""
        return self._pooled(self.volumes)

    def scan_scores(self) -> dict[str, np.ndarray]:
        """Scan -> its three scores, as `volume_scores`."""
        return self._pooled(self.scans)

    def _pooled(self, of: tuple[str, ...]) -> dict[str, np.ndarray]:
        groups = np.array(of)
        return {
            name: 100 * foreground_scores(self.confusion[groups == name].sum(axis=0), "nan")
            for name in dict.fromkeys(of)
        }

    def history(self) -> dict[str, np.ndarray]:
        """ "loss" and "validation_loss" of each epoch (E,)."""
        from unet_segnet.runs.folder import read_arrays

        return read_arrays(self.folder / "history.npz", ("loss", "validation_loss"))

    def first_layer(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Kernels (k, k, 1, filters) of the first convolution before and after training, where they were kept."""
        from unet_segnet.runs.folder import read_arrays

        path = self.folder / "first_layer.npz"
        return tuple(read_arrays(path, ("before", "after")).values()) if path.is_file() else None

    @property
    def weights(self) -> Path | None:
        """The trained network, where it was kept."""
        path = self.folder / "model.keras"
        return path if path.is_file() else None


def run_grid(runs: Iterable[CompareRun], value: Callable[[CompareRun], np.ndarray | float]) -> np.ndarray:
    """A value of each run in the axes of `published.score_grid`, averaged over seeds; NaN where none ran.

    Arguments:
        runs: those with other initialisations than Table II's are left out.
        value: of a run, a number or an array.

    Returns:
        (3, 2, 4, 25, *shape of the value).
    """
    axes = [list(axis) for axis in (EXPERIMENTS, INITIALISATIONS, ARCHITECTURES, encoders())]
    found: dict[tuple[int, ...], list] = {}
    for run in runs:
        if run.initialisation in INITIALISATIONS:
            keys = (run.experiment, run.initialisation, run.architecture, run.encoder)
            place = tuple(axis.index(key) for axis, key in zip(axes, keys, strict=True))
            found.setdefault(place, []).append(np.asarray(value(run), np.float64))
    shape = next(iter(found.values()))[0].shape if found else ()
    grid = np.full((*map(len, axes), *shape), np.nan)
    for place, values in found.items():
        grid[place] = np.mean(values, axis=0)
    return grid


def mean_scores(run: CompareRun) -> np.ndarray:
    """(3,) sensitivity, specificity and Dice, means over the test slices by the rule of the released code, percent."""
    return run.scores().mean(axis=0)


def score_grid(runs: Iterable[CompareRun], value: Callable[[CompareRun], np.ndarray] = mean_scores) -> np.ndarray:
    """(3, 2, 4, 25, 3) as `published.score_grid`, of our runs; `value` gives the three scores of one."""
    runs = list(runs)
    if not runs:
        return np.full((len(EXPERIMENTS), len(INITIALISATIONS), len(ARCHITECTURES), len(encoders()), 3), np.nan)
    return run_grid(runs, value)
