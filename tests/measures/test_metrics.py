"""Scores against the paper's equations, scikit-learn, SciPy, cases counted by hand and the released figures."""

import math
import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from experiments.saood2021 import published
from unet_segnet.measures import metrics
from unet_segnet.training import translations as augmentation

CLASS_SCORES = (
    metrics.sensitivity,
    metrics.specificity,
    metrics.precision,
    metrics.dice,
    metrics.g_mean,
    metrics.f2,
    metrics.iou,
)
SLICE_SCORES = (metrics.global_accuracy, metrics.mean_accuracy, metrics.mean_iou, metrics.weighted_iou)

# Ten pixels, three classes, counted by hand.
LABEL = np.array([[[0, 0, 0, 0, 1], [1, 1, 2, 2, 0]]], np.uint8)
PREDICTION = np.array([[[0, 0, 0, 1, 1], [1, 2, 2, 0, 0]]], np.uint8)
BY_HAND = np.array([[4, 1, 0], [0, 2, 1], [1, 0, 1]])

repeatable = settings(derandomize=True, deadline=None, max_examples=60)


def blobs(seed, shape=(2, 96, 128), num_classes=4):
    """Random maps with connected regions, (n, H, W) uint8."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 4, 4))
    return np.digitize(noise, np.quantile(noise, [0.7, 0.85, 0.95][: num_classes - 1])).astype(np.uint8)


confusions = npst.arrays(
    np.int64,
    st.tuples(st.integers(1, 5), st.shared(st.integers(2, 5), key="k"), st.shared(st.integers(2, 5), key="k")),
    elements=st.integers(0, 2000) | st.just(0),
)


class TestConfusionMatrices:
    def test_counted_by_hand(self):
        np.testing.assert_array_equal(metrics.confusion_matrices(LABEL, PREDICTION, 3), [BY_HAND])

    def test_equals_scikit_learn_slice_by_slice(self):
        labels, predictions = blobs(0, (3, 40, 50)), blobs(1, (3, 40, 50))
        ours = metrics.confusion_matrices(labels, predictions, 4)
        assert ours.dtype == np.int64
        for counts, label, prediction in zip(ours, labels, predictions, strict=True):
            theirs = sklearn.metrics.confusion_matrix(label.ravel(), prediction.ravel(), labels=range(4))
            np.testing.assert_array_equal(counts, theirs)

    @pytest.mark.parametrize("num_classes", [1, 2, 15, 16, 255])
    def test_any_number_of_classes(self, num_classes):
        rng = np.random.default_rng(num_classes)
        labels, predictions = rng.integers(0, num_classes, (2, 1, 30, 30))
        expected = np.zeros((num_classes, num_classes), int)
        np.add.at(expected, (labels.ravel(), predictions.ravel()), 1)
        np.testing.assert_array_equal(metrics.confusion_matrices(labels, predictions, num_classes)[0], expected)

    @pytest.mark.parametrize("num_classes", [3, 100])
    def test_pixels_without_label_are_left_out(self, num_classes):
        labels, predictions = LABEL.copy(), PREDICTION
        labels[0, 0, :3] = metrics.UNLABELLED
        expected = BY_HAND.copy()
        expected[0, 0] -= 3
        counts = metrics.confusion_matrices(labels, predictions, num_classes)[0]
        np.testing.assert_array_equal(counts[:3, :3], expected)
        assert counts.sum() == 7

    def test_the_augmentation_marks_such_pixels_with_the_same_value(self):
        assert metrics.UNLABELLED == augmentation.UNLABELLED

    @pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
    def test_integer_type_does_not_matter(self, dtype):
        counts = metrics.confusion_matrices(LABEL.astype(dtype), PREDICTION.astype(dtype), 3)
        np.testing.assert_array_equal(counts, [BY_HAND])

    def test_bool_masks_and_no_slices(self):
        counts = metrics.confusion_matrices(LABEL > 0, PREDICTION > 0, 2)
        np.testing.assert_array_equal(counts, [[[4, 1], [1, 4]]])
        empty = np.zeros((0, 4, 4), np.uint8)
        assert metrics.confusion_matrices(empty, empty, 3).shape == (0, 3, 3)

    @pytest.mark.parametrize(
        ("labels", "predictions", "message"),
        [
            (LABEL, PREDICTION[:, :1], "one shape"),
            (LABEL + 1, PREDICTION, r"labels must be 0..2 or 255. Received: 3"),
            (LABEL, PREDICTION + 253, r"predictions must be 0..2. Received: 25[345]"),
            (LABEL.astype(int) - 1, PREDICTION, "Received: -1"),
            (LABEL.astype(float), PREDICTION, "must be integers"),
        ],
    )
    def test_bad_input_is_named(self, labels, predictions, message):
        with pytest.raises(ValueError, match=message):
            metrics.confusion_matrices(labels, predictions, 3)

    def test_memory_does_not_grow_with_the_number_of_slices(self):
        labels = np.zeros((60, 256, 256), np.uint8)
        tracemalloc.start()
        metrics.confusion_matrices(labels, labels, 4)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * 256 * 256  # a few copies of one slice, where the stack holds 60


class TestScoresOfCounts:
    def test_equations_2_to_6_of_the_paper(self):
        tp, fn, fp, tn = 30.0, 10.0, 20.0, 140.0
        counts = np.array([[tn, fp], [fn, tp]])
        sensitivity, specificity, precision = tp / (tp + fn), tn / (tn + fp), tp / (tp + fp)
        assert metrics.sensitivity(counts)[1] == pytest.approx(sensitivity)
        assert metrics.specificity(counts)[1] == pytest.approx(specificity)
        assert metrics.dice(counts)[1] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert metrics.g_mean(counts)[1] == pytest.approx(math.sqrt(sensitivity * specificity))
        f2 = 5 * precision * sensitivity / (4 * precision + sensitivity)
        assert metrics.f2(counts)[1] == pytest.approx(f2)

    def test_counted_by_hand(self):
        """Three classes with the counts of BY_HAND; each expectation is a fraction read off the pixels."""
        np.testing.assert_allclose(metrics.sensitivity(BY_HAND), [4 / 5, 2 / 3, 1 / 2])
        np.testing.assert_allclose(metrics.specificity(BY_HAND), [4 / 5, 6 / 7, 7 / 8])
        np.testing.assert_allclose(metrics.precision(BY_HAND), [4 / 5, 2 / 3, 1 / 2])
        np.testing.assert_allclose(metrics.iou(BY_HAND), [4 / 6, 2 / 4, 1 / 3])
        assert metrics.global_accuracy(BY_HAND) == pytest.approx(7 / 10)
        assert metrics.mean_accuracy(BY_HAND) == pytest.approx((4 / 5 + 2 / 3 + 1 / 2) / 3)
        assert metrics.mean_iou(BY_HAND) == pytest.approx(1 / 2)
        assert metrics.weighted_iou(BY_HAND) == pytest.approx((5 * 4 / 6 + 3 * 2 / 4 + 2 / 3) / 10)

    def test_equal_scikit_learn(self):
        labels, predictions = blobs(3), blobs(4)
        counts = metrics.confusion_matrices(labels, predictions, 4).sum(axis=0)
        truth, predicted = labels.ravel(), predictions.ravel()
        classes = {"labels": range(4), "average": None}
        for ours, theirs in (
            (metrics.sensitivity, sklearn.metrics.recall_score(truth, predicted, **classes)),
            (metrics.precision, sklearn.metrics.precision_score(truth, predicted, **classes)),
            (metrics.dice, sklearn.metrics.f1_score(truth, predicted, **classes)),
            (metrics.f2, sklearn.metrics.fbeta_score(truth, predicted, beta=2, **classes)),
            (metrics.iou, sklearn.metrics.jaccard_score(truth, predicted, **classes)),
            (metrics.global_accuracy, sklearn.metrics.accuracy_score(truth, predicted)),
            (metrics.mean_accuracy, sklearn.metrics.balanced_accuracy_score(truth, predicted)),
            (metrics.weighted_iou, sklearn.metrics.jaccard_score(truth, predicted, average="weighted")),
        ):
            np.testing.assert_allclose(ours(counts), theirs, rtol=1e-12)
        for k in range(4):
            specificity = sklearn.metrics.recall_score(truth != k, predicted != k)
            assert metrics.specificity(counts)[k] == pytest.approx(specificity, rel=1e-12)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
    def test_means_and_deviations_are_of_what_is_defined(self, axis):
        scores = np.random.default_rng(0).random((6, 4, 5))
        scores[scores < 0.4] = np.nan
        scores[:, 0, 0] = scores[1:, 1, 1] = np.nan  # none, and a single one
        ours = [metrics.mean_defined(scores, axis)] + [metrics.deviation_defined(scores, axis, n) for n in (0, 1)]
        with warnings.catch_warnings(action="ignore"):  # NumPy warns of means of nothing
            theirs = [np.nanmean(scores, axis)] + [np.nanstd(scores, axis, ddof=n) for n in (0, 1)]
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    def test_class_absent_from_the_truth_but_predicted(self):
        counts = [[8, 2], [0, 0]]
        assert np.isnan(metrics.sensitivity(counts)[1]) and np.isnan(metrics.g_mean(counts)[1])
        assert metrics.specificity(counts)[1] == 0.8
        assert metrics.precision(counts)[1] == metrics.dice(counts)[1] == metrics.f2(counts)[1] == 0
        assert metrics.iou(counts)[1] == 0
        assert metrics.mean_accuracy(counts) == 0.8  # the absent class is left out
        assert metrics.mean_iou(counts) == 0.4  # but here it counts as 0
        assert metrics.weighted_iou(counts) == 0.8

    def test_class_absent_from_the_prediction_only(self):
        counts = [[8, 0], [2, 0]]
        assert np.isnan(metrics.precision(counts)[1])
        assert metrics.sensitivity(counts)[1] == metrics.dice(counts)[1] == metrics.f2(counts)[1] == 0
        assert metrics.iou(counts)[1] == 0

    def test_class_absent_from_both(self):
        counts = [[10, 0], [0, 0]]
        for score in (metrics.sensitivity, metrics.precision, metrics.dice, metrics.f2, metrics.iou):
            assert np.isnan(score(counts)[1])
        assert np.isnan(metrics.specificity(counts)[0]) and metrics.specificity(counts)[1] == 1
        for score in SLICE_SCORES:
            assert score(counts) == 1

    def test_nothing_counted_is_nan_without_a_warning(self, recwarn):
        for score in CLASS_SCORES + SLICE_SCORES:
            assert np.isnan(score(np.zeros((2, 2)))).all()
        assert not recwarn.list

    def test_matrix_must_be_square(self):
        with pytest.raises(ValueError, match=r"Received: \(2, 3\)"):
            metrics.dice(np.zeros((2, 3)))


def test_lesions_together_are_the_counts_of_merged_labels():
    rng = np.random.default_rng(5)
    labels, predictions = rng.integers(0, 4, (2, 3, 16, 16), dtype=np.uint8)
    merged = metrics.confusion_matrices((labels > 0).astype(np.uint8), (predictions > 0).astype(np.uint8), 2)
    np.testing.assert_array_equal(metrics.lesions_together(metrics.confusion_matrices(labels, predictions, 4)), merged)


class TestInvariants:
    @repeatable
    @given(confusions)
    def test_scores_lie_in_0_to_1_or_are_nan(self, counts):
        num_classes = counts.shape[-1]
        for score in CLASS_SCORES:
            values = score(counts)
            assert values.shape == (len(counts), num_classes)
            assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()
        for score in SLICE_SCORES:
            values = score(counts)
            assert values.shape == (len(counts),)
            assert (np.isnan(values) | ((values >= 0) & (values <= 1))).all()

    @repeatable
    @given(confusions)
    def test_dice_is_f1_and_g_mean_squared_the_product(self, counts):
        precision, sensitivity = metrics.precision(counts), metrics.sensitivity(counts)
        with np.errstate(invalid="ignore"):
            f1 = 2 * precision * sensitivity / (precision + sensitivity)
            f2 = 5 * precision * sensitivity / (4 * precision + sensitivity)
        defined = ~np.isnan(f1)
        np.testing.assert_allclose(metrics.dice(counts)[defined], f1[defined], rtol=1e-12)
        np.testing.assert_allclose(metrics.f2(counts)[defined], f2[defined], rtol=1e-12)
        product = sensitivity * metrics.specificity(counts)
        np.testing.assert_allclose(metrics.g_mean(counts) ** 2, product, rtol=1e-12, atol=1e-15)
        iou, dice = metrics.iou(counts), metrics.dice(counts)
        np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-12)

    @repeatable
    @given(confusions, st.randoms(use_true_random=False))
    def test_permuting_slices_and_classes_permutes_the_scores(self, counts, random):
        slices, classes = list(range(len(counts))), list(range(counts.shape[-1]))
        random.shuffle(slices)
        random.shuffle(classes)
        permuted = counts[slices][:, classes][:, :, classes]
        for score in CLASS_SCORES:
            np.testing.assert_allclose(score(permuted), score(counts)[slices][:, classes], rtol=1e-12)
        for score in SLICE_SCORES:
            np.testing.assert_allclose(score(permuted), score(counts)[slices], rtol=1e-12)

    @repeatable
    @given(
        npst.arrays(np.uint8, (6, 5, 7), elements=st.sampled_from([0, 1, 2, 255])),
        npst.arrays(np.uint8, (6, 5, 7), elements=st.integers(0, 2)),
        st.lists(st.integers(0, 6), max_size=4),
    )
    def test_pooling_over_any_partition_gives_the_same_totals(self, labels, predictions, cuts):
        counts = metrics.confusion_matrices(labels, predictions, 3)
        edges = [0, *sorted(cuts), 6]
        parts = [
            metrics.confusion_matrices(labels[start:end], predictions[start:end], 3).sum(axis=0)
            for start, end in pairwise(edges)
        ]
        np.testing.assert_array_equal(np.sum(parts, axis=0), counts.sum(axis=0))
        np.testing.assert_array_equal(counts.sum(axis=(0, 2)), [np.count_nonzero(labels == k) for k in range(3)])
        whole = metrics.confusion_matrices(labels.reshape(1, 30, 7), predictions.reshape(1, 30, 7), 3)
        np.testing.assert_array_equal(whole[0], counts.sum(axis=0))

    @repeatable
    @given(
        npst.arrays(np.uint8, (2, 24, 30), elements=st.integers(0, 2)),
        st.permutations(range(3)),
    )
    def test_boundary_score_is_symmetric_and_follows_the_classes(self, maps, order):
        label, prediction = maps
        scores = metrics.bf_scores(label, prediction, 3)
        np.testing.assert_allclose(metrics.bf_scores(prediction, label, 3), scores)
        np.testing.assert_allclose(metrics.bf_scores(label[::-1].T, prediction[::-1].T, 3), scores)
        lut = np.array(order, np.uint8)
        np.testing.assert_allclose(metrics.bf_scores(lut[label], lut[prediction], 3)[lut], scores)
        assert (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all()


class TestBoundaryScore:
    """MATLAB's bfscore; at 256x256 the tolerance is 0.0075 * 256 * sqrt(2) = 2.715 pixels."""

    @staticmethod
    def reference(label, prediction, num_classes):
        tolerance = 0.0075 * math.hypot(*label.shape)
        scores = []
        for k in range(num_classes):
            maps = label == k, prediction == k
            if not all(mask.any() for mask in maps):
                scores.append(np.nan)
                continue
            cross = ndimage.generate_binary_structure(2, 1)
            truth, predicted = (m & ~ndimage.binary_erosion(m, cross, border_value=0) for m in maps)
            precision = np.mean(ndimage.distance_transform_edt(~truth)[predicted] <= tolerance)
            recall = np.mean(ndimage.distance_transform_edt(~predicted)[truth] <= tolerance)
            both = precision + recall
            scores.append(2 * precision * recall / both if both else 0.0)
        return np.array(scores)

    @pytest.mark.parametrize("shape", [(1, 7), (30, 20), (256, 256), (400, 300), (630, 630)])
    def test_equals_distance_transforms_of_the_whole_slice(self, shape):
        for seed in range(4):
            label, prediction = blobs(seed, (2, *shape))
            ours = metrics.bf_scores(label, prediction, 4)
            np.testing.assert_allclose(ours, self.reference(label, prediction, 4), rtol=1e-12)
            shifted = np.roll(label, (2, 1), axis=(0, 1))
            ours = metrics.bf_scores(label, shifted, 4)
            np.testing.assert_allclose(ours, self.reference(label, shifted, 4), rtol=1e-12)

    @pytest.mark.parametrize(
        ("offset", "score"), [((0, 0), 1), ((0, 2), 1), ((1, 2), 1), ((2, 2), 0), ((3, 0), 0), ((0, -3), 0)]
    )
    def test_single_pixels_match_within_the_tolerance(self, offset, score):
        label, prediction = np.zeros((2, 256, 256), np.uint8)
        label[100, 100] = 1
        prediction[100 + offset[0], 100 + offset[1]] = 1
        assert metrics.bf_scores(label, prediction, 2)[1] == score

    def test_precision_and_recall_by_hand(self):
        """The truth is a line of 4 pixels; 4 predicted pixels lie within reach of it, 4 lie far away."""
        label, prediction = np.zeros((2, 256, 256), np.uint8)
        label[10, 10:14] = prediction[11, 10:14] = prediction[200, 10:14] = 1
        precision, recall = 0.5, 1.0
        assert metrics.bf_scores(label, prediction, 2)[1] == 2 * precision * recall / (precision + recall)

    def test_the_image_edge_is_an_outline_and_the_inside_is_not(self):
        full = np.ones((256, 256), np.uint8)
        square = np.zeros_like(full)
        square[100:150, 100:150] = 1
        assert metrics.bf_scores(full, full, 2)[1] == 1
        assert metrics.bf_scores(full, square, 2)[1] == 0  # would match if inner pixels counted
        corner = np.zeros_like(full)
        corner[:50, :50] = 1
        ours = metrics.bf_scores(full, corner, 2)[1]
        near = 2 * 52 - 1  # pixels of the frame at most 2 from the corner square: two arms of 52
        assert ours == pytest.approx(self.reference(full, corner, 2)[1])
        precision = (2 * 50 - 1 + 2 * 2) / (4 * 50 - 4)
        recall = near / (4 * 256 - 4)
        assert ours == pytest.approx(2 * precision * recall / (precision + recall))

    def test_class_absent_from_either_map_is_nan_and_left_out_of_the_mean(self):
        label, prediction = np.zeros((2, 64, 64), np.uint8)
        label[5:9, 5:9] = 1
        scores = metrics.bf_scores(label, prediction, 3)
        assert np.isnan(scores[1:]).all() and scores[0] > 0
        assert metrics.mean_bf_score(label, prediction, 3) == scores[0]
        assert np.isnan(metrics.mean_bf_score(label * 0, prediction * 0 + 1, 2))

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match="one shape"):
            metrics.bf_scores(LABEL[0], PREDICTION, 3)
        with pytest.raises(ValueError, match=r"prediction must be 0\.\.1"):
            metrics.bf_scores(LABEL[0] * 0, PREDICTION[0], 2)


class TestReleasedFigures:
    """The authors' tables follow from their own confusion matrices by our formulas."""

    @pytest.mark.parametrize("net", ["segnet", "unet"])
    def test_table_4_from_the_released_confusion_matrix(self, net):
        counts = published.confusion_matrix(net, 4)
        for name, printed in published.class_scores(net, "binary")["infected"].items():
            assert getattr(metrics, name)(counts)[1] == pytest.approx(printed, abs=5e-7)

    @pytest.mark.parametrize("net", ["segnet", "unet"])
    @pytest.mark.parametrize("experiment", range(1, 10))
    def test_mean_of_slices_equals_pooled_accuracy(self, net, experiment):
        per_slice = [m.global_accuracy for m in published.image_metrics(net, experiment).values()]
        pooled = metrics.global_accuracy(published.confusion_matrix(net, experiment))
        assert np.mean(per_slice) == pytest.approx(pooled, abs=1e-12)

    def test_background_everywhere_on_the_test_slices(self):
        counts = published.confusion_matrix("segnet", 4)
        background = np.stack([counts.sum(axis=1), [0, 0]], axis=1)
        assert metrics.global_accuracy(background) == pytest.approx(0.9285, abs=5e-5)
        assert metrics.dice(background)[1] == 0
