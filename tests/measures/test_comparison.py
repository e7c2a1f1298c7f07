"""Comparisons with the truth: against scikit-learn, spheres, and the rules for what is undefined."""

import csv
import io
import json
import math

import numpy as np
import pytest
import sklearn.metrics
from scipy import ndimage

from unet_segnet.measures.comparison import compare
from unet_segnet.measures.metrics import UNLABELLED
from unet_segnet.measures.severity import ALL_LESIONS
from unet_segnet.measures.surface_distances import surface_distances

SPACING = (5.0, 0.7, 0.8)
GROUPS = ("C1", "C2", "C3", ALL_LESIONS)


def maps(seed=0, shape=(6, 40, 36)):
    """Truth and a prediction that resembles it."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(2, *shape)), (0, 1, 3, 3))
    fields = noise[0], noise[0] + 0.4 * noise[1]
    return [np.digitize(field, np.quantile(field, [0.7, 0.85, 0.95])).astype(np.uint8) for field in fields]


def of_group(labels, group):
    return labels > 0 if group == ALL_LESIONS else labels == int(group[1:])


class TestScores:
    def test_equal_scikit_learn_for_the_scan_and_slice_by_slice(self):
        truth, prediction = maps()
        ours = compare(truth, prediction, 4, SPACING)
        assert ours.groups == GROUPS
        for column, group in enumerate(GROUPS):
            true, predicted = of_group(truth, group), of_group(prediction, group)
            pairs = [(ours.scan, (), true, predicted)]
            pairs += [(ours.slices, (k,), true[k], predicted[k]) for k in range(len(truth))]
            for agreement, at, t, p in pairs:
                at = (*at, column)
                t, p = t.ravel(), p.ravel()
                assert agreement.dice[at] == pytest.approx(sklearn.metrics.f1_score(t, p))
                assert agreement.sensitivity[at] == pytest.approx(sklearn.metrics.recall_score(t, p))
                assert agreement.specificity[at] == pytest.approx(sklearn.metrics.recall_score(~t, ~p))
                assert (agreement.true_voxels[at], agreement.predicted_voxels[at]) == (t.sum(), p.sum())

    @pytest.mark.parametrize("spacing", [None, SPACING])
    def test_surface_distances_of_volume_and_planes(self, spacing):
        truth, prediction = maps(1)
        ours = compare(truth, prediction, 4, spacing)
        for column, group in enumerate(GROUPS):
            true, predicted = of_group(truth, group), of_group(prediction, group)
            expected = surface_distances(true, predicted, spacing)
            found = ours.scan.mean_surface_distance, ours.scan.hausdorff95, ours.scan.hausdorff
            assert [values[column] for values in found] == [expected.mean, expected.hausdorff95, expected.hausdorff]
            for k in range(len(truth)):
                expected = surface_distances(true[k], predicted[k], spacing and spacing[1:])
                assert ours.slices.hausdorff95[k, column] == pytest.approx(expected.hausdorff95, nan_ok=True)
                assert ours.slices.mean_surface_distance[k, column] == pytest.approx(expected.mean, nan_ok=True)

    def test_spheres_in_millilitres_and_millimetres(self):
        spacing = (1.0, 0.5, 0.75)
        z, y, x = (np.arange(-24, 25, step) for step in spacing)
        radius = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        truth, prediction = (radius <= 20).astype(np.uint8), (radius <= 16).astype(np.uint8)
        row = compare(truth, prediction, 2, spacing, class_names=("not infected", "infected")).rows()[0]
        balls = [4 / 3 * math.pi * r**3 / 1000 for r in (20, 16)]
        assert row["class"] == "infected" and row["distance_unit"] == "mm"
        assert row["true_ml"] == pytest.approx(balls[0], rel=0.01)
        assert row["predicted_ml"] == pytest.approx(balls[1], rel=0.01)
        assert row["volume_error_ml"] == pytest.approx(balls[1] - balls[0], rel=0.01)
        assert row["relative_volume_error"] == pytest.approx(0.8**3 - 1, abs=0.01)
        assert row["dice"] == pytest.approx(2 * 0.8**3 / (1 + 0.8**3), abs=0.01)
        assert row["mean_surface_distance"] == pytest.approx(4, abs=0.2)
        assert row["hausdorff95"] == pytest.approx(4, abs=0.5)

    def test_one_class_of_lesions_is_all_lesions(self):
        truth, prediction = ((part > 0).astype(np.uint8) for part in maps(2))
        rows = compare(truth, prediction, 2, SPACING, class_names=("not infected", "infected")).rows()
        assert [row.pop("class") for row in rows] == ["infected", ALL_LESIONS]
        assert rows[0] == rows[1]

    def test_an_exchange_of_classes_is_no_error_of_all_lesions(self):
        truth, _ = maps(3)
        rows = {row["class"]: row for row in compare(truth, np.array([0, 2, 1, 3], np.uint8)[truth], 4).rows()}
        assert rows["C1"]["dice"] == rows["C2"]["sensitivity"] == 0 and rows["C3"]["dice"] == 1
        everything = rows[ALL_LESIONS]
        assert everything["dice"] == everything["sensitivity"] == everything["specificity"] == 1
        assert everything["hausdorff"] == everything["volume_error_voxels"] == everything["relative_volume_error"] == 0
        assert everything["distance_unit"] == "voxels" and everything["true_ml"] is None

    def test_pixels_without_label_count_nowhere(self):
        truth, prediction = maps(4)
        hidden = truth.copy()
        hidden[:, :, :9] = UNLABELLED
        ours = compare(hidden, prediction, 4, SPACING)
        expected = compare(truth[:, :, 9:], prediction[:, :, 9:], 4, SPACING)
        for row, other in zip(ours.rows() + ours.slice_rows(), expected.rows() + expected.slice_rows(), strict=True):
            for key, value in other.items():
                assert row[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


class TestUndefined:
    def test_a_class_absent_from_truth_prediction_or_both(self):
        truth, prediction = np.zeros((2, 3, 8, 8), np.uint8)
        truth[1, 2:5, 2:5] = 1
        prediction[1, 2:5, 2:5] = 2
        c1, c2, c3, everything = compare(truth, prediction, 4, SPACING).rows()
        assert (c1["dice"], c1["sensitivity"], c1["relative_volume_error"], c1["hausdorff95"]) == (0, 0, -1, None)
        assert (c2["dice"], c2["sensitivity"], c2["relative_volume_error"], c2["hausdorff95"]) == (0, None, None, None)
        assert (c3["dice"], c3["specificity"], c3["volume_error_ml"], c3["mean_surface_distance"]) == (None, 1, 0, None)
        assert everything["dice"] == 1 and everything["mean_surface_distance"] == 0

    def test_slices_that_do_not_adjoin_have_no_surface_in_space(self):
        truth, prediction = maps(5)
        apart = compare(truth, prediction, 4, SPACING, adjoining=False)
        together = compare(truth, prediction, 4, SPACING)
        assert np.isnan(apart.scan.hausdorff).all() and np.isfinite(together.scan.hausdorff).all()
        np.testing.assert_array_equal(apart.scan.dice, together.scan.dice)
        assert apart.slice_rows() == together.slice_rows()
        single = compare(truth[:1], prediction[:1], 4, SPACING, adjoining=False)
        np.testing.assert_array_equal(single.scan.hausdorff, single.slices.hausdorff[0])


@pytest.mark.parametrize("spacing", [None, SPACING])
def test_json_without_nan_and_csv(spacing):
    truth, prediction = maps(6)
    truth[0], prediction[1] = 0, 0
    ours = compare(truth, prediction, 4, spacing, slice_names=list("abcdef"))
    written = ours.to_dict()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["slices"][4]["slice"] == "b" and len(written["slices"]) == 6 * 4
    unit = "mm" if spacing else "pixels"
    assert {row["distance_unit"] for row in written["slices"]} == {unit}
    for rows in (ours.rows(), ours.slice_rows()):
        assert len({tuple(row) for row in rows}) == 1
        text = io.StringIO()
        csv.DictWriter(text, rows[0]).writerows(rows)
        assert "nan" not in text.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": np.zeros((4, 4), np.uint8)}, "expected a truth of shape"),
        ({"num_classes": 1}, "at least 2 classes"),
        ({"prediction": np.zeros((2, 4, 5), np.uint8)}, "one shape"),
        ({"prediction": np.full((2, 4, 4), 4)}, "predictions must be"),
        ({"class_names": ("a", "b")}, "expected 4 class names and 2 slice names"),
        ({"slice_names": ("a",)}, "expected 4 class names and 2 slice names"),
        ({"spacing": (1.0, 1.0)}, "spacing must be 3 positive numbers"),
        ({"spacing": (1.0, 1.0, 0.0)}, "spacing must be 3 positive numbers"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {"truth": np.zeros((2, 4, 4), np.uint8), "prediction": np.zeros((2, 4, 4), np.uint8), "num_classes": 4}
    with pytest.raises(ValueError, match=message):
        compare(**(good | change))
