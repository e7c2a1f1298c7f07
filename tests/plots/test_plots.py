"""Figures: what is drawn is what was given."""

import keras
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from unet_segnet.models import build_model
from unet_segnet.plots import save_figure, segmentations, style, training_curves
from unet_segnet.plots.case import case_look
from unet_segnet.plots.diagram import boxes, draw_network, links
from unet_segnet.plots.dreams import dreams
from unet_segnet.plots.scores import configuration_map, confusion_matrices, dice_by_slice, mean_and_sigma
from unet_segnet.plots.slices import accumulated_labels, contours, slice_and_labels
from unet_segnet.plots.training import training_comparison

CLASSES = ("C0", "C1", "C2", "C3")


@pytest.fixture
def lungs():
    """Three slices with a square lung and a lesion, and a prediction that misses a row and adds one."""
    images = np.zeros((3, 40, 40), np.uint8)
    images[:, 5:35, 8:32] = 90
    labels = np.zeros_like(images)
    labels[:2, 10:20, 10:20], labels[1, 25:30, 10:15] = 1, 3
    predictions = np.roll(labels, 1, axis=1)
    return images, labels, predictions, ("001", "002", "003")


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_accumulated_labels_count_slices(lungs):
    figure = accumulated_labels(lungs[1], CLASSES)
    panels = {axes.get_title(): axes.get_images()[0].get_array() for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["all lesions", "C1", "C2", "C3"]
    np.testing.assert_array_equal(panels["all lesions"], (lungs[1] > 0).sum(axis=0))
    assert panels["C1"].max() == 2 and panels["C2"].max() == 0 and panels["C3"].sum() == 25


def test_a_look_at_a_case_draws_contours_and_counts(lungs):
    images, labels, _, names = lungs
    levels = np.zeros((4, 256), int)
    levels[0, 90], levels[1, 100:104], levels[3, 200] = 500, 25, 7
    grey = (-1100, 400, "Hounsfield units")
    figure = case_look(images, labels, images > 0, names, CLASSES, levels, grey, "a case")
    *slices, below = figure.axes
    assert [axes.get_title() for axes in slices] == ["slice 001", "slice 002", "slice 003"]
    colours = [[to_hex(of.get_edgecolor()[0]).upper() for of in axes.collections] for axes in slices]
    yellow, first, third = style.YELLOW, *(style.CLASS_COLOURS[number] for number in (1, 3))
    assert colours == [[yellow, first], [yellow, first, third], [yellow]]
    filled, *lines = below.patches
    values = {to_hex(patch.get_edgecolor()).upper(): patch.get_data() for patch in lines}
    assert set(values) == {first, third} and to_hex(filled.get_facecolor()).upper() == yellow
    found = values[first]
    assert found.values.sum() == pytest.approx(1) and found.values.argmax() == 25
    assert found.edges[25] == pytest.approx(-1100 + 100 / 256 * 1500)
    text = [text.get_text() for text in figure.legends[0].get_texts()]
    assert text[1:] == ["C1", "C3"]
    alone = case_look(images[:1], None, None, names[:1], CLASSES[:1], levels[:1], grey, "x" * 99)
    assert not alone.axes[0].collections and len(alone.axes) == 2


def test_a_picture_with_few_colours_is_the_same_picture(lungs, tmp_path):
    figure = slice_and_labels(lungs[0], lungs[1], lungs[3], CLASSES)
    save_figure(figure, tmp_path / "all.png")
    save_figure(figure, tmp_path / "few.png", colours=64)
    with Image.open(tmp_path / "all.png") as every, Image.open(tmp_path / "few.png") as few:
        assert few.mode == "P" and len(few.getcolors()) <= 64 and few.size == every.size
        apart = np.abs(np.asarray(every.convert("RGB"), int) - np.asarray(few.convert("RGB"), int))
    assert np.quantile(apart, 0.99) < 16
    assert (tmp_path / "few.png").stat().st_size < (tmp_path / "all.png").stat().st_size


def test_slices_and_labels(lungs):
    figure = slice_and_labels(lungs[0][:2], lungs[1][:2], lungs[3][:2], CLASSES)
    overlay = figure.axes[3].get_images()[1].get_array()
    assert (overlay[..., 3] > 0).sum() == (lungs[1][1] > 0).sum()


def test_contours_colour_exactly_the_errors(lungs):
    images, labels, predictions, names = lungs
    figure = contours(images, labels, predictions, names, columns=3)
    errors = figure.axes[0].get_images()[1].get_array()
    assert (errors[..., 3] > 0).sum() == (labels[0] != predictions[0]).sum() == 20
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["001: Dice 0.90", "002: Dice 0.88", "003: no lesion"]


def test_contours_tell_missed_false_and_wrong_class_apart(lungs):
    images, labels, _, names = lungs
    predictions = np.zeros_like(labels)
    predictions[0, 10:20, 10:15], predictions[0, 10:20, 15:20], predictions[0, 20:26, 10:16] = 1, 2, 1
    figure = contours(images[:1], labels[:1], predictions[:1], names[:1], columns=1)
    errors = figure.axes[0].get_images()[1].get_array()
    colours, counts = np.unique(errors[errors[..., 3] > 0], axis=0, return_counts=True)
    assert len(colours) == 3 and sorted(counts) == [18, 18, 50]  # two stripes of the false alarm, the wrong class
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["true contour", "predicted contour", "missed", "false alarm", "wrong class"]
    predictions[0] = 0
    figure = contours(images[:1], labels[:1], predictions[:1], names[:1], columns=1)
    errors = figure.axes[0].get_images()[1].get_array()
    assert len(np.unique(errors[errors[..., 3] > 0], axis=0)) == 1 and (errors[..., 3] > 0).sum() == 100
    assert len(figure.legends[0].get_texts()) == 4


def test_dice_is_ordered_by_the_first_network():
    first, second = np.array([0.5, np.nan, 0.2]), np.array([0.1, 0.2, 0.3])
    axes = dice_by_slice({"a": first, "b": second}, ("x", "y", "z")).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["y", "z", "x"]
    np.testing.assert_array_equal(axes.get_lines()[2].get_ydata(), [0.2, 0.3, 0.1])


def test_confusion_matrices_show_shares_of_the_truth():
    figure = confusion_matrices({"a": np.array([[9000, 1000], [2, 6]])}, ("no", "yes"))
    assert texts(figure) == ["0.900\n9.0k", "0.100\n1.0k", "0.250\n2", "0.750\n6"]


def test_configuration_map_leaves_what_did_not_run_empty():
    published = {(1e-4, 4): 0.9, (1e-3, 4): 0.95, (1e-4, 8): 0.8, (1e-3, 8): 0.85}
    figure = configuration_map(
        {
            "SegNet": {"published": published, "ours": {(1e-3, 4): 0.94}},
            "U-Net": {"published": {(1e-4, 2): 0.7}, "ours": {}},
        }
    )
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["SegNet, published", "SegNet, ours", "U-Net, published", "U-Net, ours"]
    assert texts(figure) == ["0.900", "0.800", "0.950", "0.850", "-", "-", "0.940", "-", "0.700", "-"]


def test_mean_and_sigma_has_a_bar_for_each():
    figure = mean_and_sigma(
        {"published": [("SegNet 1", 0.9, 0.05), ("SegNet 2", 0.8, 0.1)], "ours": [("SegNet 2", 0.85, 0.1)]}, 0.93
    )
    assert [line.get_ydata()[0] for line in figure.axes[0].get_lines() if line.get_label() == "all background"] == [
        0.93
    ]
    assert [len(container[0].get_xdata()) for container in figure.axes[0].containers] == [2, 1]


@pytest.mark.parametrize("count", [1, 9])
def test_dice_draws_every_network(count):
    values = {f"network {number}": np.array([0.1 * number, 0.5]) for number in range(count)}
    axes = dice_by_slice(values, ("x", "y")).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(values)


def test_training_comparison_draws_both():
    curves = {"accuracy": np.linspace(0.6, 0.95, 100), "loss": np.linspace(0.8, 0.1, 100)}
    figure = training_comparison([("SegNet 4", curves, curves), ("U-Net 4", None, curves)])
    assert [len(axes.get_lines()) for axes in figure.axes] == [4, 2, 4, 2]
    bottom, top = figure.axes[0].get_ylim()
    assert (bottom, top) == (pytest.approx(0.6), 1.0)
    assert figure.axes[0].get_lines()[1].get_ydata()[-1] == pytest.approx(curves["accuracy"][-18:].mean())


@pytest.mark.parametrize(
    ("net", "variant", "num_links"),
    [("segnet", "released", 3), ("unet", "released", 2), ("segnet", "paper", 5), ("unet", "paper", 4)],
)
def test_diagram_has_each_layer_and_each_link(net, variant, num_links):
    with keras.StatelessScope(initialize_variables=False):  # its layers are enough
        model = build_model(net, variant=variant, input_shape=(64, 64, 1))
    found = boxes(model)
    assert [box.name for box in found] == [layer.name for layer in model.layers]
    assert "other" not in {box.kind for box in found}
    across = links(found)
    assert len(across) == num_links
    assert all(target.kind == ("max unpooling" if net == "segnet" else "concatenation") for _, target in across)
    figure = draw_network(model)
    assert len(figure.axes[0].patches) == len(model.layers)
    assert "64²" in texts(figure)


def test_same_figure_same_bytes(tmp_path):
    for suffix in ("png", "pdf"):
        for name in ("a", "b"):
            save_figure(dreams(np.random.default_rng(0).random((2, 16, 16)), ("a", "b")), tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


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
