"""One training of the second study, in a folder of its own (`unet_segnet.runs.folder`).

OUT/compare/lung/unet-resnet18-none/seed0/
OUT/compare/lung/unet-resnet18-none/seed0-ct20-medseg9-128/    trained on ct20, tested on medseg9, 128 pixels

Beside the files of every run it has first_layer.npz, the first convolution's kernels before and after training. Its
network is that of the epoch with the least validation loss.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unet_segnet.output.files import weights_sha256
from unet_segnet.runs.folder import FORMAT, RunFolder, Trained
from unet_segnet.runs.reading import RunKind

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
        place: for the folder's name, where the test volumes are of another data set: `data.place_of`.
    """

    experiment: str
    architecture: str
    encoder: str
    seed: int = 0
    start: str = "none"
    encoder_weights: str | None = None
    init: str | None = None
    place: str = ""

    @property
    def group(self) -> Path:
        """The folder of all seeds of this model, below the output folder."""
        return Path(STUDY) / self.experiment / f"{self.architecture}-{self.encoder}-{self.start}"

    @property
    def name(self) -> str:
        """The run's own folder name."""
        return f"seed{self.seed}{f'-{self.place}' if self.place else ''}"


@dataclass(frozen=True)
class CompareJob:
    """One training of the second study; see `unet_segnet.runs.job.Job`.

    Attributes:
        spec: which.
        recipe: `unet_segnet.training.soft_dice.EncoderRecipe`.
    """

    spec: CompareSpec
    recipe: object

    def config(self, data) -> dict:
        """Everything that determines the run; `data` is `StudyData`.

        Raises:
            InputError: it is to start from ImageNet weights that cannot be had.
        """
        import keras

        from unet_segnet.models.encoders.weights import imagenet_sha256

        spec = self.spec
        return {
            "format": FORMAT,
            "study": STUDY,
            "experiment": spec.experiment,
            "architecture": spec.architecture,
            "encoder": spec.encoder,
            "encoder_weights": None if spec.start == "none" else spec.start,
            "encoder_weights_sha256": imagenet_sha256(spec.encoder) if spec.start == "imagenet" else None,
            "seed": spec.seed,
            "recipe": asdict(self.recipe),
            "data": data.describe(),
            "split": data.split(),
            "backend": keras.config.backend(),
        }

    def train(self, data, folder: RunFolder, progress) -> Trained:
        """Train on the training slices, count on the validation slices and the test volumes."""
        from unet_segnet.models.cost import multiply_adds
        from unet_segnet.training.compilation import dtype_policy
        from unet_segnet.training.soft_dice import train_encoder

        spec, recipe = self.spec, self.recipe
        what = f"{spec.experiment} {spec.group.name} {spec.name}"
        with dtype_policy(recipe.dtype):
            model = build(spec, data.size)
        before = _first_kernels(model)
        facts = {
            "parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
            "multiply_adds": multiply_adds(model)[0],
        }
        train, validation = data.parts(spec.experiment)
        result = train_encoder(
            model,
            train.images,
            train.masks,
            validation.images,
            validation.masks,
            recipe,
            seed=spec.seed,
            checkpoint=folder.state,
            report=progress(recipe.epochs, what).update,
            callbacks=folder.callbacks(),
        )

        def volumes():
            testing = progress(len(data.volume_names), f"{what}, testing")
            for number, volume in enumerate(data.volumes(spec.experiment), 1):
                yield volume
                testing.update(number)

        counts = _evaluate(result.model, validation, volumes(), recipe.batch_size)
        summary = {
            "best_epoch": result.best_epoch,
            "validation_loss": float(result.history["validation_loss"].min()),
            "one_class_only": bool((counts["test_confusion"].sum(axis=(0, 1)) > 0).sum() == 1),
            "training_seconds": float(result.history["epoch_seconds"].sum()),
            **facts,
        }
        first_layer = {"before": before, "after": _first_kernels(result.model)}
        return Trained(result.model, result.history, counts, summary, further={"first_layer": first_layer})


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


def _evaluate(model, validation, volumes: Iterable, batch_size):
    """The arrays of `counts.npz`."""
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


def _check(config: dict, result: dict, counts: Mapping[str, np.ndarray]) -> None:
    from experiments.bizopoulos2021.published import ARCHITECTURES, EXPERIMENTS, encoders

    known = {"experiment": EXPERIMENTS, "architecture": ARCHITECTURES, "encoder": encoders()}
    if strange := [key for key, values in known.items() if config.get(key) not in list(values)]:
        raise ValueError(f"holds an unknown {strange[0]}, {config.get(strange[0])!r}")
    if not (isinstance(config.get("data"), dict) and isinstance(config.get("recipe"), dict)):
        raise ValueError("holds no recipe or data")
    if not isinstance(config.get("seed"), int):
        raise ValueError("holds no seed")
    if type(result.get("parameters", 0)) is not int:
        raise ValueError("its parameters are no number")
    confusion, names = counts["test_confusion"], counts["test_names"]
    sound = confusion.ndim == 3 and confusion.shape[1:] == (2, 2) and confusion.dtype.kind in "iu" and len(confusion)
    if not sound or names.shape != counts["test_volumes"].shape or names.shape != confusion.shape[:1]:
        raise ValueError("holds no 2x2 counts of named slices")


KIND = RunKind(
    studies=(STUDY,),
    depth=2,
    history=("loss", "validation_loss", "epoch_seconds", "validation_seconds"),
    counts=("test_names", "test_volumes", "test_confusion", "validation_names", "validation_confusion"),
    needed=("test_names", "test_volumes", "test_confusion"),
    further={"first_layer.npz": ("before", "after")},
    check=_check,
)
