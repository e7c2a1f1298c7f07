"""Which slices train, validate and test.

Patients cannot be kept together: nobody published which of the 100 slices of the first data set come from
which of its more than 40 patients, so that a slice of a patient may train the network that another slice
of the same patient tests. Scores on these splits are to be read with that in mind.
"""

from dataclasses import dataclass

import numpy as np

from unet_segnet.errors import InputError

NUM_FOLDS = 5


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
    num_validation = max(round(0.10 * num_slices), 1)
    num_test = max(round(0.18 * num_slices), 1)
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
    num_validation = max(round(0.10 * num_slices), 1)
    folds, start = [], 0
    for test in np.array_split(order, NUM_FOLDS):
        start += len(test)
        rest = np.roll(order, -start)[: num_slices - len(test)]
        train, validation = np.split(rest, [len(rest) - num_validation])
        folds.append(Split(train, validation, test))
    return folds
