"""Which slices train, validate and test.

Of the 100 slices of the first data set, patients cannot be kept together (`paper_split`, `five_folds`): nobody
published which of them come from which of its more than 40 patients, so that a slice of a patient may train the
network that another slice of the same patient tests. Scores on these splits are to be read with that in mind. Where
patients are known, `grouped_split` and `grouped_folds` keep each in one part.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.errors import InputError
from unet_segnet.output.files import read_small, whole_file

NUM_FOLDS = 5
PARTS = ("train", "validation", "test")
VALIDATION_SHARE, TEST_SHARE = 0.10, 0.18  # of the authors' split
SPLIT_FORMAT = 1
MAX_SPLIT_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Split:
    """Zero-based slice indices (int64 arrays) of the three parts, each in its order of use."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def paper_split(num_slices: int = 100) -> Split:
    """The authors' split: 72 slices train, the next 10 validate, the last 18 test, after one permutation.

    For another number of slices (at least 3) the same permutation rule and the same proportions are used,
    with at least one slice in each part.

    Source: the authors' scripts, `rng(0); randperm(100)` in MATLAB R2020a; equal to the stable order of
    the first 100 doubles of MT19937 seeded with 5489. One-based, the test slices are 71 23 65 2 4 18 85
    75 24 95 39 13 9 66 20 57 10 12.

    Raises:
        InputError: fewer than 3 slices.
    """
    if num_slices < 3:
        raise InputError(f"cannot split {num_slices} slices into training, validation and test: give 3 or more")
    # The old generator on purpose: its doubles are MATLAB's.
    order = np.argsort(np.random.RandomState(5489).rand(num_slices), kind="stable")
    num_validation = max(round(VALIDATION_SHARE * num_slices), 1)
    num_test = max(round(TEST_SHARE * num_slices), 1)
    num_train = num_slices - num_validation - num_test
    return Split(*np.split(order, [num_train, num_train + num_validation]))


def five_folds(num_slices: int = 100, seed: int = 0) -> list[Split]:
    """Five-fold cross validation: scramble once, then take 70 % / 10 % / 20 % successively around the circle.

    Fold k's test part is the k-th fifth of the scrambled order, so that every slice is tested exactly
    once; its training part begins right after that fifth, its validation part right after the training
    part.

    Arguments:
        num_slices: number of slices, at least 5.
        seed: seed of the one permutation (NumPy's default generator).

    Source: paper, section "cross validation"; which permutation the authors drew is not known.

    Raises:
        InputError: fewer than 5 slices.
    """
    if num_slices < NUM_FOLDS:
        raise InputError(f"cannot make {NUM_FOLDS} folds of {num_slices} slices: give {NUM_FOLDS} or more")
    order = np.random.default_rng(seed).permutation(num_slices)
    num_validation = max(round(VALIDATION_SHARE * num_slices), 1)
    folds, start = [], 0
    for test in np.array_split(order, NUM_FOLDS):
        start += len(test)
        rest = np.roll(order, -start)[: num_slices - len(test)]
        train, validation = np.split(rest, [len(rest) - num_validation])
        folds.append(Split(train, validation, test))
    return folds


def grouped_split(
    groups: Sequence[str], seed: int = 0, validation_share: float = VALIDATION_SHARE, test_share: float = TEST_SHARE
) -> Split:
    """One split that keeps each group, such as a patient, in one part.

    Arguments:
        groups: (num_slices,) the group of each slice.
        seed: of the draw.
        validation_share, test_share: of the groups, 0 to 1; at least one group each, or none for 0.

    Returns:
        Split; within a part, slices in their order.

    Raises:
        InputError: too few groups for three parts, or shares that leave none to train on.
    """
    groups = np.asarray(groups)
    _check_shares(validation_share=validation_share, test_share=test_share)
    num_groups = len(set(groups.tolist()))
    sizes = [share and max(round(share * num_groups), 1) for share in (test_share, validation_share)]
    if sum(sizes) >= num_groups:
        held = [f"`{part}_share`" for part, size in zip(("test", "validation"), sizes, strict=True) if size]
        shares = (" or " if min(sizes) < num_groups else " and ").join(held)
        raise InputError(
            f"{_patients(num_groups)}: cannot be divided into training, validation and test so that each stays in "
            f"one part; give more, mark test data in a manifest, or set {shares} to 0"
        )
    rest, parts = np.arange(len(groups)), []
    for size in sizes:
        held = np.zeros(0, np.int64)
        if size:
            rest, held = _hold_out(rest, groups, size, seed)
        parts.append(held)
    return Split(rest, parts[1], parts[0])


def _check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise InputError(f"`{name}` {share:g}: expected 0 or more, below 1")


def grouped_folds(
    groups: Sequence[str], num_folds: int = NUM_FOLDS, seed: int = 0, validation_share: float = VALIDATION_SHARE
) -> list[Split]:
    """Cross-validation that keeps each group in one part; every slice is tested exactly once.

    The test parts are those of scikit-learn's `GroupKFold`: about equally many slices each.

    Arguments:
        groups: (num_slices,) the group of each slice.
        num_folds: at least 2.
        seed: which of several equally large groups goes where, and the draw of the validation groups.
        validation_share: of all groups, that each fold keeps for validation; at least one group, or none for 0.

    Raises:
        InputError: fewer groups than folds, none left to train on, or a share that is none.
    """
    from sklearn.model_selection import GroupKFold

    _check_shares(validation_share=validation_share)
    groups = np.asarray(groups)
    names, codes = np.unique(groups, return_inverse=True)
    if num_folds < 2 or len(names) < num_folds:
        raise InputError(
            f"{_patients(len(names))}: cannot make {num_folds} folds that keep each in one part; expected at least 2 "
            "folds and as many patients"
        )
    size = validation_share and max(round(validation_share * len(names)), 1)
    mixed = np.random.default_rng(seed).permutation(len(names))[codes]
    folds = []
    for number, (rest, test) in enumerate(GroupKFold(num_folds).split(mixed, groups=mixed)):
        if size >= len(set(mixed[rest].tolist())):
            raise InputError(f"{_patients(len(names))}: none are left to train on in {num_folds} folds; make fewer")
        held = np.zeros(0, np.int64)
        if size:
            rest, held = _hold_out(rest, groups, size, seed + number)
        folds.append(Split(rest, held, test))
    return folds


def _hold_out(indices, groups, num_groups, seed):
    """Indices without, and of, so many groups drawn at random."""
    from sklearn.model_selection import GroupShuffleSplit

    draw = GroupShuffleSplit(1, test_size=num_groups, random_state=seed)
    kept, held = next(draw.split(indices, groups=groups[indices]))
    return indices[kept], indices[held]


def _patients(number):
    return f"{number} patient{'' if number == 1 else 's'}"


def write_splits(path: str | Path, splits: Sequence[Split], names: Sequence[str], groups: Sequence[str]) -> None:
    """Write splits as JSON, by the names of slices, to be read again by `read_splits`.

    Arguments:
        path: the file.
        splits: one, or one per fold.
        names: of all slices.
        groups: likewise, the group of each; kept for the reader's eye.
    """
    content = {
        "format": SPLIT_FORMAT,
        "folds": [{part: [names[index] for index in getattr(split, part)] for part in PARTS} for split in splits],
        "patients": [
            {part: sorted({groups[index] for index in getattr(split, part)}) for part in PARTS} for split in splits
        ],
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_splits(path: str | Path, names: Sequence[str], groups: Sequence[str]) -> list[Split]:
    """Read a file of `write_splits` for these slices.

    Arguments:
        path: the file.
        names: of all slices that are there now; the file may leave some of them out.
        groups: likewise, the group of each.

    Raises:
        InputError: a damaged file, one of other slices, a slice or a group in two parts, or nothing to train on.
    """
    path, place = Path(path), {name: index for index, name in enumerate(names)}
    try:
        content = json.loads(read_small(path, MAX_SPLIT_BYTES))
        if content["format"] != SPLIT_FORMAT:
            raise ValueError(f"format {content['format']}, expected {SPLIT_FORMAT}")
        folds = [[list(map(str, fold[part])) for part in PARTS] for fold in content["folds"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: no split that can be read ({type(error).__name__}: {error}); make a new one"
        ) from error
    splits = []
    for parts in folds:
        listed = [name for part in parts for name in part]
        unknown = [name for name in listed if name not in place]
        if unknown:
            raise InputError(
                f"{path}: {len(unknown)} slices are not in this data ({unknown[0]}, ...); make a new split"
            )
        if len(set(listed)) < len(listed):
            raise InputError(f"{path}: a slice stands there twice; expected each in one part of a split")
        held = [{groups[place[name]] for name in part} for part in parts]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            if shared := held[first] & held[second]:
                raise InputError(
                    f"{path}: patient {min(shared)} is in {PARTS[first]} and in {PARTS[second]}; expected one part"
                )
        splits.append(Split(*(np.array([place[name] for name in part], np.int64) for part in parts)))
    if not splits or any(not len(split.train) for split in splits):
        raise InputError(f"{path}: names no slices to train on; make a new split")
    return splits
