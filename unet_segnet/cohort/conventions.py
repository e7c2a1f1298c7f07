"""What the values of label files mean where no file says it: conventions that are known, by values and by anatomy.

A value that stands for lungs must never count as lesion. Where labels fill the lungs, that is what some of them are;
1 on one side and 2 on the other, with 3 among them, is how Zenodo 3757476 marks left lung, right lung and infection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unet_segnet.cohort.classes import Classes, ask
from unet_segnet.data.slices import BINARY_NAMES, MAX_CLASSES, MULTICLASS_FINDINGS, MULTICLASS_NAMES, findings
from unet_segnet.errors import InputError, some

FOUND = "found in the label files"
STUDY_VALUES = (0, 1, 2, 3)
STUDY_GREYS = (0, 85, 170, 255)
LUNGS_AND_INFECTION = {0: 0, 1: 0, 2: 0, 3: 1}  # of Zenodo 3757476; value -> infected or not
FULL = 0.8  # of the lungs, marked by labels of several values: some of them are lungs (99 % of Zenodo's)
ALL_LUNG = 0.9  # the same of labels of one value; the worst patients' lesions fill less over a whole scan
WRONG_SIDE = 0.05  # of the smaller lung's pixels: so many of both lie beyond the line that parts them best
SMALLER = 0.2  # of both lungs' healthy pixels, in the one that has fewer
MUCH = 0.4  # of the lungs: too much for two kinds of lesion that keep to a side each
# Where nobody knows the lungs, of a slice: what each lung takes, and both; lesions take 0.07 of the study's slices.
ONE_LUNG, BOTH_LUNGS = 0.03, 0.15
NO_LESION = 0.6  # of the slices, marked by one value: what is not lung or not lesion
SAME_FINDING = {  # other names of what the study tells apart, in lower case
    **dict(zip(map(str.casefold, MULTICLASS_NAMES), MULTICLASS_FINDINGS, strict=True)),
    **dict.fromkeys(("ggo", "ground glass opacity", "ground glass opacities"), MULTICLASS_FINDINGS[1]),
    "effusion": MULTICLASS_FINDINGS[3],
}
MOST_VALUE = 15  # of classes that are counted; higher values are grey levels, whose meaning is to be asked for


@dataclass(frozen=True)
class LabelFacts:
    """What occurs in a label file, or in several, and how it lies in the lungs.

    Attributes:
        values: that occur.
        source: the file.
        slices: their number.
        pixels: in all slices.
        marked: of these, with a value above 0.
        lungs: pixels of lung; 0 where they are unknown.
        covered: value above 0 -> its pixels inside the lungs.
        sided: pixels of the values 1 and 2.
        crossed: of these, on the side of the other, beyond the straight line along rows or columns that parts the two
            best.
    """

    values: tuple[int, ...]
    source: str = ""
    slices: int = 0
    pixels: int = 0
    marked: int = 0
    lungs: int = 0
    covered: dict[int, int] = field(default_factory=dict)
    sided: tuple[int, int] = (0, 0)
    crossed: int = 0

    @property
    def share(self) -> float:
        """Of the lungs that are marked; 0 where these are unknown."""
        return sum(self.covered.values()) / self.lungs if self.lungs else 0.0

    @property
    def is_parted(self) -> bool:
        """Whether 1 and 2 are as large as lungs, and stand on the two sides of the body."""
        smaller = min(self.sided)
        large = self.share >= MUCH if self.lungs else smaller >= ONE_LUNG * self.pixels
        return large and smaller > SMALLER * sum(self.sided) and self.crossed <= WRONG_SIDE * smaller

    @property
    def is_full(self) -> bool:
        """Whether the labels fill the lungs."""
        several = sum(value > 0 for value in self.values) > 1
        if self.lungs:
            return self.share >= (FULL if several else ALL_LUNG)
        return self.marked >= (BOTH_LUNGS if several else NO_LESION) * self.pixels > 0


def _together(files: Sequence[LabelFacts]) -> LabelFacts:
    """The facts of several files as those of one."""
    values = tuple(sorted({value for file in files for value in file.values}))
    return LabelFacts(
        values,
        files[0].source + (f" and {len(files) - 1} more" if files[1:] else ""),
        *(sum(getattr(file, name) for file in files) for name in ("slices", "pixels", "marked", "lungs")),
        {value: sum(file.covered.get(value, 0) for file in files) for value in values if value},
        (sum(file.sided[0] for file in files), sum(file.sided[1] for file in files)),
        sum(file.crossed for file in files),
    )


def label_facts(labels: np.ndarray, lungs: np.ndarray | None = None, source: str | Path = "") -> LabelFacts:
    """What occurs in the labels of a scan.

    Arguments:
        labels: (num_slices, height, width) uint8 values of the file.
        lungs: the same shape, bool; None where they are unknown.
        source: the file.
    """
    values = tuple(int(value) for value in np.flatnonzero(_counts(labels)))
    inside = np.zeros(256, np.int64) if lungs is None else _counts(labels, lungs)
    sided, crossed = _sides(labels)
    return LabelFacts(
        values=values,
        source=str(source),
        slices=len(labels),
        pixels=labels.size,
        marked=int(np.count_nonzero(labels)),
        lungs=int(inside.sum()),
        covered={value: int(inside[value]) for value in values if value},
        sided=sided,
        crossed=crossed,
    )


def _counts(labels: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """How often each of 256 values occurs; slice by slice, for bincount takes eight times a slice's memory."""
    slices = labels if inside is None else (label[mask] for label, mask in zip(labels, inside, strict=True))
    return sum((np.bincount(one.ravel(), minlength=256) for one in slices), np.zeros(256, np.int64))


def _sides(labels: np.ndarray) -> tuple[tuple[int, int], int]:
    """`sided` and `crossed` of `LabelFacts`."""
    crossed = []
    for axis in (1, 2):  # which of them runs across the body may have been assumed only
        first, second = (np.cumsum((labels == value).sum(axis=tuple({0, 1, 2} - {axis}))) for value in (1, 2))
        beyond = first[-1] - first + second  # the first after the line, the second before it
        crossed.append(min(int(beyond.min()), int((first + second[-1] - second).min())))
    return (int(first[-1]), int(second[-1])), min(crossed)


def recognise_classes(files: Sequence[LabelFacts]) -> Classes:
    """Classes of label files that nobody described.

    Arguments:
        files: of each label file. 0 is the background, whether it occurs or not. With one other value (or 1 in some
            files and 255 in others): infected or not. 1 and 2 that fill the left and the right lung, and 3: the lungs
            and infection of Zenodo 3757476. All of 0 to 3 otherwise, or of 0, 85, 170, 255: the study's C0 to C3. Else
            each value is a class, of which nobody knows whether it is a lesion.

    Raises:
        InputError: too few or too many for labels; labels that seem to be lungs, or grey levels of smoothed masks.
    """
    found = tuple(sorted({0, *(value for file in files for value in file.values)}))
    if len(found) < 2:
        raise InputError("no label file marks anything (all values are 0); expected lesions to learn and to score")
    named = _of_lungs(files, found) if len(found) == 2 or found[-1] <= MOST_VALUE else None
    if named is None and len(found) == 2:
        named = Classes(BINARY_NAMES, {0: 0, found[1]: 1}, FOUND)
    if named is None and found == (0, 1, 255):
        named = _mixed_greys(files)
    if named is None and (found == STUDY_VALUES or (set(found) <= set(STUDY_GREYS) and {85, 170} & set(found))):
        values = STUDY_VALUES if found == STUDY_VALUES else STUDY_GREYS
        note = (
            f"classes: the values {', '.join(map(str, found))} are taken for the study's classes (background, ground "
            "glass, consolidation, effusion); if they mean something else, say so in classes.csv"
        )
        named = Classes(MULTICLASS_NAMES, {value: i for i, value in enumerate(values)}, FOUND, notes=(note,))
    if named is not None:
        return named
    listed = some(found, 6)
    where = next(file.source for file in files if found[-1] in file.values)
    if len(found) > MAX_CLASSES:
        raise InputError(
            f"the label files hold {len(found)} different values ({listed}), too many for classes; expected at most "
            f"{MAX_CLASSES}: are they label files, and not smoothed (anti-aliased), interpolated or saved as JPEG? If "
            "they are labels, say in classes.csv what the values mean; several may have one name"
        )
    if found[-1] > MOST_VALUE:
        raise InputError(
            f"the label files hold the values {listed} (such as {where}), which may be grey levels of smoothed "
            f"(anti-aliased) masks, or classes; {ask(found)}"
        )
    return Classes(
        ("background", *(f"value {value}" for value in found[1:])),
        {value: index for index, value in enumerate(found)},
        FOUND,
        are_lesions=False,
        notes=(f"classes: nobody said what the values {listed} mean: each is a class; classes.csv may name them",),
    )


def _of_lungs(files: Sequence[LabelFacts], found: tuple[int, ...]) -> Classes | None:
    """Classes where some of the values are lungs; None where none seems to be.

    Raises:
        InputError: some are, by a convention that is not known, or in some of the files.
    """
    whole = _together(files)
    if whole.lungs:
        how = f"{whole.share:.0%} of the lungs"
    else:
        how = f"{whole.marked / max(whole.pixels, 1):.0%} of the slices"
    if set(found) <= set(LUNGS_AND_INFECTION) and whole.is_parted and (whole.share >= FULL or not whole.lungs):
        note = (
            f"classes: 1 and 2 stand on the two sides of the body, and the labels fill {how}: they are taken for the "
            f"lungs and 3 for infection{'' if 3 in found else ', of which there is none'}, as in Zenodo 3757476; if "
            "they mean something else, say so in classes.csv"
        )
        return Classes(BINARY_NAMES, dict(LUNGS_AND_INFECTION), FOUND, notes=(note,))
    several = len(found) > 2
    if whole.is_full or whole.is_parted:
        suspects = [1, 2] if whole.is_parted else [max(whole.covered, key=whole.covered.get)] if several else []
        raise InputError(
            f"{whole.source}: the labels (values {', '.join(map(str, found[:7]))}) fill {how}: "
            f"{'some of them seem' if several else f'{found[1]} seems'} to be lungs"
            f"{'' if whole.lungs or several else ', or all but the lesions'}, not lesions; "
            f"{ask(found[:7], suspects)}"
        )
    # Of single slices, lesions may fill the lungs.
    odd = [file for file in files if file.is_parted or (several and file.is_full and file.slices > 1)]
    if several and odd:
        raise InputError(
            f"{odd[0].source}: its labels (values {', '.join(map(str, odd[0].values))}) seem to mark lungs, as those "
            f"of {len(odd)} of the {len(files)} label files do and the others do not: one value means two things; "
            "expected one meaning in all files, write them anew; if all mark lesions, say so in classes.csv"
        )
    return None


def _mixed_greys(files: Sequence[LabelFacts]) -> Classes | None:
    """Classes of masks with 0, 1 and masks with 0, 255; None where a file has both."""
    if any({1, 255} <= set(file.values) for file in files):
        return None
    grey = [Path(file.source).name for file in files if 255 in file.values]
    note = (
        f"WARNING: {len(grey)} of {len(files)} label files have the values 0 and 255, the others 0 and 1: 255 is taken "
        f"for 1, infected ({some(grey)})"
    )
    return Classes(BINARY_NAMES, {0: 0, 1: 1, 255: 1}, FOUND, notes=(note,))


@dataclass(frozen=True, eq=False)
class Pairing:
    """How a network's classes and those of labels become the same ones.

    Attributes:
        names: of the classes that both have, background first.
        of_network, of_labels: (256,) uint8 tables: class index there -> index in `names`.
        notes: what was taken for what, one line each.
    """

    names: tuple[str, ...]
    of_network: np.ndarray
    of_labels: np.ndarray
    notes: tuple[str, ...] = ()


def findings_of(names: Sequence[str]) -> list[str]:
    """What classes but the background mark, to compare: without case and hyphens, C1 to C3 as what these are."""
    plain = [" ".join(name.casefold().replace("-", " ").replace("_", " ").split()) for name in names[1:]]
    found = [SAME_FINDING.get(name, name) for name in plain]
    return found if len(set(found)) == len(found) else list(names[1:])


def is_swapped(network: Sequence[str], data: Sequence[str]) -> bool:
    """Whether a lesion class of both has another place in the one than in the other; background first."""
    one, other = findings_of(network), findings_of(data)
    return any(finding in other and other.index(finding) != place for place, finding in enumerate(one))


def _taken(by: str, network: Sequence[str], data: Sequence[str]) -> str:
    pairs = ", ".join(f"{of} for {here}" for of, here in zip(network, data, strict=True))
    return f"The network's classes are taken by their {by}: {pairs}."


def pair_classes(network: Sequence[str], labels: Classes) -> Pairing:
    """Bring a network's classes and those of labels together: by name, else by order, else infected or not.

    Arguments:
        network: names of its classes, background first.
        labels: what the label values mean.

    Raises:
        InputError: they tell different numbers of classes apart, and neither is the binary problem; or some of their
            names alone are the same, in another order; or it is not known whether all values of the labels are lesions.
    """
    names, as_they_are = tuple(network), np.arange(256, dtype=np.uint8)
    of_network, of_labels = findings_of(names), findings_of(labels.names)
    if sorted(of_network) == sorted(of_labels):  # whatever the background is called
        table = np.zeros(256, np.uint8)
        table[1 : len(names)] = [1 + of_network.index(finding) for finding in of_labels]
        same = (names[0], *(labels.names[1 + of_labels.index(finding)] for finding in of_network))
        return Pairing(same, as_they_are, table, () if same == names else (_taken("names", names, same),))
    if len(names) == len(labels.names):
        if is_swapped(names, labels.names):
            raise InputError(
                f"the network's classes are {', '.join(findings(names))}, the data's {', '.join(labels.names)}: the "
                "same name stands at another place; expected the same names (in classes.csv), or others for all lesions"
            )
        return Pairing(labels.names, as_they_are, as_they_are, (_taken("order", names, labels.names),))
    if 2 not in (len(names), len(labels.names)):
        raise InputError(
            f"the network tells {', '.join(names)} apart, the data {', '.join(labels.names)}; expected the same: "
            "say in classes.csv what the values mean (of one name for all lesions, they are scored together)"
        )
    labels.binary()
    more = max(names, labels.names, key=len)
    note = (
        f"Scored as infected or not: the network tells {len(names)} classes apart, the data {len(labels.names)}; "
        f"{', '.join(more[1:])} are taken together."
    )
    either = np.minimum(as_they_are, 1)
    return Pairing(BINARY_NAMES, either, either, (note,))


def labels_of(
    values: np.ndarray, source: str | Path, classes: Classes | None = None, lungs: np.ndarray | None = None
) -> tuple[np.ndarray, Classes]:
    """Class indices of one label file, and what its values mean: for the comparison of one scan with its truth.

    Arguments:
        values: (num_slices, height, width) uint8, as the file has them.
        source: the file.
        classes: what they mean; None: as recognised by `recognise_classes`, and all 0 as no lesion.
        lungs: the same shape, bool: by which lungs are told from lesions; None where they are unknown.

    Returns:
        uint8 class indices of the same shape, and the classes; `Classes.notes` is to be said.

    Raises:
        InputError: values that stand for no class, or of which nobody knows what they mean.
    """
    facts = label_facts(values, lungs, source)
    if classes is None and not any(facts.values):
        return np.zeros_like(values), Classes(BINARY_NAMES, {0: 0}, FOUND)
    if classes is None:
        try:
            classes = recognise_classes([facts])
        except InputError as error:
            raise InputError(str(error) if str(source) in str(error) else f"{source}: {error}") from None
    classes.check_values(facts.values, source)
    return classes.indices(values), classes
