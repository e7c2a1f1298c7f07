"""The published figures: complete, consistent with each other, and wrong only where we say so."""

import csv
import math

import numpy as np
import pytest

from experiments.saood2021 import published

NETS = ("segnet", "unet")


def accuracies(net, experiment):
    return np.array([m.global_accuracy for m in published.image_metrics(net, experiment).values()])


def test_every_file_is_described(reference):
    text = (reference / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in (reference / "saood2021").iterdir())
    assert len(files) == 12
    assert all(f"`{name}`" in text for name in files)
    assert reference / "saood2021" == published.FOLDER


def test_class_sizes_with_the_slip_of_the_paper():
    sizes = published.class_sizes()
    assert list(sizes) == ["C0", "C1", "C2", "C3"]
    assert sizes["C1"] == (1.1965e6, 2.5166e7)
    assert sizes["C3"][0] == 334265  # the released masks hold 34,265


def test_hyperparameters_are_a_grid_of_three_rates_and_three_batches():
    for net, rates, batches in (("segnet", (1e-4, 1e-3, 3e-3), (4, 8, 12)), ("unet", (1e-4, 5e-4, 1e-3), (2, 8, 12))):
        settings = published.hyperparameters(net)
        found = [(settings[e].initial_learning_rate, settings[e].mini_batch) for e in range(1, 10)]
        assert found == [(rate, batch) for rate in rates for batch in batches]


def test_released_runs_carry_the_hyperparameters_of_table_2():
    with (published.FOLDER / "confusion_matrices.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            setting = published.hyperparameters(row["network"])[int(row["experiment"])]
            assert float(row["initial_learning_rate"]) == setting.initial_learning_rate
            assert int(row["mini_batch"]) == setting.mini_batch


@pytest.mark.parametrize("net", NETS)
def test_confusion_matrices_count_the_18_test_slices(net):
    matrices = np.stack([published.confusion_matrix(net, experiment) for experiment in range(1, 10)])
    np.testing.assert_array_equal(matrices.sum(axis=2), [[1095247, 84401]] * 9)
    assert matrices.sum() == 9 * 18 * 256 * 256
    with pytest.raises(KeyError, match="experiment 10"):
        published.confusion_matrix(net, 10)


@pytest.mark.parametrize("net", NETS)
def test_table_3_truncates_the_mean_over_the_slices(net):
    """SegNet 3 excepted: printed 0.919, released 0.9096. Sigma divides by n - 1."""
    for experiment, printed in published.global_accuracy(net, "binary").items():
        slices = accuracies(net, experiment)
        assert len(slices) == 18
        mean = math.floor(1000 * slices.mean()) / 1000
        if (net, experiment) == ("segnet", 3):
            assert (mean, printed.mean) == (0.909, 0.919)
        else:
            assert mean == printed.mean
        assert 0 <= slices.std(ddof=1) - printed.standard_deviation < 1e-3 or (
            round(slices.std(ddof=1), 3) == printed.standard_deviation
        )


def test_sigma_with_n_would_lie_below_every_printed_one():
    for experiment, printed in published.global_accuracy("segnet", "binary").items():
        assert accuracies("segnet", experiment).std() < printed.standard_deviation


def test_table_3_repeats_the_segnet_variances_of_table_5():
    binary, multiclass = (published.global_accuracy("segnet", p) for p in ("binary", "multiclass"))
    assert [binary[e].variance for e in range(1, 10)] == [
        0.004, 0.004, 0.007, 0.004, 0.005, 0.005, 0.003, 0.004, 0.005,
    ]  # fmt: skip
    assert [b.variance for b in binary.values()] == [m.variance for m in multiclass.values()]


def test_the_papers_best_experiments_have_the_highest_printed_mean():
    for (net, problem), best in published.BEST_EXPERIMENT.items():
        printed = published.global_accuracy(net, problem)
        assert max(printed, key=lambda e: printed[e].mean) == best


def test_scores_of_tables_4_6_and_7():
    assert published.class_scores("segnet", "binary")["infected"]["dice"] == 0.749818
    assert published.class_scores("unet", "multiclass")["C3"] == {
        "sensitivity": 0.684, "specificity": 0.993, "dice": 0.225, "g_mean": 0.824, "f2": 0.377,
    }  # fmt: skip
    assert published.five_fold("unet", "binary")["infected"]["dice"] == (0.643, 0.058)
    assert list(published.five_fold("segnet", "multiclass")) == ["C1", "C2", "C3"]
    for net in NETS:
        for scores in published.class_scores(net, "multiclass").values():
            product = scores["sensitivity"] * scores["specificity"]
            assert scores["g_mean"] == pytest.approx(math.sqrt(product), abs=2e-3)


@pytest.mark.parametrize("net", NETS)
def test_training_curves_have_160_epochs_and_matlabs_validation_schedule(net):
    for experiment, setting in published.hyperparameters(net).items():
        curves = published.training_curves(net, experiment)
        iterations = 160 * (72 // setting.mini_batch)
        assert {len(curve) for curve in curves.values()} == {iterations}
        assert curves["learning_rate"][0] == pytest.approx(setting.initial_learning_rate)
        validated = np.flatnonzero(~np.isnan(curves["validation_loss"])) + 1
        expected = [1, *range(10, iterations + 1, 10)]
        assert validated.tolist() == expected
        assert 50 < np.nanmax(curves["validation_accuracy"]) < 100


def test_a_network_that_was_not_trained_has_no_figures():
    assert published.hyperparameters("other") == published.global_accuracy("other", "binary") == {}
    assert published.class_scores("other", "binary") == published.five_fold("other", "binary") == {}
    assert published.image_metrics("other", 4) == {}
    with pytest.raises(KeyError):
        published.training_curves("other", 4)
