"""Train one network by one recipe: MATLAB R2020a's `trainNetwork` as the study used it, on `keras.Model.fit`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.processor import keep_freed_memory
from unet_segnet.training.batch_statistics import PooledStatistics, same_averages, with_batch_statistics
from unet_segnet.training.batches import AugmentedBatches
from unet_segnet.training.compilation import compile_fastest, dtype_policy
from unet_segnet.training.keeper import Keeper
from unet_segnet.training.last_epochs import LastEpochs
from unet_segnet.training.losses import EPSILON, WeightedCrossEntropy
from unet_segnet.training.optimizers import CoupledAdam
from unet_segnet.training.translations import augment

LAST = "last-"  # before the names of what `LastEpochs` counted, in a saved state
VALIDATION_FREQUENCY = 10
"""Iterations from one validation to the next by MATLAB's schedule, in the authors' scripts."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the defaults are those of the study.

    Sources: article, 'Network training' and Table 2; the authors' training scripts; MATLAB R2020a's
    `trainingOptions` defaults, confirmed by reproducing the released losses.

    Arguments:
        learning_rate: of Adam in the first epochs (Table 2: 1e-4 to 3e-3).
        batch_size: slices in a mini-batch (Table 2: 2 to 12); a last batch that is not full is left out.
        epochs: passes over the training slices; the network of the last iteration is kept.
        drop_factor, drop_period: the learning rate is multiplied by drop_factor after every drop_period epochs.
        beta_1, beta_2, epsilon: Adam's.
        l2: added to the gradient as l2 * w before Adam (coupled, a penalty of l2 / 2 * w^2), on all trainable
            parameters but convolution biases.
        up_bias_factor: of the learning rate of the biases of transposed convolutions (`unetLayers`).
        loss_normalisation: "weights" (MATLAB) or "pixels" (the article's equation 1).
        validation: "epoch", after every epoch, or "matlab", at iterations 1, 10, 20, ...; it has no effect on
            the trained network.
        dtype: "float32" or "mixed_bfloat16"; softmax, loss and statistics are in float32 either way.
    """

    learning_rate: float = 1e-3
    batch_size: int = 4
    epochs: int = 160
    drop_factor: float = 0.95
    drop_period: int = 12
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    l2: float = 1e-4
    up_bias_factor: float = 2.0
    loss_normalisation: str = "weights"
    validation: str = "epoch"
    dtype: str = "float32"

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of epoch 0, 1, ...: MATLAB's 'piecewise', first drop at epoch 13 counted from 1."""
        return self.learning_rate * self.drop_factor ** (epoch // self.drop_period)


HISTORY_KEYS = (
    "loss",
    "accuracy",
    "learning_rate",
    "validation_iteration",
    "validation_loss",
    "validation_accuracy",
    "epoch_seconds",
)


class IterationLog(keras.metrics.Metric):
    """Loss and pixel accuracy of every iteration of an epoch, kept on the device until the epoch ends.

    Arguments:
        num_iterations: iterations of an epoch.
        loss: a `WeightedCrossEntropy`.
    """

    def __init__(self, num_iterations, loss, name="log"):
        super().__init__(name=name, dtype="float32")
        self.loss, self.num_iterations = loss, num_iterations
        self.values = self.add_variable((num_iterations, 2), "zeros", name="values")
        self.iteration = self.add_variable((), "zeros", dtype="int32", name="iteration")

    def update_state(self, y_true, y_pred, sample_weight=None):
        row = ops.stack([self.loss(y_true, y_pred), _accuracy(y_true, y_pred)])
        here = ops.equal(ops.arange(self.num_iterations, dtype="int32"), self.iteration)
        # The variable's value, not the variable: JAX' where takes arrays only. No sum: a NaN stays where it is.
        self.values.assign(ops.where(here[:, None], row[None, :], self.values.value))
        self.iteration.assign(self.iteration + 1)

    def result(self):
        means = ops.sum(self.values, axis=0) / ops.maximum(ops.cast(self.iteration, "float32"), 1.0)
        return {"cross_entropy": means[0], "accuracy": means[1]}


def _accuracy(labels, probabilities):
    """Share of the labelled pixels whose most probable class is their label."""
    labels = ops.cast(labels, "int32")
    labelled = labels < probabilities.shape[-1]
    right = ops.logical_and(ops.equal(ops.cast(ops.argmax(probabilities, axis=-1), "int32"), labels), labelled)
    return ops.sum(ops.cast(right, "float32")) / ops.maximum(ops.sum(ops.cast(labelled, "float32")), 1.0)


@dataclass
class TrainingResult:
    """A trained network and how it came about.

    Attributes:
        model: uncompiled `keras.Model`, its batch-normalisation statistics recomputed over the training slices.
        history: arrays by the names in `HISTORY_KEYS`; loss, accuracy and learning rate per iteration.
        mean: grey level subtracted from the input.
    """

    model: keras.Model
    history: dict[str, np.ndarray]
    mean: float


def train(
    build: Callable[..., keras.Model],
    images: np.ndarray,
    labels: np.ndarray,
    validation_images: np.ndarray,
    validation_labels: np.ndarray,
    class_weights: np.ndarray,
    recipe: Recipe,
    stream,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[int, str], None] | None = None,
    keep: str = "last",
    last_epochs: LastEpochs | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingResult:
    """Train one network.

    Arguments:
        build: called as `build(mean=..., draw=..., seed=...)`, returns the uncompiled model.
        images, labels: the training slices, (num_slices, height, width) uint8; labels are class indices.
        validation_images, validation_labels: likewise; they are watched, never trained on.
        class_weights: (num_classes,) for the loss.
        recipe: how to train.
        stream: `NumpyStream` or `MatlabStream`, where all random numbers come from.
        seed: of the dropout masks.
        checkpoint: file stem beside which the state is kept after each epoch; a later call with the same
            arguments goes on from there and ends with the same weights.
        report: called after each epoch with the number of finished epochs and a line about it.
        keep: "last", the network after the last iteration, as in the study; or "best", the one after the epoch with
            the lowest validation loss, the first of equals.
        last_epochs: counts other slices after each of the last epochs; it has no effect on the trained network.
        callbacks: further callbacks of Keras, see `unet_segnet.training.keeper.Keeper`.

    Returns:
        A `TrainingResult`.

    Raises:
        ValueError: keep is neither, or "best" without a validation after each epoch.
        InputError: fewer slices than a mini-batch, or a checkpoint that does not fit.
        DivergedError: the loss, or after the last update a weight, became NaN or infinite.
    """
    if keep not in ("last", "best") or (
        keep == "best" and not (len(validation_images) and recipe.validation == "epoch")
    ):
        raise ValueError(f"keep must be 'last', or 'best' with validation slices and by epoch. Received: keep={keep!r}")
    if len(images) < recipe.batch_size:
        raise InputError(
            f"{len(images)} training slices do not fill one mini-batch of {recipe.batch_size}; "
            "use more slices or a smaller batch"
        )
    keep_freed_memory()  # before threads have memory arenas of their own
    with dtype_policy(recipe.dtype):
        # In the stream the kernels come before the pass that gives the input mean, which the model is built with.
        first = build(mean=0.0, seed=seed, draw=stream.draw_kernel)
        uniforms = stream.normalisation_pass(len(images))
        mean = float(augment(images, labels, uniforms)[0].mean(dtype="float64"))
        model = build(mean=mean, seed=seed)
        model.set_weights(first.get_weights())

    batches = AugmentedBatches(images, labels, recipe.batch_size, stream)
    log = compile_model(model, recipe, class_weights, len(batches))
    validation = _Validation(model, validation_images, validation_labels, class_weights, recipe)
    stream.epoch(recipe.epochs - 1, len(images), recipe.batch_size)  # the final pass comes after it in the stream
    augmented = augment(images, labels, stream.final_pass(len(images)))[0]
    keeper = _Keeper(
        *(log, validation, keep, last_epochs, augmented),
        *(HISTORY_KEYS, recipe, batches, seed, checkpoint, report, callbacks),
    )
    keeper.fit(model)
    if keeper.best:
        model.set_weights([keeper.best[name] for name in sorted(keeper.best)])
    PooledStatistics(model).pool(augmented, recipe.batch_size)
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):  # the last update has no loss after it
        raise DivergedError(recipe.epochs, keeper.arrays())
    trained = keras.Model(model.inputs, model.outputs, name=model.name)
    return TrainingResult(trained, keeper.arrays(), mean)


def compile_model(model: keras.Model, recipe: Recipe, class_weights: np.ndarray, iterations: int) -> IterationLog:
    """Compile a network for a recipe, with what is fastest on this machine; returns its log.

    Arguments:
        model: changed in place.
        recipe: gives optimiser, loss and validation schedule.
        class_weights: (num_classes,) for the loss.
        iterations: of an epoch.
    """
    loss = WeightedCrossEntropy(class_weights, recipe.loss_normalisation)
    log = IterationLog(iterations, loss)
    at_once = iterations if recipe.validation == "epoch" else 1
    compile_fastest(model, at_once, optimizer=_optimizer(recipe, model), loss=loss, metrics=[log])
    return log


def _optimizer(recipe, model):
    up_biases = [
        layer.bias.path for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose) and layer.use_bias
    ]
    return CoupledAdam(
        learning_rate=recipe.learning_rate,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        l2=recipe.l2,
        rate_factors=dict.fromkeys(up_biases, recipe.up_bias_factor),
    )


class _Validation:
    """Loss and accuracy on the validation slices as MATLAB R2020a reports them during training.

    Batch normalisation uses the statistics of the validation batch itself, and does not keep them; the loss is
    normalised once over all validation slices.
    """

    def __init__(self, model, images, labels, class_weights, recipe):
        self.trained, self.model = model, with_batch_statistics(model)[0]
        self.images, self.labels, self.class_weights = images, labels, class_weights
        self.batch_size, self.normalisation = recipe.batch_size, recipe.loss_normalisation

    def __call__(self):
        with same_averages(self.trained):
            return self._loss_and_accuracy()

    def _loss_and_accuracy(self):
        total, weight, right, pixels = 0.0, 0.0, 0, 0
        for start in range(0, len(self.images), self.batch_size):
            batch = slice(start, start + self.batch_size)
            labels = self.labels[batch]
            probabilities = np.asarray(self.model.predict_on_batch(self.images[batch][..., None]), np.float32)
            chosen = np.take_along_axis(probabilities, labels[..., None].astype(np.int64), axis=-1)[..., 0]
            weights = np.asarray(self.class_weights)[labels]
            total -= float(np.sum(weights * np.log(np.maximum(chosen, EPSILON))))
            weight += float(weights.sum()) if self.normalisation == "weights" else labels.size
            right += int(np.sum(probabilities.argmax(axis=-1) == labels))
            pixels += labels.size
        return total / weight, right / pixels


class _Keeper(Keeper):
    """Learning rate, iterations, validation, counts after the last epochs and the state."""

    def __init__(self, log, validation, keep_which, last_epochs, final_pass, *arguments):
        super().__init__(*arguments)
        self.log, self.validation, self.last_epochs, self.final_pass = log, validation, last_epochs, final_pass
        self.keep_which, self.best = keep_which, {}  # weights of the best epoch, by their number as text

    def restore(self, history, iterations, finished, extra):
        counted = {name.removeprefix(LAST): extra.pop(name) for name in list(extra) if name.startswith(LAST)}
        self.best = extra
        if self.last_epochs:
            self.last_epochs.restore(counted)
        validated = history["validation_iteration"] <= iterations
        for key, values in history.items():
            if key.startswith("validation"):
                values = values[validated]
            else:
                values = values[: finished if key == "epoch_seconds" else iterations]
            self.history[key] = values.tolist()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch)
        self.model.optimizer.learning_rate = self.recipe.learning_rate_at(epoch)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch)
        if self.recipe.validation == "matlab":
            iteration = len(self.history["epoch_seconds"]) * self.num_iterations + batch + 1
            if iteration == 1 or iteration % VALIDATION_FREQUENCY == 0:
                self._validate(iteration)

    def on_epoch_end(self, epoch, logs=None):
        losses, accuracies = np.asarray(ops.convert_to_numpy(self._values()), np.float64).T
        self.history["loss"].extend(losses.tolist())
        self.history["accuracy"].extend(accuracies.tolist())
        self.history["learning_rate"].extend([self.recipe.learning_rate_at(epoch)] * self.num_iterations)
        if not np.isfinite(losses).all():
            raise DivergedError(epoch + 1, self.arrays())
        if self.recipe.validation == "epoch":
            self._validate((epoch + 1) * self.num_iterations)
        self.history["epoch_seconds"].append(time.monotonic() - self.started)
        if self._counts_after(epoch):
            self.last_epochs.end(self.model, epoch + 1, self.final_pass, self.recipe.batch_size)
        losses_seen = self.history["validation_loss"]
        if self.keep_which == "best" and losses_seen[-1] < np.nanmin([np.inf, *losses_seen[:-1]]):
            self.best = {f"{number:05}": weight for number, weight in enumerate(self.model.get_weights())}
        counted = {LAST + name: of for name, of in self.last_epochs.arrays().items()} if self.last_epochs else {}
        validated = f", validation {losses_seen[-1]:.4f}" if losses_seen else ""
        if losses_seen:
            logs.update(val_loss=losses_seen[-1], val_accuracy=self.history["validation_accuracy"][-1])
        self.keep(epoch, f"loss {losses.mean():.4f}{validated}", self.best | counted)

    def _counts_after(self, epoch):
        return self.last_epochs is not None and epoch >= self.recipe.epochs - self.last_epochs.num_epochs

    def _values(self):
        self.model  # noqa: B018  brings the state back from the JAX trainer
        return self.log.values

    def _validate(self, iteration):
        if len(self.validation.images) == 0:
            return
        self.model  # noqa: B018
        loss, accuracy = self.validation()
        self.history["validation_iteration"].append(iteration)
        self.history["validation_loss"].append(loss)
        self.history["validation_accuracy"].append(accuracy)
