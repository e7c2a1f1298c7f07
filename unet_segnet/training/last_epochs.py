"""Counts of other slices after each of the last epochs: what a result owes to the epoch at which a training stops."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from unet_segnet.training.batch_statistics import PooledStatistics, same_averages


class LastEpochs:
    """What the network would have counted, had the training stopped after each of its last epochs.

    Nothing is chosen by it, and the training is not touched: all variables are as they were afterwards. Batch
    normalisation takes its statistics as that of the network that is kept does, from the final pass over the training
    slices: after the last epoch the counts are that network's own.

    Arguments:
        count: counts by name, (num_slices, num_classes, num_classes), of a network that gives class probabilities.
        num_epochs: how many of the last epochs.
    """

    def __init__(self, count: Callable[[keras.Model], Mapping[str, np.ndarray]], num_epochs: int):
        self.count, self.num_epochs = count, num_epochs
        self.epochs, self.counts = [], {}
        self._twin, self._statistics = None, None

    def end(self, model: keras.Model, epoch: int, images: np.ndarray, batch_size: int) -> None:
        """Count after an epoch.

        Arguments:
            model: in training.
            epoch: the epoch's number, counted from 1.
            images, batch_size: the final pass, see `PooledStatistics`.
        """
        if self._twin is None:  # a model of its own over the same layers leaves the functions of `fit` alone
            self._twin, self._statistics = keras.Model(model.inputs, model.outputs), PooledStatistics(model)
        with same_averages(model):
            self._statistics.pool(images, batch_size)
            found = self.count(self._twin)
        self.epochs.append(epoch)
        for name, counts in found.items():
            self.counts.setdefault(name, []).append(np.asarray(counts, np.int32))

    def arrays(self) -> dict[str, np.ndarray]:
        """What was counted: "epoch", (n,), counted from 1, and the counts by name, n first; empty before the first."""
        if not self.epochs:
            return {}
        return {"epoch": np.asarray(self.epochs), **{name: np.stack(of) for name, of in self.counts.items()}}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        if not self.num_epochs:  # those of a longer tail would stand for the last ones
            return
        self.epochs = arrays["epoch"].tolist() if "epoch" in arrays else []
        self.counts = {name: list(values) for name, values in arrays.items() if name != "epoch"}
