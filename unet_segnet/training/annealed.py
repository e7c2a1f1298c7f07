"""Train a network for scans of any origin: balanced draws, soft Dice with cross-entropy, an annealed learning rate.

Nothing is chosen while it trains: no epoch, no threshold. The weights are those of the end, averaged over the last
steps, and batch normalisation takes the statistics of slices as they are: those of augmented ones, averaged while the
weights still moved, made a network mark half of what it should (`settle_statistics`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.processor import keep_freed_memory
from unet_segnet.training.batch_statistics import PooledStatistics
from unet_segnet.training.batches import AugmentedBatches
from unet_segnet.training.compilation import compile_fastest
from unet_segnet.training.keeper import Keeper
from unet_segnet.training.losses import DiceCrossEntropy
from unet_segnet.training.streams import BalancedStream

HISTORY_KEYS = ("loss", "epoch_seconds")
STATISTICS_BATCHES = 24  # of the last pass, for the statistics of batch normalisation


@dataclass(frozen=True)
class AnnealedRecipe:
    """How a network is trained.

    Arguments:
        learning_rate: the largest; reached after the warm-up, then down to 0 along half a cosine.
        weight_decay: of AdamW.
        warm_up: share of the steps.
        averaged: momentum of the average of the weights over the steps (0.99: about the last hundred).
        batch_size: slices in a mini-batch.
        steps: mini-batches in an epoch.
        epochs: after each of which the state is kept.
        dtype: "float32" or "mixed_bfloat16"; probabilities and loss are in float32 either way.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    averaged: float = 0.99
    batch_size: int = 8
    steps: int = 50
    epochs: int = 32
    dtype: str = "float32"


def train_annealed(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    augment: Callable,
    plain: Callable,
    recipe: AnnealedRecipe,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[int, str], None] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Train one network.

    Arguments:
        model: with its initial weights; gives probabilities of two or more classes; changed in place.
        images: (num_slices, height, width) as `augment` takes them.
        labels: likewise.
        probabilities: (num_slices,) of a slice to be drawn.
        augment: of images and labels of a mini-batch and (batch,) seeds; gives images (batch, height, width) float32
            as the network takes them, and labels (batch, height, width) uint8, class indices, or 255 where unknown.
        plain: of images and labels of any number; gives the images as the network takes them, without augmentation.
        recipe: how to train.
        seed: of draws, augmentation and dropout.
        checkpoint: file stem beside which the state is kept after each epoch; a later call with the same arguments
            goes on from there and ends with the same weights.
        report: called after each epoch with the number of finished epochs and a line about it.
        callbacks: further callbacks of Keras, see `unet_segnet.training.keeper.Keeper`.

    Returns:
        The network, uncompiled, with its averaged weights and settled statistics; and the history, a number an epoch by
        `HISTORY_KEYS`.

    Raises:
        InputError: no slices, or a checkpoint that does not fit.
        DivergedError: a loss became NaN or infinite.
    """
    if not len(images):
        raise InputError("no slices to train on; leave out fewer sources")
    keep_freed_memory()  # before threads have memory arenas of their own
    batches = AugmentedBatches(
        images,
        labels,
        recipe.batch_size,
        BalancedStream(seed, probabilities, recipe.steps * recipe.batch_size),
        augment,
    )
    total = recipe.steps * recipe.epochs
    warm_up = round(recipe.warm_up * total)
    rate = keras.optimizers.schedules.CosineDecay(
        0.04 * recipe.learning_rate, max(total - warm_up, 1), warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    compile_fastest(
        model,
        recipe.steps,
        optimizer=keras.optimizers.AdamW(
            rate, weight_decay=recipe.weight_decay, use_ema=True, ema_momentum=recipe.averaged
        ),
        loss=DiceCrossEntropy(model.output_shape[-1]),
    )
    keeper = _Keeper(HISTORY_KEYS, recipe, batches, seed, checkpoint, report, callbacks)
    keeper.fit(model)
    model.optimizer.finalize_variable_values(model.trainable_variables)  # `fit` does so too, a resumed end does not
    trained = keras.Model(model.inputs, model.outputs, name=model.name)
    settle_statistics(trained, images, labels, probabilities, plain, recipe, seed)
    return trained, keeper.arrays()


def settle_statistics(model, images, labels, probabilities, plain, recipe, seed=0) -> None:
    """Give batch normalisation the statistics of slices without augmentation, drawn as in training.

    Arguments as of `train_annealed`; the model is changed in place.
    """
    stream = BalancedStream(seed, probabilities, STATISTICS_BATCHES * recipe.batch_size)
    drawn, _ = stream.epoch(recipe.epochs, len(images), recipe.batch_size)
    PooledStatistics(model).pool(plain(images[drawn], labels[drawn]), recipe.batch_size)


class _Keeper(Keeper):
    """Loss and state."""

    def on_epoch_end(self, epoch, logs=None):
        self.history["loss"].append(float(logs["loss"]))
        self.history["epoch_seconds"].append(time.monotonic() - self.started)
        if not np.isfinite(self.history["loss"][-1]):
            raise DivergedError(epoch + 1, self.arrays())
        self.keep(epoch, f"loss {self.history['loss'][-1]:.4f}")
