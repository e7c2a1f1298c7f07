"""Batch normalisation as MATLAB R2020a treats it: no moving averages, one pass over the data at the end."""

from contextlib import contextmanager

import keras
import numpy as np
from keras import ops


class _OwnStatistics(keras.layers.Layer):
    """A batch normalisation that uses its batch's statistics even in inference (no `training` to be overruled)."""

    def __init__(self, layer):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, x):
        return self.layer(x, training=True)

    def compute_output_shape(self, input_shape):
        return input_shape


def with_batch_statistics(model):
    """A twin that shares all layers, with batch normalisation by its batch's statistics and dropout inactive.

    Arguments:
        model: a functional `keras.Model`.

    Returns:
        The twin, and the symbolic input of each batch normalisation by the layer's name.
    """
    layer_inputs = {}

    def share(layer):
        return _OwnStatistics(layer) if isinstance(layer, keras.layers.BatchNormalization) else layer

    def call(layer, *args, **kwargs):
        if isinstance(layer, _OwnStatistics):
            layer_inputs[layer.name] = args[0]
            return layer(args[0])
        return layer(*args, **kwargs)

    uncompiled = keras.Model(model.inputs, model.outputs)  # cloning a compiled model would compile the copy too
    twin = keras.models.clone_model(uncompiled, clone_function=share, call_function=call)
    return twin, layer_inputs


def normalisations(model: keras.Model) -> list:
    """The batch normalisations that are trained; others keep the averages with which they were trained."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]


def moving_averages(model: keras.Model) -> list[list[np.ndarray]]:
    """Moving mean and variance of each of `normalisations`, copied."""
    return [
        [np.array(ops.convert_to_numpy(of)) for of in (layer.moving_mean, layer.moving_variance)]
        for layer in normalisations(model)
    ]


def set_moving_averages(model: keras.Model, averages: list[list[np.ndarray]]) -> None:
    """Put in place what `moving_averages` gave."""
    for layer, (mean, variance) in zip(normalisations(model), averages, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


@contextmanager
def same_averages(model: keras.Model):
    """Whatever goes through the network or its twin meanwhile, the moving averages stay as they are."""
    averages = moving_averages(model)
    try:
        yield
    finally:
        set_moving_averages(model, averages)


class PooledStatistics:
    """Replaces the moving averages of batch normalisation by mean and biased variance pooled over all pixels.

    Each mini-batch goes through the network normalised by its own statistics, as in training. MATLAB R2020a does
    this once after the last iteration, over one more augmented pass of the training slices.

    Arguments:
        model: a functional network; layers that are not trainable keep their averages, with which they were trained.
    """

    def __init__(self, model: keras.Model):
        self.model, self._moments = model, None
        if layers := normalisations(model):
            twin, layer_inputs = with_batch_statistics(model)
            moments = [
                moment
                for layer in layers
                for moment in ops.moments(ops.cast(layer_inputs[layer.name], "float32"), (0, 1, 2), keepdims=True)
            ]
            self._moments = keras.Model(twin.inputs, moments)

    def pool(self, images: np.ndarray, batch_size: int) -> None:
        """Change the network in place.

        Arguments:
            images: (num_slices, height, width) grey levels.
            batch_size: slices in a mini-batch.
        """
        if self._moments is None:
            return
        sizes, means, squares = [], [], []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size, ..., None]
            found = [np.asarray(moment, np.float64).ravel() for moment in self._moments.predict_on_batch(batch)]
            sizes.append(len(batch))
            means.append(found[::2])
            squares.append([variance + mean**2 for mean, variance in zip(found[::2], found[1::2], strict=True)])
        pooled = []
        for of_layer, of_squares in zip(zip(*means, strict=True), zip(*squares, strict=True), strict=True):
            mean, square = (np.average(values, axis=0, weights=sizes) for values in (of_layer, of_squares))
            pooled.append([mean, square - mean**2])
        set_moving_averages(self.model, pooled)
