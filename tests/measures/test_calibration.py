"""Probabilities against what is there, from counts between thresholds."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from unet_segnet.measures.calibration import bins_of, calibration_error, dice_threshold, fit_temperature, scaled

THRESHOLDS = np.array([0.01, 0.05, *np.arange(0.1, 1, 0.1)])


def counted(probabilities, truth):
    """(num_thresholds, 2, 2) by the definition."""
    above = probabilities[None] > THRESHOLDS[:, None]
    return np.stack([[[(kind & (above == side)).sum(1) for side in (0, 1)] for kind in (~truth, truth)]])[0].transpose(
        2, 0, 1
    )


@pytest.fixture
def pixels():
    """A network that is too sure of itself: its logits are twice what they should be."""
    generator = np.random.default_rng(0)
    logits = generator.normal(-1, 1, 60_000)
    truth = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-2 * logits)), truth


def test_bins_hold_the_pixels_between_thresholds(pixels):
    probabilities, truth = pixels
    middles, found = bins_of(THRESHOLDS, counted(probabilities, truth))
    edges = [*THRESHOLDS, 1]
    for kind in (0, 1):
        np.testing.assert_array_equal(found[:, kind], np.histogram(probabilities[truth == kind], edges)[0])
    np.testing.assert_allclose(middles[:3], [0.03, 0.075, 0.15])


def test_temperature_is_the_logistic_regression_of_the_pixels_and_mends_what_is_too_sure(pixels):
    probabilities, truth = pixels
    counts = counted(probabilities, truth)
    temperature = fit_temperature(THRESHOLDS, counts)
    shown = probabilities > THRESHOLDS[0]
    logits = np.log(probabilities / (1 - probabilities))[shown, None]
    exact = LogisticRegression(C=np.inf, fit_intercept=False).fit(logits, truth[shown])
    assert temperature == pytest.approx(1 / exact.coef_[0, 0], rel=0.05) and temperature == pytest.approx(2, rel=0.05)
    assert calibration_error(THRESHOLDS, counts) > 5 * calibration_error(THRESHOLDS, counts, temperature)
    np.testing.assert_allclose(scaled(np.array([0.5, 0.9]), 2.0), [0.5, 0.75], rtol=1e-6)  # odds of 9 become 3


def test_calibration_error_by_hand():
    counts = np.zeros((2, 2, 2), int)
    counts[0, :, 1], counts[1, :, 1] = (30, 20), (10, 10)  # above 0.5: 30 and 20; above 0.8: 10 and 10
    # 30 pixels around 0.65, a third of them of the class; 20 around 0.9, half of them.
    assert calibration_error([0.5, 0.8], counts) == pytest.approx((30 * (0.65 - 1 / 3) + 20 * (0.9 - 0.5)) / 50)
    assert np.isnan(calibration_error([0.5, 0.8], np.zeros((2, 2, 2))))


@pytest.mark.parametrize("kind", [0, 1])
def test_one_kind_of_pixels_changes_nothing(kind):
    counts = np.zeros((2, 2, 2), int)
    counts[:, kind, 1] = (9, 4)
    assert fit_temperature([0.3, 0.6], counts) == 1
    np.testing.assert_allclose(scaled(np.array([0.2, 0.7]), 1.0), [0.2, 0.7], rtol=1e-6)


def test_half_of_the_best_dice_is_the_threshold_of_the_best_dice(pixels):
    probabilities, truth = pixels
    thresholds = np.linspace(0.01, 0.99, 981)
    above = probabilities > thresholds[:, None]
    dice = 2 * (above & truth).sum(1) / (above.sum(1) + truth.sum())
    threshold = dice_threshold(dice.max(), temperature=2.0)
    assert dice[np.argmin(np.abs(thresholds - threshold))] == pytest.approx(dice.max(), abs=2e-3)
    assert abs(threshold - thresholds[dice.argmax()]) < 0.05 and threshold < 0.2
    assert dice_threshold(1.0) == pytest.approx(0.5) and dice_threshold(0.6) == pytest.approx(0.3)
