"""Figures of the second study from made arrays: what is drawn, and that no text leaves the canvas or covers another."""

import warnings
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from unet_segnet.plots.compare_losses import loss_bands
from unet_segnet.plots.compare_masks import (
    ERROR_COLOURS,
    error_overlay,
    first_layer_kernels,
    intensity_histograms,
    kernel_mosaic,
    mask_errors,
    mask_surface,
    mask_surfaces,
)
from unet_segnet.plots.compare_scores import dice_against_parameters, dice_boxes

NAMES = ("U-Net", "LinkNet", "FPN", "PSPNet")


def check_layout(figure):
    """Draw the figure; every text that shows lies on the canvas, and none on another."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit warns
        canvas.draw()
    renderer = canvas.get_renderer()
    beyond = {id(label) for axes in figure.axes for label in _not_drawn(axes)}
    boxes = [
        (artist.get_text(), artist.get_window_extent(renderer))
        for artist in figure.findobj(matplotlib.text.Text)
        if artist.get_visible() and artist.get_text().strip() and id(artist) not in beyond
    ]
    assert len(boxes) > 5
    for text, box in boxes:
        assert box.x0 >= 0 and box.x1 <= renderer.width and box.y0 >= 0 and box.y1 <= renderer.height, text
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across < 1 or up < 1, (one, other)


def _not_drawn(axes):
    """Labels of ticks beyond the axes, and all labels of axes that are off."""
    for axis in (getattr(axes, name) for name in ("xaxis", "yaxis", "zaxis") if hasattr(axes, name)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not axes.axison or not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return [(rng.uniform(1, 60, (2, 25)), rng.normal(90, 2, (2, 25))) for _ in NAMES]


def test_dice_against_parameters_draws_both(points):
    ours = [(np.full((2, 25), np.nan),) * 2 for _ in NAMES]
    ours[1] = (np.array([10.0, np.nan]), np.array([80.0, 90.0]))
    panels = dict.fromkeys(("lung", "lesion A", "lesion B", "lesion B - A"), (points, ours))
    figure = dice_against_parameters(panels, NAMES, "millions")
    for axes in figure.axes:
        lines = {len(line.get_xdata()) for line in axes.lines}
        assert lines == {50, 1, 0}
        np.testing.assert_array_equal(axes.lines[3].get_xydata(), [[10, 80]])
        assert axes.collections  # the density
    assert [axes.get_ylabel() for axes in figure.axes][-1] == "difference of Dice, points"
    assert "ours (black edge)" in [text.get_text() for text in figure.legends[0].get_texts()]
    check_layout(figure)
    without = dice_against_parameters(dict.fromkeys(panels, (points, ours[:1] * 4)), NAMES, "millions")
    assert "ours (black edge)" not in [text.get_text() for text in without.legends[0].get_texts()]


def test_boxes_have_the_quartiles_and_few_values_are_points():
    values = np.arange(11.0)
    panels = {
        title: {name: (values, np.array([3.0, np.nan, 4.0])) for name in NAMES} for title in ("lung", "A", "B", "all")
    }
    figure = dice_boxes(panels)
    axes = figure.axes[0]
    assert len(axes.patches) == len(NAMES)
    box = axes.patches[0].get_path().vertices
    assert (box[:, 1].min(), box[:, 1].max()) == (2.5, 7.5)
    own = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(own[0].get_ydata(), [3, 4])
    assert [label.get_text() for label in axes.get_xticklabels()] == list(NAMES)
    check_layout(figure)


def test_bands_are_mean_and_standard_deviation():
    models = np.array([[1.0, 0.5, 0.2], [0.8, 0.5, 0.4]])
    nothing = np.empty((0, 0))
    rows = {"lung": {"training": [models, nothing, nothing, models], "validation": [nothing] * 4}}
    rows["B - A"] = rows["lung"]
    figure = loss_bands(rows, NAMES)
    training, validation = figure.axes[:2]
    np.testing.assert_allclose(training.lines[0].get_xydata(), [[1, 0.9], [2, 0.5], [3, 0.3]])
    band = training.collections[0].get_paths()[0].vertices
    assert {0.8, 1.0} <= set(np.round(band[band[:, 0] == 1][:, 1], 9))
    assert [text.get_text() for text in validation.texts] == ["not run"] and not validation.lines
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["U-Net", "PSPNet"]
    check_layout(figure)


def test_histograms_show_what_they_are_given():
    edges = np.linspace(-2, 2, 5)
    figure = intensity_histograms(
        {"lung": (edges, np.full(4, 0.25), np.array([0, 0.5, 0.5, 0]))}
        | {name: (edges, np.full(4, 0.25), np.full(4, 0.25)) for name in ("lesion A", "lesion B")}
    )
    images, masks = figure.axes[0].patches
    np.testing.assert_array_equal(images.get_data().values, np.full(4, 0.25))
    np.testing.assert_array_equal(masks.get_data().values, [0, 0.5, 0.5, 0])
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    check_layout(figure)


def test_errors_have_their_colours():
    truth = np.array([[1, 1, 0, 0]], bool)
    prediction = np.array([[1, 0, 1, 0]], bool)
    overlay = error_overlay(truth, prediction, 0.5)
    for at, name in enumerate(("right", "missed", "false alarm")):
        np.testing.assert_allclose(overlay[0, at], matplotlib.colors.to_rgba(ERROR_COLOURS[name], 0.5))
    np.testing.assert_array_equal(overlay[0, 3], 0)


def test_masks_have_a_place_for_each_model():
    image, mask = np.zeros((32, 32)), np.zeros((32, 32), bool)
    panels = dict.fromkeys(NAMES, (image, mask, mask, "efficientnet-b4 88.1")) | {"FPN": None}
    figure = mask_errors({f"{name}, {which}": panels for name in ("lung", "lesion A") for which in ("best", "worst")})
    assert len(figure.axes) == 16
    assert [len(axes.images) for axes in figure.axes[:4]] == [2, 2, 0, 2]
    assert figure.axes[2].texts[0].get_text() == "not run"
    check_layout(figure)


def test_the_surface_of_a_ball_is_closed_and_where_it_is():
    z, y, x = np.mgrid[:30, :128, :128]
    ball = ((z - 15) / 10) ** 2 + ((y - 40) / 20) ** 2 + ((x - 90) / 20) ** 2 < 1
    vertices, faces, shape = mask_surface(ball)
    assert shape == (30, 64, 64)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert set(np.unique(edges, axis=0, return_counts=True)[1]) == {2}  # each edge has two faces
    np.testing.assert_allclose((vertices.min(axis=0) + vertices.max(axis=0)) / 2, [15, 19.75, 44.75], atol=0.5)
    np.testing.assert_allclose(np.ptp(vertices, axis=0), [20, 20, 20], atol=1)
    assert mask_surface(np.zeros((4, 32, 32), bool)) is None
    full = mask_surface(np.ones((4, 32, 32), bool))
    assert full[0].min() < 0  # also at the borders


def test_volumes_have_a_place_for_each_model():
    ball = np.zeros((6, 32, 32), bool)
    ball[2:5, 8:20, 8:20] = True
    columns = {"truth": ball, "U-Net": ball, "LinkNet": np.zeros_like(ball), "FPN": None, "PSPNet": ball}
    figure = mask_surfaces({"lung": columns, "lesion A": columns})
    assert len(figure.axes) == 10
    assert [len(axes.collections) for axes in figure.axes[:5]] == [1, 1, 0, 0, 1]
    assert [axes.texts[0].get_text() for axes in figure.axes[2:4]] == ["empty", "not run"]
    check_layout(figure)


def test_kernels_lie_in_a_square_with_gaps():
    kernels = np.arange(2 * 2 * 1 * 5, dtype=np.float32).reshape(2, 2, 1, 5)
    mosaic = kernel_mosaic(kernels)
    assert mosaic.shape == (5, 8)
    np.testing.assert_array_equal(mosaic[:2, 3:5], kernels[:, :, 0, 1])
    np.testing.assert_array_equal(mosaic[3:, 3:5], kernels[:, :, 0, 4])
    assert np.isnan(mosaic[2]).all() and np.isnan(mosaic[:, 2]).all() and np.isnan(mosaic[3:, 6:]).all()
    figure = first_layer_kernels(
        {"random": {"before": kernels, "after": kernels}, "ImageNet": {"before": kernels, "after": -2 * kernels}}
    )
    assert [len(axes.images) for axes in figure.axes[:4]] == [1, 1, 1, 1]
    assert {axes.images[0].get_clim() for axes in figure.axes[:4]} == {(-38, 38)}
    check_layout(figure)
