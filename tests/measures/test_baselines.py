"""Baselines: exactly the best thresholds there are, and the known figures on the real slices."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from unet_segnet.data import Slices, load_slices, paper_split
from unet_segnet.errors import InputError
from unet_segnet.measures import metrics
from unet_segnet.measures.baselines import class_histograms, classify, evaluate_baselines, fit_thresholds

repeatable = settings(derandomize=True, deadline=None, max_examples=40)


def mean_lesion_dice(histograms, thresholds):
    """Pooled Dice of the lesion classes, an undefined one counting 0, straight from the definition."""
    classes = np.array([sum(level >= t for t in thresholds) for level in range(256)])
    counts = np.array([[row[classes == k].sum() for k in range(len(histograms))] for row in histograms])
    return np.nan_to_num(metrics.dice(counts)[1:]).mean()


def sparse_histograms(num_classes):
    """Pixels at five grey levels only, so that all thresholds can be tried."""
    levels = (0, 3, 100, 180, 255)
    counts = npst.arrays(np.int64, (num_classes, len(levels)), elements=st.integers(0, 50))

    def spread(values):
        histograms = np.zeros((num_classes, 256), np.int64)
        histograms[:, levels] = values
        return histograms

    return counts.map(spread)


@repeatable
@given(st.sampled_from([2, 3, 4]).flatmap(sparse_histograms))
def test_no_other_thresholds_are_better(histograms):
    candidates = (0, 3, 100, 180, 255, 256)
    everything = combinations_with_replacement(candidates, len(histograms) - 1)
    best = max(mean_lesion_dice(histograms, thresholds) for thresholds in everything)
    fitted = fit_thresholds(histograms)
    assert list(fitted) == sorted(fitted) and len(fitted) == len(histograms) - 1
    assert mean_lesion_dice(histograms, fitted) == pytest.approx(best, abs=1e-12)


def test_binary_threshold_is_the_best_of_all_257():
    rng = np.random.default_rng(0)
    histograms = np.stack([np.bincount(rng.integers(0, 200, 5000), minlength=256), np.zeros(256, int)])
    histograms[1, 90:240] = rng.integers(0, 30, 150)
    dice = [mean_lesion_dice(histograms, (t,)) for t in range(257)]
    assert fit_thresholds(histograms) == (int(np.argmax(dice)),)


def test_without_lesion_nothing_is_predicted():
    assert fit_thresholds(np.array([[5] * 256, [0] * 256])) == (256,)


def test_histograms_leave_out_pixels_without_label():
    images = np.array([[[0, 0, 255]], [[7, 7, 7]]], np.uint8)
    labels = np.array([[[0, 1, 1]], [[1, 1, 255]]], np.uint8)
    expected = np.zeros((2, 256), int)
    expected[0, 0] = expected[1, 0] = expected[1, 255] = 1
    expected[1, 7] = 2
    np.testing.assert_array_equal(class_histograms(images, labels, 2), expected)


def test_classes_follow_the_thresholds():
    images = np.array([[[0, 9, 10, 99, 100, 255]]], np.uint8)
    assert classify(images, (10, 100)).tolist() == [[[0, 0, 1, 1, 2, 2]]]
    assert classify(images, (10, 10)).tolist() == [[[0, 0, 2, 2, 2, 2]]]  # class 1 is never predicted
    assert classify(images, (256,)).tolist() == [[[0] * 6]]
    assert classify(images, (10,)).dtype == np.uint8


def test_threshold_is_fitted_on_the_training_slices_alone():
    def one_slice(grey_of_lesion):
        images, labels = np.full((1, 4, 4), 20, np.uint8), np.zeros((1, 4, 4), np.uint8)
        images[0, 0], labels[0, 0] = grey_of_lesion, 1
        return Slices(images, labels, None, ("001",), class_names=("not infected", "infected"))

    background, threshold = evaluate_baselines(one_slice(200), one_slice(90))
    assert threshold.description == "infected at grey levels 200-255; fitted on 1 training slices"
    np.testing.assert_array_equal(threshold.test_confusion, [[[12, 0], [4, 0]]])
    np.testing.assert_array_equal(background.test_confusion, [[[12, 0], [4, 0]]])
    assert background.description == "every pixel is not infected"
    _, threshold = evaluate_baselines(one_slice(90), one_slice(200))
    np.testing.assert_array_equal(threshold.test_confusion, [[[12, 0], [0, 4]]])


def test_slices_without_labels_or_in_hounsfield_units_are_refused():
    images = np.zeros((1, 2, 2), np.uint8)
    labelled = Slices(images, images, None, ("001",))
    for slices in (
        Slices(images, None, None, ("001",)),
        Slices(images.astype(np.float32), images, None, ("001",), units="HU"),
    ):
        with pytest.raises(InputError, match="labelled 8-bit slices"):
            evaluate_baselines(labelled, slices)


@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_on_the_authors_test_slices(real_data, problem):
    slices, split = load_slices(str(real_data), problem=problem), paper_split()
    background, threshold = evaluate_baselines(slices.subset(split.train), slices.subset(split.test))
    assert metrics.global_accuracy(background.test_confusion).mean() == pytest.approx(0.9285, abs=5e-5)
    pooled = background.test_confusion.sum(axis=0)
    assert pooled[0, 0] == 1095247 and pooled.sum() == 18 * 256 * 256  # as in the released confusion matrices
    assert metrics.sensitivity(pooled)[0] == 1 and metrics.dice(pooled)[1] == 0
    dice = metrics.dice(threshold.test_confusion.sum(axis=0))
    expected = {"binary": [0.659], "multiclass": [0.458, 0.339, 0.041]}[problem]
    np.testing.assert_allclose(dice[1:], expected, atol=5e-4)
