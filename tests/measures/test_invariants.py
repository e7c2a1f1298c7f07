"""What must hold for any input: of counts, splits, weights, pooling, augmentation, severity, distances, intervals.

The identities between scores of counts (Dice = F1, G-mean squared = sensitivity x specificity, F2, IoU) stand beside
the scores in test_metrics.py; here they are held for scores of any two maps, from pixels to tables.
"""

import math

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from unet_segnet.data.balance import class_sizes, median_frequency_weights
from unet_segnet.data.splits import five_folds, paper_split
from unet_segnet.layers import MaxPooling2D, MaxUnpooling2D
from unet_segnet.measures import metrics
from unet_segnet.measures.severity import ALL_LESIONS, severity
from unet_segnet.measures.statistics import bootstrap_interval, bootstrap_mean
from unet_segnet.measures.surface_distances import surface_distances
from unet_segnet.training.translations import MAX_SHEAR, UNLABELLED, augment

NUM_CLASSES = 3
NUM_SLICES = 6


def repeatable(max_examples):
    return settings(derandomize=True, deadline=None, max_examples=max_examples)


def maps(*values, shape=(NUM_SLICES, 5, 7)):
    return npst.arrays(np.uint8, shape, elements=st.sampled_from(values))


truths, predicted = maps(0, 1, 2, UNLABELLED), maps(0, 1, 2)


class TestScoresOfMaps:
    @repeatable(200)
    @given(truths, predicted)
    def test_bounds_and_identities(self, labels, predictions):
        counts = metrics.confusion_matrices(labels, predictions, NUM_CLASSES)
        of = {
            name: getattr(metrics, name)(counts)
            for name in ("sensitivity", "specificity", "precision", "dice", "g_mean", "f2", "iou")
        }
        for scores in (*of.values(), metrics.mean_iou(counts), metrics.weighted_iou(counts)):
            assert (np.isnan(scores) | ((scores >= 0) & (scores <= 1))).all()
        # Dice is the harmonic mean where there is one; a class that is in both maps and nowhere hit has none and 0.
        both = ~np.isnan(of["sensitivity"]) & ~np.isnan(of["precision"])
        hit = both & (of["dice"] > 0)
        assert (of["dice"][both & ~hit] == 0).all() and (of["f2"][both & ~hit] == 0).all()
        precision, sensitivity = of["precision"][hit], of["sensitivity"][hit]
        np.testing.assert_allclose(of["dice"][hit], 2 / (1 / precision + 1 / sensitivity), rtol=1e-12)
        np.testing.assert_allclose(of["f2"][hit], 5 / (1 / precision + 4 / sensitivity), rtol=1e-12)
        np.testing.assert_allclose(of["g_mean"] ** 2, of["sensitivity"] * of["specificity"], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(of["iou"], of["dice"] / (2 - of["dice"]), rtol=1e-12)

    @repeatable(120)
    @given(truths, predicted, st.permutations(range(NUM_SLICES)), st.permutations(range(NUM_CLASSES)))
    def test_other_order_of_slices_and_names_of_classes(self, labels, predictions, slices, classes):
        counts = metrics.confusion_matrices(labels, predictions, NUM_CLASSES)
        renamed = np.arange(256, dtype=np.uint8)
        renamed[classes] = range(NUM_CLASSES)
        moved = metrics.confusion_matrices(renamed[labels[slices]], renamed[predictions[slices]], NUM_CLASSES)
        np.testing.assert_array_equal(moved, counts[slices][:, classes][:, :, classes])

    @repeatable(200)
    @given(truths, predicted, st.lists(st.integers(0, 3), min_size=NUM_SLICES, max_size=NUM_SLICES))
    def test_any_partition_has_the_same_totals_and_scores(self, labels, predictions, part_of):
        counts = metrics.confusion_matrices(labels, predictions, NUM_CLASSES)
        parts = [
            metrics.confusion_matrices(labels[members], predictions[members], NUM_CLASSES).sum(axis=0)
            for part in set(part_of)
            if (members := np.flatnonzero(np.array(part_of) == part)).size
        ]
        pooled = np.sum(parts, axis=0)
        np.testing.assert_array_equal(pooled, counts.sum(axis=0))
        assert pooled.sum() == np.count_nonzero(labels != UNLABELLED)
        np.testing.assert_array_equal(metrics.dice(pooled), metrics.dice(counts.sum(axis=0)))

    @repeatable(200)
    @given(maps(0, 1, 2, shape=(24, 30)), maps(0, 1, 2, shape=(24, 30)))
    def test_outlines_of_equal_maps_agree_and_exchange_changes_nothing(self, label, prediction):
        assert metrics.mean_bf_score(label, label, NUM_CLASSES) == 1
        score = metrics.mean_bf_score(label, prediction, NUM_CLASSES)
        other = metrics.mean_bf_score(prediction, label, NUM_CLASSES)
        assert (math.isnan(score) and math.isnan(other)) or math.isclose(score, other, rel_tol=1e-12)
        assert math.isnan(score) or 0 <= score <= 1


class TestPooling:
    # Few shapes, each compiled once; few values, so that windows hold ties, zeros and negative maxima.
    inputs = st.sampled_from([(2, 4, 6, 2), (1, 5, 7, 3), (2, 3, 4, 1)]).flatmap(
        lambda shape: npst.arrays(np.float32, shape, elements=st.integers(-3, 3) | st.floats(-9, 9, width=16))
    )

    @repeatable(200)
    @given(inputs)
    def test_unpooling_keeps_each_maximum_in_place_and_zeros_elsewhere(self, x):
        x = np.where(np.abs(x) < 1e-3, 0, x).astype(np.float32)  # compiled code takes the smallest numbers for 0
        height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        values, indices = MaxPooling2D()(x)
        y = keras.ops.convert_to_numpy(MaxUnpooling2D(pad=(x.shape[1] - height, x.shape[2] - width))([values, indices]))
        assert y.shape == x.shape
        assert not y[:, height:].any() and not y[:, :, width:].any()
        before, after = windows(x[:, :height, :width]), windows(y[:, :height, :width])
        place = before.argmax(axis=0)[np.newaxis]
        np.testing.assert_array_equal(np.take_along_axis(after, place, 0)[0], before.max(axis=0))
        np.put_along_axis(after, place, 0, 0)
        assert not after.any()


def windows(x):
    """(4, batch, height / 2, width / 2, channels): the elements of each window of 2 x 2, along rows."""
    batch, height, width, channels = x.shape
    parts = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return parts.transpose(2, 4, 0, 1, 3, 5).reshape(4, batch, height // 2, width // 2, channels)


sizes = st.integers(2, 40)
draws = npst.arrays(np.float64, (1, 8), elements=st.floats(0, 1, exclude_max=True))


class TestAugmentation:
    @repeatable(200)
    @given(sizes, sizes, st.integers(-3, 3), st.integers(-3, 3), draws)
    def test_the_label_says_from_where_the_grey_level_came(self, height, width, down, right, uniforms):
        """A ramp gives each place its level: interpolated it is the place itself, as a label the nearest pixel's."""
        ramp = down * np.arange(height)[:, None] + right * np.arange(width)
        ramp = (ramp - ramp.min()).astype(np.uint8)[np.newaxis]
        assert ramp.max() < UNLABELLED
        image, label = augment(ramp, ramp, uniforms)
        inside = label != UNLABELLED
        apart = np.abs(image[inside].astype(int) - label[inside])
        assert (apart <= 0.5 * (abs(down) + abs(right)) + 0.5 + 1e-6).all()

    @repeatable(200)
    @given(maps(0, 1, 2, 3, shape=(1, 17, 22)), draws)
    def test_labels_painted_from_the_levels_stay_with_them(self, labels, uniforms):
        image, label = augment(60 * labels, labels, uniforms)
        inside = label != UNLABELLED
        # The nearest pixel has at least a quarter of the interpolated level, the others lie in 0..180.
        own = 15.0 * label[inside]
        assert (image[inside] >= own - 0.5).all() and (image[inside] <= own + 135.5).all()

    @repeatable(200)
    @given(sizes, sizes, draws)
    def test_unlabelled_exactly_where_a_pixel_comes_from_outside(self, height, width, uniforms):
        bright = np.full((1, height, width), 7, np.uint8)
        image, label = augment(bright, np.ones_like(bright), uniforms)
        outside = label[0] == UNLABELLED
        np.testing.assert_array_equal(label[0] == 1, ~outside)
        np.testing.assert_array_equal(image[0], np.where(outside, 0, 7))
        x_shear, y_shear = np.tan(np.deg2rad(MAX_SHEAR * (2 * uniforms[0, 2:4] - 1)))
        moves = np.diag([1, -1 if uniforms[0, 0] < 0.5 else 1]) @ [[1, x_shear], [y_shear, 1]]
        half = np.array([width - 1, height - 1]) / 2
        x_y = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) - half
        beyond = (np.abs(x_y @ np.linalg.inv(moves).T) - half).max(axis=-1)
        clear = np.abs(beyond) > 1e-9  # on the border itself rounding decides
        np.testing.assert_array_equal(outside[clear], beyond[clear] > 0)

    @repeatable(120)
    @given(maps(0, 5, 200, shape=(3, 12, 9)), st.permutations(range(3)), st.integers(0, 2**32 - 1))
    def test_slices_move_alone_and_the_reflection_comes_last(self, images, order, seed):
        uniforms = np.random.default_rng(seed).random((3, 8))
        labels = (images > 5).astype(np.uint8)
        moved = augment(images, labels, uniforms)
        for part, again in zip(moved, augment(images[order], labels[order], uniforms[order]), strict=True):
            np.testing.assert_array_equal(again, part[order])
        upright, reflected = uniforms.copy(), uniforms.copy()
        upright[:, 0], reflected[:, 0] = 0.5, 0.25
        pairs = zip(augment(images, labels, upright), augment(images, labels, reflected), strict=True)
        for up, down in pairs:
            np.testing.assert_array_equal(up[:, ::-1], down)


class TestSplits:
    @repeatable(150)
    @given(st.integers(5, 400), st.integers(0, 2**63))
    def test_five_folds_partition_the_slices(self, num_slices, seed):
        folds = five_folds(num_slices, seed)
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(num_slices))
        tested = [len(fold.test) for fold in folds]
        assert max(tested) - min(tested) <= 1
        for fold in folds:
            assert min(map(len, (fold.train, fold.validation, fold.test))) > 0
            parts = np.concatenate([fold.train, fold.validation, fold.test])
            assert sorted(parts) == list(range(num_slices))

    @repeatable(150)
    @given(st.integers(3, 1000))
    def test_the_paper_split_partitions_the_slices(self, num_slices):
        split = paper_split(num_slices)
        assert min(map(len, (split.train, split.validation, split.test))) > 0
        assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(num_slices))


class TestClassWeights:
    @repeatable(200)
    @given(
        predicted,
        st.integers(1, 4),
        st.permutations(range(NUM_SLICES)),
        st.permutations(range(NUM_CLASSES)),
    )
    def test_duplicates_and_order_change_nothing_and_classes_keep_theirs(self, labels, times, slices, classes):
        weights = median_frequency_weights(labels, NUM_CLASSES)
        np.testing.assert_array_equal(median_frequency_weights(np.tile(labels, (times, 1, 1)), NUM_CLASSES), weights)
        np.testing.assert_array_equal(median_frequency_weights(labels[slices], NUM_CLASSES), weights)
        np.testing.assert_array_equal(median_frequency_weights(labels[:, ::-1], NUM_CLASSES), weights)
        renamed = np.argsort(classes).astype(np.uint8)[labels]
        np.testing.assert_allclose(median_frequency_weights(renamed, NUM_CLASSES), weights[classes], rtol=1e-12)
        assert ((weights > 0) == (class_sizes(labels, NUM_CLASSES)[0] > 0)).all()


class TestSeverity:
    @repeatable(120)
    @given(maps(0, 1, 2, shape=(4, 5, 6)), maps(0, 1, 2, shape=(4, 5, 6)))
    def test_regions_add_up_to_the_scan_and_classes_to_all_lesions(self, labels, lungs):
        found = severity(labels, lungs, (5.0, 0.7, 0.8), ("C0", "C1", "C2"), "1234")
        for group in found.groups:
            whole, both, left, right, outside = (
                found.involvement(group, region)
                for region in ("whole scan", "both lungs", "left lung", "right lung", "outside lungs")
            )
            for figure in ("voxels", "region_voxels", "volume_ml", "region_ml"):
                of = {part: getattr(part, figure) for part in (whole, both, left, right, outside)}
                assert math.isclose(of[both], of[left] + of[right], rel_tol=1e-12)
                assert math.isclose(of[whole], of[both] + of[outside], rel_tol=1e-12)
            # A lesion reaches into a lung or it does not; one in both lungs counts in each.
            assert whole.num_lesions == both.num_lesions + outside.num_lesions
            assert max(left.num_lesions, right.num_lesions) <= both.num_lesions <= left.num_lesions + right.num_lesions
            if whole.voxels:
                assert math.isclose(whole.slice_shares.sum(), 1, rel_tol=1e-12)
        for region in ("whole scan", "left lung", "outside lungs"):
            of_classes = [found.involvement(group, region).voxels for group in found.groups if group != ALL_LESIONS]
            assert sum(of_classes) == found.involvement(ALL_LESIONS, region).voxels


class TestSurfaceDistances:
    @repeatable(200)
    @given(
        npst.arrays(bool, (3, 6, 7)),
        npst.arrays(bool, (3, 6, 7)),
        st.tuples(*[st.integers(-2, 2)] * 3),
        st.permutations([0.5, 1.0, 3.0]),
    )
    def test_equal_masks_exchange_and_shift(self, truth, prediction, shift, spacing):
        one, other = surface_distances(truth, prediction, spacing), surface_distances(prediction, truth, spacing)
        np.testing.assert_allclose(list(vars(one).values()), list(vars(other).values()), rtol=1e-12)
        assert math.isnan(one.mean) == (not truth.any() or not prediction.any())
        if truth.any():
            assert set(vars(surface_distances(truth, truth, spacing)).values()) == {0.0}
            room = np.pad(truth, 2)
            shifted = surface_distances(room, np.roll(room, shift, axis=(0, 1, 2)), spacing)
            # Each voxel of a surface has its own image at that distance, so that none is further away.
            assert shifted.mean <= shifted.hausdorff <= math.hypot(*np.multiply(shift, spacing)) + 1e-9


class TestIntervals:
    counts = st.integers(8, 20).flatmap(
        lambda num_slices: npst.arrays(np.int64, (num_slices, 2, 2), elements=st.integers(1, 500))
    )

    @repeatable(60)
    @given(counts, st.integers(0, 1000))
    def test_holds_the_estimate_lies_in_0_to_1_and_ignores_the_unit(self, counts, seed):
        found = bootstrap_interval(counts, metrics.dice, resamples=500, seed=seed)
        np.testing.assert_array_equal(found.estimate, metrics.dice(counts.sum(axis=0)))
        assert (found.low <= found.estimate + 1e-12).all() and (found.estimate <= found.high + 1e-12).all()
        assert (found.low >= 0).all() and (found.high <= 1).all()
        again = bootstrap_interval(4 * counts, metrics.dice, resamples=500, seed=seed)
        np.testing.assert_allclose(again.low, found.low, rtol=1e-9)
        np.testing.assert_allclose(again.high, found.high, rtol=1e-9)

    @repeatable(60)
    @given(npst.arrays(np.float64, st.integers(8, 20), elements=st.floats(0, 1, width=16)), st.integers(0, 1000))
    def test_of_a_mean_holds_the_mean(self, scores, seed):
        scores = scores + np.linspace(0, 0.5, len(scores))  # not all equal
        found = bootstrap_mean(scores, resamples=500, seed=seed)
        assert scores.min() <= found.low <= found.estimate <= found.high <= scores.max()
        assert math.isclose(found.estimate, scores.mean(), rel_tol=1e-12)
