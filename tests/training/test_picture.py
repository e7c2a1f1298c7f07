"""The picture of a training that is under way: drawn now and then, whole, and without a trace in the training."""

import numpy as np
import pytest
from PIL import Image
from toy_training import run, weights_of

from unet_segnet.plots import run as plots
from unet_segnet.training import keeper
from unet_segnet.training.keeper import TrainingPicture

HISTORY = {"loss": np.array([0.9, 0.5]), "validation_loss": np.array([0.8, 0.6])}


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, set by a test."""
    now = [0.0]
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    return now


def test_it_is_drawn_after_a_while_and_not_all_the_time(tmp_path, clock):
    path = tmp_path / "runs" / "seed0" / "training.png"
    picture = TrainingPicture(path)
    for seconds, drawn in ((10, False), (31, True), (50, False), (62, True)):
        clock[0] = seconds
        path.unlink(missing_ok=True)
        picture.update(HISTORY)
        assert path.exists() == drawn, seconds
    picture.took, clock[0] = 2.0, 150.0  # a slow disk: 200 s between two
    before = path.stat().st_mtime_ns
    picture.update(HISTORY)
    assert path.stat().st_mtime_ns == before
    picture.update(HISTORY, last=True)
    assert path.stat().st_mtime_ns > before
    with Image.open(path) as image:
        image.verify()
    assert [file.name for file in path.parent.iterdir()] == ["training.png"]


def test_a_training_that_is_over_at_once_leaves_none(tmp_path, clock):
    TrainingPicture(tmp_path / "training.png").update(HISTORY, last=True)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_does_not_end_the_training(tmp_path, clock):
    (tmp_path / "file").touch()
    picture = TrainingPicture(tmp_path / "file" / "training.png")
    clock[0] = 100.0
    picture.update(HISTORY)
    assert picture.drawn_at == 100.0


def test_losses_by_epoch_are_drawn_with_those_of_the_validation():
    (axes,) = plots.training_curves(HISTORY, "networks").axes
    training, validation = axes.get_lines()
    np.testing.assert_array_equal(training.get_xdata(), [1, 2])
    np.testing.assert_array_equal(training.get_ydata(), HISTORY["loss"])
    np.testing.assert_array_equal(validation.get_ydata(), HISTORY["validation_loss"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")


def test_a_training_with_pictures_and_callbacks_ends_with_the_same_weights(tmp_path, monkeypatch):
    import keras

    seen, logged = [], []

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logged.append(dict(logs))
            seen.append((tmp_path / "training.png").exists())

    plain = run()
    monkeypatch.setattr(keeper, "SECONDS", 0.0)
    monkeypatch.setattr(keeper, "SHARE", float("inf"))
    watched = run(checkpoint=tmp_path / "state", callbacks=[Logs()])
    assert seen == [True] * 3
    for one, other in zip(weights_of(plain.model), weights_of(watched.model), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal([logs["val_loss"] for logs in logged], watched.history["validation_loss"])
    by_epoch = watched.history["accuracy"].reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose([logs["accuracy"] for logs in logged], by_epoch, rtol=1e-5)
