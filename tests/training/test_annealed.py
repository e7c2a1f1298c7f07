"""The tool's own recipe on a network small enough to follow: it learns, ends averaged, and goes on where it stopped."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.training.annealed import HISTORY_KEYS, STATISTICS_BATCHES, AnnealedRecipe, train_annealed
from unet_segnet.training.streams import BalancedStream

RECIPE = AnnealedRecipe(learning_rate=0.03, batch_size=2, steps=4, epochs=3, averaged=0.5)


def toy_slices(num_slices=6, size=16):
    """A bright square on a dark, noisy slice; a strip whose label nobody knows; the last slice shows nothing."""
    generator = np.random.default_rng(0)
    labels = np.zeros((num_slices, size, size), np.uint8)
    for index in range(num_slices - 1):
        row, column = generator.integers(1, size - 7, 2)
        labels[index, row : row + 6, column : column + 6] = 1
    images = (generator.normal(0.2, 0.1, labels.shape) + 0.7 * labels).astype(np.float16)
    labels[:, -1] = 255
    return images, labels


def augment(images, labels, seeds):
    shift = np.array([np.random.default_rng(seed).normal(0, 0.02) for seed in seeds], np.float32)
    return images.astype(np.float32) + shift[:, None, None], labels


def plain(images, labels):
    return images.astype(np.float32)


def small():
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.8)(x))
    x = keras.layers.Dropout(0.1, seed=0)(x)
    x = keras.layers.Conv2D(2, 1, kernel_initializer=keras.initializers.HeNormal(seed=2))(x)
    return keras.Model(inputs, keras.layers.Softmax()(x))


def run(recipe=RECIPE, change=augment, **options):
    images, labels = toy_slices()
    return train_annealed(small(), images, labels, np.full(6, 1 / 6), change, plain, recipe, seed=3, **options)


def weights_of(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.fixture(scope="module")
def finished():
    return run()


def test_it_learns_and_keeps_a_number_an_epoch(finished):
    _, history = finished
    assert {key: len(values) for key, values in history.items()} == dict.fromkeys(HISTORY_KEYS, 3)
    assert history["loss"][-1] < history["loss"][0]
    images, labels = toy_slices()
    trained, _ = run(replace(RECIPE, epochs=12))
    found = np.asarray(trained.predict_on_batch(images.astype(np.float32)[..., None]))[..., 1] > 0.5
    known = labels != 255
    assert (found == labels)[known].mean() > 0.97


def test_it_ends_with_the_average_of_the_last_weights(finished, tmp_path):
    """The averages that Keras' optimiser keeps, against those of the weights after each epoch of one step."""
    after = []

    recipe = replace(RECIPE, steps=1, epochs=5)
    images, labels = toy_slices()
    model = small()

    def note(epoch, line):
        after.append([keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables])

    train_annealed(model, images, labels, np.full(6, 1 / 6), augment, plain, recipe, seed=3, report=note)
    for number, weight in enumerate(model.trainable_variables):
        average = after[0][number]
        for step in after[1:]:
            average = 0.5 * average + 0.5 * step[number]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), average, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_an_interrupted_training_ends_with_the_same_weights(finished, tmp_path, stopped_after):
    class StoppedError(Exception):
        pass

    def stop(epoch, line):
        if epoch == stopped_after:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(checkpoint=tmp_path / "state", report=stop)
    assert (tmp_path / "state.weights.h5").exists()
    epochs = []
    model, history = run(checkpoint=tmp_path / "state", report=lambda epoch, line: epochs.append(epoch))
    assert epochs == list(range(stopped_after + 1, 4))
    np.testing.assert_array_equal(history["loss"], finished[1]["loss"])
    for got, expected in zip(weights_of(model), weights_of(finished[0]), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_loss_that_is_no_number_is_told():
    def spoil(images, labels, seeds):
        return np.full(images.shape, np.nan, np.float32), labels

    with pytest.raises(DivergedError):
        run(change=spoil)


def test_nothing_to_train_on_is_told():
    images, labels = toy_slices()
    with pytest.raises(InputError, match="no slices"):
        train_annealed(small(), images[:0], labels[:0], np.zeros(0), augment, plain, RECIPE)


def test_statistics_are_those_of_slices_as_they_are():
    """Augmentation that brightens everything leaves no trace in the statistics of the first normalisation."""
    images, _ = toy_slices()

    def brighter(images, labels, seeds):
        return images.astype(np.float32) + 5, labels

    model, _ = run(change=brighter)
    first = model.layers[1]
    drawn, _ = BalancedStream(3, np.full(6, 1 / 6), 2 * STATISTICS_BATCHES).epoch(RECIPE.epochs, 6, 2)
    seen = np.asarray(first(images[drawn].astype(np.float32)[..., None]))
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    np.testing.assert_allclose(np.asarray(norm.moving_mean), seen.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(norm.moving_variance), seen.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
