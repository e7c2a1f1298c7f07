"""Counts after each of the last epochs: of the network that would have been kept, and without touching the training."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from toy_training import WEIGHTS, build, run, toy_slices, weights_of

from unet_segnet.training.class_weighted import Recipe, train
from unet_segnet.training.last_epochs import LastEpochs
from unet_segnet.training.streams import NumpyStream

RECIPE = Recipe(batch_size=4, epochs=5)


@pytest.fixture(scope="module")
def plain():
    return run(recipe=RECIPE)


def watching(num_epochs):
    """`LastEpochs` that keeps the weights of each network it is shown."""
    seen = []

    def count(model):
        seen.append(weights_of(model))
        return {"test_confusion": np.full((3, 2, 2), len(seen))}

    return LastEpochs(count, num_epochs), seen


def test_the_training_is_not_touched(plain):
    last, _ = watching(3)
    watched = run(recipe=RECIPE, last_epochs=last)
    for one, other in zip(weights_of(plain.model), weights_of(watched.model), strict=True):
        np.testing.assert_array_equal(one, other)
    for key in ("loss", "accuracy", "validation_loss"):
        np.testing.assert_array_equal(plain.history[key], watched.history[key], err_msg=key)
    arrays = last.arrays()
    assert arrays["epoch"].tolist() == [3, 4, 5] and arrays["test_confusion"].shape == (3, 3, 2, 2)


def test_the_network_is_that_of_a_training_that_stops_there(plain):
    """All weights but the averages of batch normalisation, which the final pass makes."""
    last, seen = watching(2)
    run(recipe=RECIPE, last_epochs=last)
    for weight, there, after in zip(plain.model.weights, weights_of(plain.model), seen[-1], strict=True):
        if "moving" not in weight.path:
            np.testing.assert_array_equal(there, after, err_msg=weight.path)


def test_batch_normalisation_takes_the_statistics_of_the_epoch():
    """Its moving averages without what they were before: nearly the means over the epoch's mini-batches."""
    model = build("small")(mean=0.0)
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    channels = layer.moving_mean.shape[0]
    random = np.random.default_rng(0)
    before, batches = random.random((2, channels)), random.random((6, 2, channels))
    last, seen = watching(1)
    layer.moving_mean.assign(before[0])
    layer.moving_variance.assign(before[1])
    last.begin(model)
    moving = before
    for batch in batches:
        moving = moving * layer.momentum + batch * (1 - layer.momentum)
    layer.moving_mean.assign(moving[0])
    layer.moving_variance.assign(moving[1])
    last.end(model, 1, len(batches))
    weights = layer.momentum ** np.arange(len(batches))[::-1]
    expected = np.average(batches, axis=0, weights=weights)
    names = [weight.path for weight in model.weights]
    for of, wanted, now in (
        (layer.moving_mean, *expected[:1], moving[0]),
        (layer.moving_variance, expected[1], moving[1]),
    ):
        np.testing.assert_allclose(seen[0][names.index(of.path)], wanted, rtol=2e-4)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(of), now, rtol=1e-6)
    assert np.abs(expected - batches.mean(axis=0)).max() < 0.02


@pytest.mark.parametrize("validation", ["epoch", "matlab"])
def test_validation_slices_do_not_reach_what_is_counted(validation):
    """They go through the network by their own statistics, which its moving averages are not to follow."""
    images, labels = toy_slices()
    recipe, counted = replace(RECIPE, epochs=2, validation=validation), []
    for watched in (images[8:], images[8:] // 4):
        last, seen = watching(1)
        slices = images[:8], labels[:8], watched, labels[8:]
        train(build(), *slices, WEIGHTS, recipe, NumpyStream(0), last_epochs=last)
        counted.append(seen[-1])
    for one, same in zip(*counted, strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_training_that_goes_on_without_counting_has_no_counts():
    last, _ = watching(0)
    last.restore({"epoch": np.array([2, 3]), "test_confusion": np.zeros((2, 3, 2, 2))})
    assert last.arrays() == {}


def test_a_resumed_training_goes_on_counting(tmp_path):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop_after_four(epoch, _):
        if epoch == 4:
            raise Stopped

    whole, seen = watching(3)
    run(recipe=RECIPE, last_epochs=whole)
    with pytest.raises(Stopped):
        run(recipe=RECIPE, checkpoint=tmp_path / "state", report=stop_after_four, last_epochs=watching(3)[0])
    resumed, seen_again = watching(3)
    run(recipe=RECIPE, checkpoint=tmp_path / "state", last_epochs=resumed)
    assert resumed.arrays()["epoch"].tolist() == [3, 4, 5]
    for one, other in zip(seen[-1], seen_again[-1], strict=True):
        np.testing.assert_array_equal(one, other)
