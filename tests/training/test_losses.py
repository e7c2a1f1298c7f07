"""The losses: weighted cross-entropy against NumPy written for reading, soft Dice against equation 1 written out."""

from functools import partial

import keras
import numpy as np
import pytest

from unet_segnet.layers import Softmax
from unet_segnet.training.losses import DiceCrossEntropy, SoftDiceLoss, WeightedCrossEntropy

WEIGHTS = (0.5, 2.0, 7.0)


# The first study's


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


# The second study's


@pytest.fixture
def batch():
    generator = np.random.default_rng(0)
    labels = (generator.random((3, 8, 9)) < 0.3).astype(np.uint8)
    labels[2] = 0
    return labels, generator.random((3, 8, 9, 1)).astype(np.float32)


def equation_1(y, p, epsilon=1e-5):
    y, p = y.astype(float).ravel(), p.astype(float).ravel()
    return 1 - 2 * (y * p).sum() / ((y**2).sum() + (p**2).sum() + epsilon)


def test_each_slice_is_equation_1_and_the_batch_their_mean(batch):
    expected = np.mean([equation_1(y, p) for y, p in zip(*batch, strict=True)])
    assert float(SoftDiceLoss()(*batch)) == pytest.approx(expected, abs=1e-6)


def test_the_sums_can_go_over_the_batch(batch):
    assert float(SoftDiceLoss(over="batch")(*batch)) == pytest.approx(equation_1(*batch), abs=1e-6)


def test_right_is_0_and_wrong_is_1():
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[:, :2] = 1
    right = labels[..., None].astype(np.float32)
    assert float(SoftDiceLoss()(labels, right)) == pytest.approx(0, abs=1e-5)
    assert float(SoftDiceLoss()(labels, 1 - right)) == 1


@pytest.mark.parametrize("predicted", [0.0, 1e-6, 1.0])
def test_a_slice_without_foreground_costs_1(predicted):
    labels = np.zeros((1, 4, 4), np.uint8)
    assert float(SoftDiceLoss()(labels, np.full((1, 4, 4, 1), predicted, np.float32))) == 1


def test_the_loss_trains(batch):
    """Weights that predict the labels of each pixel come to do so."""
    labels = batch[0][:2]
    inputs = keras.Input((8, 9, 1))
    outputs = keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.3), SoftDiceLoss(), jit_compile=False)
    images = labels[..., None].astype(np.float32)
    losses = [float(model.train_on_batch(images, labels)) for _ in range(60)]
    assert losses[-1] < 0.05 < losses[0]


def test_the_saved_loss_is_the_same():
    loss = keras.losses.deserialize(keras.losses.serialize(SoftDiceLoss(over="batch", epsilon=0.5)))
    assert (loss.over, loss.epsilon) == ("batch", 0.5)


def test_other_sums_are_refused():
    with pytest.raises(ValueError, match="over must be 'image' or 'batch'"):
        SoftDiceLoss(over="volume")


# The tool's own


def dice_cross_entropy_by_hand(labels, probabilities):
    known = [place for place in np.ndindex(labels.shape) if labels[place] < probabilities.shape[-1]]
    total = -sum(np.log(probabilities[place][labels[place]]) for place in known) / len(known)
    losses = []
    for index in range(1, probabilities.shape[-1]):
        overlap = sum(probabilities[place][index] for place in known if labels[place] == index)
        size = sum(probabilities[place][index] + (labels[place] == index) for place in known)
        losses.append(1 - (2 * overlap + 1) / (size + 1))
    return total + np.mean(losses)


@pytest.mark.parametrize("seed", [0, 1])
def test_dice_and_cross_entropy_over_labelled_pixels(seed):
    labels, probabilities = example(seed)
    loss = float(DiceCrossEntropy(3)(labels, probabilities))
    assert loss == pytest.approx(dice_cross_entropy_by_hand(labels, probabilities), rel=1e-5)


def test_dice_and_cross_entropy_pass_unknown_pixels_over():
    labels, probabilities = example()
    other = probabilities.copy()
    other[labels == 255] = (0.0, 0.0, 1.0)
    assert float(DiceCrossEntropy(3)(labels, other)) == float(DiceCrossEntropy(3)(labels, probabilities))
    nothing_known = np.full(labels.shape, 255, "uint8")
    assert float(DiceCrossEntropy(3)(nothing_known, probabilities)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", [SoftDiceLoss, DiceCrossEntropy, partial(WeightedCrossEntropy, [1.0, 2.0])])
def test_a_misspelt_setting_is_refused(kind):
    with pytest.raises(TypeError, match="ovr"):
        kind(ovr="batch")


def test_dice_and_cross_entropy_need_two_classes():
    with pytest.raises(ValueError, match="num_classes"):
        DiceCrossEntropy(1)
