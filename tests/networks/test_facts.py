"""Facts that travel in a network's file."""

import json
import zipfile

import keras
import numpy as np
import pytest

from unet_segnet.errors import InputError
from unet_segnet.inference.segmentation import names_of_classes
from unet_segnet.networks.facts import MEMBER, read_facts, write_facts
from unet_segnet.networks.load import load_model


@pytest.fixture
def saved(tmp_path):
    """A network of three classes."""
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1, activation="softmax")(inputs))
    path = tmp_path / "net.keras"
    model.save(path)
    return path, model


def test_facts_come_back_with_the_network(saved):
    path, model = saved
    with pytest.raises(InputError, match="3 classes apart; expected 2"):
        names_of_classes(load_model(path))
    assert read_facts(path) == {}
    facts = {"class_names": ["healthy", "ground glass", "scar"], "window": [-1000, 200.0], "trained_on": {"slices": 9}}
    facts["learnt_from"] = "whole slices"
    write_facts(path, facts)
    assert read_facts(path) == facts
    loaded = load_model(path)
    assert names_of_classes(loaded) == ("healthy", "ground glass", "scar") and loaded.window == (-1000.0, 200.0)
    assert loaded.learnt_from == "whole slices" and load_model("binary").learnt_from == "lungs alone"
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", json.dumps({"class_names": ["one"]}), json.dumps({"class_names": ["same", "same", "other"]}),
        json.dumps({"window": [0]}), json.dumps({"window": [5, -5]}), json.dumps({"thresholds": ["x"]}),
        '{"window": [NaN, 1]}', json.dumps({"trained_on": 5}), " " * 2**21,
        json.dumps({"label_values": [[0, 0], [300, 1]]}), json.dumps({"label_values": [[0], [1]]}),
        json.dumps({"class_names": ["a", "b\x1b[2J", "c"]}), json.dumps({"data": "a\nb"}),
        json.dumps({"trained_on": {"slices": "nine"}}), json.dumps({"trained_on": {"units": 5}}),
        json.dumps({"trained_on": {"values": [1]}}), json.dumps({"trained_on": {"lung_levels": [1, 2, 3, 4, None]}}),
        json.dumps({"learnt_from": "lungs"}),
        json.dumps({"mirror_axes": [0]}), json.dumps({"mirror_axes": []}), json.dumps({"mirror_axes": 1}),
    ],
)  # fmt: skip
def test_damaged_facts_are_one_clear_line(saved, content):
    path, _ = saved
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, content)
    with pytest.raises(InputError, match=r"net\.keras: its facts .* cannot be read"):
        load_model(path)


def test_other_classes_than_the_network_has_are_refused(saved):
    write_facts(saved[0], {"class_names": ["healthy", "lesion"]})
    with pytest.raises(InputError, match="names 2 classes, the network tells 3 apart"):
        load_model(saved[0])


def test_more_classes_than_there_are_colours_are_refused(saved):
    model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Conv2D(8, 1)])
    model.class_names = tuple("abcdefgh")
    with pytest.raises(InputError, match="8 classes apart; expected at most 7"):
        names_of_classes(model)
