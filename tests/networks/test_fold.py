"""Batch normalisation folded into convolutions, against the network as it was."""

import keras
import numpy as np
import pytest

from unet_segnet import layers as own
from unet_segnet.models import build_model
from unet_segnet.networks.fold import fold_normalisation
from unet_segnet.networks.load import load_model


def normalisations(model) -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def with_weights(model, seed=0):
    """The same with weights as of a trained network: no mean is 0, no variance 1."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        shape, name = weight.shape, weight.path
        if "variance" in name or "gamma" in name:
            weight.assign(rng.uniform(0.5, 2, shape))
        elif any(part in name for part in ("mean", "beta", "bias")):
            weight.assign(rng.normal(0, 0.5, shape))
        else:
            weight.assign(rng.normal(0, np.prod(shape[:-1]) ** -0.5, shape))
    return model


def check_same(model, folded, atol=1e-5):
    images = np.random.default_rng(1).uniform(0, 1, (2, *model.input_shape[1:])).astype(np.float32)
    expected = np.asarray(model.predict_on_batch(images))
    np.testing.assert_allclose(np.asarray(folded.predict_on_batch(images)), expected, atol=atol)


@pytest.mark.parametrize(
    ("convolution", "settings"),
    [
        (own.Conv2D(6, 3, padding="same"), {}),
        (own.Conv2D(6, 3, strides=2, use_bias=False), {"scale": False}),
        (own.GroupedConv2D(8, 3, groups=4), {"center": False, "epsilon": 0.1}),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), {}),
        (keras.layers.Conv2DTranspose(5, 4, strides=2, use_bias=False), {"axis": 3}),
        (own.Conv2DTranspose(5, 2, strides=2), {}),
    ],
)
def test_each_kind_of_convolution_takes_its_normalisation_in(convolution, settings):
    image = keras.Input((8, 8, 4))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(**settings)(convolution(image)))
    model = with_weights(keras.Model(image, x))
    folded = fold_normalisation(model)
    assert normalisations(model) == 1 and normalisations(folded) == 0
    check_same(model, folded)


def test_what_something_else_takes_too_stays():
    image = keras.Input((8, 8, 1))
    shared = own.Conv2D(4, 3, padding="same")(image)
    normalised = own.BatchNormalization()(shared)
    active = own.BatchNormalization()(own.Conv2D(4, 1, activation="relu")(normalised))
    last = own.Conv2D(4, 1)(keras.layers.Add()([shared, active]))
    model = with_weights(keras.Model(image, [own.BatchNormalization()(last), last]))
    assert fold_normalisation(model) is model

    convolution, twice = own.Conv2D(4, 3, padding="same"), keras.Input((8, 8, 4))
    model = keras.Model(twice, own.BatchNormalization()(convolution(convolution(twice))))
    assert fold_normalisation(model) is model

    inner = keras.Model(twice, keras.layers.ReLU()(twice))
    before = own.Conv2D(4, 1)(image)
    model = keras.Model(image, keras.layers.Add()([own.BatchNormalization()(before), inner(before)]))
    assert fold_normalisation(model) is model


def test_what_is_no_layer_takes_too():
    image = keras.Input((8, 8, 1))
    shared = own.Conv2D(4, 3, padding="same")(image)
    model = with_weights(keras.Model(image, own.BatchNormalization()(shared) + keras.ops.abs(shared)))
    assert fold_normalisation(model) is model

    left, right = keras.ops.split(own.Conv2D(4, 3)(image), 2, axis=-1)
    folding = own.BatchNormalization()(own.Conv2D(3, 1)(left))
    model = with_weights(keras.Model(image, keras.layers.Concatenate()([folding, right])))
    folded = fold_normalisation(model)
    assert normalisations(model) == 1 and normalisations(folded) == 0
    check_same(model, folded)


def test_statistics_of_the_batch_stay():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, own.BatchNormalization()(own.Conv2D(4, 3)(image), training=True))
    assert fold_normalisation(model) is model


def test_layers_with_more_than_weights_keep_it():
    image, seen = keras.Input((8, 8, 1)), keras.layers.Normalization()
    model = keras.Model(image, own.BatchNormalization()(own.Conv2D(4, 3)(seen(image))))
    seen.adapt(np.random.default_rng(0).normal(5, 2, (4, 8, 8, 1)))
    folded = fold_normalisation(model)
    assert normalisations(model) == 1 and normalisations(folded) == 0
    check_same(model, folded)


def test_a_sequence_of_layers_stays():
    model = keras.Sequential([keras.Input((8, 8, 1)), own.Conv2D(4, 3), own.BatchNormalization()])
    assert fold_normalisation(model) is model


def test_maxima_keep_their_places():
    model = build_model("segnet", variant="released", num_classes=2, input_shape=(64, 64, 1))
    assert normalisations(model) and fold_normalisation(model) is model


@pytest.mark.parametrize(("encoder", "left"), [("resnet18", 0), ("mobilenet_v2", 0), ("dpn68", 27)])
def test_networks_of_the_second_study_give_the_same(encoder, left):
    """A dual path network normalises sums and joined maps too."""
    model = with_weights(build_model("linknet", encoder=encoder, input_shape=(64, 64, 1)))
    folded = fold_normalisation(model)
    assert normalisations(folded) == left < normalisations(model) and folded.name == model.name
    check_same(model, folded)


def test_the_own_network_is_loaded_with_all_that_is_known_of_it():
    model, folded = load_model("lungs"), load_model("lungs", folded=True)
    assert normalisations(model) and not normalisations(folded)
    for name in ("threshold", "temperature", "takes", "window", "sha256", "class_names"):
        assert getattr(folded, name) == getattr(model, name)
    check_same(model, folded)
