"""The random stream against MATLAB's published first values and a one-number-at-a-time ziggurat."""

import math

import numpy as np
import pytest
from scipy import stats

from unet_segnet.matlab import RandomStream

TEST_SLICES = [71, 23, 65, 2, 4, 18, 85, 75, 24, 95, 39, 13, 9, 66, 20, 57, 10, 12]


def slow_randn(seed: int, count: int) -> tuple[list[float], float]:
    """`count` normals drawn one by one, and the uniform that follows them."""
    words = np.random.RandomState(seed)
    r = 3.6541528853610088
    area = r * math.exp(-r * r / 2) + math.sqrt(math.pi / 2) * math.erfc(r / math.sqrt(2))
    x = [area / math.exp(-r * r / 2), r]
    for _ in range(254):
        x.append(math.sqrt(-2 * math.log(area / x[-1] + math.exp(-(x[-1] ** 2) / 2))))
    x.append(0.0)
    f = [math.exp(-edge * edge / 2) for edge in x]

    def one() -> float:
        while True:
            a, b = (int(word) for word in words.randint(0, 2**32, 2, dtype=np.uint32))
            i = 255 - (b >> 24)
            h = 2 * (((a >> 3) << 24) + (b & 0xFFFFFF)) / 2**53 - 1
            z = h * x[i]
            if abs(z) < x[i + 1]:
                return z
            if i == 0:
                while True:
                    tail = -math.log(words.random_sample()) / r
                    if 2 * -math.log(words.random_sample()) > tail * tail:
                        return math.copysign(r + tail, h)
            if f[i] + words.random_sample() * (f[i + 1] - f[i]) < math.exp(-z * z / 2):
                return z

    return [one() for _ in range(count)], words.random_sample()


def test_first_uniforms_are_those_matlab_publishes():
    np.testing.assert_allclose(
        RandomStream(0).rand(10),
        [0.8147, 0.9058, 0.1270, 0.9134, 0.6324, 0.0975, 0.2785, 0.5469, 0.9575, 0.9649],
        atol=5e-5,
    )


def test_first_normals_are_those_matlab_publishes():
    np.testing.assert_allclose(
        RandomStream(0).randn(10),
        [0.5377, 1.8339, -2.2588, 0.8622, 0.3188, -1.3077, -0.4336, 0.3426, 3.5784, 2.7694],
        atol=5e-5,
    )


@pytest.mark.parametrize("seed", [5489, 1, 2020])
def test_normals_in_one_go_equal_normals_one_by_one(seed):
    expected, following = slow_randn(seed, 20_000)
    assert max(map(abs, expected)) > 3.6541528853610088  # the tail is exercised
    stream = RandomStream(seed)
    np.testing.assert_array_equal(stream.randn(20_000), expected)
    assert stream.rand() == following


def test_draws_do_not_depend_on_how_they_are_grouped():
    whole, parts = RandomStream(3), RandomStream(3)
    np.testing.assert_array_equal(whole.randn(3000), np.concatenate([parts.randn(1) for _ in range(3000)]))
    assert whole.rand() == parts.rand()


def test_normals_are_normal():
    assert stats.kstest(RandomStream(7).randn(100_000), "norm").pvalue > 0.01


def test_arrays_fill_column_by_column():
    for draw in ("rand", "randn"):
        flat = getattr(RandomStream(5), draw)(24)
        array = getattr(RandomStream(5), draw)(2, 3, 4)
        assert array.shape == (2, 3, 4)
        assert array[1, 0, 0] == flat[1] and array[0, 1, 0] == flat[2] and array[0, 0, 1] == flat[6]


def test_randperm_gives_the_authors_test_slices_and_draws_one_uniform_each():
    stream = RandomStream(0)
    order = stream.randperm(100)
    assert order[82:].tolist() == TEST_SLICES
    assert sorted(order) == list(range(1, 101))
    assert stream.rand() == RandomStream(5489).rand(101)[100]


def test_nothing_drawn_leaves_the_stream_where_it_was():
    stream = RandomStream(0)
    assert stream.randn(0).shape == (0,) and stream.rand(0, 3).shape == (0, 3)
    assert stream.rand() == RandomStream(0).rand()


def test_the_released_network_started_from_this_streams_kernels(real_data):
    """After 160 epochs each kernel still resembles the one it was drawn as; another seed's does not."""
    from unet_segnet.matlab import load_network
    from unet_segnet.training.streams import MatlabStream

    file = real_data / "results" / "networks" / "segnet2_result" / "segnet2_256_0.001_4_160.mat"
    trained = [np.asarray(layer.kernel) for layer in load_network(file).model.layers if hasattr(layer, "kernel")]

    def correlations(seed):
        stream = MatlabStream(seed)
        drawn = [stream.draw_kernel(kernel.shape) for kernel in trained]
        return [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(trained, drawn, strict=True)]

    assert min(correlations(0)) > 0.3
    assert max(np.abs(correlations(1))) < 0.15
