"""One training, in a folder of its own (`unet_segnet.runs.folder`): OUT/networks/lesions-without-medseg9/fpn-.../seed0/

Its counts.npz has, of every slice that was not trained on and at every one of `THRESHOLDS`, a confusion matrix at the
scan's own size, the truth in rows; where the truth is unknown, all pixels stand in the first row.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.networks.learning import (
    augment_lesions,
    augment_lungs,
    can_teach,
    examples,
    figures_of,
    plain_lesions,
    plain_lungs,
    shown_to_network,
)
from experiments.networks.sources import GREY_WINDOW, SIZE, SOURCES, Case, read_cases
from unet_segnet.runs.folder import FORMAT, RunFolder, Trained
from unet_segnet.runs.reading import RunKind

STUDY = "networks"
THRESHOLDS = (0.01, 0.02, 0.03, *(round(0.05 * step, 2) for step in range(1, 20)))
COUNTS = ("thresholds", "slices", "cases", "sources", "parts", "infected", "lung_pixels", "confusion")
HALF = THRESHOLDS.index(0.5)
TRAINED, VALIDATION, TEST = "trained", "validation", "test"
TESTS_ALONE = ("P001",)
VALIDATING = {"COVID19-DL": ("validation",), "ct20": ("9", "10")}  # cases that choose the threshold
TESTING = {"COVID19-DL": ("test",)}  # cases that test though their source is trained on
LESION_SOURCES, LUNG_SOURCES = tuple(SOURCES), ("ct20", "medseg9", "lctsc3")
OF_TASK = {"lesions": tuple(of for of in LESION_SOURCES if of != "lctsc3"), "lungs": LUNG_SOURCES}


@dataclass(frozen=True)
class NetworkSpec:
    """What distinguishes one training from another.

    Attributes:
        task: "lungs" or "lesions".
        without: the sources that are left out and tested on, sorted; none: the network that is shipped.
        architecture, encoder: as of `unet_segnet.models.build_model`.
        seed: of the initial weights, draws, augmentation and dropout.
    """

    task: str
    without: tuple[str, ...]
    architecture: str
    encoder: str
    seed: int = 0

    @property
    def group(self) -> Path:
        """The folder of all networks of this task without these sources."""
        left_out = f"without-{'-'.join(self.without)}" if self.without else "all"
        return Path(STUDY) / f"{self.task}-{left_out}" / f"{self.architecture}-{self.encoder}"

    @property
    def name(self) -> str:
        """The run's own folder name."""
        return f"seed{self.seed}"


@dataclass(frozen=True)
class NetworkData:
    """The cases of a task; read when they are asked for, and kept."""

    task: str

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Of all sources."""
        return tuple(case for source in OF_TASK[self.task] for case in read_cases(source))

    @cached_property
    def sha256(self) -> str:
        """Of all that the cases' networks see, learn and are tested on."""
        found = hashlib.sha256()
        for case in self.cases:
            for array in (case.images, case.bodies, case.lungs, case.lesions, case.infected):
                found.update(b"-" if array is None else np.ascontiguousarray(array).data)
        return found.hexdigest()


def part_of(case: Case, spec: NetworkSpec) -> str | None:
    """What a case is for: "trained", "validation", "test", or None (volume 3 of medseg9, which volume 2 is again)."""
    if case.source in spec.without or case.source in TESTS_ALONE:
        return None if (case.source, case.name) == ("medseg9", "3") else TEST
    if case.name in TESTING.get(case.source, ()) and spec.without:
        return TEST
    if case.name in VALIDATING.get(case.source, ()):
        return VALIDATION
    return TRAINED if can_teach(spec.task, case) else None


@dataclass(frozen=True)
class NetworkJob:
    """One training; see `unet_segnet.runs.job.Job`.

    Attributes:
        spec: which.
        recipe: `unet_segnet.training.annealed.AnnealedRecipe`.
    """

    spec: NetworkSpec
    recipe: object

    def config(self, data: NetworkData) -> dict:
        """Everything that determines the run, ready for JSON."""
        import keras

        parts = {part: [] for part in (TRAINED, VALIDATION, TEST)}
        for case in data.cases:
            if part := part_of(case, self.spec):
                parts[part].append(f"{case.source}/{case.name}")
        return {
            "format": FORMAT,
            "study": STUDY,
            **asdict(self.spec),
            "recipe": asdict(self.recipe),
            "size": SIZE,
            "split": parts,
            "data_sha256": data.sha256,
            "backend": keras.config.backend(),
        }

    def train(self, data: NetworkData, folder: RunFolder, progress) -> Trained:
        """Train, and count on all cases that were not trained on."""
        from unet_segnet.models import build_model
        from unet_segnet.training.annealed import train_annealed
        from unet_segnet.training.compilation import dtype_policy

        spec, recipe = self.spec, self.recipe
        with dtype_policy(recipe.dtype):
            model = build_model(
                spec.architecture,
                encoder=spec.encoder,
                num_classes=2,
                input_shape=(SIZE, SIZE, 1),
                seed=spec.seed,
            )
        learnt = examples(spec.task, [case for case in data.cases if part_of(case, spec) == TRAINED])
        model, history = train_annealed(
            model,
            learnt.images,
            learnt.labels,
            learnt.probabilities,
            *((augment_lungs, plain_lungs) if spec.task == "lungs" else (augment_lesions, plain_lesions)),
            recipe,
            seed=spec.seed,
            checkpoint=folder.state,
            report=progress(recipe.epochs, f"{spec.group} {spec.name}").update,
            callbacks=folder.callbacks(),
        )
        tested = [case for case in data.cases if part_of(case, spec) in (VALIDATION, TEST)]
        counts = count(model, spec, tested)
        summary = {"parameters": model.count_params(), "training_seconds": float(history["epoch_seconds"].sum())}
        if spec.task == "lesions":
            summary["grey_figures"] = {
                f"{case.source}/{case.name}": figures_of(case) for case in data.cases if case.adjoining
            }
        config = self.config(data)
        return Trained(model, history, counts, summary, facts(config, summary, counts))


KIND = RunKind(studies=(STUDY,), history=("loss", "epoch_seconds"), counts=COUNTS, depth=2)


def facts(config: dict, result: dict, counts: dict[str, np.ndarray]) -> dict:
    """What a network's file says of it (`unet_segnet.networks.facts`), with the threshold of the validation scans.

    Arguments:
        config, result, counts: of its run.
    """
    from unet_segnet.data.slices import BINARY_NAMES
    from unet_segnet.inference.familiarity import seen_ranges
    from unet_segnet.measures.calibration import fit_temperature
    from unet_segnet.networks.facts import BODIES, LUNG_LEVELS

    is_lungs = config["task"] == "lungs"
    validation = counts["confusion"][counts["parts"] == VALIDATION].sum(axis=0)
    temperature = 1.0 if is_lungs else fit_temperature(THRESHOLDS, validation)
    known = result.get("grey_figures", {})
    figures = [known[name] for name in config["split"][TRAINED] if name in known]
    return {
        "class_names": ["no lung", "lung"] if is_lungs else list(BINARY_NAMES),
        "takes": BODIES if is_lungs else LUNG_LEVELS,
        **({"window": list(GREY_WINDOW)} if is_lungs else {"temperature": temperature}),
        **({"seen": seen_ranges(figures)} if figures else {}),
        "threshold": THRESHOLDS[best_threshold(validation, temperature)],
    }


def best_threshold(validation: np.ndarray, temperature: float = 1.0) -> int:
    """Index of the threshold of the largest Dice to expect elsewhere; that of 0.5 where no lesion validates.

    The Dice of single thresholds, on so few scans, differs too little to choose by: only the best of them is taken
    from the validation scans' pixels, and theory tells the rest (`unet_segnet.measures.calibration.dice_threshold`).

    Arguments:
        validation: (num_thresholds, 2, 2) counts of the validation scans' pixels.
        temperature: of the probabilities.
    """
    from unet_segnet.measures.calibration import dice_threshold

    if not validation[..., 1, :].any():  # without a lesion, no Dice is above 0
        return HALF
    threshold = dice_threshold(np.nanmax([dice_of(at) for at in validation]), temperature)
    return int(np.argmin(np.abs(np.subtract(THRESHOLDS, threshold))))


def scans_of(counts: dict[str, np.ndarray], chosen: np.ndarray) -> list[np.ndarray]:
    """(num_thresholds, 2, 2) counts of each scan of chosen slices, in their order."""
    confusion, names = counts["confusion"][chosen], np.char.add(counts["sources"], counts["cases"])[chosen]
    return [confusion[names == name].sum(axis=0) for name in dict.fromkeys(names.tolist())]


def dice_of(confusion: np.ndarray) -> float:
    """Of the second class of a 2x2 confusion matrix; NaN where it is neither there nor found."""
    from unet_segnet.measures.metrics import dice

    return float(dice(confusion)[1])


def count(model, spec: NetworkSpec, cases: Sequence[Case]) -> dict[str, np.ndarray]:
    """The arrays of counts.npz, of cases that were not trained on."""
    rows = {key: [] for key in COUNTS if key != "thresholds"}
    for case in cases:
        found = probabilities(model, spec.task, case)
        truth = case.lungs if spec.task == "lungs" else case.lesions
        region = None if spec.task == "lungs" else case.lungs
        for index, probability in enumerate(found):
            rows["slices"].append(case.names[index])
            rows["cases"].append(case.name)
            rows["sources"].append(case.source)
            rows["parts"].append(part_of(case, spec))
            rows["infected"].append(-1 if case.infected is None else int(case.infected[index]))
            rows["lung_pixels"].append(int(case.lungs[index].sum()))
            rows["confusion"].append(
                confusion_at(
                    THRESHOLDS,
                    probability,
                    None if truth is None else truth[index],
                    None if region is None else region[index],
                )
            )
    return {"thresholds": np.asarray(THRESHOLDS), **{key: np.asarray(values) for key, values in rows.items()}}


def probabilities(model, task: str, case: Case, batch_size: int = 8) -> np.ndarray:
    """(num_slices, height, width) float32 probabilities of lung or lesion at the scan's own size."""
    from unet_segnet.data.normalise import resize_bilinear
    from unet_segnet.inference.network_lungs import uncrop
    from unet_segnet.inference.prediction import mirrored_mean

    shown = shown_to_network(task, case)
    found = [
        mirrored_mean(model, shown[start : start + batch_size])[..., 1] for start in range(0, len(shown), batch_size)
    ]
    shape = case.lungs.shape[1:]
    maps = np.concatenate(found)
    return uncrop(maps, case.boxes, shape) if task == "lungs" else resize_bilinear(maps, shape)


def confusion_at(thresholds, probability, truth=None, region=None) -> np.ndarray:
    """(num_thresholds, 2, 2) int64 counts of pixels of a slice, truth in rows.

    Arguments:
        thresholds: in rising order; a pixel counts as found where its probability is above.
        probability: (height, width).
        truth: likewise bool; None: nothing is there.
        region: likewise bool, outside of which nothing is found, whatever the probability; None: everywhere.
    """
    probability = probability if region is None else np.where(region, probability, 0)
    level = np.searchsorted(thresholds, probability)  # how many thresholds it is above
    size = len(thresholds) + 1
    truth = np.zeros(level.shape, np.int64) if truth is None else truth.astype(np.int64)
    histogram = np.bincount((truth * size + level).ravel(), minlength=2 * size).reshape(2, size)
    above = histogram[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]  # (2, num_thresholds)
    return np.stack([histogram.sum(axis=1)[:, None] - above, above], axis=-1).transpose(1, 0, 2)
