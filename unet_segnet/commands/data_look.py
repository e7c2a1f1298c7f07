"""What `unet-segnet data look` leaves behind.

OUT/index.html     one self-contained page: every case with its picture, and what `check` found in it
OUT/NAME.png       of each case: slices with the contours of its labels and lungs, grey levels of both
OUT/look.csv       a row for each case
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup

from unet_segnet.cohort.classes import Classes
from unet_segnet.cohort.examine import CaseCounts
from unet_segnet.cohort.load import LoadedCase
from unet_segnet.data.examine import Examination
from unet_segnet.data.preprocess import DEFAULT_WINDOW
from unet_segnet.data.slices import MAX_CLASSES
from unet_segnet.errors import printable
from unet_segnet.output.console import progress, with_flags
from unet_segnet.output.tabular import Hundredths, Table
from unet_segnet.web import table
from unet_segnet.web.page import asset, figure_html, page_parts, render

MARKS = ("look.csv",)  # of results, which may be replaced
PAGE = "index.html"
NUM_SLICES = 6  # of a case
MARGIN = 10  # pixels around lungs and labels
COLOURS = 128  # of a picture: a page of 100 cases stays below 40 MB
NAME_BYTES = 150  # of a picture's file name, at most
KINDS = {"problems": "Problem", "warnings": "Warning", "mended": "Mended on loading", "facts": ""}


@dataclass(frozen=True, eq=False)
class KeptCase:
    """A case that was read; the slices that may be shown lie in a file.

    Attributes:
        counts: what the examination keeps of it.
        notes: of the geometry of its files and of the orientation.
        knows_lungs: whether they are known; if not, everything that is not black counts.
        levels, inside: (len(counts.values) or 1, 256) pixels of each label value that have each grey level; of these,
            in the lungs.
        slices: .npz with the slices' index, stretch, image, labels and lungs.
    """

    counts: CaseCounts
    notes: tuple[str, ...]
    knows_lungs: bool
    levels: np.ndarray
    inside: np.ndarray
    slices: Path

    @property
    def name(self) -> str:
        """The case's."""
        return self.counts.case.name


class Kept:
    """The cases of a data set, kept one by one as they are read.

    Arguments:
        folder: for the slices that may be shown. Which of them are is known when the last case has told what the
            label values mean.
    """

    def __init__(self, folder: Path):
        self.folder, self.cases = folder, []

    def add(self, one: LoadedCase, counts: CaseCounts) -> None:
        """Keep what is needed of a case."""
        knows_lungs = not one.lungs.all()
        lungs = one.lungs if knows_lungs else one.whole > 0
        labels = np.zeros(one.lungs.shape, np.uint8) if one.labels is None else one.labels
        values = counts.values or (0,)
        file = self.folder / f".{len(self.cases)}.npz"
        index, stretch = _candidates(lungs, labels)
        arrays = {"whole": one.whole[index], "labels": labels[index], "lungs": lungs[index]}
        np.savez_compressed(file, index=index, stretch=stretch, **arrays)
        self.cases.append(KeptCase(counts, one.notes, knows_lungs, *_levels(one.whole, labels, lungs, values), file))


def _candidates(lungs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each stretch of the scan the slice in the middle, and those with the most of each label value.

    Returns:
        Indices of slices in rising order, and in which of `NUM_SLICES` stretches each is.
    """
    shows = np.flatnonzero(lungs.any(axis=(1, 2)) | labels.any(axis=(1, 2)))
    within = np.arange(shows[0], shows[-1] + 1) if len(shows) else np.arange(len(lungs))
    found: dict[int, int] = {}
    for number, stretch in enumerate(np.array_split(within, min(NUM_SLICES, len(within)))):
        best = [stretch[len(stretch) // 2]]
        for value in np.unique(labels[stretch]):
            if value:
                best.append(stretch[np.argmax([np.count_nonzero(labels[k] == value) for k in stretch])])
        found.update((int(index), number) for index in best)
    return np.array(sorted(found)), np.array([found[index] for index in sorted(found)])


def _levels(images: np.ndarray, labels: np.ndarray, lungs: np.ndarray, values: Sequence[int]):
    """`levels` and `inside` of `KeptCase`."""
    place = np.zeros(256, np.intp)
    place[list(values)] = np.arange(len(values))
    counts = np.zeros((2, len(values) * 256), np.int64)
    for image, label, inside in zip(images, labels, lungs, strict=True):
        of = place[label] * 256 + image
        for total, pixels in zip(counts, (of.ravel(), of[inside]), strict=True):
            total += np.bincount(pixels, minlength=counts.shape[1])
    return counts.reshape(2, len(values), 256)


def names_in(out: Path) -> list[str]:
    """The names of the files in a folder of such results, as its table tells."""
    names = [PAGE, *MARKS]
    with (
        contextlib.suppress(OSError, ValueError, csv.Error),
        (out / MARKS[0]).open(newline="", encoding="utf-8") as file,
    ):
        names += (row.get("picture", "") for row in csv.DictReader(file))
    return names


def write_look(kept: Kept, place: Path, found: Examination, new: Path, options) -> None:
    """Draw every case and write the page.

    Arguments:
        kept: the cases.
        place: of the data.
        found: its examination.
        new: folder to write to.
        options: of the command, for messages.
    """
    from unet_segnet.plots import save_figure

    classes = found.classes or _by_value(kept.cases)
    with_unknown = _with_unknown(classes, kept.cases)
    told = [_lines(case, found) for case in kept.cases]
    rows = []
    for case, lines in progress(list(zip(kept.cases, told, strict=True)), "drawing"):
        figure, shown = _drawn(case, with_unknown)
        rows.append(_row(case, classes, _picture_name(case.name, len(rows) + 1), shown, lines))
        save_figure(figure, new / rows[-1]["picture"], colours=COLOURS)
        case.slices.unlink()
    with (new / MARKS[0]).open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    styles = (asset("data_look.css", "unet_segnet.commands"),)
    with (new / PAGE).open("w", encoding="utf-8") as stream:
        parts = _parts(rows, told, place, found, new, options)
        stream.writelines(page_parts(f"A look at {place.name}", parts, (table.SCRIPT,), styles))


def _picture_name(name: str, number: int) -> str:
    is_usual = name.isprintable() and len(os.fsencode(name)) <= NAME_BYTES and not name.startswith(".")
    return f"{name if is_usual else f'case {number}'}.png"


def _by_value(cases: Sequence[KeptCase]) -> Classes:
    """A class for each label value where nobody knows what they mean; of too many, all together."""
    values = sorted({value for case in cases for value in case.counts.values} - {0})
    if len(values) < MAX_CLASSES:
        names = ("background", *(f"value {value}" for value in values))
        return Classes(names, {value: index for index, value in enumerate((0, *values))})
    return Classes(("background", "marked"), {0: 0, **dict.fromkeys(values, 1)})


def _with_unknown(classes: Classes, cases: Sequence[KeptCase]) -> Classes:
    """The classes, and one of what stands for none of them, which is a problem and is to be seen."""
    unknown = classes.unknown(value for case in cases for value in case.counts.values)
    if not unknown or len(classes.names) == MAX_CLASSES:
        return classes
    index_of = {**classes.index_of, **dict.fromkeys(unknown, len(classes.names))}
    return replace(classes, names=(*classes.names, "unknown value"), index_of=index_of)


def _drawn(case: KeptCase, classes: Classes):
    """The picture of a case, and the names of the slices on it."""
    from unet_segnet.plots.case import case_look

    with np.load(case.slices) as kept:
        index, stretch = kept["index"], kept["stretch"]
        images, values, lungs = (kept[name].swapaxes(1, 2) for name in ("whole", "labels", "lungs"))  # front up
    labels = classes.indices(values)
    marked = (labels > 0).sum(axis=(1, 2))
    chosen = []
    for number in np.unique(stretch):
        of_stretch = np.flatnonzero(stretch == number)
        middle = of_stretch[len(of_stretch) // 2]
        chosen.append(of_stretch[marked[of_stretch].argmax()] if marked[of_stretch].any() else middle)
    shows = (lungs[chosen] if case.knows_lungs else images[chosen] > 0) | (labels[chosen] > 0)
    box = (slice(None), *_box(shows.any(axis=0)))
    names = [case.counts.names[index[k]] for k in chosen]
    facts = case.counts.facts
    low, high = (0, 255) if facts.units == "8-bit" else DEFAULT_WINDOW
    figure = case_look(
        images[chosen][box],
        labels[chosen][box] if case.counts.values else None,
        lungs[chosen][box] if case.knows_lungs else None,
        [printable(name) for name in names],
        classes.names,
        _of_classes(case, classes),
        (low, high, "grey level" if facts.units == "8-bit" else "Hounsfield units"),
        printable(case.name),
    )
    return figure, ", ".join(names)


def _box(shows: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is shown, with a margin; all where that is nothing."""
    if not shows.any():
        return slice(None), slice(None)
    places = (np.flatnonzero(shows.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(max(found[0] - MARGIN, 0), found[-1] + MARGIN + 1) for found in places)


def _of_classes(case: KeptCase, classes: Classes) -> np.ndarray:
    """(num_classes, 256) pixels that have each grey level; of the background those in the lungs."""
    levels = np.zeros((len(classes.names), 256), np.int64)
    for index, every, inside in zip(
        classes.indices(np.array(case.counts.values or (0,))), case.levels, case.inside, strict=True
    ):
        levels[index] += every if index else inside
    return levels


def _lines(case: KeptCase, found: Examination) -> dict[str, list[str]]:
    """What the examination says about a case, by kind, and what was assumed as it was read."""
    names = {case.name}
    if found.slices is not None:  # of which each may be told of by itself
        names |= {f"slice {name}" for name in case.counts.names}
    lines = {
        kind: [
            line.removeprefix(f"{case.name}: ") for line in getattr(found, kind) if names & {*found.cases.get(line, ())}
        ]
        for kind in KINDS
    }
    lines["facts"] += [note for note in case.notes if note not in found.cases]
    return lines


def _row(case: KeptCase, classes: Classes, picture: str, shown: str, lines: dict[str, list[str]]) -> dict:
    """The row of a case in look.csv; "" for what is not known of it."""
    counts, levels = case.counts, _of_classes(case, classes)
    lesion = counts.of_classes(counts.pixels, classes)[:, 1:]
    in_lungs = lesion.sum() - counts.of_classes(counts.outside, classes)[:, 1:].sum()
    knows_share = counts.found is not None and case.knows_lungs and counts.lung_pixels.any()
    return {
        "case": case.name,
        "patient": counts.patient or "",
        "slices": len(counts.names),
        "slices_with_lesion": "" if counts.found is None else int(lesion.any(axis=1).sum()),
        "lesion_share_of_lungs": f"{in_lungs / counts.lung_pixels.sum():.4f}" if knows_share else "",
        "lung_level": _median(levels[0]),
        "lesion_level": _median(levels[1:].sum(axis=0)),
        "picture": picture,
        "slices_shown": shown,
        **{kind: " | ".join(of) for kind, of in lines.items()},
    }


def _median(counts: np.ndarray) -> int | str:
    """Of grey levels that occur so often."""
    return int(np.searchsorted(counts.cumsum(), counts.sum() / 2)) if counts.any() else ""


def _parts(rows: list[dict], told: list[dict], place: Path, found: Examination, new: Path, options) -> Iterator[Markup]:
    """The page: what is said of the data as a whole, then a part for each case."""
    known = {
        *(row["case"] for row in rows),
        *(f"slice {name}" for row in rows for name in row["slices_shown"].split(", ")),
    }
    unread: dict[str, dict] = {}
    for line in found.problems:
        for name in found.cases.get(line, ()):
            if name not in known:
                unread.setdefault(name, {"problems": []})["problems"].append(line)
    every = [*unread.items(), *((row["case"], lines) for row, lines in zip(rows, told, strict=True))]

    def said(lines: dict[str, list[str]]) -> list[tuple[str, str]]:
        return [(kind, with_flags(line, options)) for kind in KINDS for line in lines.get(kind, ())]

    template = ("data_look.html", "unet_segnet.commands")
    yield render(
        *template,
        part="whole",
        place=place,
        counts=(len(rows), len(unread)),
        said=said({kind: [line for line in getattr(found, kind) if line not in found.cases] for kind in KINDS}),
        cases=[(name, bool(lines["problems"])) for name, lines in every],
        table=table.table_html(_table(rows), "table-cases"),
        kinds=KINDS,
    )
    for number, (name, lines) in enumerate(every, 1):
        picture = None
        if name not in unread:
            row = rows[number - 1 - len(unread)]
            picture = figure_html(
                f"picture-{number}",
                "Slices and grey levels.",
                f"Slices {row['slices_shown']} of {row['slices']}.",
                f"Slices {row['slices_shown']} of {name} with the contours of its labels and lungs; below, how often "
                "each grey level is in both",
                (new / row["picture"]).read_bytes(),
            )
        yield render(*template, part="case", number=number, name=name, said=said(lines), picture=picture, kinds=KINDS)


def _table(rows: list[dict]) -> Table:
    columns = {
        "case": "case",
        "patient": "patient",
        "slices": "slices",
        "slices_with_lesion": "with lesion",
        "lesion_share_of_lungs": "lesion in the lungs, %",
        "lung_level": "grey level: lungs",
        "lesion_level": "grey level: lesion",
    }

    def cell(name, value):
        if name == "lesion_share_of_lungs" and value:
            return Hundredths(100 * float(value))
        return None if value == "" else value

    cells = [tuple(cell(name, row[name]) for name in columns) for row in rows]
    notes = (
        "Grey levels, 0 to 255 after the networks' window, are medians: of the lungs where nothing is marked, and of "
        "the lesions.",
        "Empty: there are no labels, or the lungs are not known.",
    )
    return Table("Cases.", tuple(columns.values()), tuple(cells), notes)
