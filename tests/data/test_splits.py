"""The authors' split and the five folds."""

import numpy as np
import pytest

from unet_segnet.data import five_folds, paper_split
from unet_segnet.errors import InputError

# The order of the released per-image tables, one-based.
TEST_SLICES = [71, 23, 65, 2, 4, 18, 85, 75, 24, 95, 39, 13, 9, 66, 20, 57, 10, 12]


def parts(split):
    return split.train, split.validation, split.test


def test_paper_split_is_the_published_one():
    split = paper_split()
    assert (split.test + 1).tolist() == TEST_SLICES
    assert [len(part) for part in parts(split)] == [72, 10, 18]
    order = np.argsort(np.random.RandomState(5489).rand(100), kind="stable")
    np.testing.assert_array_equal(np.concatenate(parts(split)), order)


@pytest.mark.parametrize("num_slices", [3, 4, 7, 20, 99, 100, 301])
def test_paper_split_covers_every_slice_once(num_slices):
    split = paper_split(num_slices)
    assert min(len(part) for part in parts(split)) >= 1
    assert sorted(np.concatenate(parts(split))) == list(range(num_slices))
    if num_slices >= 20:
        assert len(split.train) / num_slices == pytest.approx(0.72, abs=0.03)


@pytest.mark.parametrize("num_slices", [5, 6, 23, 100, 101])
def test_five_folds_test_every_slice_once(num_slices):
    folds = five_folds(num_slices, seed=3)
    assert len(folds) == 5
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(num_slices))
    for fold in folds:
        assert sorted(np.concatenate(parts(fold))) == list(range(num_slices))
        assert min(len(part) for part in parts(fold)) >= 1


def test_five_folds_are_70_10_20_taken_successively_from_one_permutation():
    folds = five_folds(100, seed=0)
    order = np.concatenate([fold.test for fold in folds])
    for number, fold in enumerate(folds):
        assert [len(part) for part in parts(fold)] == [70, 10, 20]
        around = np.roll(order, -20 * (number + 1))
        np.testing.assert_array_equal(np.concatenate(parts(fold)), around)


def test_five_folds_depend_on_the_seed_alone():
    first, again, other = five_folds(100, 0), five_folds(100, 0), five_folds(100, 1)
    np.testing.assert_array_equal(first[2].train, again[2].train)
    assert not np.array_equal(first[2].train, other[2].train)


def test_too_few_slices_are_one_clear_line():
    with pytest.raises(InputError, match="cannot split 2 slices"):
        paper_split(2)
    with pytest.raises(InputError, match="folds of 4 slices"):
        five_folds(4)
