"""What the values of label files mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet_segnet.cohort.cases import read_rows
from unet_segnet.data.slices import BINARY_NAMES, MAX_CLASSES, MULTICLASS_NAMES
from unet_segnet.errors import InputError

RELEASED_VALUES = ((0, 1, 2, 3), (0, 85, 170, 255))


@dataclass(frozen=True)
class Classes:
    """Class names, and the values that stand for them in label files.

    Attributes:
        names: background first.
        index_of: value 0..255 in a file -> class index.
        given: whether a file named them; else they were found in the label files.
    """

    names: tuple[str, ...]
    index_of: dict[int, int]
    given: bool = False

    def indices(self, values: np.ndarray) -> np.ndarray:
        """uint8 class index of each of an array's values, all of them known."""
        table = np.zeros(256, np.uint8)
        table[list(self.index_of)] = list(self.index_of.values())
        return table[values]

    def unknown(self, values: Iterable[int]) -> list[int]:
        """Those of the values that stand for no class, in rising order."""
        return sorted(set(map(int, values)) - self.index_of.keys())

    def text(self) -> str:
        """Values and names on one line, such as "0 = not infected, 1 = infected"."""
        return ", ".join(f"{value} = {self.names[index]}" for value, index in sorted(self.index_of.items()))


def read_classes(path: str | Path) -> Classes:
    """Read a file of classes: columns value, name; the first row is the background.

    Several values may have one name: they are one class.

    Raises:
        InputError: it cannot be read, or is no table of whole numbers 0 to 255 and names; too few or many classes.
    """
    path = Path(path)
    names: list[str] = []
    index_of: dict[int, int] = {}
    for number, row in read_rows(path, ("value", "name"), ("value", "name")).items():
        value = int(row["value"]) if row["value"].isdecimal() and len(row["value"]) < 4 else 256
        if value > 255 or not row["name"]:
            raise InputError(f"{path}, line {number}: expected a whole number 0 to 255 and a name")
        if value in index_of:
            raise InputError(f"{path}, line {number}: value {value} a second time; expected each once")
        if row["name"] not in names:
            names.append(row["name"])
        index_of[value] = names.index(row["name"])
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InputError(f"{path}: {len(names)} classes; expected 2 to {MAX_CLASSES}, the first one the background")
    return Classes(tuple(names), index_of, given=True)


def recognise_classes(values: Iterable[int]) -> Classes:
    """Classes of label files that nobody described.

    Arguments:
        values: all that occur in them. 0 is the background, whether it occurs or not. With one other value: infected
            or not. All of 0 to 3, or of 0, 85, 170, 255: the study's C0 to C3. Else each value is a class.

    Raises:
        InputError: too few or too many for labels.
    """
    found = tuple(sorted({0, *map(int, values)}))
    if len(found) < 2:
        raise InputError("no label file marks anything (all values are 0); expected lesions to learn and to score")
    if len(found) == 2:
        return Classes(BINARY_NAMES, {0: 0, found[1]: 1})
    for released in RELEASED_VALUES:
        if found == released:
            return Classes(MULTICLASS_NAMES, {value: index for index, value in enumerate(released)})
    if len(found) > MAX_CLASSES:
        raise InputError(
            f"the label files hold {len(found)} different values ({', '.join(map(str, found[:6]))}, ...), too many "
            f"for classes; expected at most {MAX_CLASSES}: are they label files? In classes.csv several values may "
            "have one name"
        )
    return Classes(
        ("background", *(f"value {value}" for value in found[1:])), {value: index for index, value in enumerate(found)}
    )
