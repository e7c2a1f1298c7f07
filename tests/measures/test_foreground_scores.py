"""The four rules for slices without foreground, against a loop that reads like the article and its code."""

import numpy as np
import pytest

from unet_segnet.measures.metrics import (
    EMPTY_RULES,
    FOREGROUND_SCORES,
    confusion_matrices,
    decided_by_rule,
    dice,
    foreground_scores,
)


def readable(confusion, rule):
    """Equations 2 to 4 with their epsilon, slice by slice."""
    (tn, fp), (fn, tp) = confusion.tolist()
    if {"truth": tp + fn == 0, "prediction": tp + fp == 0, "both": tp + fp + fn == 0}.get(rule):
        return 1.0, 1.0, 1.0
    epsilon = 0 if rule == "nan" else 1e-5

    def quotient(numerator, denominator):
        return numerator / (denominator + epsilon) if denominator + epsilon else np.nan

    return quotient(tp, tp + fn), quotient(tn, tn + fp), quotient(2 * tp, 2 * tp + fp + fn)


def every_kind(seed=0):
    """Counts of slices of 64 x 64 with each of the four counts zero or not."""
    rng = np.random.default_rng(seed)
    present = np.array([[[a, b], [c, d]] for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)])[1:]
    return present * rng.integers(1, 4096, present.shape)


@pytest.mark.parametrize("rule", EMPTY_RULES)
def test_as_a_readable_loop(rule):
    counts = every_kind()
    expected = [readable(confusion, rule) for confusion in counts]
    np.testing.assert_allclose(foreground_scores(counts, rule), expected, atol=2e-5)
    np.testing.assert_array_equal(foreground_scores(counts[3], rule), foreground_scores(counts, rule)[3])


def test_rules_differ_only_where_a_mask_is_empty():
    counts = every_kind(1)
    full = (counts[:, 1].sum(axis=1) > 0) & (counts[:, :, 1].sum(axis=1) > 0) & (counts[:, 0].sum(axis=1) > 0)
    of_all = [foreground_scores(counts[full], rule) for rule in EMPTY_RULES]
    for others in of_all[1:]:
        np.testing.assert_array_equal(of_all[0], others)
    assert not any(decided_by_rule(counts[full], rule).any() for rule in EMPTY_RULES)
    np.testing.assert_array_equal(foreground_scores(counts, "nan")[:, 2], dice(counts)[:, 1])


def released_metrics(truth, prediction):
    """As the released code computes them from the masks of a slice: false positives and negatives exchanged."""
    positive, negative = (truth & prediction).sum(), (~truth & ~prediction).sum()
    missed, false = (truth & ~prediction).sum(), (~truth & prediction).sum()
    if positive + missed == 0:  # what the code calls TP + FP
        return 1.0, 1.0, 1.0
    return (
        positive / (positive + false + 1e-6),  # its sensitivity is precision
        negative / (negative + missed + 1e-6),
        2 * positive / (2 * positive + missed + false + 1e-6),
    )


def test_the_rule_of_the_released_code_is_an_empty_truth():
    """Dice as the released code gives it, whatever is predicted; its two other scores are of exchanged errors."""
    rng = np.random.default_rng(2)
    truths, predictions = (rng.random((24, 8, 8)) < 0.3 for _ in range(2))
    truths[::3] = False
    predictions[::4] = False
    expected = np.array([released_metrics(*pair) for pair in zip(truths, predictions, strict=True)])
    counts = confusion_matrices(truths.astype(np.uint8), predictions.astype(np.uint8), 2)
    np.testing.assert_allclose(foreground_scores(counts, "truth")[:, 2], expected[:, 2], atol=1e-6)
    np.testing.assert_allclose(expected[::3], 1)
    found = ~decided_by_rule(counts, "truth") & (counts[:, :, 1].sum(axis=1) > 0)
    precision = counts[found, 1, 1] / counts[found, :, 1].sum(axis=1)
    np.testing.assert_allclose(expected[found, 0], precision, atol=1e-6)


def test_all_background_on_the_articles_share_of_empty_slices():
    truth = np.zeros((829, 2, 2), np.uint8)
    truth[:373, 0, 0] = 1
    counts = confusion_matrices(truth, np.zeros_like(truth), 2)
    index = FOREGROUND_SCORES.index("Dice")
    means = {rule: np.nanmean(foreground_scores(counts, rule)[:, index]) for rule in EMPTY_RULES}
    free = pytest.approx(456 / 829)
    assert means == {"truth": free, "prediction": 1.0, "both": free, "nan": 0.0}
    shares = {rule: decided_by_rule(counts, rule).mean() for rule in EMPTY_RULES}
    assert shares == {"truth": free, "prediction": 1.0, "both": free, "nan": free}
    everything = confusion_matrices(truth, np.ones_like(truth), 2)
    assert (foreground_scores(everything, "truth")[373:] == 1).all()
    assert (foreground_scores(everything, "both")[373:] == 0).all()


def test_refusals():
    with pytest.raises(ValueError, match="empty must be one of"):
        foreground_scores(np.ones((2, 2)), "one")
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2, 2\)"):
        foreground_scores(np.ones((3, 3)), "nan")
