"""Statistics against cases counted by hand, exact enumeration and other implementations."""

import itertools
import math

import numpy as np
import pytest

from unet_segnet.measures import metrics
from unet_segnet.measures.statistics import (
    bootstrap_interval,
    bootstrap_mean,
    corrected_resampled_t,
    holm,
    paired_comparison,
)


def confusions(n=18, num_classes=2, seed=1):
    """Counts of a network that is right for most pixels, with slices that differ."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 200, (n, num_classes, num_classes))
    return counts + rng.integers(500, 3000, (n, 1, 1)) * np.eye(num_classes, dtype=int)


class TestBootstrap:
    def test_estimate_is_the_score_of_the_pooled_counts(self):
        counts = confusions(num_classes=4)
        interval = bootstrap_interval(counts, metrics.dice, resamples=500)
        assert interval.estimate == pytest.approx(metrics.dice(counts.sum(axis=0)))
        assert interval.low.shape == interval.high.shape == (4,)
        assert (interval.low < interval.estimate).all() and (interval.estimate < interval.high).all()

    def test_bca_agrees_with_scipy_on_a_scalar(self):
        """The same draws through SciPy's plain interface: index arrays and a loop instead of weights."""
        from scipy.stats import bootstrap

        counts = confusions()

        def dice(indices):
            return metrics.dice(counts[indices].sum(axis=0))[1]

        expected = bootstrap(
            (np.arange(18),), dice, n_resamples=999, batch=1000, vectorized=False, rng=np.random.default_rng(3)
        ).confidence_interval
        ours = bootstrap_interval(counts, metrics.dice, resamples=999, seed=3)
        assert (ours.low[1], ours.high[1]) == pytest.approx((expected.low, expected.high), abs=1e-12)

    def test_scores_stacked_give_what_each_gives_alone(self):
        counts = confusions()

        def both(pooled):
            return np.stack([metrics.dice(pooled), metrics.sensitivity(pooled)], axis=-2)

        together = bootstrap_interval(counts, both, resamples=300)
        alone = bootstrap_interval(counts, metrics.sensitivity, resamples=300)
        assert together.low.shape == (2, 2)
        assert together.low[1] == pytest.approx(alone.low) and together.high[1] == pytest.approx(alone.high)

    def test_covers_the_truth_as_often_as_it_says(self):
        """Mean of 18 normal numbers: the 90 % interval holds 0 in nearly 90 of 100 samples."""
        rng = np.random.default_rng(0)
        intervals = [bootstrap_mean(rng.normal(size=18), level=0.9, resamples=400) for _ in range(200)]
        covered = np.mean([interval.low < 0 < interval.high for interval in intervals])
        assert 0.80 < covered < 0.95

    def test_same_seed_same_interval_and_other_seed_another(self):
        counts = confusions()
        first, second, other = (bootstrap_interval(counts, metrics.dice, resamples=200, seed=s) for s in (0, 0, 1))
        assert first.low.tolist() == second.low.tolist() != other.low.tolist()

    def test_class_on_one_slice_only_has_an_interval_from_the_resamples_that_hold_it(self):
        counts = confusions(num_classes=3)
        counts[1:, 2, :] = counts[1:, :, 2] = 0  # two thirds of the resamples hold slice 0
        interval = bootstrap_interval(counts, metrics.sensitivity, resamples=500)
        truth = counts[0, 2, 2] / counts[0, 2].sum()
        assert (interval.low[2], interval.estimate[2], interval.high[2]) == pytest.approx((truth,) * 3)
        assert interval.low[0] < interval.high[0]

    def test_absent_class_has_none(self):
        counts = np.zeros((5, 2, 2), int)
        counts[:, 0, 0] = 7
        interval = bootstrap_interval(counts, metrics.sensitivity, resamples=100)
        assert np.isnan([interval.estimate[1], interval.low[1], interval.high[1]]).all()
        assert (interval.low[0], interval.high[0]) == (1, 1)

    def test_difference_of_two_networks_resamples_their_slices_together(self):
        """Paired, a network against itself differs by nothing; against one that is always better, by more than 0."""
        counts = confusions()
        better = counts.copy()
        better[:, 1, 1] += better[:, 1, 0]
        better[:, 1, 0] = 0

        def difference(pooled):
            return metrics.dice(pooled[..., 0, :, :])[..., 1] - metrics.dice(pooled[..., 1, :, :])[..., 1]

        itself = bootstrap_interval(np.stack([counts, counts], axis=1), difference, resamples=200)
        assert (itself.estimate, itself.low, itself.high) == (0, 0, 0)
        assert bootstrap_interval(np.stack([better, counts], axis=1), difference, resamples=200).low > 0

    def test_mean_leaves_nan_out(self):
        interval = bootstrap_mean([0.2, math.nan, 0.4, 0.6], resamples=200)
        assert interval.estimate == pytest.approx(0.4) and 0.2 <= interval.low < 0.4 < interval.high <= 0.6

    def test_one_slice_is_its_own_interval_and_none_is_refused(self):
        assert bootstrap_mean([0.5]).low == bootstrap_mean([0.5]).high == 0.5
        with pytest.raises(ValueError, match="at least one slice"):
            bootstrap_mean([])


class TestPairedComparison:
    # Differences 1 2 3 -4 5 6 7 8: W- = 4. Subsets of {1..8} with a sum of at most 4: {} 1 2 3 4 12 13 = 7.
    A, B = np.array([11, 12, 13, 10, 15, 16, 17, 18.0]), np.array([10, 10, 10, 14, 10, 10, 10, 10.0])

    def test_counted_by_hand(self):
        found = paired_comparison(self.A, self.B)
        assert found.p_value == pytest.approx(2 * 7 / 2**8)
        assert found.effect_size == pytest.approx((32 - 4) / 36)
        assert found.median_difference == 4 and (found.n, found.left_out) == (8, 0)

    def test_exact_enumeration(self):
        rng = np.random.default_rng(5)
        differences = rng.normal(0.4, 1, 10)
        ranks = np.argsort(np.argsort(np.abs(differences))) + 1
        smaller = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
        sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=10)]
        expected = min(2 * np.mean(np.array(sums) <= smaller), 1)
        assert paired_comparison(differences, np.zeros(10)).p_value == pytest.approx(expected)

    def test_textbook_case(self):
        """Darwin's fifteen pairs of maize plants (eighths of an inch): W- = 24, exact two-sided p = 0.0413."""
        differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
        found = paired_comparison(differences, np.zeros(15))
        assert found.p_value == pytest.approx(0.0413, abs=5e-5)
        assert found.effect_size == pytest.approx((96 - 24) / 120)

    def test_other_way_round(self):
        found, reverse = paired_comparison(self.A, self.B), paired_comparison(self.B, self.A)
        assert (reverse.effect_size, reverse.median_difference) == (-found.effect_size, -found.median_difference)
        assert reverse.p_value == found.p_value

    def test_nan_pairs_are_left_out_and_counted(self):
        a, b = [*self.A, math.nan, 3, math.nan], [*self.B, 1, math.nan, math.nan]
        found = paired_comparison(a, b)
        assert (found.n, found.left_out) == (8, 3)
        assert found.p_value == paired_comparison(self.A, self.B).p_value

    def test_no_difference_and_no_pair(self):
        same = paired_comparison([1, 2, 3], [1, 2, 3])
        assert (same.p_value, same.effect_size, same.n) == (1, 0, 3)
        nothing = paired_comparison([math.nan], [1])
        assert nothing.n == 0 and nothing.left_out == 1
        assert np.isnan([nothing.p_value, nothing.effect_size, nothing.median_difference]).all()

    def test_vectors_of_one_length(self):
        with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
            paired_comparison([1, 2, 3], [1, 2])


class TestCorrectedResampledT:
    # mean 3, variance 2.5 (n - 1); (1/5 + 2/7) * 2.5 = 17/14.
    DIFFERENCES, T = (1, 2, 3, 4, 5), 3 / math.sqrt(17 / 14)

    def test_computed_by_hand(self):
        found = corrected_resampled_t(self.DIFFERENCES, 20 / 70)
        assert found.mean_difference == 3 and found.t == pytest.approx(self.T) and found.n == 5
        # Student's t with four degrees of freedom has a closed form: p = 1 - x (3 - x^2) / 2, x = t / sqrt(t^2 + 4).
        x = self.T / math.sqrt(self.T**2 + 4)
        assert found.p_value == pytest.approx(1 - x * (3 - x**2) / 2)

    def test_without_the_correction_it_is_the_paired_t_test(self):
        from scipy.stats import ttest_1samp

        plain, corrected = (corrected_resampled_t(self.DIFFERENCES, share) for share in (1e-12, 20 / 70))
        assert plain.p_value == pytest.approx(ttest_1samp(self.DIFFERENCES, 0).pvalue)
        assert corrected.p_value > plain.p_value

    def test_nan_folds_are_left_out_and_counted(self):
        found = corrected_resampled_t([*self.DIFFERENCES, math.nan], 20 / 70)
        assert (found.n, found.left_out) == (5, 1) and found.t == pytest.approx(self.T)

    def test_few_or_constant_differences(self):
        assert math.isnan(corrected_resampled_t([0.3], 0.2).p_value)
        assert math.isnan(corrected_resampled_t([], 0.2).mean_difference)
        assert corrected_resampled_t([0, 0, 0], 0.2).p_value == 1
        assert corrected_resampled_t([-0.5, -0.5], 0.2).t == -math.inf

    def test_share_must_be_positive(self):
        with pytest.raises(ValueError, match="positive"):
            corrected_resampled_t(self.DIFFERENCES, 0)


class TestHolm:
    def test_computed_by_hand(self):
        """Sorted 0.01 0.02 0.03 0.04 times 4 3 2 1, never falling: 0.04 0.06 0.06 0.06."""
        assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])

    def test_nan_passes_and_does_not_count(self):
        corrected = holm([0.03, math.nan, 0.01])
        assert corrected[[0, 2]] == pytest.approx([0.03, 0.02]) and math.isnan(corrected[1])
        assert np.isnan(holm([math.nan])).all() and holm([]).shape == (0,)

    def test_never_above_one(self):
        assert holm([0.6, 0.9]).max() == 1
