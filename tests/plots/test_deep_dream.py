"""Deep dreams: the objective rises, the bands add up, and a seed gives one image."""

import keras
import numpy as np
import pytest
from keras import ops

from unet_segnet.layers import BatchNormalization, MaxPooling2D, MaxUnpooling2D
from unet_segnet.models.parts import classifier, grey_input
from unet_segnet.plots.deep_dream import (
    _ascend,
    deep_dream,
    input_mean,
    laplacian_levels,
    merge_levels,
    normalised,
    scores_model,
)


@pytest.fixture(scope="module")
def model():
    """As the released SegNet, three times half as large and back, of few filters."""
    keras.utils.set_random_seed(0)
    inputs, x = grey_input((32, 32, 1), mean=20.0)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    poolings = []
    for _ in range(3):
        x, places = MaxPooling2D()(x)
        poolings.append(places)
    for places in reversed(poolings):
        x = MaxUnpooling2D()([x, places])
    x = keras.layers.ReLU()(BatchNormalization()(keras.layers.Conv2D(2, 3, padding="same")(x)))
    return keras.Model(inputs, classifier(x))


def test_bands_add_up_to_the_image():
    image = np.random.default_rng(0).normal(size=(2, 37, 24, 1)).astype("float32")
    bands = laplacian_levels(image)
    assert len(bands) == 5
    np.testing.assert_allclose(ops.convert_to_numpy(merge_levels(bands)), image, atol=1e-5)


def test_bands_are_scaled_to_one():
    gradient = np.random.default_rng(1).normal(size=(1, 64, 64, 1)).astype("float32")
    scaled = ops.convert_to_numpy(normalised(gradient))
    np.testing.assert_allclose(ops.convert_to_numpy(normalised(1000 * gradient)), scaled, atol=1e-4)
    flat = np.zeros((1, 64, 64, 1), "float32")
    assert not ops.convert_to_numpy(normalised(flat)).any()


def test_the_score_of_the_class_rises_with_every_few_steps(model):
    trunk = scores_model(model)
    images = np.random.default_rng(0).standard_normal((1, 32, 32, 1)).astype("float32") + 20
    scores = []
    for _ in range(3):
        scores.append(ops.convert_to_numpy(trunk(images, training=False))[..., 1].mean())
        # Small steps: only to first order does a step along the gradient have to rise; whole ones may overshoot here.
        images = _ascend(trunk, np.array([1]), images, iterations=3, step=0.1)
    assert scores == sorted(scores) and scores[-1] > scores[0]


def test_a_relu_that_is_off_everywhere_does_not_stop_the_ascent():
    inputs = keras.Input((16, 16, 1))
    convolution = keras.layers.Conv2D(2, 3, padding="same", bias_initializer=keras.initializers.Constant(-1e4))
    dark = keras.Model(inputs, keras.layers.Softmax()(keras.layers.ReLU()(convolution(inputs))))
    trunk = scores_model(dark)
    images = np.random.default_rng(0).standard_normal((1, 16, 16, 1)).astype("float32")
    before = ops.convert_to_numpy(trunk(images))[..., 1].mean()
    after = ops.convert_to_numpy(trunk(_ascend(trunk, np.array([1]), images, iterations=3, step=1.0)))[..., 1].mean()
    assert before < after < 0


def test_a_seed_gives_one_image_and_channels_go_together(model):
    options = {"size": (17, 23), "levels": 1, "iterations": 2, "step": 0.1}
    together = deep_dream(model, (0, 1), seed=3, **{**options, "levels": 2})
    assert together.shape == (2, 16, 24) and together.dtype == np.float32  # multiples of 8, which three poolings halve
    assert (together.min(axis=(1, 2)) == 0).all() and (together.max(axis=(1, 2)) == 1).all()
    first, second = together
    np.testing.assert_allclose(deep_dream(model, 1, seed=3, **{**options, "levels": 2}), second, atol=1e-3)
    assert np.abs(first - second).max() > 0.05
    seeds = [deep_dream(model, 1, seed=seed, **options) for seed in (3, 4)]
    assert np.abs(seeds[0] - seeds[1]).max() > 0.05


def test_the_network_is_left_as_it_was(model):
    before = [weight.copy() for weight in model.get_weights()]
    deep_dream(model, 0, size=(16, 16), levels=1, iterations=1)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert input_mean(model) == 20.0


def test_what_cannot_dream_is_refused(model):
    with pytest.raises(ValueError, match="channel must be 0 to 1"):
        deep_dream(model, 2)
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="must end in a keras"):
        deep_dream(keras.Model(inputs, keras.layers.ReLU()(inputs)), 0)
