"""Figures: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.text import Text

from unet_segnet.plots import save_figure, segmentations, style, training_curves


def history(iterations=40):
    return {
        "loss": np.linspace(0.8, 0.2, iterations),
        "accuracy": np.linspace(0.6, 0.9, iterations),
        "validation_iteration": np.array([20, 40]),
        "validation_loss": np.array([0.5, 0.3]),
        "validation_accuracy": np.array([0.7, 0.85]),
    }


@pytest.mark.parametrize("iterations", [1, 40])
def test_training_curves_hold_the_raw_values_and_their_moving_mean(iterations):
    accuracy, loss = training_curves(history(iterations), "SegNet 4").axes
    raw, smooth, validation = loss.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), history(iterations)["loss"])
    assert smooth.get_ydata()[-1] == pytest.approx(history(iterations)["loss"][-18:].mean())
    np.testing.assert_array_equal(validation.get_xdata(), [20, 40])
    assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy", "loss")


def test_segmentations_show_slice_labels_network_and_dice():
    images = np.full((2, 8, 8), 100, np.uint8)
    labels = np.zeros((2, 8, 8), np.uint8)
    labels[0, :4], predictions = 1, np.zeros((2, 8, 8), np.uint8)
    predictions[0, :2] = 1
    figure = segmentations(images, labels, predictions, ("007", "008"), ("not infected", "infected"), "SegNet")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["slice 007, Dice 0.67", "slice 008, no lesion"]
    overlay = figure.axes[4].get_images()[1].get_array()  # the network's row, first column
    assert (overlay[..., 3] > 0).sum() == 16


def test_figures_are_written_whole(tmp_path):
    figure = training_curves(history(), "SegNet 4")
    save_figure(figure, tmp_path / "new" / "curves.png", dpi=50)
    save_figure(figure, tmp_path / "new" / "curves.pdf")
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "new" / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_dollars_in_names_are_no_mathematics(tmp_path):
    figure = style.new_figure(2, 2)
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_title("x$_1__2$y")
    axes.text(0.5, 0.5, "p$^a^b$")
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    assert any(text.get_parse_math() for text in axes.yaxis.findobj(Text))  # ten to the power of
