"""Counts after each of the last epochs: of the network that would have been kept, and without touching the training."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from toy_training import WEIGHTS, build, run, toy_slices, weights_of

from unet_segnet.training.class_weighted import Recipe, train
from unet_segnet.training.last_epochs import LastEpochs
from unet_segnet.training.streams import MatlabStream, NumpyStream

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


@pytest.mark.parametrize("stream", [NumpyStream, partial(MatlabStream, num_slices=12)])
def test_the_last_network_is_the_one_that_is_kept(stream):
    """With all its weights, the averages of batch normalisation too, and so it is where the training stops sooner."""
    last, seen = watching(2)
    kept = run(recipe=RECIPE, stream=stream(0), last_epochs=last).model
    sooner = run(recipe=replace(RECIPE, epochs=RECIPE.epochs - 1), stream=stream(0)).model
    pairs = [(kept, seen[-1])]
    if stream is NumpyStream:  # of MATLAB's numbers the final pass has the next ones, others for each length
        pairs.append((sooner, seen[0]))
    for network, counted in pairs:
        for weight, expected, found in zip(network.weights, weights_of(network), counted, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=weight.path)


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
