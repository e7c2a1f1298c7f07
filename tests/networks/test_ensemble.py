"""The folds of a cross-validation as one network: which belong together, and what their mean is."""

import json
import shutil

import numpy as np
import pytest
from made_folds import FACTS, LEVELS, infected, write_fold, write_folds

from unet_segnet.errors import InputError
from unet_segnet.networks.find import find_model
from unet_segnet.networks.load import load_model, model_sha256


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_folds(tmp_path_factory.mktemp("own") / "data-net")


@pytest.fixture
def group(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "data-net")


def test_probabilities_are_the_mean_of_the_folds(whole):
    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype("uint8")
    for source in (whole, str(whole), whole / "folds-seed0"):
        model = load_model(source)
        assert model.input_shape == (None, 32, 32, 1) and model.output_shape == (None, 32, 32, 2)
        assert (model.class_names, model.window, model.mirror_axes) == (tuple(FACTS["class_names"]), (-1100, 400), (1,))
        expected = np.mean([infected(grey[..., 0], level) for level in LEVELS], axis=0)
        found = model.predict_on_batch(grey)
        np.testing.assert_allclose(found[..., 1], expected, atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
    assert model.notes == (
        "network: the mean of the probabilities of 3 networks (fold1-seed0, fold2-seed0, fold3-seed0)",
    )


def test_segnets_vote():
    """Their probability of what they do not mark is 1/2: a mean would be the union of what each of them marks."""
    import keras

    from unet_segnet.models import build_model
    from unet_segnet.networks.ensemble import Ensemble, as_votes, cuts_scores

    def cut(level):
        inputs = keras.Input((8, 8, 1))
        scores = keras.layers.Conv2D(2, 1, name="scores")(inputs)
        model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.ReLU()(scores)))
        weights = [np.array([[[[0.0, 1.0]]]], "float32"), np.array([0.0, -level], "float32")]
        model.get_layer("scores").set_weights(weights)
        return model

    assert cuts_scores(cut(1)) and cuts_scores(build_model("segnet", variant="released", input_shape=(16, 16, 1)))
    assert not cuts_scores(build_model("unet", variant="released", input_shape=(16, 16, 1)))
    model = Ensemble([cut(level) for level in (10, 20, 30)], ("a", "b", "c"), "three")
    grey = np.repeat([5.0, 15.0, 25.0, 35.0], 16).reshape(1, 8, 8, 1)
    found = model.predict_on_batch(grey)
    np.testing.assert_allclose(found[..., 1].ravel()[::16], [0, 1 / 3, 2 / 3, 1], atol=1e-6)
    assert np.mean([m.predict_on_batch(grey)[0, 2, 0, 1] for m in model.members]) > 0.5  # what one of three marks
    assert model.notes[0] == "network: the votes of 3 networks (a, b, c)" and "cut off at 0" in model.notes[1]
    votes = as_votes(np.array([[0.5, 0.5], [0.2, 0.8], [np.nan, 0.5]]))
    np.testing.assert_array_equal(votes, [[1, 0], [0, 1], [np.nan, np.nan]])


def test_a_folder_with_one_network_gives_that_one(whole):
    import keras

    assert isinstance(load_model(whole / "fold2-seed0"), keras.Model)
    assert model_sha256(whole / "fold2-seed0") == model_sha256(whole / "fold2-seed0" / "model.keras")


def test_what_is_known_is_known_of_all(whole):
    source, facts = find_model(str(whole))
    assert source == str(whole)
    assert facts["slices"] == ["mark 1", "mark of all", "mark 2", "mark 3"]
    assert facts["thresholds"] == [100] and facts["class_names"] == FACTS["class_names"]


def test_another_network_in_it_is_another_ensemble(group):
    before = model_sha256(group)
    assert before == model_sha256(group / "folds-seed0") and len(before) == 64
    shutil.copy(group / "fold1-seed0" / "model.keras", group / "fold2-seed0" / "model.keras")
    assert model_sha256(group) != before


def test_a_fold_that_is_not_finished_is_named(group):
    (group / "fold2-seed0" / "result.json").unlink()
    shutil.rmtree(group / "fold3-seed0")
    with pytest.raises(InputError, match="fold2-seed0, fold3-seed0 of 3 folds not finished; start the same training"):
        load_model(group)
    shutil.rmtree(group / "folds-seed0")
    with pytest.raises(InputError, match=r"has not come to its end \(no folds-seed0/split\.json\)"):
        load_model(group)


def test_a_fold_that_diverged_is_left_out_and_said(group):
    for number, left in ((2, 2), (3, 1)):
        folder = group / f"fold{number}-seed0"
        (folder / "result.json").write_text(json.dumps({"status": "diverged", "epoch": 3}))
        (folder / "model.keras").unlink()
        if left == 2:
            model = load_model(group)
            assert model.names == ("fold1-seed0", "fold3-seed0")
            assert model.notes[1] == "network: fold2-seed0 is left out, its training diverged"
    with pytest.raises(InputError, match="1 of 3 folds have a network, the others diverged"):
        load_model(group)


def test_folds_of_another_training_are_refused(group):
    (group / "fold2-seed0" / "config.json").write_text(json.dumps({"split": {"train": ["s9"]}}))
    with pytest.raises(InputError, match=r"fold2-seed0: was trained on other slices than .*split\.json says"):
        load_model(group)


@pytest.mark.parametrize(
    ("size", "change", "line"),
    [
        (16, {}, "other slices .*16, 16, 1.* not .*32, 32, 1"),
        (32, {"class_names": ["healthy", "scar"]}, "other classes"),
        (32, {"window": [-1000.0, 200.0]}, r"other window \(\(-1000.0, 200.0\), not \(-1100.0, 400.0\)\)"),
        (32, {"takes": "lung levels"}, "other kind of input"),
        (32, {"learnt_from": "whole slices"}, "other part of the slices"),
        (32, {"threshold": 0.3}, "other threshold"),
    ],
)
def test_networks_that_do_not_fit_each_other_are_one_line(group, size, change, line):
    shutil.rmtree(group / "fold3-seed0")
    split = json.loads((group / "folds-seed0" / "split.json").read_text())["folds"][2]
    write_fold(group / "fold3-seed0", 100, size, split, {**FACTS, **change})
    with pytest.raises(InputError, match=f"data-net: fold3-seed0 does not fit fold1-seed0: {line}") as error:
        load_model(group)
    assert "\n" not in str(error.value)


def test_a_damaged_network_is_named(group):
    file = group / "fold2-seed0" / "model.keras"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"fold2-seed0/model\.keras: is damaged"):
        load_model(group)
    file.unlink()
    with pytest.raises(InputError, match=r"fold2-seed0: is without its network"):
        load_model(group)


def test_several_seeds_or_runs_are_asked_about(group):
    write_fold(group / "fold1-seed1", 100)
    with pytest.raises(InputError, match=r"4 runs .* give one of these folders, or folds-seed0 or folds-seed1 for all"):
        load_model(group)
    assert len(load_model(group / "folds-seed0").members) == 3
    shutil.rmtree(group / "fold1-seed1")
    write_fold(group / "seed0", 100)
    with pytest.raises(InputError, match="or folds-seed0 for all folds of one seed"):
        load_model(group)
