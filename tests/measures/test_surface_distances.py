"""Surface distances against all pairs of points, distance transforms, and spheres, squares and lines by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from unet_segnet.measures.surface_distances import surface, surface_distances

repeatable = settings(derandomize=True, deadline=None, max_examples=30)
masks = npst.arrays(bool, st.shared(npst.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=7), key="shape"))


def outline(mask):
    """Surface voxels one by one, for reading."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                neighbour = index.copy()
                neighbour[axis] += step
                outside = neighbour[axis] < 0 or neighbour[axis] >= mask.shape[axis] or not mask[tuple(neighbour)]
                if outside and tuple(index) not in points:
                    points.append(tuple(index))
    return np.array(points, float)


def by_all_pairs(truth, prediction, spacing):
    a, b = outline(truth) * spacing, outline(prediction) * spacing
    pairs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    forth, back = pairs.min(axis=1), pairs.min(axis=0)
    return (
        np.concatenate([forth, back]).mean(),
        max(np.percentile(forth, 95), np.percentile(back, 95)),
        max(forth.max(), back.max()),
    )


def values(distances):
    return distances.mean, distances.hausdorff95, distances.hausdorff


class TestDefinition:
    @repeatable
    @given(masks, masks, st.tuples(*[st.sampled_from([0.5, 1.0, 0.7, 3.0])] * 3))
    def test_equals_all_pairs_of_surface_points(self, truth, prediction, spacing):
        spacing = spacing[: truth.ndim]
        ours = values(surface_distances(truth, prediction, spacing))
        if truth.any() and prediction.any():
            np.testing.assert_allclose(ours, by_all_pairs(truth, prediction, spacing), rtol=1e-12)
        else:
            assert np.isnan(ours).all()

    @repeatable
    @given(masks, masks, st.permutations([0.5, 1.0, 4.0]))
    def test_symmetric_and_the_same_after_turning_the_array(self, truth, prediction, spacing):
        spacing = tuple(spacing[: truth.ndim])
        ours = values(surface_distances(truth, prediction, spacing))
        np.testing.assert_allclose(values(surface_distances(prediction, truth, spacing)), ours, rtol=1e-12)
        turned = surface_distances(truth.T[::-1], prediction.T[::-1], spacing[::-1])
        np.testing.assert_allclose(values(turned), ours, rtol=1e-12)

    @repeatable
    @given(masks, masks)
    def test_ordered_and_in_proportion_to_the_spacing(self, truth, prediction):
        ours = np.array(values(surface_distances(truth, prediction)))
        if np.isnan(ours).any():
            return
        assert 0 <= ours[0] <= ours[2] and ours[1] <= ours[2]
        scaled = values(surface_distances(truth, prediction, (2.5,) * truth.ndim))
        np.testing.assert_allclose(scaled, 2.5 * ours, rtol=1e-12)

    def test_equals_distance_transforms_of_the_whole_volume(self):
        noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(2, 20, 60, 50)), (0, 2, 3, 3))
        truth, prediction = noise > 0.02
        spacing = (5.0, 0.7, 0.8)
        edges = [m & ~ndimage.binary_erosion(m, ndimage.generate_binary_structure(3, 1)) for m in (truth, prediction)]
        away = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
        forth, back = away[1][edges[0]], away[0][edges[1]]
        expected = (
            np.concatenate([forth, back]).mean(),
            max(np.percentile(forth, 95), np.percentile(back, 95)),
            max(forth.max(), back.max()),
        )
        np.testing.assert_allclose(values(surface_distances(truth, prediction, spacing)), expected, rtol=1e-12)

    def test_the_percentile_is_directed_and_the_mean_pooled(self):
        """A line of 100 voxels, predicted with 10 more far off: 100 distances of 0 forth; 100 of 0, 10 of 50 back."""
        truth, prediction = np.zeros((2, 60, 100), bool)
        truth[0] = prediction[0] = True
        prediction[50, :10] = True
        ours = surface_distances(truth, prediction)
        back = [0] * 100 + [50] * 10
        assert ours.hausdorff95 == np.percentile(back, 95) == 50
        assert np.percentile([0] * 100 + back, 95) < 50  # what pooling would give
        assert ours.mean == pytest.approx(np.mean([0] * 100 + back))


class TestByHand:
    def test_spheres_of_two_radii(self):
        grid = np.ogrid[-25:26, -25:26, -25:26]
        radius = np.sqrt(sum(axis**2 for axis in grid))
        ours = surface_distances(radius <= 12, radius <= 20)
        assert ours.mean == pytest.approx(8, abs=0.3)
        assert ours.hausdorff95 == pytest.approx(8, abs=0.6) and ours.hausdorff == pytest.approx(8, abs=0.8)

    def test_spheres_in_millimetres_on_anisotropic_voxels(self):
        spacing = (1.0, 0.5, 0.75)
        z, y, x = (np.arange(-30, 31, step) for step in spacing)
        radius = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        ours = surface_distances(radius <= 18, radius <= 28, spacing)
        assert ours.mean == pytest.approx(10, abs=0.3) and ours.hausdorff == pytest.approx(10, abs=1.0)

    def test_squares_one_inside_the_other(self):
        small, large = np.zeros((2, 40, 40), bool)
        small[15:25, 15:25] = large[10:30, 10:30] = True
        ours = surface_distances(small, large)
        corner = math.hypot(5, 5)
        assert ours.hausdorff == pytest.approx(corner)
        forth = np.full(36, 5.0)
        back = [math.hypot(5, beyond) for beyond in range(1, 6)]
        back = np.array([5.0] * 40 + 8 * back[:4] + 4 * back[4:])
        assert len(back) == 76
        assert ours.mean == pytest.approx(np.concatenate([forth, back]).mean())

    @pytest.mark.parametrize(("axis", "distance"), [(0, 3 * 5.0), (1, 3 * 0.7), (2, 3 * 0.8)])
    def test_single_voxels_three_apart(self, axis, distance):
        truth, prediction = np.zeros((2, 8, 8, 8), bool)
        truth[2, 2, 2] = True
        prediction[tuple(5 if other == axis else 2 for other in range(3))] = True
        ours = surface_distances(truth, prediction, (5.0, 0.7, 0.8))
        assert values(ours) == pytest.approx((distance,) * 3)

    def test_a_volume_of_one_slice_is_a_slice(self):
        """In 3-D every voxel of one slice is surface, and the mean would run over the inside."""
        small, large = np.zeros((2, 40, 40), np.uint8)
        small[15:25, 15:25] = large[10:30, 10:30] = 3
        volume = surface_distances(small[None], large[None], (8.0, 2.0, 1.0))
        assert volume == surface_distances(small, large, (2.0, 1.0))

    def test_surface_at_the_edge_of_the_array(self):
        expected = np.ones((4, 5), bool)
        expected[1:-1, 1:-1] = False
        np.testing.assert_array_equal(surface(np.ones((4, 5))), expected)

    def test_equal_masks_are_0_and_empty_ones_nan(self):
        mask, empty = np.eye(5, dtype=bool), np.zeros((5, 5), bool)
        assert values(surface_distances(mask, mask)) == (0, 0, 0)
        for pair in ((mask, empty), (empty, mask), (empty, empty)):
            assert np.isnan(values(surface_distances(*pair))).all()


@pytest.mark.parametrize(
    ("shapes", "spacing", "message"),
    [
        (((4, 4), (4, 5)), None, "must have one shape"),
        (((4,), (4,)), None, "must have one shape"),
        (((4, 4), (4, 4)), (1.0, 1.0, 1.0), "spacing must be 2 positive numbers"),
        (((4, 4), (4, 4)), (1.0, 0.0), "spacing must be 2 positive numbers"),
        (((4, 4), (4, 4)), (1.0, math.nan), "spacing must be 2 positive numbers"),
    ],
)
def test_bad_input_is_named(shapes, spacing, message):
    with pytest.raises(ValueError, match=message):
        surface_distances(*(np.ones(shape, bool) for shape in shapes), spacing)
