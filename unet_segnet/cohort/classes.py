"""What the values of label files mean, where a file says it; `unet_segnet.cohort.conventions` where none does."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from unet_segnet.cohort.manifest import dataset_json, read_rows
from unet_segnet.data.slices import BINARY_NAMES, MAX_CLASSES
from unet_segnet.errors import InputError

GIVEN = "as given"
# Words of names of what is no lesion, such as "left lung", "Lung_R (healthy)" or "normal"; "lung lesion" is one.
HEALTHY_WORDS = {"lung", "lungs", "lobe", "healthy", "normal"}
OTHER_WORDS = {"left", "right", "both", "l", "r", "upper", "middle", "lower", "parenchyma", "field", "fields", "tissue"}
BLACK = ("0", "#000000")  # the background, unless the first row says otherwise
COLOUR = re.compile("#[0-9a-f]{6}", re.IGNORECASE)


@dataclass(frozen=True)
class Classes:
    """Class names, and the values that stand for them in label files.

    Attributes:
        names: background first.
        index_of: value 0..255 in a file -> class index.
        origin: how they are known: `GIVEN` by a file, or recognised in the label files.
        colours: "#rrggbb" of a colour picture -> value, where a file names colours instead of values.
        are_lesions: whether all classes but the background are known to be lesions, which may be taken together.
        notes: what was assumed about the values, one line each.
    """

    names: tuple[str, ...]
    index_of: dict[int, int]
    origin: str = GIVEN
    colours: dict[str, int] = field(default_factory=dict)
    are_lesions: bool = True
    notes: tuple[str, ...] = ()

    @property
    def background(self) -> int:
        """A value that stands for the background."""
        return next(value for value, index in self.index_of.items() if index == 0)

    def indices(self, values: np.ndarray) -> np.ndarray:
        """uint8 class index of each of an array's values, all of them known."""
        table = np.zeros(256, np.uint8)
        table[list(self.index_of)] = list(self.index_of.values())
        return table[values]

    def unknown(self, values: Iterable[int]) -> list[int]:
        """Those of the values that stand for no class, in rising order."""
        return sorted(set(map(int, values)) - self.index_of.keys())

    def check_values(self, values: Iterable[int], source: object) -> None:
        """Refuse a file that has other values.

        Raises:
            InputError: it has.
        """
        if unknown := self.unknown(values):
            raise InputError(
                f"{source}: has unknown values ({', '.join(map(str, unknown[:5]))}), which stand for no class; "
                f"expected {self.text()}; add them to classes.csv, several values may have one name"
            )

    def binary(self) -> "Classes":
        """The same with all lesions as one class.

        Raises:
            InputError: nobody said that all values above 0 are lesions.
        """
        if not self.are_lesions:
            raise InputError(
                f"the labels have the values {', '.join(map(str, sorted(self.index_of)))}, and to take all of them but "
                f"0 for lesions would be a guess (lungs? another finding?); {ask(self.index_of)}"
            )
        index_of = {value: min(index, 1) for value, index in self.index_of.items()}
        return replace(self, names=BINARY_NAMES, index_of=index_of)

    def text(self) -> str:
        """Values and names on one line, such as "0 = not infected, 1 = infected"."""
        called = {value: colour for colour, value in self.colours.items()}
        return ", ".join(
            f"{called.get(value, value)} = {self.names[index]}" for value, index in sorted(self.index_of.items())
        )


def ask(values: Iterable[int | str], lungs: Iterable[int] = ()) -> str:
    """How a user says what values mean, with an example of the file: a clause of a message.

    Arguments:
        values: that occur.
        lungs: those of them that seem to be healthy lung.
    """
    lungs = set(lungs)
    rows = [f"{value},{'background' if not i or value in lungs else 'infected'}" for i, value in enumerate(values)]
    return (
        f"say it in a file classes.csv beside the data, or given with `classes`, such as: value,name / "
        f"{' / '.join(rows)} (one row a line; what is no lesion, such as lungs, is background; other names make more "
        "classes)"
    )


def read_classes(path: str | Path) -> Classes:
    """Read a file of classes: columns value, name; the first row is the background. Or nnU-Net's dataset.json.

    Several values may have one name: they are one class. In place of values there may be colours such as #ff0000, for
    masks that are pictures in colour. What is called lung is background: the networks see nothing else than lungs.

    Raises:
        InputError: it cannot be read, or is no table of whole numbers 0 to 255 (or colours) and names; too few or many
            classes.
    """
    path = Path(path)
    rows = list(_json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path))
    names: list[str] = []
    index_of: dict[int, int] = {}
    colours: dict[str, int] = {}
    lungs: list[str] = []
    for where, value, name in rows:
        if COLOUR.fullmatch(value):
            number = colours.setdefault(value.lower(), len(index_of))
        else:
            number = int(value) if value.isdecimal() and len(value) < 4 else 256
        if number > 255 or not name:
            raise InputError(f"{where}: expected a whole number 0 to 255 and a name")
        if number in index_of:
            raise InputError(f"{where}: value {value} a second time; expected each once")
        if names and name != names[0]:
            is_free = rows[0][1] not in BLACK and not _is_background(names[0])  # the background's place
            if "background" in name.lower() or (is_free and (value in BLACK or _is_healthy(name))):
                raise InputError(f"{where}: names the background; put it in the first row, whatever its value is")
        if names and _is_healthy(name):
            lungs.append(name)
            index_of[number] = 0
            continue
        if name not in names:
            names.append(name)
        index_of[number] = names.index(name)
    if colours and len(colours) < len(index_of):
        raise InputError(f"{path}: has both numbers and colours; expected values of one kind")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise InputError(f"{path}: {len(names)} classes; expected 2 to {MAX_CLASSES}, the first one the background")
    notes = (
        (f"classes: {' and '.join(lungs)} is taken for {names[0]}, which it is for these networks",) if lungs else ()
    )
    return Classes(tuple(names), index_of, colours=colours, notes=notes)


def _is_background(name: str) -> bool:
    """Whether a class is no lesion by its name, such as "not infected", "No lesion" or "healthy"."""
    words = r"(.*background|no|non|not|none|nothing|other|rest|c0)\b"
    return bool(_is_healthy(name) or re.match(words, name.lower()))


def _is_healthy(name: str) -> bool:
    """Whether a class is healthy lung by its name."""
    words = set(re.findall("[a-z]+", name.lower()))
    return bool(words & HEALTHY_WORDS) and words <= HEALTHY_WORDS | OTHER_WORDS


def _csv_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """(where, value, name) of each row."""
    for number, row in read_rows(path, ("value", "name"), ("value", "name")).items():
        yield f"{path}, line {number}", row["value"], row["name"]


def _json_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """The same of dataset.json: {"GGO": 1} as nnU-Net has it, or {"1": "GGO"} as its first version and Decathlon do."""
    labels = dataset_json(path).get("labels")
    if not isinstance(labels, dict) or not labels:
        raise InputError(f"{path}: names no labels; expected a dataset.json as nnU-Net has it, or a CSV file")
    pairs = [(key, value) if str(key).isdecimal() else (value, key) for key, value in labels.items()]
    for value, name in pairs:
        if isinstance(value, (list, dict)) or name == "ignore" or not str(value).isdecimal():
            raise InputError(
                f"{path}: label {name!r} is {value!r}, which is no class of its own; write a classes.csv (value,name) "
                "of the values in the files, several may have one name"
            )
    for value, name in sorted(pairs, key=lambda pair: int(pair[0])):
        yield str(path), str(value), " ".join(str(name).split())
