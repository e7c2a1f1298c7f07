"""The authors' split and the five folds; splits and folds by patient."""

import numpy as np
import pytest

from unet_segnet.data import five_folds, paper_split
from unet_segnet.data.splits import grouped_folds, grouped_split, read_splits, write_splits
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


GROUPS = [f"p{number // 4}" for number in range(40)]  # ten patients of four slices


def held(split, groups):
    return [{groups[index] for index in part} for part in parts(split)]


@pytest.mark.parametrize("seed", range(5))
def test_a_grouped_split_keeps_each_patient_in_one_part(seed):
    split = grouped_split(GROUPS, seed)
    assert sorted(np.concatenate(parts(split))) == list(range(40))
    assert [len(group) for group in held(split, GROUPS)] == [7, 1, 2]
    assert len(set().union(*held(split, GROUPS))) == 10
    np.testing.assert_array_equal(split.train, grouped_split(GROUPS, seed).train)


def test_parts_can_be_left_out():
    split = grouped_split(["one"] * 4, validation_share=0, test_share=0)
    assert [len(part) for part in parts(split)] == [4, 0, 0]
    split = grouped_split(["a", "a", "b"], validation_share=0)
    assert [len(part) for part in parts(split)] in ([2, 0, 1], [1, 0, 2])


def test_one_patient_cannot_be_divided():
    said = (
        "1 patient: cannot be divided into training, validation and test .* set `test_share` and `validation_share` to"
    )
    with pytest.raises(InputError, match=said):
        grouped_split(["one"] * 40)
    with pytest.raises(InputError, match="set `test_share` to 0"):
        grouped_split(["one"] * 40, validation_share=0)
    with pytest.raises(InputError, match=r"2 patients: cannot be divided .* `test_share` or `validation_share` to 0"):
        grouped_split(["a", "b"])
    with pytest.raises(InputError, match="below 1"):
        grouped_split(GROUPS, test_share=1.0)
    with pytest.raises(InputError, match="3 patients: cannot make 4 folds"):
        grouped_folds(["a", "b", "c"], 4)
    with pytest.raises(InputError, match="none are left to train on"):
        grouped_folds(["a", "b"], 2)


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_grouped_folds_are_those_of_scikit_learn(num_folds):
    from sklearn.model_selection import GroupKFold

    sizes = np.random.default_rng(1).integers(1, 9, 12)
    groups = np.repeat([f"p{number}" for number in range(12)], sizes)
    folds = grouped_folds(groups, num_folds, seed=3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(groups)))
    for fold in folds:
        assert len(set().union(*held(fold, groups))) == sum(map(len, held(fold, groups))) == 12
        assert len(held(fold, groups)[1]) == 1
    expected = [len(test) for _, test in GroupKFold(num_folds).split(groups, groups=groups)]
    assert sorted(len(fold.test) for fold in folds) == sorted(expected)
    assert any(list(fold.test) != list(other.test) for fold, other in
               zip(folds, grouped_folds(groups, num_folds, seed=4), strict=True))  # fmt: skip


@pytest.mark.parametrize("share", [float("nan"), -0.5, 1.5])
def test_a_share_that_is_none_is_one_clear_line(share):
    groups = [str(number) for number in range(10)]
    for divide in (grouped_folds, grouped_split):
        with pytest.raises(InputError, match=r"`validation_share`.*expected 0 or more, below 1"):
            divide(groups, validation_share=share)


def test_a_written_split_is_read_as_it_was(tmp_path):
    names = [f"s{number}" for number in range(40)]
    folds = grouped_folds(GROUPS, 3)
    write_splits(tmp_path / "split.json", folds, names, GROUPS)
    for read, written in zip(read_splits(tmp_path / "split.json", names, GROUPS), folds, strict=True):
        for one, other in zip(parts(read), parts(written), strict=True):
            np.testing.assert_array_equal(one, other)
    # In another order, with more slices: the same slices by name.
    turned = read_splits(tmp_path / "split.json", ["new", *reversed(names)], ["x", *reversed(GROUPS)])
    assert [["new", *reversed(names)][index] for index in turned[0].test] == [names[index] for index in folds[0].test]


def test_a_split_that_does_not_fit_is_one_clear_line(tmp_path):
    path = tmp_path / "split.json"
    names = [f"s{number}" for number in range(40)]
    write_splits(path, [grouped_split(GROUPS)], names, GROUPS)
    text = path.read_text()
    with pytest.raises(InputError, match=r"40 slices are not in this data \(s"):
        read_splits(path, [f"t{number}" for number in range(40)], GROUPS)
    with pytest.raises(InputError, match=r"patient one is in train and in validation"):
        read_splits(path, names, ["one"] * 40)
    for damaged in ("", text[:100], "[]", '{"format": 9, "folds": []}', '{"format": 1, "folds": []}'):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"split\.json"):
            read_splits(path, names, GROUPS)
