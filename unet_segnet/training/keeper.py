"""What all trainings do around an epoch of `keras.Model.fit`."""

import time

import keras
import numpy as np

from unet_segnet.processor import keep_freed_memory
from unet_segnet.training.checkpoint import Checkpoint
from unet_segnet.training.compilation import seed_dropout


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
    """

    def __init__(self, keys, recipe, batches, seed, checkpoint, report):
        super().__init__()
        self.keys, self.recipe, self.batches, self.seed = keys, recipe, batches, seed
        self.checkpoint, self.report = Checkpoint(checkpoint), report
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
                callbacks=[self],
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

    def is_last(self, epoch):
        """Whether epoch 0, 1, ... is the recipe's last."""
        return epoch + 1 == self.recipe.epochs
