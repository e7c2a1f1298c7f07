"""What TensorFlow is made to do on a GPU, without one: the choices are forced on, and the losses stay what they were.

On a GPU a whole epoch is executed at once, each step compiled by XLA, with Keras' own convolutions, in bfloat16 where
nothing else is asked for. Here the same programs run on the processor.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest

from unet_segnet import devices
from unet_segnet.layers import convolution, winograd
from unet_segnet.models import build_model, unet
from unet_segnet.training import class_weighted, compilation, soft_dice
from unet_segnet.training.streams import NumpyStream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX compiles everywhere, PyTorch nowhere"),
    pytest.mark.skipif(bool(devices.accelerators()), reason="there is a GPU: the plain path does not run here"),
]
RECIPE = class_weighted.Recipe(batch_size=4, epochs=3)
ENCODER_RECIPE = soft_dice.EncoderRecipe(epochs=2)
NUM_STEPS = 2  # of an epoch, with eight training slices and four in the second study


@pytest.fixture
def gpu(monkeypatch):
    """Pretends a GPU when it is called; returns what networks were compiled with since: XLA, and steps at once."""
    compiled = []

    def pretend():
        found = [devices.Accelerator("a GPU that is not there", bfloat16=True)]
        for module in (devices, compilation, convolution):
            monkeypatch.setattr(module, "accelerators", lambda: found)
        compile_ = keras.Model.compile

        def as_on_a_gpu(model, *arguments, jit_compile, **more):
            # Keras looks for a GPU itself; where it finds one, "auto" is XLA for every network whose layers allow it.
            compile_(model, *arguments, jit_compile=jit_compile == "auto", **more)
            compiled.append((model.jit_compile, model.steps_per_execution))

        monkeypatch.setattr(keras.Model, "compile", as_on_a_gpu)
        monkeypatch.setattr(winograd, "gradients", lambda *_: pytest.fail("for processors alone"))
        return compiled

    return pretend


@pytest.fixture
def no_dropout(monkeypatch):
    """XLA draws other masks than the same seed gives without it: what is compared must do without."""
    monkeypatch.setattr(unet, "DROPOUT", 0.0)


def slices(size=16, seed=0):
    """Ten slices, a bright disc to be found on each; float32 and uint8."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres = generator.uniform(4, size - 4, (10, 2))
    labels = np.stack([(rows - r) ** 2 + (columns - c) ** 2 < 9 for r, c in centres]).astype(np.uint8)
    return generator.normal(50, 15, labels.shape) + 100 * labels, labels


def first_study(net, size=16, recipe=RECIPE, **more):
    """A training of the first study's kind."""
    images, labels = slices(size)
    images = np.clip(images, 0, 255).astype(np.uint8)

    def build(**random):
        return build_model(net, variant="released", input_shape=(size, size, 1), **random)

    parts = images[:8], labels[:8], images[8:], labels[8:]
    return class_weighted.train(build, *parts, np.array([0.54, 7.13]), recipe, NumpyStream(0), **more)


def second_study(architecture, encoder, size=64, recipe=ENCODER_RECIPE):
    """A training of the second study's kind."""
    images, labels = slices(size)
    images = ((images - 75) / 75).astype(np.float32)
    with compilation.dtype_policy(recipe.dtype):
        model = build_model(architecture, encoder=encoder, input_shape=(size, size, 1))
    return soft_dice.train_encoder(model, images[:4], labels[:4], images[8:], labels[8:], recipe, seed=3)


def assert_alike(plain, forced, tolerance):
    for key in ("loss", "validation_loss"):
        np.testing.assert_allclose(forced.history[key], plain.history[key], rtol=tolerance, err_msg=key)


@pytest.mark.usefixtures("no_dropout")
@pytest.mark.parametrize(
    ("net", "size", "tolerance"),
    # At 32 x 32 the plain path's gradients are Winograd's. Adam's first steps make as much of a small gradient as of a
    # large one, and a maximum's place may change: rounding grows from step to step, in SegNet above all.
    [("segnet", 16, 2e-3), ("unet", 16, 1e-4), ("unet", 32, 1e-4)],
)
def test_the_first_studys_losses_are_those_of_the_plain_path(net, size, tolerance, gpu):
    plain = first_study(net, size)
    compiled = gpu()
    forced = first_study(net, size)
    assert compiled == [(True, NUM_STEPS)]
    assert_alike(plain, forced, tolerance)
    np.testing.assert_allclose(forced.history["loss"][:NUM_STEPS], plain.history["loss"][:NUM_STEPS], rtol=1e-5)
    np.testing.assert_array_equal(forced.history["validation_iteration"], plain.history["validation_iteration"])


@pytest.mark.usefixtures("no_dropout")
def test_validation_between_the_steps_of_an_epoch_takes_steps_one_by_one(gpu):
    recipe = replace(RECIPE, validation="matlab", epochs=5)
    plain = first_study("unet", recipe=recipe)
    compiled = gpu()
    forced = first_study("unet", recipe=recipe)
    assert compiled == [(True, 1)] and forced.history["validation_iteration"].tolist() == [1, 10]
    assert_alike(plain, forced, 1e-3)


def test_the_second_studys_losses_are_those_of_the_plain_path(gpu):
    plain = second_study("unet", "resnet18")
    compiled = gpu()
    forced = second_study("unet", "resnet18")
    assert compiled == [(True, NUM_STEPS)]
    np.testing.assert_allclose(forced.history["loss"][0], plain.history["loss"][0], rtol=1e-4)
    assert_alike(plain, forced, 1e-2)


def test_bfloat16_is_what_is_taken_and_stays_near_float32(gpu):
    plain = first_study("segnet", recipe=replace(RECIPE, epochs=1))
    compiled = gpu()
    assert devices.best_dtype() == "mixed_bfloat16"
    forced = first_study("segnet", recipe=replace(RECIPE, epochs=1, dtype=devices.best_dtype()))
    assert forced.model.get_layer("encoder1_conv1").compute_dtype == "bfloat16" and compiled == [(True, NUM_STEPS)]
    np.testing.assert_allclose(forced.history["loss"], plain.history["loss"], rtol=0.05)


def test_dropout_is_drawn_anew_in_each_step_and_a_resumed_run_ends_with_the_same_weights(gpu, tmp_path):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop(epoch, _):
        if epoch == 2:
            raise Stopped

    gpu()
    still = first_study("unet", recipe=replace(RECIPE, learning_rate=0.0, epochs=2))
    assert len(set(still.history["loss"].tolist())) == len(still.history["loss"])
    whole = first_study("unet")
    with pytest.raises(Stopped):
        first_study("unet", checkpoint=tmp_path / "state", report=stop)
    resumed = first_study("unet", checkpoint=tmp_path / "state")
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
