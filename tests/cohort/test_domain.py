"""Facts about a data set, and what two of them differ in."""

import numpy as np
import pytest
from own_data import write_cohort, write_slice

from unet_segnet.cohort.domain import describe, differences, released_domain, released_thresholds
from unet_segnet.cohort.load import load_cohort


def remarks(then, now):
    return {difference.fact: difference.remark for difference in differences(then, now) if difference.remark}


@pytest.fixture
def volumes(tmp_path):
    return load_cohort(write_cohort(tmp_path / "volumes", 3, size=64), size=32)


def test_facts_are_counted_from_the_slices(volumes):
    facts = describe(volumes)
    slices = volumes.slices
    assert facts["slices"] == 9 and facts["patients"] == 3 and facts["units"] == ["HU"]
    assert facts["slice_sizes"] == {"64x64": 9} and facts["pixel_mm"] == pytest.approx(5)
    assert facts["orientations"] == {"LPS by the affine": 9}
    assert facts["lesion_share"] == pytest.approx((slices.labels > 0).sum() / slices.lungs.sum())
    assert facts["lesion_slices"] == pytest.approx(6 / 9)
    assert facts["lung_levels"][2] == np.median(slices.images[slices.lungs])
    assert facts["lesion_level"] == pytest.approx((1100 - 200) * 255 / 1500, abs=5)


def test_the_same_data_differs_in_nothing(volumes):
    assert remarks(describe(volumes), describe(volumes)) == {}


def test_other_units_sizes_and_values_are_said(volumes, tmp_path):
    for number in range(3):
        write_slice(tmp_path / "loose", f"s{number}", seed=number)
    then, now = describe(volumes), describe(load_cohort(tmp_path / "loose", size=32))
    found = remarks(then, now)
    assert {"units", "values in the files", "slice size", "orientation"} <= found.keys()
    rows = {difference.fact: difference for difference in differences(then, now)}
    assert rows["patients"].trained_on == "3" and rows["patients"].here == "unknown"


@pytest.mark.parametrize(
    ("key", "value", "fact", "remark"),
    [
        ("lung_levels", [100, 120, 140, 160, 250], "grey levels in the lungs, 5 25 50 75 95 %", "brighter here"),
        ("lesion_share", 0.001, "lesion, share of the lungs", "less here"),
        ("lung_share", 0.9, "lungs, share of a slice", "times more here"),
    ],
)
def test_what_is_far_apart_is_remarked_on(volumes, key, value, fact, remark):
    assert remark in remarks(describe(volumes), {**describe(volumes), key: value})[fact]


def test_an_unknown_origin_is_no_difference(volumes):
    rows = differences(None, describe(volumes))
    assert {row.trained_on for row in rows} == {"unknown"} and not any(row.remark for row in rows)


def test_the_committed_facts_are_those_of_the_released_slices(real_data):
    found, committed = describe(load_cohort(real_data)), released_domain()
    assert found.keys() == committed.keys()
    for key, value in found.items():
        if isinstance(value, float):
            assert committed[key] == pytest.approx(value, abs=1e-6), key
        elif key != "lesion_share_of_class":
            assert committed[key] == value, key
    assert committed["lesion_share_of_class"] == pytest.approx(found["lesion_share_of_class"], abs=1e-6)


def test_the_committed_thresholds_are_those_of_the_training_slices(real_data):
    from unet_segnet.measures.baselines import class_histograms, fit_thresholds

    cohort = load_cohort(real_data)
    train = cohort.subset([index for index, part in enumerate(cohort.parts) if part == "train"])
    for slices in (train.slices, train.slices.binary()):
        histograms = class_histograms(slices.images, slices.labels, slices.num_classes)
        assert list(fit_thresholds(histograms)) == released_thresholds(slices.num_classes)
