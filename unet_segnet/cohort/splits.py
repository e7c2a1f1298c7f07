"""Which slices of one's own data train, validate and test, and what makes such a division useless."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unet_segnet.cohort.copies import find_copies
from unet_segnet.cohort.load import Cohort
from unet_segnet.cohort.training import training_part
from unet_segnet.data.splits import (
    PARTS,
    TEST_SHARE,
    VALIDATION_SHARE,
    Split,
    grouped_folds,
    grouped_split,
    read_splits,
)
from unet_segnet.errors import InputError


def splits_from_file(path: Path, cohort: Cohort) -> tuple[list[Split], list[str]]:
    """The splits of a file that `unet_segnet.data.splits.write_splits` wrote, and warnings about them.

    Raises:
        InputError: the file does not fit the slices, or tests one of them in two folds.
    """
    names = cohort.slices.names
    splits = read_splits(path, names, cohort.groups)
    times = Counter(index for split in splits for index in split.test.tolist())
    twice = next((index for index, number in times.items() if number > 1), None)
    if twice is not None:
        raise InputError(
            f"{path}: {names[twice]} is tested in two folds; expected each slice at most once, or one fold a file"
        )
    held = {index for index, part in enumerate(cohort.parts) if part == "test"}
    learnt = held & {index for split in splits for part in (split.train, split.validation) for index in part.tolist()}
    warning = f"WARNING: {path} trains on {len(learnt)} slices that {cohort.source} marks test"
    return splits, [warning] if learnt else []


def draw_split(
    cohort: Cohort, seed: int = 0, validation_share: float | None = None, test_share: float | None = None
) -> Split:
    """One split: slices that a manifest marks are in that part, the others are divided by patient.

    Arguments:
        cohort: of which slices.
        seed: of the draw.
        validation_share, test_share: of the patients, 0 to 1, at least one patient or none for 0; None: the authors'
            share, or no more than is marked.

    Raises:
        InputError: too few patients, a patient in two parts, or a share of a part that is marked already.
    """
    groups, marked = np.asarray(cohort.groups), _marked(cohort)
    shares = {"validation": validation_share, "test": test_share}
    for part, usual in (("validation", VALIDATION_SHARE), ("test", TEST_SHARE)):
        if len(marked[part]) and shares[part] is not None:
            raise InputError(f"`{part}_share`: {cohort.source} marks its {part} data; leave it out")
        if shares[part] is None:
            shares[part] = 0 if len(marked[part]) else usual
    rest = marked[""]
    drawn = Split(*(np.zeros(0, np.int64) for _ in PARTS))
    if len(rest):
        drawn = grouped_split(groups[rest], seed, shares["validation"], shares["test"])
    return Split(*(np.sort(np.concatenate([marked[part], rest[getattr(drawn, part)]])) for part in PARTS))


def draw_folds(
    cohort: Cohort, num_folds: int, seed: int = 0, validation_share: float | None = None
) -> tuple[list[Split], list[str]]:
    """Cross-validation by patient, and notes on slices that a manifest marks.

    Arguments:
        cohort: of which slices; those marked test take no part.
        num_folds: at least 2.
        seed: of the draw.
        validation_share: of the patients, 0 to 1, at least one patient or none for 0; None: the authors' share.

    Raises:
        InputError: too few patients, or a patient in two parts.
    """
    marked, notes = _marked(cohort), []
    if len(marked["test"]):
        notes.append(f"note: {len(marked['test'])} slices marked test take no part in the folds")
    if again := len(marked["train"]) + len(marked["validation"]):
        notes.append(f"note: {again} slices marked train or validation are divided anew: each fold tests some of them")
    rest = np.flatnonzero(np.asarray(cohort.parts) != "test")
    share = VALIDATION_SHARE if validation_share is None else validation_share
    folds = grouped_folds(np.asarray(cohort.groups)[rest], num_folds, seed, share)
    return [Split(*(rest[getattr(fold, part)] for part in PARTS)) for fold in folds], notes


def _marked(cohort: Cohort) -> dict[str, np.ndarray]:
    """Indices of the slices that a manifest marks, by part; "" for those that it does not.

    Raises:
        InputError: a patient is in two parts.
    """
    groups, parts = np.asarray(cohort.groups), np.asarray(cohort.parts)
    marked = {part: np.flatnonzero(parts == part) for part in ("", *PARTS)}
    for first in PARTS:
        for second in ("", *PARTS):
            shared = set(groups[marked[first]]) & set(groups[marked[second]])
            if first != second and shared:
                raise InputError(
                    f"{cohort.source}: patient {min(shared)} is marked {first}, and elsewhere {second or 'not'}; "
                    "expected one part for each patient"
                )
    return marked


def check_splits(cohort: Cohort, splits: Sequence[Split], batch_size: int, needs_validation: bool) -> None:
    """Refuse splits that leak, or leave too little to train on or to choose the best epoch by.

    Arguments:
        cohort: of which slices.
        splits: one, or one per fold.
        batch_size: slices in a mini-batch.
        needs_validation: whether the best epoch is kept, not the last.

    Raises:
        InputError: they do; or no training slice shows a lesion.
    """
    names, groups = cohort.slices.names, cohort.groups
    copies = find_copies(cohort.slices.images, groups)
    for split in splits:
        part_of = {int(index): part for part in PARTS for index in getattr(split, part)}
        for pair in copies:
            parts = [part_of.get(index) for index in pair]
            if None not in parts and parts[0] != parts[1]:
                which = [f"{names[index]} ({groups[index]}, {part})" for index, part in zip(pair, parts, strict=True)]
                raise InputError(
                    f"{cohort.source}: slices {' and '.join(which)} are the same picture: a leak; mend the data, see "
                    "`unet-segnet data check`"
                )
        if needs_validation and not len(split.validation):
            raise InputError(
                "the best epoch is chosen on validation slices, and there are none; use `keep` last with grid"
            )
        if (usable := len(training_part(cohort, split).slices)) < batch_size:  # now, not after the folds before
            raise InputError(
                f"{cohort.source}: {usable} training slices do not fill one mini-batch of {batch_size}; use more "
                "slices, or a smaller `batch_size`"
            )


def sizes_text(cohort: Cohort, split: Split) -> str:
    """How many slices and patients each part has."""
    sizes = []
    for part in PARTS:
        indices = getattr(split, part)
        sizes.append(f"{part} {len(indices)} slices of {len({cohort.groups[index] for index in indices})}")
    return f"{', '.join(sizes)} patients"
