"""The weighted cross-entropy against NumPy written for reading."""

import keras
import numpy as np
import pytest

from unet_segnet.layers import Softmax
from unet_segnet.training.losses import WeightedCrossEntropy

WEIGHTS = (0.5, 2.0, 7.0)


def cross_entropy_by_hand(labels, probabilities, weights, normalisation):
    total, divisor = 0.0, 0.0
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label >= len(weights):
            continue  # no label: the pixel does not count
        total -= weights[label] * np.log(probabilities[place][label])
        divisor += weights[label] if normalisation == "weights" else 1
    return total / divisor


def example(seed=0, shape=(2, 4, 5)):
    generator = np.random.default_rng(seed)
    labels = generator.choice([0, 1, 2, 255], shape).astype("uint8")
    scores = np.exp(generator.normal(size=(*shape, 3)))
    return labels, (scores / scores.sum(-1, keepdims=True)).astype("float32")


@pytest.mark.parametrize("normalisation", ["weights", "pixels"])
def test_loss_is_the_weighted_mean_over_labelled_pixels(normalisation):
    labels, probabilities = example()
    loss = float(WeightedCrossEntropy(WEIGHTS, normalisation)(labels, probabilities))
    assert loss == pytest.approx(cross_entropy_by_hand(labels, probabilities, WEIGHTS, normalisation), rel=1e-5)


def test_no_labelled_pixel_gives_zero():
    _, probabilities = example()
    assert float(WeightedCrossEntropy(WEIGHTS)(np.full((2, 4, 5), 255, "uint8"), probabilities)) == 0.0


@pytest.mark.parametrize(("softmax", "distance"), [(keras.layers.Softmax, 20.0), (Softmax, 20.0), (Softmax, 3000.0)])
def test_a_certain_mistake_has_a_finite_loss_and_the_whole_gradient(softmax, distance):
    """MATLAB bounds the probability away from zero in the value alone: the gradient of the score is p - target."""
    inputs = keras.Input((1, 1, 1))
    kernel = keras.initializers.Constant([[0.0, distance]])
    scores = keras.layers.Dense(2, use_bias=False, kernel_initializer=kernel)(inputs)
    model = keras.Model(inputs, softmax()(scores))
    loss = WeightedCrossEntropy((1.0, 1.0))
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, jit_compile=False)
    x, label = np.ones((1, 1, 1, 1), "float32"), np.zeros((1, 1, 1), "uint8")
    assert float(loss(label, model(x))) == pytest.approx(-np.log(np.finfo("float32").eps), rel=1e-4)
    model.train_on_batch(x, label)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.layers[1].kernel)[0], [1.0, distance - 1.0], rtol=1e-5)


def test_configuration_round_trip_and_bad_normalisation():
    loss = WeightedCrossEntropy(WEIGHTS, "pixels")
    again = WeightedCrossEntropy.from_config(loss.get_config())
    labels, probabilities = example(seed=1)
    assert float(again(labels, probabilities)) == float(loss(labels, probabilities))
    with pytest.raises(ValueError, match="Received: normalisation='mean'"):
        WeightedCrossEntropy(WEIGHTS, "mean")
