"""One training on own data, or on one fold of it, in a folder of its own (`unet_segnet.runs.folder`).

OUT/own/DATA-NETWORK/seed0/ or fold2-seed0/; counts.npz holds the patients too, and model.keras what `predict` and
`evaluate` want to know of it (`unet_segnet.networks.facts`). Tables and pictures lie beside them in seed0/; those of
all folds together in folds-seed0/.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unet_segnet.data.splits import PARTS
from unet_segnet.errors import InputError
from unet_segnet.networks.ensemble import FOLD, FOLDS
from unet_segnet.output.records import INTENDED_USE
from unet_segnet.runs.folder import FORMAT, RunFolder, Trained, weights_by_content
from unet_segnet.runs.job import label
from unet_segnet.runs.reading import RunKind

STUDY = "own"
KIND = RunKind(
    studies=(STUDY,),
    history=("loss", "validation_loss", "epoch_seconds"),
    counts=("test_names", "test_patients", "test_confusion", "validation_names", "validation_confusion"),
)


@dataclass(frozen=True)
class OwnSpec:
    """What distinguishes one training on own data from another.

    Attributes:
        data: name of the data, as part of a folder's name.
        network: likewise, see `NetworkPlan.label`.
        seed: of everything random.
        fold: 0, 1, ..., or None for a single split.
    """

    data: str
    network: str
    seed: int = 0
    fold: int | None = None

    @property
    def group(self) -> Path:
        """The folder of all runs of this network on this data, below the output folder."""
        return Path(STUDY) / f"{self.data}-{self.network}"

    @property
    def name(self) -> str:
        """The run's own folder name."""
        return f"seed{self.seed}" if self.fold is None else FOLD.format(fold=self.fold + 1, seed=self.seed)

    @property
    def tables(self) -> Path:
        """The folder of what is shown of this seed, of all its folds together, below the output folder."""
        return self.group / (self.name if self.fold is None else FOLDS.format(seed=self.seed))


@dataclass(frozen=True)
class OwnData:
    """What all trainings of one command share.

    Attributes:
        cohort: `unet_segnet.cohort.load.Cohort`, all slices.
        description: of it, for the runs' settings: name, window, size, lungs, orientation.
    """

    cohort: object
    description: dict


@dataclass(frozen=True)
class OwnJob:
    """One training; see `unet_segnet.runs.job.Job`.

    Attributes:
        spec: which.
        plan: `unet_segnet.cohort.network_plan.NetworkPlan`.
        recipe: `Recipe` or `EncoderRecipe`.
        split: `unet_segnet.data.Split`.
    """

    spec: OwnSpec
    plan: object
    recipe: object
    split: object

    def config(self, data: OwnData) -> dict:
        """Everything that determines the run."""
        import keras

        cohort, slices, plan = data.cohort, data.cohort.slices, asdict(self.plan)
        if self.plan.init is not None:  # the file counts, not the path by which it was reached today
            plan |= {"init": Path(self.plan.init).name, "init_sha256": self.plan.init_sha256}
        plan |= weights_by_content(self.plan.encoder_weights)
        if self.plan.encoder_weights == "imagenet" and self.plan.recipe == "compare":
            from unet_segnet.models.encoders.weights import imagenet_sha256

            plan["encoder_weights_sha256"] = imagenet_sha256(self.plan.net.partition("/")[2])
        return {
            "format": FORMAT,
            "study": STUDY,
            "network": plan,
            "seed": self.spec.seed,
            "fold": self.spec.fold,
            "recipe": asdict(self.recipe),
            "data": {
                **data.description,
                "sha256": slices.sha256(),
                "classes": list(slices.class_names),
                "values": cohort.classes.text(),
            },
            "split": {part: [slices.names[index] for index in getattr(self.split, part)] for part in PARTS},
            "backend": keras.config.backend(),
        }

    def train(self, data: OwnData, folder: RunFolder, progress) -> Trained:
        """Train on the split's training slices, count on the others.

        Raises:
            InputError: the training slices are of no use.
        """
        from unet_segnet.cohort.domain import describe
        from unet_segnet.cohort.network_plan import begin_with
        from unet_segnet.cohort.recipes import train_compare, train_grid
        from unet_segnet.cohort.seen import slice_marks, training_marks
        from unet_segnet.data import median_frequency_weights
        from unet_segnet.measures.baselines import class_histograms, fit_thresholds
        from unet_segnet.networks.find import find_model

        cohort, plan = data.cohort, self.plan
        report = progress(self.recipe.epochs, label(self)).update
        parts = {part: cohort.subset(getattr(self.split, part)) for part in PARTS}
        parts["train"] = training_part(cohort, self.split)
        train = parts["train"].slices
        slices = {part: of.slices for part, of in parts.items()}
        class_weights = median_frequency_weights(train.labels, train.num_classes)
        init = begin_with(plan)
        if plan.recipe == "compare":
            model, history, facts = train_compare(plan, init, slices, self.recipe, self.spec.seed, folder, report)
        else:
            model, history, facts = train_grid(
                plan, init, slices, class_weights, self.recipe, self.spec.seed, folder, report
            )
            facts["class_weights"] = class_weights.tolist()
        counts = {}
        for part in ("test", "validation"):
            counts[f"{part}_names"] = np.asarray(slices[part].names, dtype="U")
            counts[f"{part}_patients"] = np.asarray(parts[part].groups, dtype="U")
            counts[f"{part}_confusion"] = _confusion(model, slices[part])
        facts["thresholds"] = list(fit_thresholds(class_histograms(train.images, train.labels, train.num_classes)))
        learnt = [*slice_marks(train.images), *(training_marks(find_model(plan.init)[1]) if init else ())]
        shown = {of.shown for of in cohort.facts.values()}  # of all data, alike in all folds
        about = {
            "class_names": list(train.class_names),
            "label_values": sorted(cohort.classes.index_of.items()),
            "window": list(data.description["window"]),
            "thresholds": facts["thresholds"],
            "data": data.description["name"],
            "trained_on": describe(parts["train"]),
            "slices": list(dict.fromkeys(learnt)),
            "mirror_axes": facts.pop("mirror_axes"),
            "learnt_from": shown.pop() if len(shown) == 1 else None,
            "network": plan.label,
            "for": INTENDED_USE,
        }
        scored = counts["test_confusion"] if len(counts["test_confusion"]) else counts["validation_confusion"]
        missing = [name for name, weight in zip(train.class_names, class_weights, strict=True) if not weight]
        summary = {
            "parameters": model.count_params(),
            "missing_classes": missing,
            "one_class_only": bool(len(scored) and (scored.sum(axis=(0, 1)) > 0).sum() == 1),
            **facts,
        }
        return Trained(model, history, counts, summary, about)


def training_part(cohort, split):
    """The training slices of a split but those outside the lungs, which are black: there is nothing to learn on them.

    Raises:
        InputError: none shows a lesion.
    """
    part = cohort.subset(split.train)
    images, labels = part.slices.images, part.slices.labels
    if not labels.any():
        raise InputError(f"{cohort.source}: the training slices show no lesion; expected another split, or more data")
    return part.subset(np.flatnonzero(images.any(axis=(1, 2)) | labels.any(axis=(1, 2))))


def _confusion(model, slices):
    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures.metrics import confusion_matrices

    if not len(slices):
        return np.zeros((0, slices.num_classes, slices.num_classes), np.int64)
    return confusion_matrices(slices.labels, predict(model, slices.images), slices.num_classes)
