"""What all trainings do around an epoch of `keras.Model.fit`."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from unet_segnet.processor import keep_freed_memory
from unet_segnet.training import PICTURE
from unet_segnet.training.checkpoint import Checkpoint
from unet_segnet.training.compilation import seed_dropout

SECONDS = 30.0  # from one drawing of it to the next, at least
SHARE = 0.01  # of the time, at most


class Keeper(keras.callbacks.Callback):
    """Draws, dropout seeds, history and the saved state, all by epoch; each recipe's own ends the epochs.

    What happens in an epoch depends on its number alone, so that a run that was interrupted at any moment ends with
    the same weights as one that was not.

    Arguments:
        keys: names of the history's arrays, which are numbers by epoch unless `restore` is overridden.
        recipe: gives `epochs`.
        batches: `AugmentedBatches`.
        seed: of the dropout masks.
        checkpoint: stem of the saved state's files, or None.
        report: called with the number of finished epochs and a line about the last; or None.
        callbacks: further callbacks of Keras. They find in the logs of an epoch what Keras calls so: "loss", and
            "val_loss" where there is a validation.
    """

    def __init__(self, keys, recipe, batches, seed, checkpoint, report, callbacks=()):
        super().__init__()
        self.keys, self.recipe, self.batches, self.seed = keys, recipe, batches, seed
        self.checkpoint, self.report, self.callbacks = Checkpoint(checkpoint), report, callbacks
        self.picture = TrainingPicture(checkpoint and checkpoint.with_name(PICTURE))
        self.history = {key: [] for key in keys}

    @property
    def num_iterations(self):
        """Of an epoch."""
        return len(self.batches)

    def arrays(self):
        """The history so far, as arrays."""
        return {key: np.asarray(values) for key, values in self.history.items()}

    def fit(self, model):
        """Train a compiled model up to the recipe's last epoch, from the saved state on where there is one."""
        first_epoch = self._restore(model)
        if first_epoch < self.recipe.epochs:
            model.fit(
                self.batches,
                initial_epoch=first_epoch,
                epochs=self.recipe.epochs,
                shuffle=False,
                verbose=0,
                callbacks=[self, *self.callbacks],  # first, for it completes the logs
            )

    def restore(self, history, iterations, finished, extra):
        """Take over a saved state.

        Arguments:
            history: arrays by name, which may be ahead of the weights.
            iterations, finished: iterations and epochs that the weights have seen.
            extra: what `Checkpoint.save` was given beside them.
        """
        self.history = {key: values[:finished].tolist() for key, values in history.items()}

    def _restore(self, model):
        """Load the saved state, if there is one; returns the number of finished epochs."""
        found = self.checkpoint.load(model, self.keys)
        if found is None:
            return 0
        history, iterations, extra = found
        finished = iterations // self.num_iterations
        self.restore(history, iterations, finished, extra)
        return finished

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        self.batches.set_epoch(epoch)
        seed_dropout(self.model, self.seed, epoch)

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:  # again: TensorFlow's generator datasets set a threshold of their own
            keep_freed_memory()

    def keep(self, epoch, line, extra=None):
        """What each recipe does when epoch 0, 1, ... is over and in the history: save, draw and report.

        Arguments:
            epoch: its number.
            line: about it.
            extra: see `Checkpoint.save`.
        """
        last, history = epoch + 1 == self.recipe.epochs, self.arrays()
        self.checkpoint.save(self.model, history, last, extra)
        self.picture.update(history, last)
        if self.report:
            self.report(epoch + 1, line)


class TrainingPicture:
    """Draws the curves of a training to a file, each time whole; a training that is over at once leaves none.

    Arguments:
        path: the PNG file in the run's folder; None draws nothing.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.drawn_at, self.took = time.monotonic(), 0.0

    def update(self, history: Mapping[str, np.ndarray], last: bool = False) -> None:
        """Draw, unless that was done a moment ago, or takes a noticeable part of the time.

        Arguments:
            history: arrays by name, as `unet_segnet.plots.training_curves` takes them.
            last: there will be no more: a picture that is there is brought to its end, whatever that takes.
        """
        if self.path is None:
            return
        since = time.monotonic() - self.drawn_at
        if since < max(SECONDS, self.took / SHARE) and not (last and self.path.exists()):
            return
        from unet_segnet.plots import save_figure, training_curves

        started = time.monotonic()
        with contextlib.suppress(OSError):  # what the disk has against it, the saved state is told as well
            save_figure(training_curves(history, f"{self.path.parent.parent.name}, {self.path.parent.name}"), self.path)
        self.drawn_at = time.monotonic()
        self.took = self.drawn_at - started
