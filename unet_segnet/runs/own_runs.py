"""Run folders of `train`: one training on own data, or on one fold of it.

OUT/own/DATA-NETWORK/seed0/ or fold2-seed0/, with the files that `experiments.saood2021.runs` names; counts.npz holds the patients
too, and model.keras what `predict` and `evaluate` want to know of it (`unet_segnet.networks.facts`). Tables and pictures
lie beside them in seed0/; those of all folds together in folds-seed0/.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from unet_segnet.errors import InputError
from unet_segnet.networks.save import save_network
from unet_segnet.output.records import write_arrays, write_json
from unet_segnet.runs.folder import FORMAT, PARTS, RunFolder, read_arrays, read_json, read_result, weights_by_content
from unet_segnet.runs.provenance import begin, provenance

STUDY = "own"
COUNTS = ("test_names", "test_patients", "test_confusion", "validation_names", "validation_confusion")


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
        return ("" if self.fold is None else f"fold{self.fold + 1}-") + f"seed{self.seed}"

    @property
    def tables(self) -> Path:
        """The folder of what is shown of this seed, of all its folds together, below the output folder."""
        return self.group / (("" if self.fold is None else "folds-") + f"seed{self.seed}")


@dataclass(frozen=True)
class OwnJob:
    """One training.

    Attributes:
        spec: which.
        plan: `unet_segnet.runs.own_networks.NetworkPlan`.
        recipe: `Recipe` or `EncoderRecipe`.
        split: `unet_segnet.data.Split`.
    """

    spec: OwnSpec
    plan: object
    recipe: object
    split: object


def complete(job: OwnJob, cohort, data: dict, out: Path, force: bool = False, report=None) -> Path:
    """Train and test one run, or go on with it, or leave it alone if it is finished.

    Arguments:
        job: the training.
        cohort: `unet_segnet.cohort.Cohort`, all slices.
        data: description of it for the configuration: name, window, size, lungs, orientation.
        out: folder of all runs.
        force: throw a finished or different run away.
        report: called after each epoch with the number of finished epochs and a line about it.

    Returns:
        The run's folder.

    Raises:
        InputError: the folder holds a run with other settings, or the training slices are of no use.
        HeldError: another process works on it.
    """
    folder = RunFolder(out, job.spec)
    config = _config(job, cohort, data)
    return folder.complete(config, lambda: _train_and_test(job, cohort, data, folder, report), force)


def _config(job, cohort, data) -> dict:
    import keras

    slices, plan = cohort.slices, asdict(job.plan)
    if job.plan.init is not None:  # the file counts, not the path by which it was reached today
        plan |= {"init": Path(job.plan.init).name, "init_sha256": job.plan.init_sha256}
    plan |= weights_by_content(job.plan.encoder_weights)
    return {
        "format": FORMAT,
        "study": STUDY,
        "network": plan,
        "seed": job.spec.seed,
        "fold": job.spec.fold,
        "recipe": asdict(job.recipe),
        "data": {
            **data,
            "sha256": slices.sha256(),
            "classes": list(slices.class_names),
            "values": cohort.classes.text(),
        },
        "split": {part: [slices.names[index] for index in getattr(job.split, part)] for part in PARTS},
        "backend": keras.config.backend(),
    }


def training_part(cohort, split):
    """The training slices of a split but those outside the lungs, which are black: there is nothing to learn on them.

    Raises:
        InputError: none shows a lesion.
    """
    import numpy as np

    part = cohort.subset(split.train)
    images, labels = part.slices.images, part.slices.labels
    if not labels.any():
        raise InputError(f"{cohort.source}: the training slices show no lesion; expected another split, or more data")
    return part.subset(np.flatnonzero(images.any(axis=(1, 2)) | labels.any(axis=(1, 2))))


def _train_and_test(job, cohort, data, folder, report):
    import keras
    import numpy as np

    from unet_segnet.cohort.domain import describe
    from unet_segnet.cohort.seen import slice_marks, training_marks
    from unet_segnet.commands.evaluate import find_model
    from unet_segnet.data import median_frequency_weights
    from unet_segnet.errors import DivergedError
    from unet_segnet.measures.baselines import class_histograms, fit_thresholds
    from unet_segnet.runs.own_networks import begin_with, train_compare, train_grid

    started = begin()
    parts = {part: cohort.subset(getattr(job.split, part)) for part in PARTS}
    parts["train"] = training_part(cohort, job.split)
    train = parts["train"].slices
    slices = {part: of.slices for part, of in parts.items()}
    class_weights = median_frequency_weights(train.labels, train.num_classes)
    init = begin_with(job.plan)
    try:
        if job.plan.recipe == "compare":
            model, history, facts = train_compare(job.plan, init, slices, job.recipe, job.spec.seed, folder, report)
        else:
            model, history, facts = train_grid(
                job.plan, init, slices, class_weights, job.recipe, job.spec.seed, folder, report
            )
            facts["class_weights"] = class_weights.tolist()
    except DivergedError as error:
        write_arrays(folder.history, error.history)
        write_json(folder.result, {"status": "diverged", "epoch": error.epoch, **provenance(started)})
        folder.remove_state()
        return
    counts = {}
    for part in ("test", "validation"):
        counts[f"{part}_names"] = np.asarray(slices[part].names, dtype="U")
        counts[f"{part}_patients"] = np.asarray(parts[part].groups, dtype="U")
        counts[f"{part}_confusion"] = _confusion(model, slices[part])
    facts["thresholds"] = list(fit_thresholds(class_histograms(train.images, train.labels, train.num_classes)))
    learnt = [*slice_marks(train.images), *(training_marks(find_model(job.plan.init)[1]) if init else ())]
    about = {
        "class_names": list(train.class_names),
        "label_values": sorted(cohort.classes.index_of.items()),
        "window": list(data["window"]),
        "thresholds": facts["thresholds"],
        "data": data["name"],
        "trained_on": describe(parts["train"]),
        "slices": list(dict.fromkeys(learnt)),
        "network": job.plan.label,
        "for": "research; not a medical device, not for clinical use",
    }
    save_network(model, folder.model, about)
    write_arrays(folder.history, history)
    write_arrays(folder.counts, counts)
    scored = counts["test_confusion"] if len(counts["test_confusion"]) else counts["validation_confusion"]
    summary = {
        "status": "finished",
        "parameters": model.count_params(),
        "missing_classes": [name for name, weight in zip(train.class_names, class_weights, strict=True) if not weight],
        "one_class_only": bool(len(scored) and (scored.sum(axis=(0, 1)) > 0).sum() == 1),
        **facts,
    }
    write_json(folder.result, {**summary, **provenance(started)})
    folder.remove_state()
    keras.utils.clear_session(free_memory=True)


def _confusion(model, slices):
    import numpy as np

    from unet_segnet.inference.prediction import predict
    from unet_segnet.measures.metrics import confusion_matrices

    if not len(slices):
        return np.zeros((0, slices.num_classes, slices.num_classes), np.int64)
    return confusion_matrices(slices.labels, predict(model, slices.images), slices.num_classes)


def read_finished(path: Path) -> tuple[dict, dict]:
    """A finished run's result and counts; of one that diverged, no counts.

    Raises:
        InputError: one of its files is missing, damaged, or of another version.
    """
    config, result = read_json(path / "config.json"), read_result(path)
    if config.get("format") != FORMAT or config.get("study") != STUDY:
        raise InputError(f"{path}: written by another version, or no run of own data; remove it to train it again")
    if result["status"] != "finished":
        return result, {}
    return result, read_arrays(path / "counts.npz", COUNTS)
