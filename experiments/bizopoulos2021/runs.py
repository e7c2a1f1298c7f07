"""One training of the second study = one folder.

OUT/compare/lung/unet-resnet18-none/seed0/
    config.json      everything that determines the run
    history.npz      loss and seconds of each epoch, of training and of validation
    counts.npz       a confusion matrix per test and validation slice, the truth in rows, background first
    first_layer.npz  the first convolution's kernels before and after training
    model.keras      the network of the epoch with the least validation loss
    result.json      how it came about (best epoch, versions, device, time); its presence means: finished
    state.*          the state of an unfinished run, removed at the end
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from unet_segnet.commands.console import Progress, import_keras
from unet_segnet.networks.save import save_network
from unet_segnet.output.files import weights_sha256
from unet_segnet.output.records import write_arrays, write_json
from unet_segnet.runs.folder import FORMAT, RunFolder
from unet_segnet.runs.provenance import begin, provenance

STUDY = "compare"


@dataclass(frozen=True)
class CompareSpec:
    """What distinguishes one training of the second study from another.

    Attributes:
        experiment: "lung", "lesion_a" or "lesion_b".
        architecture: "unet", "linknet", "fpn" or "pspnet".
        encoder: a name in `unet_segnet.models.encoders.ENCODERS`.
        seed: of the initial weights, shuffling, augmentation and dropout.
        start: what the weights start from: "none" (random), "imagenet", or "encoder-" or "model-" and the beginning
            of a file's hash.
        encoder_weights: None, "imagenet" or a file, for the encoder.
        init: None, or a network (.keras) that the whole one starts from.
    """

    experiment: str
    architecture: str
    encoder: str
    seed: int = 0
    start: str = "none"
    encoder_weights: str | None = None
    init: str | None = None

    @property
    def group(self) -> Path:
        """The folder of all seeds of this model, below the output folder."""
        return Path(STUDY) / self.experiment / f"{self.architecture}-{self.encoder}-{self.start}"

    @property
    def name(self) -> str:
        """The run's own folder name."""
        return f"seed{self.seed}"


@dataclass(frozen=True)
class CompareJob:
    """One training: which, by what recipe."""

    spec: CompareSpec
    recipe: object

    def train(self, data, options, plain: bool = False) -> None:
        """Train the run, or go on with it; see `unet_segnet.runs.loop.attempt`.

        Arguments:
            data: `StudyData`.
            options: the command's; `out` and `force` are used.
            plain: progress as lines, also on a terminal.
        """
        import_keras()
        label = f"{self.spec.experiment} {self.spec.group.name} {self.spec.name}"

        def bar(total, label):
            made = Progress(total, label)
            made.terminal &= not plain  # bars of several processes would overwrite each other
            return made

        def watch(volumes):
            testing = bar(len(data.volume_names), f"{label}, testing")
            for number, volume in enumerate(volumes, 1):
                yield volume
                testing.update(number)

        report = bar(self.recipe.epochs, label).update
        run(self.spec, self.recipe, data, options.out, options.force, report, watch)


def make_config(spec: CompareSpec, recipe, data) -> dict:
    """Everything that determines a run, ready for JSON.

    Raises:
        InputError: it is to start from ImageNet weights that cannot be had.
    """
    import keras

    from unet_segnet.models.encoders.weights import imagenet_sha256

    return {
        "format": FORMAT,
        "study": STUDY,
        "experiment": spec.experiment,
        "architecture": spec.architecture,
        "encoder": spec.encoder,
        "encoder_weights": None if spec.start == "none" else spec.start,
        "encoder_weights_sha256": imagenet_sha256(spec.encoder) if spec.start == "imagenet" else None,
        "seed": spec.seed,
        "recipe": asdict(recipe),
        "data": data.describe(),
        "split": data.split(),
        "backend": keras.config.backend(),
    }


def build(spec: CompareSpec, size: int):
    """The network of a run with its initial weights.

    Raises:
        InputError: the weights that it is to start from cannot be had or do not fit.
    """
    from unet_segnet.models import build_model

    model = build_model(
        spec.architecture,
        encoder=spec.encoder,
        encoder_weights=spec.encoder_weights,
        input_shape=(size, size, 1),
        num_classes=1,
        seed=spec.seed,
    )
    if spec.init is not None:
        from unet_segnet.models.encoders.weights import assign_tensors, model_tensors
        from unet_segnet.networks.load import load_model

        assign_tensors(model, model_tensors(load_model(spec.init)), spec.init)
    return model


def run(
    spec: CompareSpec,
    recipe,
    data,
    out: Path,
    force: bool = False,
    report: Callable[[int, str], None] | None = None,
    watch: Callable[[Iterator], Iterator] = iter,
) -> Path:
    """Train and evaluate one run, or go on with it, or leave it alone if it is finished.

    Arguments:
        spec: which run.
        recipe: `unet_segnet.training.soft_dice.EncoderRecipe`.
        data: `StudyData`.
        out: folder of all runs.
        force: throw a finished or different run away.
        report: called after each epoch with the number of finished epochs and a line about it.
        watch: called with the test volumes, of which it yields one after the other.

    Returns:
        The run's folder.

    Raises:
        InputError: the folder holds a run with other settings, or ImageNet weights cannot be had.
        HeldError: another process works on it.
    """
    folder = RunFolder(out, spec)
    config = make_config(spec, recipe, data)
    return folder.complete(config, lambda: _train_and_evaluate(spec, recipe, data, folder, report, watch), force)


def _train_and_evaluate(spec, recipe, data, folder, report, watch):
    import keras

    from experiments.bench.keras_networks import multiply_adds
    from unet_segnet.errors import DivergedError
    from unet_segnet.training.compilation import dtype_policy
    from unet_segnet.training.soft_dice import train_encoder

    started = begin()
    with dtype_policy(recipe.dtype):
        model = build(spec, data.size)
    before = _first_kernels(model)
    facts = {
        "parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "multiply_adds": multiply_adds(model)[0],
    }
    train, validation = data.parts(spec.experiment)
    try:
        result = train_encoder(
            model,
            train.images,
            train.masks,
            validation.images,
            validation.masks,
            recipe,
            seed=spec.seed,
            checkpoint=folder.state,
            report=report,
        )
    except DivergedError as error:
        write_arrays(folder.history, error.history)
        write_json(folder.result, {"status": "diverged", "epoch": error.epoch, **facts, **provenance(started)})
    else:
        counts = _evaluate(result.model, validation, watch(data.volumes(spec.experiment)), recipe.batch_size)
        save_network(result.model, folder.model)
        write_arrays(folder.history, result.history)
        write_arrays(folder.counts, counts)
        write_arrays(folder.first_layer, {"before": before, "after": _first_kernels(result.model)})
        summary = {
            "status": "finished",
            "best_epoch": result.best_epoch,
            "validation_loss": float(result.history["validation_loss"].min()),
            "one_class_only": bool((counts["test_confusion"].sum(axis=(0, 1)) > 0).sum() == 1),
            "training_seconds": float(result.history["epoch_seconds"].sum()),
        }
        write_json(folder.result, {**summary, **facts, **provenance(started)})
    folder.remove_state()
    keras.utils.clear_session(free_memory=True)


def _evaluate(model, validation, volumes, batch_size):
    """The arrays of `counts.npz`."""
    import numpy as np

    from unet_segnet.measures.metrics import confusion_matrices
    from unet_segnet.training.soft_dice import predict_foreground

    def confusion(examples):
        return confusion_matrices(examples.masks, predict_foreground(model, examples.images, batch_size), 2)

    began = time.perf_counter()
    counts = {"validation_names": np.asarray(validation.names), "validation_confusion": confusion(validation)}
    counts["validation_seconds"] = np.asarray(time.perf_counter() - began)
    names, of_volumes, confusions = [], [], []
    for volume in volumes:
        names += volume.names
        of_volumes += [volume.name] * len(volume.names)
        confusions.append(confusion(volume))
    counts["test_names"], counts["test_volumes"] = np.asarray(names), np.asarray(of_volumes)
    counts["test_confusion"] = np.concatenate(confusions)
    return counts


def _first_kernels(model):
    """(k, k, 1, filters) float32 of the first convolution."""
    import keras
    import numpy as np

    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    return np.asarray(layer.kernel, np.float32)


def start_of(encoder_weights: str | None, init: str | None) -> str:
    """The `start` of a `CompareSpec`: what the weights start from, a file by its content.

    Raises:
        InputError: the file cannot be read.
    """
    if encoder_weights in (None, "imagenet") and init is None:
        return encoder_weights or "none"
    kind, path = ("encoder", encoder_weights) if init is None else ("model", init)
    return f"{kind}-{weights_sha256(path)[:8]}"
