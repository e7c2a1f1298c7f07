"""Figures of the report: which there are, what their captions say, what is said to be missing."""

from dataclasses import replace

import numpy as np
import pytest
from made_runs import evidence, made_grid, made_run

from experiments.saood2021 import published
from experiments.saood2021.evidence import Network
from experiments.saood2021.figures import scores as report_figures
from experiments.saood2021.figures.scores import figures, missing_figures
from experiments.saood2021.report import SECTIONS
from unet_segnet.data import Slices, paper_split
from unet_segnet.measures import metrics
from unet_segnet.output.records import write_arrays
from unet_segnet.plots import save_figure
from unet_segnet.training.class_weighted import HISTORY_KEYS

TEST = paper_split().test


@pytest.fixture(scope="module", autouse=True)
def without_models():
    """Figures 3 and 5 need Keras; their own tests draw them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("network_figures", "dream_figures"):
            patch.setattr(report_figures, name, lambda evidence: ())
        yield


@pytest.fixture(scope="module")
def slices():
    """A hundred slices with a lung that is longer than wide and lesions of three classes in it."""
    images = np.zeros((100, 48, 48), np.uint8)
    images[:, 4:20, 6:42], images[:, 28:44, 6:42] = 60, 80
    labels = np.zeros_like(images)
    for index, label in enumerate(labels):
        label[6 : 8 + index % 10, 20:36] = 1
        label[30:34, 20 : 24 + index % 7] = 2
        if index % 4 == 0:
            label[40:43, 36:41] = 3
    return Slices(images, labels, None, tuple(f"{number:03d}" for number in range(1, 101)))


def with_history(run, folder, length=200):
    run = replace(run, folder=folder)
    folder.mkdir(parents=True)
    curve = np.linspace(0.6, 0.95, length)
    arrays = {key: np.zeros(2) for key in HISTORY_KEYS} | {"loss": 1 - curve, "accuracy": curve}
    write_arrays(folder / "history.npz", arrays)
    return run


def network(slices, problem, key, net="segnet", shift=1):
    labels = slices.labels[TEST] if problem == "multiclass" else (slices.labels[TEST] > 0).astype(np.uint8)
    return Network(key, f"SegNet {key}", net, problem, lambda: None, np.roll(labels, shift, axis=2))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def by_name(drawn):
    return {figure.name: figure for figure in drawn}


def map_caption(of):
    return by_name(report_figures._configuration_figures(of, "binary"))["table3_binary_map"].caption


@pytest.fixture(scope="module")
def everything(slices, tmp_path_factory):
    """Both problems and variants complete, two seeds of one configuration, a network of each problem."""
    folder, runs = tmp_path_factory.mktemp("runs"), []
    names = tuple(slices.names[index] for index in TEST)
    best = {"binary": {}, "multiclass": {"segnet": 7}}
    for problem in ("binary", "multiclass"):
        for variant in ("released", "paper"):
            runs += made_grid(problem, variant, best=best[problem])
    runs.append(made_run("unet", "binary", "released", 4, seed=1))
    runs = [
        with_history(replace(run, counts=replace(run.counts, test_names=names)), folder / str(number))
        for number, run in enumerate(runs)
    ]
    networks = (network(slices, "binary", "own-segnet-binary"), network(slices, "multiclass", "own-segnet-multiclass"))
    return replace(evidence(*runs, slices=slices), networks=networks)


@pytest.fixture(scope="module")
def drawn(everything):
    return by_name(figures(everything))


def test_every_figure_is_there_and_has_its_section(drawn):
    assert list(drawn) == [
        "figure1_slices",
        "figure2_accumulated_labels",
        *("spread_table3", "spread_table4", "table3_binary_map", "table3_binary_sigma"),
        *("spread_table5", "spread_table6", "table5_multiclass_map", "table5_multiclass_sigma"),
        "figure4_training",
        *("contours_own-segnet-binary", "dice_binary", "confusion_binary"),
        *("contours_own-segnet-multiclass", "dice_multiclass", "confusion_multiclass"),
    ]
    starts = tuple(start for names in SECTIONS.values() for start in names)
    assert all(name.startswith(starts) for name in drawn)


def test_words_are_whole_sentences(drawn):
    for figure in drawn.values():
        assert figure.title and not figure.title.endswith(".")
        assert figure.caption.endswith(".") and figure.alt.endswith(".")
        assert "  " not in figure.caption


def test_nothing_is_missing_where_all_ran(everything):
    assert missing_figures(everything) == ()


def test_without_anything_the_published_is_drawn_and_the_rest_named():
    bare = evidence()
    names = [figure.name for figure in figures(bare)]
    assert names == [
        *("spread_table3", "spread_table4", "table3_binary_map", "table3_binary_sigma"),
        *("spread_table5", "spread_table6", "table5_multiclass_map", "table5_multiclass_sigma"),
        "figure4_training",
        "confusion_binary",
    ]
    lines = missing_figures(bare)
    assert sum("Figure 4" in line for line in lines) == len(published.BEST_EXPERIMENT)
    assert any(line.startswith("Figures 1 and 2") for line in lines)
    assert sum("No network of ours" in line for line in lines) == 2


def test_a_run_of_another_configuration_does_not_stand_for_the_best():
    lines = missing_figures(evidence(made_run("segnet", "multiclass", experiment=3)))
    assert any("SegNet, four classes" in line and "--only 7" in line for line in lines)


def test_the_best_of_the_other_variant_is_drawn_where_the_released_one_did_not_run(tmp_path):
    """A released run of another configuration must not hide it."""
    other = with_history(made_run("unet", "multiclass", "paper", 4), tmp_path / "run")
    several = evidence(made_run("segnet", "multiclass", "released", 3), other)
    caption = report_figures._training_figure(several).caption
    assert "U-Net four classes 4: variant paper, seed 0" in caption


def test_slices_stand_upright(everything, slices, drawn):
    """The lungs lie one above the other in the data, side by side in the figure."""
    shown = drawn["figure2_accumulated_labels"].figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, (slices.labels > 0).sum(axis=0).T)
    panels = [axes for axes in drawn["figure1_slices"].figure.axes if axes.get_title()]
    chosen = int(panels[0].get_title().split()[1]) - 1
    np.testing.assert_array_equal(panels[0].get_images()[0].get_array(), slices.images[chosen].T)


def test_contours_of_all_test_slices_with_their_dice(everything, slices, drawn):
    figure = drawn["contours_own-segnet-multiclass"]
    found = everything.networks[1].predictions
    lesions = metrics.confusion_matrices((slices.labels[TEST] > 0) * 1, (found > 0) * 1, 2)
    expected = [
        f"{slices.names[index]}: Dice {dice:.2f}" for index, dice in zip(TEST, metrics.dice(lesions)[:, 1], strict=True)
    ]
    assert [axes.get_title() for axes in figure.figure.axes] == expected
    assert "purple" in figure.caption and "purple" not in drawn["contours_own-segnet-binary"].caption


def test_mean_and_sigma_are_those_of_the_table(everything, drawn):
    """Two seeds of U-Net 4: the mean of their means and of their sigmas."""
    runs = [run.counts for run in everything.grid("binary", "released")]
    accuracy = np.stack(
        [metrics.global_accuracy(run.test_confusion) for run in runs if (run.net, run.experiment) == ("unet", 4)]
    )
    assert len(accuracy) == 2
    published_series, ours, _ = drawn["table3_binary_sigma"].figure.axes[0].containers
    assert len(published_series[0].get_xdata()) == len(ours[0].get_xdata()) == 18
    at = 9 + 3
    assert ours[0].get_ydata()[at] == pytest.approx(accuracy.mean())
    low, high = ours[2][0].get_segments()[at][:, 1]
    assert (high - low) / 2 == pytest.approx(accuracy.std(axis=1, ddof=1).mean())
    assert "37 trainings of seeds 0, 1" in drawn["table3_binary_sigma"].caption


def test_map_holds_the_published_numbers_and_ours(everything, drawn):
    shown = texts(drawn["table5_multiclass_map"].figure)
    assert len(shown) == 2 * 3 * 9 and "-" not in shown
    for net in ("segnet", "unet"):
        for value in published.global_accuracy(net, "multiclass").values():
            assert f"{value.mean:.3f}" in shown


def test_dice_of_a_run_follows_the_names_of_the_slices(slices, tmp_path):
    """A run that counted the test slices in another order is the same network, drawn once."""
    ours = network(slices, "binary", "own-segnet-binary")
    names = tuple(slices.names[index] for index in TEST)
    counted = metrics.confusion_matrices((slices.labels[TEST] > 0) * 1, ours.predictions, 2)
    others = counted.copy()
    others[0] = [[others[0].sum(), 0], [0, 0]]
    as_they_are, backwards = np.arange(18), np.arange(18)[::-1]
    for name, order, counted, number in (  # noqa: B020
        ("same", as_they_are, counted, 1), ("backwards", backwards, counted, 1), ("another", as_they_are, others, 2)
    ):  # fmt: skip
        run = made_run(folder=tmp_path / "nowhere")
        counts = replace(
            run.counts, test_names=tuple(names[index] for index in order), test_confusion=counted[order].copy()
        )
        run = with_history(replace(run, counts=counts), tmp_path / name)
        both = replace(evidence(run, slices=slices), networks=(ours,))
        figure = by_name(report_figures._slice_figures(both))["dice_binary"].figure
        assert len(figure.axes[0].get_legend().get_texts()) == number


def test_of_two_trainings_of_one_seed_the_replay_is_shown_and_both_are_averaged(tmp_path):
    own = with_history(made_run("unet"), tmp_path / "own")
    replay = with_history(made_run("unet", missed=0.2), tmp_path / "replay")
    replay = replace(replay, counts=replace(replay.counts, stream="matlab"))
    for runs in ((own, replay), (replay, own)):
        both = evidence(*runs)
        confusion = by_name(report_figures._slice_figures(both))["confusion_binary"]
        figure = confusion.figure
        titles = [axes.get_title() for axes in figure.axes]
        assert "U-Net 4, ours\n(variant released, seed 0, replay)" in titles
        figure.draw_without_rendering()
        boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        assert all(one.x1 < two.x0 for one, two in zip(boxes[::2], boxes[1::2], strict=False))
        assert "replay: trained with the authors' random numbers" in confusion.caption
        told = report_figures._training_figure(both).caption
        assert "U-Net binary 4: variant released, seed 0, the authors' random stream" in told
        assert "2 trainings of seed 0, averaged over the trainings of a configuration" in map_caption(both)
    assert "averaged" not in map_caption(evidence(own))


def test_confusion_matrices_stand_beside_the_authors(drawn):
    titles = [axes.get_title() for axes in drawn["confusion_binary"].figure.axes]
    ours = "ours\n(variant released, seed 0)"
    assert titles == [f"{net} 4, {whose}" for net in ("SegNet", "U-Net") for whose in (ours, "the authors'")]
    grid = drawn["confusion_binary"].figure.axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 2)


@pytest.mark.slow
def test_twice_the_same_files(everything, drawn, tmp_path):
    again = by_name(figures(everything))
    for name in ("figure4_training", "table3_binary_map", "contours_own-segnet-multiclass"):
        for suffix in ("png", "pdf"):
            files = [tmp_path / f"{number}.{suffix}" for number in (0, 1)]
            for made, file in zip((drawn, again), files, strict=True):
                save_figure(made[name].figure, file, dpi=60)
            assert files[0].read_bytes() == files[1].read_bytes()
