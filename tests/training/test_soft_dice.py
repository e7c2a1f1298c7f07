"""The second study's recipe on a network small enough to follow: batches, the epoch kept, resumption, divergence."""

import dataclasses

import keras
import numpy as np
import pytest

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.training import soft_dice as encoder_training
from unet_segnet.training.affine import augment_affine
from unet_segnet.training.compilation import seed_dropout
from unet_segnet.training.losses import SoftDiceLoss
from unet_segnet.training.optimizers import TorchAdam
from unet_segnet.training.soft_dice import (
    HISTORY_KEYS,
    EncoderRecipe,
    predict_foreground,
    predict_probabilities,
    train_encoder,
)
from unet_segnet.training.streams import NumpyStream

RECIPE = EncoderRecipe(epochs=4, learning_rate=0.03)


def toy_slices(num_slices=8, size=16, seed=0):
    """A bright disc to be found on a dark, noisy slice."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres = generator.uniform(4, size - 4, (num_slices, 2))
    labels = np.stack([(rows - r) ** 2 + (columns - c) ** 2 < 9 for r, c in centres]).astype(np.uint8)
    return (generator.normal(-0.5, 0.2, labels.shape) + labels).astype(np.float32), labels


def small():
    """One layer of each kind that matters here."""
    inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=1))(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dropout(0.2, seed=0)(x)
    outputs = keras.layers.Conv2D(
        1, 1, activation="sigmoid", dtype="float32", kernel_initializer=keras.initializers.HeNormal(seed=2)
    )(x)
    return keras.Model(inputs, outputs)


def run(recipe=RECIPE, **options):
    images, labels = toy_slices()
    return train_encoder(small(), images[:5], labels[:5], images[5:], labels[5:], recipe, seed=3, **options)


def weights_of(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


@pytest.fixture(scope="module")
def finished():
    return run()


def test_recipe_defaults_are_those_of_the_article():
    assert dataclasses.asdict(EncoderRecipe()) == {
        "learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "batch_size": 2, "epochs": 200,
        "loss": "image", "flip": 0.5, "rotation": 180.0, "scale": (0.5, 1.5), "dtype": "float32", "version": 2,
    }  # fmt: skip


def test_training_is_a_loop_written_out(finished):
    """`fit` with all its machinery against augmented batches trained one by one; the fifth slice is left out."""
    images, labels = toy_slices()
    model, losses, validated, kept = small(), [], [], []
    model.compile(TorchAdam(0.03, epsilon=1e-8), SoftDiceLoss(), jit_compile=False)
    for epoch in range(4):
        order, uniforms = NumpyStream(3).epoch(epoch, 5, 2)
        seed_dropout(model, 3, epoch)
        of_epoch = []
        for start in (0, 2):
            chosen = order[start : start + 2]
            moved, moved_labels = augment_affine(images[chosen], labels[chosen], uniforms[start : start + 2, :4])
            of_epoch.append(float(model.train_on_batch(moved[..., None], moved_labels)))
        losses.append(np.mean(of_epoch))
        predicted = np.asarray(model(images[5:, ..., None], training=False))[..., 0]
        y = labels[5:].astype(float)
        ratios = 2 * (y * predicted).sum((1, 2)) / ((y**2).sum((1, 2)) + (predicted**2).sum((1, 2)) + 1e-5)
        validated.append(1 - ratios.mean())
        kept.append(weights_of(model))
    np.testing.assert_allclose(finished.history["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(finished.history["validation_loss"], validated, rtol=1e-4)
    assert finished.best_epoch == np.argmin(validated) + 1
    for ours, expected in zip(weights_of(finished.model), kept[finished.best_epoch - 1], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_the_optimiser_is_pytorchs_adam(monkeypatch):
    seen = []

    def compiled(model, iterations, optimizer, **arguments):
        seen.append(optimizer)
        raise InterruptedError

    monkeypatch.setattr(encoder_training, "compile_fastest", compiled)
    with pytest.raises(InterruptedError):
        run()
    (optimizer,) = seen
    assert type(optimizer) is TorchAdam
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)


def test_the_model_is_that_of_the_least_validation_loss(finished):
    images, labels = toy_slices()
    predicted = predict_probabilities(finished.model, images[5:])
    expected = min(finished.history["validation_loss"])
    assert float(SoftDiceLoss()(labels[5:], predicted[..., None])) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(predict_foreground(finished.model, images[5:], 3), predicted > 0.5)
    assert finished.history.keys() == set(HISTORY_KEYS)
    assert all(len(values) == 4 and (values > 0).all() for values in finished.history.values())
    assert not getattr(finished.model, "compiled", False)


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_training_ends_with_the_same_weights(finished, tmp_path, stop):
    def interrupt(epoch, line):
        if epoch == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path / "state", report=interrupt)
    lines = {}
    result = run(checkpoint=tmp_path / "state", report=lines.__setitem__)
    assert min(lines) <= stop + 1  # a state is not written where that takes much of the time
    for one, other in zip(weights_of(result.model), weights_of(finished.model), strict=True):
        np.testing.assert_array_equal(one, other)
    for key in ("loss", "validation_loss"):
        np.testing.assert_array_equal(result.history[key], finished.history[key])
    assert result.best_epoch == finished.best_epoch
    again = run(checkpoint=tmp_path / "state", report=lines.__setitem__)  # nothing is left to train
    np.testing.assert_array_equal(weights_of(again.model)[0], weights_of(finished.model)[0])


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(DivergedError) as caught:
        run(dataclasses.replace(RECIPE, learning_rate=float("inf")))
    assert len(caught.value.history["loss"]) == caught.value.epoch <= 2
    assert not np.isfinite([caught.value.history[key][-1] for key in ("loss", "validation_loss")]).all()


def test_a_damaged_state_is_refused(tmp_path):
    (tmp_path / "state.weights.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="the saved state cannot be read"):
        run(checkpoint=tmp_path / "state")


@pytest.mark.parametrize(("train", "validation"), [(1, 2), (4, 0)])
def test_too_few_slices_are_refused(train, validation):
    images, labels = toy_slices()
    with pytest.raises(InputError, match="expected at least one mini-batch of 2 and one slice"):
        train_encoder(
            small(), images[:train], labels[:train], images[8 - validation :][:validation],
            labels[8 - validation :][:validation], RECIPE,
        )  # fmt: skip
