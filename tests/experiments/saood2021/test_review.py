"""What an independent reading of the first study computed, apart from this project: the same numbers come out here."""

import numpy as np
import pytest

from experiments import RESULTS
from experiments.saood2021 import published
from experiments.saood2021.counts import PAPER_SLICES
from experiments.saood2021.evidence import Evidence, FinishedRun
from experiments.saood2021.protocol import NETS
from experiments.saood2021.runs import KIND, read_finished
from experiments.saood2021.tables.with_authors import paired_table
from experiments.saood2021.verdicts.best_of_nine import GROUPS, recurrences
from unet_segnet.measures import metrics


@pytest.fixture(scope="module")
def committed():
    """The project's own trainings."""
    found = [(folder, *read_finished(folder)) for folder in KIND.folders(RESULTS)]
    runs = [FinishedRun(folder, run.config, run.result, counts, True) for folder, run, counts in found if counts]
    return Evidence(tuple(runs), None, PAPER_SLICES[0])


def test_ours_less_theirs_on_the_same_slices(committed):
    """Of the three trainings that there were: -0.0057, -0.0112 and +0.0076, r = 0.98 to 0.99, all p <= 0.001."""
    table = paired_table(committed)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    found = {(row["network"], row["training"]): row for row in rows if row["exp."] == 4}
    for key, expected in {
        ("SegNet", "replay"): -0.0057,
        ("U-Net", "replay"): -0.0112,
        ("U-Net", "seed 0"): 0.0076,
    }.items():
        row = found[key]
        assert float(row["diff.: mean"]) == pytest.approx(expected, abs=1e-4)
        assert 0.98 <= row["r"] < 0.995 and row["p"] <= 0.0011
    assert float(found["SegNet", "replay"]["diff.: low"]) == pytest.approx(-0.0086, abs=3e-4)
    assert float(found["SegNet", "replay"]["diff.: high"]) == pytest.approx(-0.0030, abs=3e-4)


def test_a_tolerance_of_five_hundredths_tells_nothing_apart():
    """15 of the authors' own 18 configurations would have met it for 0.956 and 0.945."""
    matrices = [published.confusion_matrix(net, e) for net in NETS for e in published.hyperparameters(net)]
    near = [
        abs(metrics.sensitivity(of)[1] - 0.956) <= 0.05 and abs(metrics.specificity(of)[1] - 0.945) <= 0.05
        for of in matrices
    ]
    assert (sum(near), len(near)) == (15, 18)


def test_the_printed_winners_seldom_recur():
    """All four in 2 to 12 % of studies, by spreads of a hundredth to two."""
    for spread, expected in ((0.01, 0.12), (0.02, 0.023)):
        shares = recurrences(dict.fromkeys(GROUPS, spread))
        assert np.prod(list(shares.values())) == pytest.approx(expected, abs=0.01)


def test_all_pairs_agree():
    """Under the null two trainings agree against one in 67 %; with a gap of one sigma, five against five in 8 %."""
    random = np.random.default_rng(0)

    def agree(first, second, gap):
        ahead = random.normal(gap, 1, (20_000, first, 1)) > random.normal(0, 1, (20_000, 1, second))
        return float((ahead.all(axis=(1, 2)) | ~ahead.any(axis=(1, 2))).mean())

    assert agree(1, 2, 0) == pytest.approx(2 / 3, abs=0.015)
    assert agree(5, 5, 1) == pytest.approx(0.08, abs=0.01)


def test_gaps_of_dice():
    """Over the folds 0.060, on the single split 0.016."""
    folds = [published.five_fold(net, "binary")["infected"]["dice"][0] for net in NETS]
    single = [published.class_scores(net, "binary")["infected"]["dice"] for net in NETS]
    assert folds[0] - folds[1] == pytest.approx(0.060, abs=5e-4)
    assert single[0] - single[1] == pytest.approx(0.016, abs=5e-4)


def test_two_sigmas_of_two_trainings(committed):
    """U-Net with four classes: the mean of two sigmas is 0.075, the sigma of averaged slices 0.071."""
    runs = [run.counts for run in committed.grid("multiclass", "released") if run.counts.net == "unet"]
    first_two = [run for run in runs if run.seed == 0]
    accuracy = np.array([metrics.global_accuracy(run.test_confusion) for run in first_two])
    assert accuracy.std(axis=1, ddof=1).mean() == pytest.approx(0.075, abs=5e-4)
    assert accuracy.mean(axis=0).std(ddof=1) == pytest.approx(0.071, abs=5e-4)
