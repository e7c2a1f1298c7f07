"""The loss of the second study against equation 1 written out, and what it pulls at."""

import keras
import numpy as np
import pytest

from unet_segnet.training.losses import SoftDiceLoss


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
