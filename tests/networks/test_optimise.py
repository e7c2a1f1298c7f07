"""Networks that are applied and not trained, against the same as they were."""

import keras
import numpy as np
import pytest

from unet_segnet.devices import accelerators
from unet_segnet.networks import optimise
from unet_segnet.networks.optimise import optimise_for_inference


def network():
    image = keras.Input((8, 8, 1), name="slices")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(image))
    x = keras.layers.Dropout(0.5)(keras.layers.ReLU()(x))
    return keras.Model(image, keras.layers.Conv2D(2, 1, activation="softmax")(x), name="of_test")


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype("uint8")


def test_what_nothing_is_folded_of_stays(monkeypatch):
    monkeypatch.setattr(optimise, "MANY_WEIGHTS", 1)
    image = keras.Input((8, 8, 1))
    plain = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    sequence = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization()])
    for model in (plain, sequence):
        assert optimise_for_inference(model) is model


def test_a_large_network_predicts_the_same_by_constants(monkeypatch):
    if keras.config.backend() != "tensorflow" or accelerators():
        pytest.skip("only TensorFlow on a processor lays weights out anew for each mini-batch")
    model = network()
    expected = model.predict_on_batch(IMAGES)
    assert _reads_variables(optimise_for_inference(network()))
    monkeypatch.setattr(optimise, "MANY_WEIGHTS", 1)
    applied = optimise_for_inference(model)
    assert not _reads_variables(applied)
    assert (applied.name, applied.output_shape) == ("of_test", model.output_shape)
    np.testing.assert_allclose(applied.predict_on_batch(IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(applied.predict(IMAGES, batch_size=2, verbose=0), expected, atol=1e-5)


def _reads_variables(model):
    """Whether a network reads its weights anew for each mini-batch."""
    model.predict_on_batch(IMAGES)
    graph = model.predict_function.get_concrete_function([(IMAGES,)]).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return any(node.op == "ReadVariableOp" for node in nodes)
