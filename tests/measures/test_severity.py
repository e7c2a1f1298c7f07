"""Severity figures against voxels counted one by one, balls of known volume, and the rules for what is undefined."""

import csv
import io
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from unet_segnet.data.phantom import phantom_slices
from unet_segnet.measures.severity import ALL_LESIONS, REGIONS, none_if_nan, severity

repeatable = settings(derandomize=True, deadline=None, max_examples=30)
CLASSES = ("C0", "C1", "C2", "C3")
SPACING = (5.0, 0.7, 0.8)
VOXEL_ML = math.prod(SPACING) / 1000


def names(labels):
    return [f"{number:03}" for number in range(1, len(labels) + 1)]


def figures(labels, lungs, spacing=SPACING, class_names=CLASSES, **options):
    return severity(labels, lungs, spacing, class_names, names(labels), **options)


def scan(seed=0, shape=(9, 40, 48)):
    """Labels and lungs of a small scan: two ellipses that meet nowhere, lesions in and around them."""
    z, y, x = (np.linspace(-1, 1, length) for length in shape)
    lungs = np.zeros(shape, np.uint8)
    for side, centre in ((1, -0.5), (2, 0.5)):
        distance = (z[:, None, None] / 0.9) ** 2 + ((x - centre) / 0.4) ** 2 + (y[:, None] / 0.7) ** 2
        lungs[distance < 1] = side
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0.7, 2, 2))
    labels = np.digitize(noise, np.quantile(noise, [0.8, 0.93, 0.98])).astype(np.uint8)
    labels[ndimage.distance_transform_edt(lungs == 0) > 2] = 0
    return labels, lungs


class TestVolumes:
    @repeatable
    @given(
        npst.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 3)),
        npst.arrays(np.uint8, (3, 4, 5), elements=st.integers(0, 2)),
    )
    def test_equal_voxels_counted_one_by_one(self, labels, lungs):
        ours = figures(labels, lungs)
        assert [(i.group, i.region) for i in ours.involvements] == [
            (group, region) for group in (*CLASSES[1:], ALL_LESIONS) for region in REGIONS
        ]
        for found in ours.involvements:
            of_group = labels > 0 if found.group == ALL_LESIONS else labels == CLASSES.index(found.group)
            in_region = np.isin(lungs, REGIONS[found.region])
            voxels, size = np.count_nonzero(of_group & in_region), np.count_nonzero(in_region)
            assert (found.voxels, found.region_voxels) == (voxels, size)
            assert found.volume_ml == pytest.approx(voxels * VOXEL_ML)
            assert found.region_ml == pytest.approx(size * VOXEL_ML)
            assert found.share == pytest.approx(voxels / size) if size else np.isnan(found.share)
            per_slice = (of_group & in_region).sum(axis=(1, 2))
            expected = per_slice / voxels if voxels else np.full(3, np.nan)
            np.testing.assert_allclose(found.slice_shares, expected)

    def test_a_ball_of_known_volume_in_the_left_lung(self):
        spacing, radius = (2.0, 0.5, 0.8), 20.0
        z, y, x = (np.arange(-24, 25, step) for step in spacing)
        labels = (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius**2).astype(np.uint8)
        lungs = np.ones_like(labels)
        ours = figures(labels, lungs, spacing, ("not infected", "infected"))
        ball = ours.involvement("infected", "left lung")
        assert ball.volume_ml == pytest.approx(4 / 3 * math.pi * radius**3 / 1000, rel=0.01)
        assert ball.volume_ml == ball.largest_ml and ball.num_lesions == 1
        assert ball.shape.equivalent_diameter_mm == pytest.approx(40, rel=0.01)
        everything = ours.involvement(region="left lung")
        assert (everything.voxels, everything.num_lesions, everything.shape) == (ball.voxels, 1, ball.shape)

    def test_ground_glass_and_its_consolidation_are_one_lesion_of_all(self):
        labels = np.zeros((1, 20, 20), np.uint8)
        labels[0, 2:10, 2:10] = 1
        labels[0, 4:6, 4:6] = 2
        labels[0, 15, 15] = 2
        ours = figures(labels, np.ones_like(labels))
        assert [ours.involvement(group).num_lesions for group in ours.groups] == [1, 2, 0, 2]
        assert ours.involvement().largest_voxels == 64
        assert ours.connectivity == "8 neighbours within a slice"

    def test_flipping_the_scan_changes_where_and_nothing_else(self):
        labels, lungs = scan()
        ours = figures(labels, lungs, towards_head=True)
        flipped = figures(labels[::-1, ::-1, ::-1], lungs[::-1, ::-1, ::-1], towards_head=False)
        for row, expected in zip(flipped.rows(), ours.rows(), strict=True):
            assert row.keys() == expected.keys()
            for key in row:
                assert row[key] == (pytest.approx(expected[key]) if isinstance(expected[key], float) else expected[key])
        for one, other in zip(ours.involvements, flipped.involvements, strict=True):
            np.testing.assert_array_equal(one.slice_shares, other.slice_shares[::-1])

    def test_drawn_slices_that_do_not_adjoin(self):
        slices = phantom_slices(3, size=128)
        lungs = np.where(np.arange(128)[:, None] < 64, 1, 2) * slices.lungs
        ours = figures(slices.labels, lungs, None, adjoining=False)
        assert ours.involvement(region="whole scan").voxels == np.count_nonzero(slices.labels)
        apart = [figures(slices.labels[[k]], lungs[[k]], None) for k in range(3)]
        for group in ours.groups:
            expected = sum(one.involvement(group).num_lesions for one in apart)
            assert ours.involvement(group).num_lesions == expected
            assert np.isnan(ours.involvement(group).third_shares).all()


class TestThirds:
    # Lung in slices 2 to 10: thirds are slices 2-4, 5-7 and 8-10.
    LABELS, LUNGS = np.zeros((2, 14, 4, 4), np.uint8)
    LUNGS[2:11, :, :2], LUNGS[2:11, :, 2:] = 1, 2
    LABELS[2, 0, 0] = LABELS[4, 0, 0] = LABELS[7, 0, 3] = LABELS[12, 0, 0] = 1

    @pytest.mark.parametrize(
        ("towards_head", "thirds"),
        [
            (True, ["lower", "middle", "upper"]),
            (False, ["upper", "middle", "lower"]),
            (None, ["first", "middle", "last"]),
        ],
    )
    def test_cut_by_slice_index_and_named_by_direction(self, towards_head, thirds):
        ours = figures(self.LABELS, self.LUNGS, towards_head=towards_head)
        rows = {row["region"]: row for row in ours.rows() if row["class"] == "C1"}
        shares = {region: [rows[region][f"share_{third}_third"] for third in thirds] for region in REGIONS}
        assert shares["both lungs"] == pytest.approx([2 / 3, 1 / 3, 0])
        assert shares["left lung"] == [1, 0, 0] and shares["right lung"] == [0, 1, 0]
        assert shares["whole scan"] == pytest.approx([2 / 4, 1 / 4, 0])  # slice 12 lies beyond the lungs
        assert shares["outside lungs"] == [0, 0, 0]

    def test_undefined_without_three_slices_of_lung(self):
        ours = figures(self.LABELS[:4], self.LUNGS[:4])
        assert np.isnan(ours.involvement("C1").third_shares).all()
        assert np.isfinite(figures(self.LABELS[:5], self.LUNGS[:5]).involvement("C1").third_shares).all()


class TestUndefined:
    def test_an_absent_lung(self):
        labels, lungs = scan()
        lungs[lungs == 1] = 0
        ours = figures(labels, lungs)
        left = ours.involvement(region="left lung")
        assert (left.voxels, left.region_voxels, left.volume_ml, left.num_lesions) == (0, 0, 0, 0)
        assert np.isnan(left.share) and left.band == "" and np.isnan(left.slice_shares).all()
        assert ours.involvement(region="right lung").share == ours.involvement().share
        assert any("left lung" in note for note in ours.notes)

    def test_no_lesion(self):
        labels, lungs = scan()
        healthy = figures(labels * 0, lungs).involvement()
        assert (healthy.voxels, healthy.share, healthy.band, healthy.num_lesions) == (0, 0, "0 %", 0)
        assert (healthy.largest_voxels, healthy.largest_ml) == (0, 0)
        assert np.isnan([*vars(healthy.shape).values(), *healthy.slice_shares, *healthy.third_shares]).all()

    def test_unknown_spacing_leaves_voxels_and_shares(self):
        labels, lungs = scan()
        known, unknown = figures(labels, lungs), figures(labels, lungs, None)
        assert "spacing is unknown" in unknown.notes[0] and not any("spacing" in note for note in known.notes)
        for row, expected in zip(unknown.rows(), known.rows(), strict=True):
            for key in row:
                assert row[key] is None if key.endswith(("_ml", "_mm")) else row[key] == expected[key]
        assert all(row["area_mm2"] is None and row["lung_area_mm2"] is None for row in unknown.slice_rows())

    def test_unknown_lungs_leave_the_whole_scan(self):
        labels, lungs = scan()
        ours = figures(labels, None)
        assert {i.region for i in ours.involvements} == {"whole scan"}
        everywhere = figures(labels, lungs).involvement(region="whole scan")
        assert ours.involvement(region="whole scan").shape == everywhere.shape
        assert ours.involvement(region="whole scan").share == np.count_nonzero(labels) / labels.size
        assert all(row["lung_share"] is None and row["lung_pixels"] == 0 for row in ours.slice_rows())
        assert any("lungs are unknown" in note for note in ours.notes)
        with pytest.raises(KeyError, match="both lungs"):
            ours.involvement()

    def test_lesions_outside_the_lungs_are_counted_and_named(self):
        labels, lungs = np.zeros((2, 2, 8, 8), np.uint8)
        lungs[:, :, :3] = 1
        labels[0, 0, 1:5] = 1  # four pixels, two of them outside
        labels[1, 6:8, 6] = 1
        ours = figures(labels, lungs, class_names=CLASSES[:2])
        outside = ours.involvement("C1", "outside lungs")
        assert (outside.voxels, outside.num_lesions, outside.largest_voxels) == (4, 1, 2)
        assert ours.involvement("C1", "both lungs").num_lesions == 1
        assert "C1: 4 of 6 voxels lie outside the lungs; 1 of 2 lesions wholly." in ours.notes


@pytest.mark.parametrize(
    ("pixels", "band"),
    [(0, "0 %"), (1, "<25 %"), (24, "<25 %"), (25, "25-50 %"), (49, "25-50 %"), (50, "50-75 %"), (75, ">75 %")],
)
def test_bands_of_mosmeddata(pixels, band):
    labels = (np.arange(100) < pixels).astype(np.uint8).reshape(1, 10, 10)
    assert figures(labels, np.ones_like(labels)).involvement(region="left lung").band == band


class TestTables:
    def test_slices(self):
        labels, lungs = scan()
        ours = figures(labels, lungs)
        rows = ours.slice_rows()
        assert len(rows) == len(labels) * 4
        for row in rows:
            label, lung = labels[row["index"]], lungs[row["index"]] > 0
            of_class = label > 0 if row["class"] == ALL_LESIONS else label == CLASSES.index(row["class"])
            assert row["slice"] == f"{row['index'] + 1:03}"
            assert row["pixels"] == of_class.sum() and row["lung_pixels"] == lung.sum()
            assert row["area_mm2"] == pytest.approx(of_class.sum() * 0.7 * 0.8)
            assert row["lung_area_mm2"] == pytest.approx(lung.sum() * 0.7 * 0.8)
            expected = (of_class & lung).sum() / lung.sum() if lung.any() else None
            assert row["lung_share"] == (None if expected is None else pytest.approx(expected))
        assert not lungs[0].any() and rows[0]["lung_share"] is None
        for group in ours.groups:
            assert sum(row["share"] for row in rows if row["class"] == group) == pytest.approx(1)

    @pytest.mark.parametrize("spacing", [None, SPACING])
    @pytest.mark.parametrize("with_lungs", [True, False])
    def test_json_without_nan_and_csv(self, spacing, with_lungs):
        labels, lungs = scan()
        labels[labels == 3] = 0
        ours = figures(labels, lungs if with_lungs else None, spacing)
        written = json.loads(json.dumps(ours.to_dict(), allow_nan=False))
        assert written == ours.to_dict()
        assert written["spacing_mm"] == (spacing and list(spacing)) and written["num_slices"] == 9
        assert len(written["involvement"][0]["slice_shares"]) == 9 and written["slices"] == ours.slice_rows()
        for rows in (ours.rows(), ours.slice_rows()):
            assert len({tuple(row) for row in rows}) == 1  # one header fits all
            text = io.StringIO()
            writer = csv.DictWriter(text, rows[0])
            writer.writeheader()
            writer.writerows(rows)
            read = list(csv.DictReader(io.StringIO(text.getvalue())))
            for row, expected in zip(read, rows, strict=True):
                assert row == {key: "" if value is None else str(value) for key, value in expected.items()}

    def test_none_if_nan(self):
        assert none_if_nan(np.float64("nan")) is None and none_if_nan(math.nan) is None
        assert none_if_nan("nan") == "nan" and type(none_if_nan(np.int64(3))) is int


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 4), np.uint8)}, "labels must be integers"),
        ({"labels": np.zeros((2, 4, 4))}, "labels must be integers"),
        ({"labels": np.full((2, 4, 4), 4)}, r"Received: 4\.\.4"),
        ({"class_names": ["C0"]}, "at least 2 class names"),
        ({"lungs": np.ones((2, 4, 4), bool)}, r"lungs must be integers 0 \(none\), 1 \(left\) and 2 \(right\)"),
        ({"lungs": np.full((2, 4, 4), 3)}, "lungs must be integers"),
        ({"lungs": np.zeros((2, 4, 5), int)}, "lungs must be integers"),
        ({"spacing": (1.0, 1.0)}, "spacing must be 3 positive numbers"),
        ({"spacing": (1.0, 1.0, -1.0)}, "spacing must be 3 positive numbers"),
        ({"slice_names": ["1"]}, "slice_names must be 2"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {
        "labels": np.zeros((2, 4, 4), np.uint8),
        "lungs": None,
        "spacing": None,
        "class_names": CLASSES,
        "slice_names": ["1", "2"],
    }
    with pytest.raises(ValueError, match=message):
        severity(**(good | change))


def test_no_copy_of_the_volume_wider_than_the_lesions_labels():
    labels, lungs = (np.repeat(part, 4, axis=2) for part in scan(shape=(60, 128, 40)))
    tracemalloc.start()
    figures(labels, lungs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * labels.size  # labels of 4 bytes, masks of 1
