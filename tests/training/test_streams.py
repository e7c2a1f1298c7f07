"""Where a training's random numbers come from."""

import numpy as np
import pytest

from unet_segnet.training.streams import BalancedStream, MatlabStream, NumpyStream


@pytest.mark.parametrize("make", [lambda: NumpyStream(2), lambda: MatlabStream(), lambda: MatlabStream(restarts=True)])
def test_an_epochs_numbers_depend_on_its_number_alone(make):
    one, other = make(), make()
    for stream in (one, other):
        stream.draw_kernel((3, 3, 1, 4))
        stream.normalisation_pass(10)
    in_turn = [one.epoch(epoch, 10, 4) for epoch in range(4)]
    order, uniforms = other.epoch(3, 10, 4)
    np.testing.assert_array_equal(order, in_turn[3][0])
    np.testing.assert_array_equal(uniforms, in_turn[3][1])
    assert sorted(order) == list(range(10))
    assert not np.array_equal(in_turn[0][0], in_turn[1][0])


def test_matlab_stream_leaves_out_what_matlab_leaves_out():
    """Ten slices in batches of four: eight are read and draw eight numbers each; ten numbers at iteration 1."""
    stream = MatlabStream(seed=0, restarts=True)
    stream.draw_kernel((1,))
    stream.normalisation_pass(10)
    _, uniforms = stream.epoch(0, 10, 4)
    words = np.random.RandomState(5489)
    words.randint(0, 2**32, 2, dtype=np.uint32)  # one normal number takes two words, here at the first try
    drawn = words.random_sample(32 + 80 + 10 + 32 + 10 + 32)
    np.testing.assert_array_equal(uniforms[:4].ravel(), drawn[122:154])
    np.testing.assert_array_equal(uniforms[4:8].ravel(), drawn[164:196])


def test_balanced_stream_draws_by_the_probabilities():
    stream = BalancedStream(1, [0.5, 0.0, 0.25, 0.25], 4000)
    order, seeds = stream.epoch(3, 4, 8)
    np.testing.assert_allclose(np.bincount(order, minlength=4) / 4000, [0.5, 0, 0.25, 0.25], atol=0.03)
    assert len(np.unique(seeds)) > 3990
    again, same = BalancedStream(1, [0.5, 0.0, 0.25, 0.25], 4000).epoch(3, 4, 8)
    np.testing.assert_array_equal(order, again)
    np.testing.assert_array_equal(seeds, same)
    assert not np.array_equal(order, stream.epoch(4, 4, 8)[0])
