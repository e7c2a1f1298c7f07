"""The three rules for slices without foreground, against a loop that reads like the article and its code."""

import numpy as np
import pytest

from unet_segnet.measures.metrics import EMPTY_RULES, FOREGROUND_SCORES, confusion_matrices, dice, foreground_scores


def readable(confusion, rule):
    """Equations 2 to 4 with their epsilon, slice by slice."""
    (tn, fp), (fn, tp) = confusion.tolist()
    if tp + fp == 0 and (rule == "text" or (rule == "released" and tp + fn == 0)):
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
    np.testing.assert_array_equal(of_all[0], of_all[1])
    np.testing.assert_array_equal(of_all[0], of_all[2])
    np.testing.assert_array_equal(foreground_scores(counts, "nan")[:, 2], dice(counts)[:, 1])


def test_all_background_on_the_articles_share_of_empty_slices():
    truth = np.zeros((829, 2, 2), np.uint8)
    truth[:373, 0, 0] = 1
    counts = confusion_matrices(truth, np.zeros_like(truth), 2)
    index = FOREGROUND_SCORES.index("Dice")
    means = {rule: np.nanmean(foreground_scores(counts, rule)[:, index]) for rule in EMPTY_RULES}
    assert means == {"released": pytest.approx(456 / 829), "text": 1.0, "nan": 0.0}


def test_refusals():
    with pytest.raises(ValueError, match="empty must be one of"):
        foreground_scores(np.ones((2, 2)), "one")
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2, 2\)"):
        foreground_scores(np.ones((3, 3)))
