"""The first study's recipe: schedule, batches, history and resumption, on a network small enough to follow."""

import dataclasses
import shutil

import h5py
import keras
import numpy as np
import pytest
from toy_training import WEIGHTS, build, run, toy_slices, weights_of

from unet_segnet.errors import DivergedError, InputError
from unet_segnet.inference.prediction import predict
from unet_segnet.models.initialisation import draw_kernels, he_normal
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.training import class_weighted
from unet_segnet.training.class_weighted import AugmentedBatches, IterationLog, Recipe, train
from unet_segnet.training.compilation import seed_dropout
from unet_segnet.training.losses import WeightedCrossEntropy
from unet_segnet.training.optimizers import CoupledAdam
from unet_segnet.training.streams import NumpyStream
from unet_segnet.training.translations import augment


@pytest.fixture(scope="module")
def plain():
    """Five epochs of the small network; shorter trainings are how it begins."""
    return run(recipe=Recipe(batch_size=4, epochs=5))


def test_biases_of_transposed_convolutions_learn_at_a_rate_of_their_own():
    """One step of a training; no other weight is moved by the factor."""
    images, labels = toy_slices()

    def up(mean, draw=None, seed=0):
        inputs, x = grey_input((16, 16, 1), mean)
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", kernel_initializer=he_normal(9), name="down")(x)
        x = keras.layers.Conv2DTranspose(4, 2, strides=2, kernel_initializer=he_normal(16), name="up")(x)
        x = keras.layers.Conv2D(2, 1, kernel_initializer=he_normal(4), name="last")(x)
        model = keras.Model(inputs, classifier(x))
        if draw:
            draw_kernels(model, draw)
        return model

    def moved(factor):
        recipe = Recipe(batch_size=8, epochs=1, up_bias_factor=factor)
        model = train(up, images[:8], labels[:8], images[8:], labels[8:], WEIGHTS, recipe, stream=NumpyStream(0)).model
        return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}

    once, thrice = moved(1.0), moved(3.0)
    (bias,) = [path for path in once if path.endswith("up/bias")]
    assert (np.abs(once[bias]) > 1e-4).all()  # from 0, by about the learning rate
    np.testing.assert_allclose(thrice.pop(bias), 3 * once.pop(bias), rtol=1e-5)
    for path, weight in once.items():
        np.testing.assert_array_equal(weight, thrice[path], err_msg=path)


def test_the_loss_of_a_training_is_divided_by_what_the_recipe_says():
    """The first loss, of the same batch and weights: the sum of its class weights, or its pixels."""
    images, labels = toy_slices()
    batches = AugmentedBatches(images[:8], labels[:8], 8, NumpyStream(0))
    batches.set_epoch(0)
    of_weights, of_pixels = (
        run(recipe=Recipe(batch_size=8, epochs=1, loss_normalisation=rule)).history["loss"][0]
        for rule in ("weights", "pixels")
    )
    labelled = batches[0][1][batches[0][1] < 2]
    assert of_pixels / of_weights == pytest.approx(WEIGHTS[labelled].mean(), rel=1e-5)
    assert WEIGHTS[labelled].mean() > 0.6


def test_learning_rate_drops_first_at_epoch_13():
    recipe = Recipe(learning_rate=1e-3)
    rates = [recipe.learning_rate_at(epoch) for epoch in (0, 11, 12, 23, 24, 159)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.95e-3, 0.95e-3, 0.95**2 * 1e-3, 0.95**13 * 1e-3])


def test_recipe_defaults_are_those_of_the_study():
    assert dataclasses.asdict(Recipe()) == {
        "learning_rate": 1e-3, "batch_size": 4, "epochs": 160, "drop_factor": 0.95, "drop_period": 12, "beta_1": 0.9,
        "beta_2": 0.999, "epsilon": 1e-8, "l2": 1e-4, "up_bias_factor": 2.0, "loss_normalisation": "weights",
        "validation": "epoch", "dtype": "float32",
    }  # fmt: skip


def test_batches_are_the_streams_order_augmented_without_the_last_part():
    images, labels = toy_slices()
    batches = AugmentedBatches(images, labels, 4, NumpyStream(1))
    batches.set_epoch(5)
    order, uniforms = NumpyStream(1).epoch(5, 10, 4)
    expected = augment(images[order], labels[order], uniforms)
    assert len(batches) == 2
    for index in range(2):
        part = slice(4 * index, 4 * index + 4)
        np.testing.assert_array_equal(batches[index][0][..., 0], expected[0][part])
        np.testing.assert_array_equal(batches[index][1], expected[1][part])


def test_history_holds_each_iteration_of_a_loop_written_out(plain):
    """`fit` with all its machinery against batches trained one by one."""
    stream, kernels = NumpyStream(0), NumpyStream(0)
    images, labels = toy_slices()
    mean = augment(images[:8], labels[:8], stream.normalisation_pass(8))[0].mean()
    model = build()(mean=mean, draw=kernels.draw_kernel)
    loss = WeightedCrossEntropy(WEIGHTS)
    model.compile(optimizer=CoupledAdam(1e-3, l2=1e-4, epsilon=1e-8), loss=loss, jit_compile=False)
    losses = []
    for epoch in range(2):
        batches = AugmentedBatches(images[:8], labels[:8], 4, stream)
        batches.set_epoch(epoch)
        seed_dropout(model, 0, epoch)
        losses += [float(model.train_on_batch(*batches[index])) for index in range(2)]
    assert plain.mean == pytest.approx(mean)
    np.testing.assert_allclose(plain.history["loss"][:4], losses, rtol=2e-4)
    assert plain.history["learning_rate"].tolist() == [1e-3] * 10
    assert plain.history["validation_iteration"].tolist() == [2, 4, 6, 8, 10]


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="TensorFlow traces a step again that makes variables"
)
def test_a_step_is_traced_once(monkeypatch):
    traced, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda self, *data: traced.append(self) or step(self, *data))
    run(recipe=Recipe(batch_size=4, epochs=2))
    assert len(traced) == 1


def test_iteration_log_counts_labelled_pixels():
    log = IterationLog(2, WeightedCrossEntropy((1.0, 1.0)))
    probabilities = np.array([[[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]]], "float32")
    log.update_state(np.array([[[0, 1, 255]]], "uint8"), probabilities)
    log.update_state(np.array([[[1, 1, 0]]], "uint8"), probabilities)
    values = keras.ops.convert_to_numpy(log.values)
    np.testing.assert_allclose(values[:, 1], [1.0, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(values[:, 0], [-np.log([0.9, 0.8]).mean(), -np.log([0.1, 0.8, 0.6]).mean()], rtol=1e-5)


def test_iteration_log_keeps_what_came_before_a_loss_that_is_no_number():
    log = IterationLog(3, WeightedCrossEntropy((1.0, 1.0)))
    probabilities = np.full((1, 1, 2, 2), 0.5, "float32")
    for factor in (1.0, np.nan, 1.0):
        log.update_state(np.zeros((1, 1, 2), "uint8"), probabilities * np.float32(factor))
    losses = keras.ops.convert_to_numpy(log.values)[:, 0]
    np.testing.assert_allclose(losses, [np.log(2), np.nan, np.log(2)], rtol=1e-6)


@pytest.mark.parametrize(
    "net", ["small", pytest.param("segnet", marks=pytest.mark.slow), pytest.param("unet", marks=pytest.mark.slow)]
)
def test_resumed_training_ends_with_the_same_weights(net, plain, tmp_path):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop_after_two(epoch, _):
        if epoch == 2:
            raise Stopped

    recipe = Recipe(batch_size=4, epochs=5)
    whole = plain if net == "small" else run(net, recipe)
    with pytest.raises(Stopped):
        run(net, recipe, checkpoint=tmp_path / "state", report=stop_after_two)
    epochs = []
    resumed = run(net, recipe, checkpoint=tmp_path / "state", report=lambda epoch, _: epochs.append(epoch))
    assert epochs in ([3, 4, 5], [2, 3, 4, 5])  # a state is left out where writing takes longer than training
    for one, other in zip(weights_of(whole.model), weights_of(resumed.model), strict=True):
        np.testing.assert_array_equal(one, other)
    for key in ("loss", "accuracy", "learning_rate", "validation_iteration", "validation_loss"):
        np.testing.assert_array_equal(whole.history[key], resumed.history[key], err_msg=key)


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory):
    """The folder of a state after one epoch."""
    folder = tmp_path_factory.mktemp("state")
    run(recipe=Recipe(batch_size=4, epochs=1), checkpoint=folder / "state")
    return folder


@pytest.fixture
def state(first_epoch, tmp_path):
    """A copy of that state, to be changed."""
    shutil.copytree(first_epoch, tmp_path, dirs_exist_ok=True)
    return tmp_path / "state"


def test_a_history_ahead_of_the_weights_is_cut(plain, state, tmp_path):
    """Killed between the two files: the history knows an epoch that the weights do not."""
    recipe = Recipe(batch_size=4, epochs=2)
    run(recipe=recipe, checkpoint=tmp_path / "later")
    (tmp_path / "later.history.npz").replace(tmp_path / "state.history.npz")
    resumed = run(recipe=recipe, checkpoint=state)
    np.testing.assert_array_equal(resumed.history["loss"], plain.history["loss"][:4])
    assert len(resumed.history["epoch_seconds"]) == 2


def cut(weights):
    weights.write_bytes(weights.read_bytes()[:1000])


def without_a_layer(weights):
    with h5py.File(weights, "a") as file:
        del file["layers/batch_normalization"]


@pytest.mark.parametrize("damage", [cut, without_a_layer])
def test_a_damaged_state_is_one_clear_error_without_a_warning(state, damage, recwarn):
    damage(state.with_suffix(".weights.h5"))
    with pytest.raises(InputError, match=r"state\.weights\.h5: the saved state cannot be read"):
        run(recipe=Recipe(batch_size=4, epochs=2), checkpoint=state)
    assert not [str(warning.message) for warning in recwarn if "Skipping" in str(warning.message)]


def test_validation_follows_matlabs_iterations_on_request(plain):
    result = run(recipe=Recipe(batch_size=4, epochs=5, validation="matlab"))
    assert result.history["validation_iteration"].tolist() == [1, 10]
    assert np.isfinite(result.history["validation_loss"]).all()
    np.testing.assert_array_equal(plain.history["loss"], result.history["loss"])


def test_validation_uses_the_statistics_of_its_own_batch():
    """The moving averages of the first epochs are far off; the reported loss must not depend on them."""
    images, labels = toy_slices()
    recipe, builder = Recipe(batch_size=8, epochs=1, learning_rate=1e-9, l2=0.0), build(dropout=0.0)
    parts = (images[:8], labels[:8], images[8:], labels[8:])
    result = train(builder, *parts, WEIGHTS, recipe, NumpyStream(0))
    model = builder(mean=result.mean, draw=NumpyStream(0).draw_kernel)
    probabilities = keras.ops.convert_to_numpy(model(images[8:, ..., None], training=True))
    expected = float(WeightedCrossEntropy(WEIGHTS)(labels[8:], probabilities))
    assert result.history["validation_loss"][0] == pytest.approx(expected, rel=1e-3)


def test_the_best_epoch_is_kept_on_request(tmp_path):
    """Validation labels turned round make an early epoch the best; also where the run was stopped after it."""
    images, labels = toy_slices()

    class Stopped(Exception):  # noqa: N818
        pass

    def run(epochs=4, **options):
        parts = (images[:8], labels[:8], images[8:], 1 - labels[8:])
        return train(build(), *parts, np.ones(2), Recipe(batch_size=4, epochs=epochs), NumpyStream(0), **options)

    def stop_after_three(epoch, _):
        if epoch == 3:
            raise Stopped

    last, best = run(), run(keep="best")
    losses = best.history["validation_loss"]
    epochs = int(np.argmin(losses)) + 1
    assert epochs < 3
    np.testing.assert_array_equal(losses, last.history["validation_loss"])
    of_best, of_short, of_last = ([w for w in weights_of(r.model) if w.ndim == 4] for r in (best, run(epochs), last))
    for one, other in zip(of_best, of_short, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(*pair) for pair in zip(of_best, of_last, strict=True))
    with pytest.raises(Stopped):
        run(keep="best", checkpoint=tmp_path / "state", report=stop_after_three)
    resumed = run(keep="best", checkpoint=tmp_path / "state")
    for one, other in zip(weights_of(best.model), weights_of(resumed.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_validation_that_gave_no_number_is_not_the_best(monkeypatch):
    images, labels = toy_slices()
    parts = (images[:8], labels[:8], images[8:], labels[8:], np.ones(2))

    def run(*losses, **options):
        left = iter(losses)
        monkeypatch.setattr(class_weighted._Validation, "__call__", lambda _: (next(left), 0.5))
        return train(build(), *parts, Recipe(batch_size=4, epochs=len(losses)), NumpyStream(0), **options)

    best, third = run(np.nan, 2.0, 1.0, np.nan, keep="best"), run(np.nan, 2.0, 1.0)
    for one, other in zip(weights_of(best.model), weights_of(third.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_best_needs_something_to_choose_by():
    images, labels = toy_slices()
    with pytest.raises(ValueError, match="keep must be"):
        train(build(), images, labels, images[:0], labels[:0], WEIGHTS, Recipe(), NumpyStream(0), keep="best")


def test_frozen_layers_come_out_as_they_went_in():
    def frozen(**random):
        model = build()(**random)
        for layer in model.layers[:4]:
            layer.trainable = False
        return model

    images, labels = toy_slices()
    arguments = (images[:8], labels[:8], images[8:], labels[8:], WEIGHTS, Recipe(batch_size=4, epochs=2))
    trained = train(frozen, *arguments, NumpyStream(0)).model
    untouched = frozen(mean=0.0, draw=NumpyStream(0).draw_kernel)
    for index, (layer, before) in enumerate(zip(trained.layers, untouched.layers, strict=True)):
        pairs = list(zip(weights_of(layer), weights_of(before), strict=True))
        same = [np.array_equal(*pair) for pair in pairs]
        assert all(same) if index < 4 else not same or not all(same), layer.name


def test_no_validation_slices_are_allowed():
    images, labels = toy_slices()
    recipe = Recipe(batch_size=4, epochs=1)
    result = train(build(), images, labels, images[:0], labels[:0], WEIGHTS, recipe, NumpyStream(0))
    assert result.history["validation_loss"].size == 0


def test_a_loss_that_is_no_number_ends_the_run():
    with pytest.raises(DivergedError, match="epoch 1") as error:
        images, labels = toy_slices()
        bad = np.array([np.inf, 1.0])
        train(build(), images, labels, images[:0], labels[:0], bad, Recipe(epochs=2), NumpyStream(0))
    assert len(error.value.history["loss"]) == 2


def test_weights_that_the_last_update_broke_end_the_run():
    """One iteration: its loss is finite, what it leaves behind is not."""
    images, labels = toy_slices()
    recipe = Recipe(epochs=1, batch_size=10, learning_rate=float("inf"))
    with pytest.raises(DivergedError, match="epoch 1") as error:
        train(build(), images, labels, images[:0], labels[:0], WEIGHTS, recipe, NumpyStream(0))
    assert np.isfinite(error.value.history["loss"]).all()


def test_too_few_slices_for_a_batch():
    with pytest.raises(InputError, match="8 training slices do not fill one mini-batch of 12"):
        run(recipe=Recipe(batch_size=12))


def test_training_learns_the_toy_problem():
    images, labels = toy_slices(seed=3)
    result = run(recipe=Recipe(batch_size=4, epochs=40, learning_rate=1e-2))
    found = predict(result.model, images)
    dice = 2 * np.sum((found == 1) & (labels == 1)) / (np.sum(found == 1) + np.sum(labels == 1))
    assert dice > 0.7


def test_mixed_precision_trains_and_leaves_the_policy_as_it_was(plain):
    result = run(recipe=Recipe(batch_size=4, epochs=2, dtype="mixed_bfloat16"))
    assert keras.config.dtype_policy().name == "float32"
    assert np.isfinite(result.history["loss"]).all()
    np.testing.assert_allclose(result.history["loss"], plain.history["loss"][:4], rtol=0.1)
