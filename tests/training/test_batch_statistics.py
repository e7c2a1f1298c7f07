"""The statistics of batch normalisation after a training."""

import keras
import numpy as np

from unet_segnet.layers import BatchNormalization
from unet_segnet.training.batch_statistics import PooledStatistics


def test_final_statistics_are_those_of_all_pixels():
    """Two normalisations in a row; the second sees what the first made of each batch by its own statistics."""
    generator = np.random.default_rng(2)
    images = generator.integers(0, 256, (6, 8, 8)).astype(np.uint8)
    inputs = keras.Input((8, 8, 1))
    x = BatchNormalization(epsilon=1e-3, name="first")(inputs)
    x = keras.layers.ReLU()(x)
    model = keras.Model(inputs, BatchNormalization(name="second")(x))
    PooledStatistics(model).pool(images, batch_size=2)
    pixels = images.astype(np.float64)
    batches = pixels.reshape(3, 2, 8, 8)
    mean, variance = (batches.mean((1, 2, 3), keepdims=True), batches.var((1, 2, 3), keepdims=True))
    hidden = np.maximum((batches - mean) / np.sqrt(variance + 1e-3), 0)
    for name, values in (("first", pixels), ("second", hidden)):
        layer = model.get_layer(name)
        found = [keras.ops.convert_to_numpy(w)[0] for w in (layer.moving_mean, layer.moving_variance)]
        np.testing.assert_allclose(found, [values.mean(), values.var()], rtol=1e-5)
