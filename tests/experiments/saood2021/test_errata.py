"""The errata: each correct value must come from the files, and be the one found by hand."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made_runs import evidence
from tables import records

from experiments.saood2021 import article, published
from experiments.saood2021.article import five_fold_means_are_possible, follows, parity_check, remaining_pixels
from experiments.saood2021.tables.errata import errata_table
from unet_segnet.measures import metrics


@pytest.fixture(scope="module")
def slips():
    return {row["slip"]: row for row in records(errata_table(evidence()))}


def slip(slips, word):
    (found,) = [row for name, row in slips.items() if word in name]
    return found


@pytest.mark.parametrize(
    ("word", "printed", "correct"),
    [
        ("pixels of C3", "334,265", "34,690"),
        ("cut off", "17 of 17", "8 of them"),
        ("experiment 3", "0.919", "0.9096"),
        ("variances of SegNet: 9 of 9", "0.004 0.004 0.007 0.004", "0.0028 0.0038 0.0045 0.0009"),
        ("range of the standard deviations", "0.060 to 0.086", "0.029 to 0.070; Table 5 has 0.060 to 0.086"),
        ("specificity of the best", "0.945", "0.9542"),
        ("SegNet ahead in the binary problem", "Table 5", "2 of 9 rows"),
        ("margins", "except sensitivity", "specificity 0.0054 and F2 0.0047, but sensitivity 0.0082"),
        ("Inf-Net in specificity", "0.96", "0.954"),
        ("Semi-Inf-Net", "0.54", "0.467"),
        ("U-Net's file", "experiment 7", "experiment 4"),
        ("depth three", "1.47e+07", "14,714,688 in five stages and 1,735,488 in three"),
        ("depth three", "3 stages", "373,192"),
        ("Equation 1", "0.20", "1.786"),
        ("global accuracy offered", "0.908", "0.9285"),
        ("chosen on the test slices", "SegNet 0.954, U-Net 0.949", "SegNet 0.954, U-Net 0.940"),
        ("chosen on the test slices", "(binary)", "; 0.954 and 0.950 by the test accuracy"),
        ("class weights", "0.0410 0.8029 1.3254 7.2704", "cannot be computed"),
        ("masks in each other's place", "as released", "cannot be computed"),
    ],
)
def test_slip(slips, word, printed, correct):
    found = slip(slips, word)
    assert printed in found["printed"] and correct in found["correct"]
    assert found["where"] and found["computed from"]


def test_the_table_prints_and_has_text_in_every_cell(slips):
    table = errata_table(evidence())
    assert len(table.rows) == 17 and all(isinstance(cell, str) and cell for row in table.rows for cell in row)
    assert "| slip |" in table.to_markdown()


def test_correct_values_follow_the_files(monkeypatch):
    """Another confusion matrix, another correct value: nothing is typed in."""
    monkeypatch.setattr(published, "confusion_matrix", lambda net, experiment: np.array([[90, 10], [5, 5]]))
    found = slip({row["slip"]: row for row in records(errata_table(evidence()))}, "specificity of the best")
    assert found["correct"] == "0.9000"


def test_what_holds_is_counted():
    (note,) = errata_table(evidence()).notes
    assert re.findall(r"(\d+) of (\d+)", note) == [("6", "6"), ("6", "6"), ("18", "18"), ("8", "8"), ("10", "10")]


def test_with_the_slices(real_data):
    from unet_segnet.data import load_slices

    given = replace(evidence(slices=load_slices(str(real_data), "multiclass")), folder=real_data)
    slips = {row["slip"]: row for row in records(errata_table(given))}
    assert slip(slips, "pixels of C3")["correct"] == "34,265"
    assert "masks 033 and 039" in slip(slips, "masks in each other's place")["correct"]
    weights = slip(slips, "class weights")
    assert weights["printed"].removesuffix(" (released network)") in weights["computed from"]
    assert weights["correct"] == "0.0412 0.7682 1.4323 7.2700 from the training slices"


def test_remaining_pixels_are_those_of_the_masks_within_the_printed_digits():
    from experiments.saood2021.matlab_facts import C3_PIXELS

    left, error = remaining_pixels()
    assert abs(left - C3_PIXELS) < error < 1000


def test_implied_scores_agree_with_a_matrix_of_known_counts(monkeypatch):
    """Print the scores of a made four-class matrix to three digits: healthy tissue's sensitivity comes back."""
    matrix = np.array([[880000, 40000, 18000, 9000], [5000, 40000, 0, 0], [4000, 0, 20000, 0], [500, 0, 0, 2500]])
    binary = np.array([[matrix[0].sum(), 0], [matrix[1:].sum(), 0]])
    scores = {"sensitivity": metrics.sensitivity, "specificity": metrics.specificity, "dice": metrics.dice}
    printed = {f"C{k}": {name: float(of(matrix)[k]) for name, of in scores.items()} for k in (1, 2, 3)}
    monkeypatch.setattr(published, "class_scores", lambda net, problem: printed)
    monkeypatch.setattr(published, "confusion_matrix", lambda net, experiment: binary)
    accuracy = published.Accuracy(float(metrics.global_accuracy(matrix)), 0, 0)
    monkeypatch.setattr(published, "global_accuracy", lambda net, problem: {7: accuracy})
    sensitivity, missed = article.implied_healthy("segnet")
    assert sensitivity == pytest.approx(metrics.sensitivity(matrix)[0], abs=1e-9)
    assert missed == pytest.approx((5000 + 4000 + 500) / matrix.sum(), abs=1e-9)


def test_follows_allows_for_the_printed_digits_and_no_more():
    def product(a, b):
        return a * b

    assert follows(product, (0.5, 0.5), 0.250) and follows(product, (0.5, 0.5), 0.2509)
    assert not follows(product, (0.5, 0.5), 0.253) and not follows(product, (0.5, 0.5), 0.247)


def test_means_over_folds_that_cannot_be():
    scores = dict.fromkeys(("sensitivity", "specificity", "dice", "g_mean", "f2"), (0.8, 0.1))
    assert five_fold_means_are_possible(scores)
    assert not five_fold_means_are_possible(scores | {"g_mean": (0.81, 0.1)})
    assert not five_fold_means_are_possible(scores | {"f2": (0.81, 0.1)})


def test_parity_is_read_by_name():
    assert parity_check("SegNet: parameters")["result"] == "pass"
    with pytest.raises(KeyError):
        parity_check("nothing of the kind")
