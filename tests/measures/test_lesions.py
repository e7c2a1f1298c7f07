"""Lesions and their shape against scikit-image's labels and region properties, and bodies known by hand."""

import math

import numpy as np
import pytest
import skimage.measure
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from unet_segnet.measures.lesions import Lesions, Shape, lesion_shape, lesions_by_region
from unet_segnet.measures.severity import REGIONS

repeatable = settings(derandomize=True, deadline=None, max_examples=40)
SPACING = (5.0, 0.7, 0.8)


def blobs(seed, shape=(12, 40, 36)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 2, 2))
    return noise > np.quantile(noise, 0.85)


def ball(radius, spacing):
    axes = (np.arange(-(radius // step) - 2, radius // step + 3) * step for step in spacing)
    grid = np.meshgrid(*axes, indexing="ij")
    return sum(axis**2 for axis in grid) <= radius**2


class TestShape:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING])
    def test_a_volume_equals_regionprops(self, seed, spacing):
        for region in skimage.measure.regionprops(skimage.measure.label(blobs(seed)), spacing=spacing):
            ours = lesion_shape(region.image, spacing)
            assert ours.equivalent_diameter_mm == pytest.approx(region.equivalent_diameter_area)
            # Where a lesion is one slice thick, regionprops takes the root of what rounding left of 0.
            assert ours.axis_major_mm == pytest.approx(region.axis_major_length, abs=1e-5)
            assert ours.axis_minor_mm == pytest.approx(region.axis_minor_length, abs=1e-5)
            assert ours.extent == pytest.approx(region.extent)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0), SPACING[1:]])
    def test_a_slice_equals_regionprops(self, spacing):
        for region in skimage.measure.regionprops(skimage.measure.label(blobs(5)[4]), spacing=spacing):
            ours = lesion_shape(region.image, spacing)
            assert ours.equivalent_diameter_mm == pytest.approx(region.equivalent_diameter_area)
            assert ours.axis_major_mm == pytest.approx(region.axis_major_length, abs=1e-5)
            assert ours.axis_minor_mm == pytest.approx(region.axis_minor_length, abs=1e-5)
            assert ours.extent == pytest.approx(region.extent)

    def test_solidity_of_a_large_lesion_is_that_of_regionprops(self):
        noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(300, 300)), 14)
        regions = skimage.measure.regionprops(skimage.measure.label(noise > np.quantile(noise, 0.6)))
        large = [region for region in regions if region.area > 2000]
        assert len(large) == 5
        for region in large:
            assert lesion_shape(region.image, None).solidity == pytest.approx(region.solidity, abs=0.03)

    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.6, 0.9)])
    def test_a_ball(self, spacing):
        shape = lesion_shape(ball(15.0, spacing), spacing)
        assert shape.equivalent_diameter_mm == pytest.approx(30, rel=0.01)
        assert shape.axis_major_mm == pytest.approx(30, rel=0.02) and shape.axis_minor_mm == pytest.approx(30, rel=0.02)
        assert 0.85 < shape.solidity < 1 and 0.4 < shape.extent < 0.6

    def test_an_ellipsoid_across_the_axes(self):
        z, y, x = np.mgrid[-30:31, -30:31, -30:31] * 1.0
        along, across = (y + x) / math.sqrt(2), (y - x) / math.sqrt(2)
        shape = lesion_shape((z / 12) ** 2 + (along / 24) ** 2 + (across / 8) ** 2 <= 1, (1, 1, 1))
        assert shape.axis_major_mm == pytest.approx(48, rel=0.01)
        assert shape.axis_minor_mm == pytest.approx(16, rel=0.02)

    def test_solidity_by_hand(self):
        corner = np.array([[True, False], [True, True]])
        assert lesion_shape(corner, None).solidity == pytest.approx(3 / 3.5)
        prism = np.broadcast_to(corner, (4, 2, 2))
        assert lesion_shape(prism, None).solidity == pytest.approx(3 / 3.5)
        hollow = np.ones((5, 5, 5), bool)
        hollow[1:-1, 1:-1, 1:-1] = False
        assert lesion_shape(hollow, SPACING).solidity == pytest.approx(1 - 27 / 125)

    def test_solidity_equals_the_hull_of_all_voxel_corners(self):
        from scipy.spatial import ConvexHull

        mask = blobs(7, (6, 20, 18))
        corners = np.concatenate([np.argwhere(mask) + np.array(step) for step in np.ndindex(2, 2, 2)])
        assert lesion_shape(mask, None).solidity == pytest.approx(mask.sum() / ConvexHull(corners).volume)

    def test_a_voxel_is_a_box_without_axes(self):
        shape = lesion_shape(np.ones((1, 1, 1), bool), SPACING)
        assert shape.extent == 1 and shape.solidity == pytest.approx(1)
        assert shape.axis_major_mm == shape.axis_minor_mm == 0
        assert shape.equivalent_diameter_mm == pytest.approx((6 * math.prod(SPACING) / math.pi) ** (1 / 3))

    def test_unknown_spacing_leaves_the_lengths_open(self):
        shape = lesion_shape(ball(5.0, (1, 1, 1)), None)
        assert np.isnan([shape.equivalent_diameter_mm, shape.axis_major_mm, shape.axis_minor_mm]).all()
        assert 0 < shape.extent < shape.solidity < 1

    @pytest.mark.parametrize("mask", [np.ones(3), np.zeros((3, 3))])
    def test_bad_input_is_named(self, mask):
        with pytest.raises(ValueError, match="mask must be 2-D or 3-D and not empty"):
            lesion_shape(mask, None)


class TestLesionsByRegion:
    @repeatable
    @given(
        npst.arrays(bool, (4, 6, 5)),
        npst.arrays(np.uint8, (4, 6, 5), elements=st.integers(0, 2)),
        st.booleans(),
    )
    def test_equals_labels_of_scikit_image(self, mask, lungs, in_plane):
        ours = lesions_by_region(mask, lungs, REGIONS, SPACING, in_plane)
        if in_plane:
            labelled = [skimage.measure.label(plane, connectivity=2) for plane in mask]
            lesions = [
                np.stack([plane == number if index == chosen else np.zeros_like(plane, bool) for index in range(4)])
                for chosen, plane in enumerate(labelled)
                for number in range(1, plane.max() + 1)
            ]
        else:
            labelled = skimage.measure.label(mask, connectivity=3)
            lesions = [labelled == number for number in range(1, labelled.max() + 1)]
        for region, values in REGIONS.items():
            counted = [lesion for lesion in lesions if region != "outside lungs" or not (lungs[lesion] > 0).any()]
            parts = [lesion & np.isin(lungs, values) for lesion in counted]
            sizes = [part.sum() for part in parts if part.any()]
            assert ours[region].number == len(sizes)
            assert ours[region].largest_voxels == max(sizes, default=0)
            candidates = [part for part in parts if sizes and part.sum() == max(sizes)]
            extents = [part.sum() / (np.ptp(np.argwhere(part), axis=0) + 1).prod() for part in candidates]
            assert ours[region].shape.extent in [pytest.approx(extent) for extent in extents] or not candidates
            assert np.isnan(ours[region].shape.extent) == (not candidates)

    def test_a_lesion_in_both_lungs_is_described_in_each_by_its_part_there(self):
        mask, lungs = np.zeros((2, 3, 6, 12), np.uint8)
        mask[1, 2, 1:11] = 1
        lungs[..., :4], lungs[..., 4:] = 1, 2
        ours = lesions_by_region(mask > 0, lungs, REGIONS, (1.0, 1.0, 1.0), in_plane=False)
        assert [lesions.number for lesions in ours.values()] == [1, 1, 1, 1, 0]
        assert [lesions.largest_voxels for lesions in ours.values()] == [10, 10, 3, 7, 0]
        lengths = [math.sqrt(20 * (count**2 - 1) / 12) for count in (10, 10, 3, 7)]
        assert [ours[region].shape.axis_major_mm for region in list(REGIONS)[:4]] == pytest.approx(lengths)

    def test_corners_hold_a_lesion_together_across_slices_unless_they_do_not_adjoin(self):
        mask = np.zeros((3, 5, 5), bool)
        mask[0, 1, 1] = mask[1, 2, 2] = mask[2, 3, 3] = mask[2, 4, 4] = True
        whole = {"whole scan": (0, 1, 2)}
        assert lesions_by_region(mask, None, whole, None, in_plane=False)["whole scan"].number == 1
        apart = lesions_by_region(mask, None, whole, SPACING, in_plane=True)["whole scan"]
        assert (apart.number, apart.largest_voxels) == (3, 2)
        assert apart.shape.equivalent_diameter_mm == pytest.approx(math.sqrt(4 * 2 * 0.7 * 0.8 / math.pi))

    @pytest.mark.parametrize("rows", [100, 300])  # 30000 lesions, and more than 16 bits count
    def test_very_many_lesions(self, rows):
        mask, lungs = np.zeros((3, 2 * rows, 600), bool), np.full((3, 2 * rows, 600), 2, np.uint8)
        mask[::2, ::2, ::2], lungs[0], lungs[:, :rows] = True, 0, 1
        ours = lesions_by_region(mask, lungs, REGIONS, SPACING, in_plane=False)
        assert [lesions.number for lesions in ours.values()] == [
            600 * rows,
            450 * rows,
            300 * rows,
            150 * rows,
            150 * rows,
        ]

    def test_no_lesion(self):
        ours = lesions_by_region(np.zeros((2, 4, 4), bool), None, {"whole scan": (0, 1, 2)}, SPACING, False)
        assert ours == {"whole scan": Lesions(0, 0, Shape())}
