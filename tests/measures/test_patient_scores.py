"""Scores of own data against scikit-learn, and their intervals over patients."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score
from tables import records

from unet_segnet.cohort.domain import Difference
from unet_segnet.measures import metrics
from unet_segnet.measures.metrics import confusion_matrices
from unet_segnet.measures.patient_scores import (
    Method,
    ScoredSlices,
    domain_table,
    lesion_counts,
    score_tables,
    slice_table,
)
from unet_segnet.measures.statistics import bootstrap_interval, bootstrap_mean

NAMES = ("healthy", "ground glass", "scar")


@pytest.fixture(scope="module")
def drawn():
    """Labels and predictions of 24 slices of 8 patients, three classes."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, (24, 8, 8)).astype(np.uint8)
    wrong = generator.random(labels.shape) < generator.uniform(0.1, 0.6, (24, 1, 1))
    predictions = np.where(wrong, generator.integers(0, 3, labels.shape), labels).astype(np.uint8)
    groups = [f"p{number // 3}" for number in range(24)]
    return labels, predictions, groups


def about(groups, class_names=NAMES, num_unknown=0):
    return ScoredSlices([f"s{number:02}" for number in range(len(groups))], groups, num_unknown, class_names, "own")


def test_pooled_scores_are_scikit_learns(drawn):
    labels, predictions, groups = drawn
    method = Method("net", confusion_matrices(labels, predictions, 3))
    tables = score_tables(about(groups), [method])
    pooled = {row["lesion"]: row for row in records(tables["scores"]) if row["over"] == "all pixels"}
    for index, name in ((1, "ground glass"), (2, "scar")):
        pair = (labels.ravel() == index, predictions.ravel() == index)
        assert pooled[name]["Dice: value"] == pytest.approx(f1_score(*pair))
        assert pooled[name]["sensitivity: value"] == pytest.approx(recall_score(*pair))
        assert pooled[name]["specificity: value"] == pytest.approx(recall_score(*pair, pos_label=False))
    pair = (labels.ravel() > 0, predictions.ravel() > 0)
    assert pooled["all lesions"]["Dice: value"] == pytest.approx(f1_score(*pair))


def test_intervals_are_over_patients(drawn):
    labels, predictions, groups = drawn
    confusion = confusion_matrices(labels > 0, predictions > 0, 2)
    rows = records(score_tables(about(groups, NAMES[:2]), [Method("net", confusion)])["scores"])
    of_patients = confusion.reshape(8, 3, 2, 2).sum(axis=1)

    def dice(counts):
        return metrics.dice(counts)[..., 1]

    for row, expected in (
        (rows[0], bootstrap_interval(of_patients, dice)),
        (rows[1], bootstrap_mean(dice(of_patients))),
    ):
        assert row["Dice: value"] == pytest.approx(expected.estimate)
        assert (row["Dice: low"], row["Dice: high"]) == pytest.approx(
            (expected.low, expected.high), abs=0.01
        )  # ties round
        assert row["Dice: low"] < row["Dice: value"] < row["Dice: high"]
    assert rows[2]["over"] == "mean of slices"
    assert rows[2]["Dice: value"] == pytest.approx(dice(confusion).mean())


def test_slices_without_lesion_count_in_no_mean_of_dice():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, :2] = 1
    table = score_tables(about(list("aabb"), NAMES[:2]), [Method("net", confusion_matrices(labels, labels, 2))])[
        "scores"
    ]
    values = {row["over"]: row["Dice: value"] for row in records(table)}
    assert values == {"all pixels": 1.0, "mean of patients": 1.0, "mean of slices": 1.0}


def test_each_patient_stands_beside_the_baseline(drawn):
    labels, predictions, groups = drawn
    methods = [
        Method("net", confusion_matrices(labels, predictions, 3)),
        Method("nothing", confusion_matrices(labels, np.zeros_like(labels), 3), "every pixel is healthy"),
    ]
    tables = score_tables(about(groups), methods)
    rows = records(tables["patients"])
    assert [row["patient"] for row in rows] == [f"p{number}" for number in range(8)]
    own = slice(3, 6)
    assert rows[1]["Dice: value"] == pytest.approx(f1_score(labels[own].ravel() > 0, predictions[own].ravel() > 0))
    assert np.isnan(rows[1]["Dice: low"])  # of three slices no interval is told
    assert rows[1]["Dice: nothing"] == 0.0 and rows[1]["slices"] == 3
    assert "nothing: every pixel is healthy." in tables["scores"].notes


def test_few_patients_have_no_interval_and_unknown_ones_a_warning(drawn):
    labels, predictions, _ = drawn
    method = Method("net", confusion_matrices(labels, predictions, 3))
    for groups in (["p"] * 24, [f"p{number % 5}" for number in range(24)]):
        table = score_tables(about(groups), [method])["scores"]
        assert all(np.isnan(row["Dice: low"]) for row in records(table))
        assert any("Fewer than 6 patients" in note for note in table.notes)
    tables = score_tables(about([f"s{number:02}" for number in range(24)], num_unknown=24), [method])
    assert "patients" not in tables
    assert {row["over"] for row in records(tables["scores"])} == {"all pixels", "mean of slices"}
    assert any("24 of 24 slices are of unknown patients" in note for note in tables["scores"].notes)


def test_patients_without_a_score_are_no_reason_for_an_interval(drawn):
    """Of eight patients two show the lesion: six give its Dice no spread."""
    labels, predictions, groups = drawn
    rare = [np.where(np.arange(24)[:, None, None] < 6, of, 0) for of in (labels, predictions)]
    tables = score_tables(about(groups), [Method("net", confusion_matrices(*rare, 3))])
    for row in records(tables["scores"]):
        assert np.isnan([row["Dice: low"], row["sensitivity: high"]]).all() and row["specificity: low"] <= 1
    assert any("Fewer than 6 patients have a score without interval" in note for note in tables["scores"].notes)
    one = score_tables(about(["p"] * 24), [Method("net", confusion_matrices(*rare, 3))])["patients"]
    assert records(one)[0]["Dice: low"] < 1  # six slices have one
    rare[0][5], rare[1][5] = 0, 0
    one = score_tables(about(["p"] * 24), [Method("net", confusion_matrices(*rare, 3))])["patients"]
    assert np.isnan(records(one)[0]["Dice: low"]) and records(one)[0]["specificity: low"] <= 1


def test_slices_have_rows_of_their_own(drawn):
    labels, predictions, groups = drawn
    rows = records(slice_table(about(groups), Method("net", confusion_matrices(labels, predictions, 3))))
    assert len(rows) == 24 * 3
    row = next(row for row in rows if (row["slice"], row["lesion"]) == ("s07", "scar"))
    assert row["true pixels"] == (labels[7] == 2).sum() and row["predicted pixels"] == (predictions[7] == 2).sum()
    assert row["Dice"] == pytest.approx(f1_score(labels[7].ravel() == 2, predictions[7].ravel() == 2))


def test_counts_of_a_lesion_are_all_pixels():
    confusion = np.arange(18).reshape(2, 3, 3)
    counts = lesion_counts(confusion)
    assert counts.shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(counts.sum(axis=(-2, -1)), np.repeat(confusion.sum(axis=(1, 2))[:, None], 3, axis=1))
    assert counts[0, 0].tolist() == [[0 + 2 + 6 + 8, 1 + 7], [3 + 5, 4]]


def test_the_domain_table_names_what_differs():
    rows = [Difference("units", "HU", "8-bit", "different"), Difference("slices", "72", "10", "")]
    table = domain_table(rows, "there", "here")
    assert table.rows[0] == ("units", "HU", "8-bit", "different") and "What differs: units." in table.notes[0]
    assert "Nothing of this is far apart" in domain_table(rows[1:], "there", "here").notes[0]
