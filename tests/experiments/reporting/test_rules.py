"""The rules of the verdicts against written-out statistics; more trainings never decide less."""

import itertools
import math
from argparse import Namespace

import numpy as np
import pytest

from experiments.reporting import simulation
from experiments.reporting.rules import Spread, ahead_over_folds, lead, pooled_spread, prediction, recurrence, together
from experiments.rules import rules as command
from unet_segnet.errors import InputError

T_QUANTILES = {1: 12.706205, 2: 4.302653, 3: 3.182446, 7: 2.364624}  # of 0.975, from a printed table


class TestPrediction:
    @pytest.mark.parametrize("n", [4, 8])
    def test_own_spread(self, n):
        scores = np.random.default_rng(n).normal(0.95, 0.01, n)
        mean = sum(scores) / n
        deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / (n - 1))
        width = T_QUANTILES[n - 1] * deviation * math.sqrt(1 + 1 / n)
        found = prediction(scores, Spread(9.0, 5, "not used"))
        assert (found.low, found.high) == pytest.approx((mean - width, mean + width), rel=1e-6)
        assert found.holds(mean + 0.99 * width) is True and found.holds(mean + 1.01 * width) is False

    @pytest.mark.parametrize("n", [1, 2, 3])
    @pytest.mark.parametrize("freedom", [1, 2, 3, 40])
    def test_few_trainings_borrow_a_wider_one_and_confirm_nothing(self, n, freedom):
        found = prediction([0.9] * n, Spread(0.001, freedom, "repeats"))
        width = T_QUANTILES[min(freedom, 3)] * 0.001 * math.sqrt(1 + 1 / n)
        assert found.high - 0.9 == pytest.approx(width, rel=1e-6)
        assert found.borrowed == "repeats"
        assert found.holds(0.9) is None and found.holds(0.8) is False

    @pytest.mark.parametrize("repeats", [2, 3, 4, 8])
    def test_level_with_a_spread_of_few_repeats(self, repeats):
        """Of two trainings alone, three degrees of freedom would call 19 in 100 ordinary trainings unusual."""
        random, unusual = np.random.default_rng(repeats), []
        for _ in range(2000):
            other = pooled_spread([random.normal(size=repeats)], "repeats")
            unusual.append(prediction(random.normal(size=1), other).holds(random.normal()) is False)
        assert np.mean(unusual) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)

    def test_none_without_trainings_or_spread(self):
        assert prediction([], Spread(0.01, 3, "repeats")) is None and prediction([0.9]) is None

    def test_pooled_spread(self):
        groups = [[1.0, 3.0], [5.0], [10.0, 11.0, 12.0]]
        squares = 2 * 1.0 + 2 * 1.0  # (1-2)^2 + (3-2)^2 and (10-11)^2 + (12-11)^2, over 1 + 2 degrees of freedom
        found = pooled_spread(groups, "")
        assert (found.deviation, found.freedom) == (pytest.approx(math.sqrt(squares / 3)), 3)
        assert pooled_spread([[1.0], [2.0]], "") is None


class TestLead:
    @pytest.mark.parametrize("tied", [False, True])
    def test_exact_by_counting_all_divisions(self, tied):
        random = np.random.default_rng(1)
        first, second = random.normal(1, 1, 4), random.normal(0, 1, 5)
        if tied:
            first, second = first.round(), second.round()
        everything = np.concatenate([first, second])

        def statistic(chosen):
            rest = [value for index, value in enumerate(everything) if index not in chosen]
            return sum((everything[c] > r) + (everything[c] == r) / 2 for c in chosen for r in rest)

        null = np.array([statistic(chosen) for chosen in itertools.combinations(range(9), 4)])
        here = statistic(range(4))
        expected = 2 * min((null >= here).mean(), (null <= here).mean())
        assert lead(first, second).p_value == pytest.approx(min(expected, 1))

    def test_share_of_pairs_in_the_other_order(self):
        found = lead([4.0, 1.0], [2.0, 0.0, 1.0])
        assert found.difference == pytest.approx(1.5)
        assert found.reversed == pytest.approx((1 + 0.5) / 6)  # 1 below 2; 1 equal to 1

    def test_ties_of_eight_against_eight(self):
        """All 12,870 divisions are counted, whatever was drawn before."""
        first, second = [3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
        everything = np.array(first + second)
        chosen = np.array(list(itertools.combinations(range(16), 8)))
        ranks = (everything[:, None] > everything).sum(axis=1) + (everything[:, None] == everything).sum(axis=1) / 2
        sums = ranks[chosen].sum(axis=1)  # all rank sums order the divisions as the test's statistic does
        expected = 2 * (sums >= ranks[:8].sum()).mean()
        assert lead(first, second).p_value == pytest.approx(expected)

    def test_one_training_far_off_does_not_turn_the_order(self):
        """The test is over pairs, and so is the answer: the mean of the second is higher by one of its eight alone."""
        first, second = np.arange(10.0, 18.0), [*np.arange(1.0, 8.0), 1000.0]
        found = lead(first, second)
        assert found.difference < 0 and found.ahead is True and lead(second, first).ahead is False
        assert found.higher == pytest.approx(7 / 8) and found.reversed == pytest.approx(7 / 8)

    def test_four_of_each_are_needed(self):
        apart = [10.0, 11.0, 12.0, 13.0], [0.0, 1.0, 2.0, 3.0]
        assert lead(*apart).ahead is True and lead(*apart[::-1]).ahead is False
        assert lead(apart[0], apart[1][:3]).ahead is None
        assert math.isnan(lead([], [1.0]).p_value)

    def test_chance_is_open(self):
        assert lead([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0, 7.0]).ahead is None


def test_folds():
    assert ahead_over_folds([0.1, 0.11, 0.09, 0.1, 0.12]) is True
    assert ahead_over_folds([-0.1, -0.11, -0.09, -0.1, -0.12]) is False
    assert ahead_over_folds([0.1, -0.1, 0.2, -0.2, 0.05]) is None


def test_together():
    assert together(True, None) is True and together(False, False) is False
    assert together(True, False) is None and together(None, None) is None and together() is None


def test_recurrence_of_two_is_that_of_their_difference():
    """The better of two wins again with probability Phi(gap / (sqrt(2) sigma))."""
    expected = 0.5 * (1 + math.erf(0.01 / (math.sqrt(2) * 0.01) / math.sqrt(2)))
    assert recurrence([0.95, 0.94], 0.01) == pytest.approx(expected, abs=0.01)


@pytest.fixture(scope="module")
def shares():
    """Rule and trainings -> shares of decisions at gaps of 0, 1, 2 and 3 standard deviations."""
    return {row[:2]: row[2:] for row in simulation.decisions_table(400).rows}


class TestErrorRates:
    def test_level(self, shares):
        for (rule, size), found in shares.items():
            if not rule.startswith("not used"):
                assert found[0] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400), (rule, size)

    def test_more_trainings_never_lower_the_power(self, shares):
        for rule in {rule for rule, _ in shares}:
            sizes = sorted(size for of, size in shares if of == rule)
            powers = np.array([shares[rule, size][1:] for size in sizes])
            if rule.startswith("not used: A beats B where all"):
                assert (powers[-1] < powers[0]).all()  # why it is not used
            else:
                assert (np.diff(powers, axis=0) > -0.05).all(), rule  # chance of 400 draws

    def test_a_rule_over_slices_cries_wolf(self, shares):
        (false_alarms, *_), *_ = [of for (rule, _), of in shares.items() if "folds' slices" in rule]
        assert false_alarms > 0.15


def test_the_command_writes_tables_and_the_page(tmp_path, monkeypatch):
    page = tmp_path / "RULES.md"
    page.write_text("before\n<!-- rules:begin -->\n<!-- rules:end -->\nafter\n")
    monkeypatch.setattr(simulation, "SIZES", (1, 4))
    options = Namespace(draws=8, out=tmp_path / "out", readme=page, force=False)
    command(options)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "| a stated score" in text
    first = (tmp_path / "out/rules.csv").read_bytes()
    with pytest.raises(InputError, match="is there already"):
        command(options)
    command(Namespace(draws=8, out=tmp_path / "again", readme=None, force=False))
    assert (tmp_path / "again/rules.csv").read_bytes() == first
