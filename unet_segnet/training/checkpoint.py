"""The saved state of a training that is under way."""

import math
import time
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import ops

from unet_segnet.errors import InputError, missing_weights_are_errors
from unet_segnet.output.files import reserve, whole_file

EXTRA = "extra"  # group of the weights file that Keras passes over


class Checkpoint:
    """Weights, optimiser and history of a network in training, kept in two files beside a stem.

    The history is written first, so that it is never behind the weights; what it is ahead is for the reader to drop.

    Arguments:
        stem: of `<stem>.weights.h5` and `<stem>.history.npz`; None keeps nothing.
    """

    def __init__(self, stem: Path | None):
        self.stem = stem
        self.saved_at, self.saving_took = time.monotonic(), 0.0

    def load(self, model: keras.Model, keys) -> tuple[dict, int, dict] | None:
        """Give a model, whose optimiser has its variables, their saved values.

        Arguments:
            model: changed in place.
            keys: names of the history's arrays.

        Returns:
            The history's arrays, the number of iterations that the weights have seen, and the extra arrays; None
            where nothing is saved.

        Raises:
            InputError: the saved state cannot be read.
        """
        if self.stem is None or not self._weights.exists():
            return None
        try:
            with missing_weights_are_errors():
                model.load_weights(self._weights)
            with np.load(self._history, allow_pickle=False) as saved:
                history = {key: saved[key] for key in keys}
            with h5py.File(self._weights) as saved:
                extra = {name: values[()] for name, values in saved.get(EXTRA, {}).items()}
        except Exception as error:
            raise InputError(
                f"{self._weights}: the saved state cannot be read ({type(error).__name__}); "
                "remove it and its history to train this run from the beginning"
            ) from error
        return history, int(ops.convert_to_numpy(model.optimizer.iterations)), extra

    def save(self, model: keras.Model, history: dict, last: bool = False, extra: dict | None = None) -> None:
        """Save the state, unless writing would take a noticeable part of the time (large networks, fast device).

        Arguments:
            model: with its optimiser.
            history: arrays by name.
            last: save whatever it takes.
            extra: arrays that belong to these very weights, by name.
        """
        if self.stem is None or (not last and time.monotonic() - self.saved_at < 20 * self.saving_took):
            return
        started = time.monotonic()
        with whole_file(self._history) as temporary:
            np.savez(temporary, **history)
        with whole_file(self._weights) as temporary:
            reserve(temporary, _size(model, extra or {}))
            model.save_weights(temporary)
            with h5py.File(temporary, "a") as saved:
                for name, values in (extra or {}).items():
                    saved[f"{EXTRA}/{name}"] = values
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - started

    @property
    def _weights(self):
        return self.stem.with_suffix(".weights.h5")

    @property
    def _history(self):
        return self.stem.with_suffix(".history.npz")


def _size(model, extra):
    """Bytes that an HDF5 file of the state takes at most."""
    variables = {id(variable): variable for variable in (*model.weights, *model.optimizer.variables)}.values()
    arrays = [math.prod(variable.shape) * 4 for variable in variables] + [np.asarray(v).nbytes for v in extra.values()]
    return sum(arrays) + 4096 * len(arrays) + 65536
