"""Train one network of the second study: Adam on the soft Dice loss, the epoch of the least validation loss is kept."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.processor import keep_freed_memory
from unet_segnet.training.affine import NUM_UNIFORMS, augment_affine
from unet_segnet.training.batches import AugmentedBatches
from unet_segnet.training.compilation import compile_fastest
from unet_segnet.training.keeper import Keeper
from unet_segnet.training.losses import SoftDiceLoss
from unet_segnet.training.optimizers import TorchAdam
from unet_segnet.training.streams import NumpyStream

HISTORY_KEYS = ("loss", "validation_loss", "epoch_seconds", "validation_seconds")
THRESHOLD = 0.5


@dataclass(frozen=True)
class EncoderRecipe:
    """How a network of the second study is trained; the defaults are the article's.

    Sources: Bizopoulos et al. 2021, section IV and Table I. The authors' 600 runs took two weeks on an RTX 2080 Ti, ten
    seconds an epoch. `python -m experiments.compare --only architecture=unet,encoder=resnet18 --experiment lung` is for
    the 91.98 % Dice of Table II's first block; see experiments/results for what came out. What rotation and scaling
    bring in from outside is 0.0 here, and +1.0 (0 HU) in the released code for lungs and lesions in the whole slice:
    see `unet_segnet.training.affine`.

    Arguments:
        learning_rate, beta_1, beta_2, epsilon: Adam's, as PyTorch has it; no weight decay.
        batch_size: slices in a mini-batch; a last batch that is not full is left out.
        epochs: passes over the training slices (article 200, released code 100).
        loss: "image", soft Dice of each slice averaged over the batch (equation 1), or "batch", pooled over it (the
            released code since August 2021, after the article).
        flip: probability of a left-right flip, and of a top-bottom one.
        rotation: largest angle in degrees, to either side.
        scale: least and largest.
        dtype: "float32" or "mixed_bfloat16"; sigmoid and loss are in float32 either way.
        version: of what is computed; raised where a change gives other numbers, so that earlier trainings do not pass
            for today's. 2: epsilon and moving variance are PyTorch's.
    """

    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    batch_size: int = 2
    epochs: int = 200
    loss: str = "image"
    flip: float = 0.5
    rotation: float = 180.0
    scale: tuple[float, float] = (0.5, 1.5)
    dtype: str = "float32"
    version: int = 2


@dataclass
class EncoderTrainingResult:
    """A trained network and how it came about.

    Attributes:
        model: uncompiled `keras.Model` with the weights of the best epoch.
        history: arrays by the names in `HISTORY_KEYS`, a number an epoch; the seconds are those of the training
            part and of the validation.
        best_epoch: the epoch of the least validation loss, counted from 1; the first of equals.
    """

    model: keras.Model
    history: dict[str, np.ndarray]
    best_epoch: int


def train_encoder(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    validation_images: np.ndarray,
    validation_labels: np.ndarray,
    recipe: EncoderRecipe,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[int, str], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> EncoderTrainingResult:
    """Train one network.

    Arguments:
        model: with its initial weights; changed in place.
        images: the training slices, (num_slices, height, width) float32, normalised.
        labels: theirs, (num_slices, height, width) uint8, 0 or 1.
        validation_images, validation_labels: likewise; they choose the epoch and are never trained on.
        recipe: how to train.
        seed: of shuffling, augmentation and dropout.
        checkpoint: file stem beside which the state is kept after each epoch; a later call with the same arguments
            goes on from there and ends with the same weights.
        report: called after each epoch with the number of finished epochs and a line about it.
        callbacks: further callbacks of Keras, see `unet_segnet.training.keeper.Keeper`.

    Raises:
        InputError: fewer slices than a mini-batch, no validation slices, or a checkpoint that does not fit.
        DivergedError: a loss became NaN or infinite.
    """
    if len(images) < recipe.batch_size or not len(validation_images):
        raise InputError(
            f"{len(images)} training and {len(validation_images)} validation slices: expected at least one mini-batch "
            f"of {recipe.batch_size} and one slice; use more slices"
        )
    keep_freed_memory()  # before threads have memory arenas of their own
    batches = AugmentedBatches(images, labels, recipe.batch_size, NumpyStream(seed), partial(_augment, recipe))
    compile_model(model, recipe, len(batches))
    validation = _Validation(model, validation_images, validation_labels, recipe)
    keeper = _BestKeeper(validation, HISTORY_KEYS, recipe, batches, seed, checkpoint, report, callbacks)
    keeper.fit(model)
    model.set_weights(keeper.best_weights)
    trained = keras.Model(model.inputs, model.outputs, name=model.name)
    return EncoderTrainingResult(trained, keeper.arrays(), keeper.best_epoch)


def compile_model(model: keras.Model, recipe: EncoderRecipe, iterations: int) -> None:
    """Compile a network for a recipe, with what is fastest on this machine.

    Arguments:
        model: changed in place.
        recipe: gives optimiser and loss.
        iterations: of an epoch.
    """
    compile_fastest(
        model,
        iterations,
        optimizer=TorchAdam(recipe.learning_rate, recipe.beta_1, recipe.beta_2, recipe.epsilon),
        loss=SoftDiceLoss(recipe.loss),
    )


def predict_probabilities(model: keras.Model, images: np.ndarray, batch_size: int = 2) -> np.ndarray:
    """(num_slices, height, width) float32 probabilities of the foreground, of normalised slices of that shape."""
    parts = [
        np.asarray(model.predict_on_batch(images[start : start + batch_size, ..., None]), np.float32)[..., 0]
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def predict_foreground(model: keras.Model, images: np.ndarray, batch_size: int = 2) -> np.ndarray:
    """(num_slices, height, width) uint8: 1 where the probability of the foreground is above 0.5."""
    return (predict_probabilities(model, images, batch_size) > THRESHOLD).astype(np.uint8)


def _augment(recipe, images, labels, uniforms):
    return augment_affine(images, labels, uniforms[:, :NUM_UNIFORMS], recipe.flip, recipe.rotation, recipe.scale)


class _Validation:
    """The loss of the recipe on the validation slices, as they are."""

    def __init__(self, model, images, labels, recipe):
        # A model of its own over the same layers: predicting leaves the functions and the state of `fit` alone.
        self.model = keras.Model(model.inputs, model.outputs)
        self.images, self.labels = images, labels
        self.batch_size, self.loss = recipe.batch_size, SoftDiceLoss(recipe.loss)

    def __call__(self):
        losses, sizes = [], []
        for start in range(0, len(self.images), self.batch_size):
            labels = self.labels[start : start + self.batch_size]
            images = self.images[start : start + self.batch_size]
            losses.append(float(self.loss(labels, predict_probabilities(self.model, images, len(images)))))
            sizes.append(len(labels))
        return float(np.average(losses, weights=sizes))


class _BestKeeper(Keeper):
    """Losses, validation, the best weights and the state."""

    def __init__(self, validation, *arguments):
        super().__init__(*arguments)
        self.validation, self.best_weights = validation, None

    @property
    def best_epoch(self):
        """The epoch of the least validation loss so far, counted from 1."""
        return int(np.argmin(self.history["validation_loss"])) + 1

    def restore(self, history, iterations, finished, extra):
        super().restore(history, iterations, finished, extra)
        self.best_weights = [extra[str(number)] for number in range(len(extra))]

    def on_epoch_end(self, epoch, logs=None):
        model = self.model  # brings the state back from the JAX trainer
        trained = time.monotonic()
        loss, validation_loss = float(logs["loss"]), self.validation()
        numbers = (loss, validation_loss, trained - self.started, time.monotonic() - trained)
        for key, number in zip(HISTORY_KEYS, numbers, strict=True):
            self.history[key].append(number)
        if not np.isfinite([loss, validation_loss]).all():
            raise DivergedError(epoch + 1, self.arrays())
        if self.best_epoch == epoch + 1:
            self.best_weights = model.get_weights()
        logs.update(val_loss=validation_loss)
        self.keep(
            epoch,
            f"loss {loss:.4f}, validation {validation_loss:.4f}, best epoch {self.best_epoch}",
            {str(number): weights for number, weights in enumerate(self.best_weights)},
        )
