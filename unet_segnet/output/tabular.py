"""A table that prints as aligned text, as Markdown, as LaTeX and as CSV."""

import csv
import math
import os
import re
import textwrap
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from unet_segnet.output.files import whole_file
from unet_segnet.output.records import write_text

TEXT_WIDTH = 100


class Signed(float):
    """A difference: printed with its sign."""


class Hundredths(float):
    """A fraction printed with two digits, such as a percentage."""


class PValue(float):
    """A p-value: below a thousandth that is said, for none is 0."""


Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table with its title and notes.

    Attributes:
        title: one sentence.
        columns: a name per column; "group: name" puts neighbouring columns of one group under one heading.
        rows: cells of text, whole numbers, fractions (printed with three digits; NaN as "-"), or None where
            there is nothing to say.
        notes: a sentence or two each, printed below.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Plain text: columns of text to the left, of numbers to the right; title and notes wrapped to 100."""
        groups, names = zip(*(column.rpartition(": ")[::2] for column in self.columns), strict=True)
        body = [list(names)] + [[cell_text(cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*body, strict=True)]
        is_text = [any(isinstance(row[i], str) for row in self.rows) for i in range(len(names))]
        gaps = [" " if group and group == after else "  " for group, after in pairwise((*groups, None))]
        heading = ""
        for group, members in groupby(range(len(groups)), key=lambda i: groups[i]):
            *others, last = members
            span = sum(widths[i] + len(gaps[i]) for i in others)
            widths[last] = max(widths[last], len(group) - span)
            label = f" {group} " if len(group) + 2 <= span + widths[last] else group
            heading += label.center(span + widths[last], "-" if group else " ") + gaps[last]
        lines = [
            "".join(
                (cell.ljust(width) if left else cell.rjust(width)) + gap
                for cell, width, left, gap in zip(row, widths, is_text, gaps, strict=True)
            ).rstrip()
            for row in body
        ]
        if any(groups):
            lines.insert(0, heading.rstrip())
        rule = "-" * max(map(len, lines))
        lines.insert(2 if any(groups) else 1, rule)
        parts = [*textwrap.wrap(self.title, TEXT_WIDTH), rule, *lines, rule]
        for note in self.notes:
            parts += textwrap.wrap(note, TEXT_WIDTH, subsequent_indent="  ")
        return "\n".join(parts) + "\n"

    def to_markdown(self) -> str:
        """A Markdown table with the title above and the notes below."""
        lines = [f"**{_markdown(self.title)}**", "", "| " + " | ".join(map(_markdown, self._names())) + " |"]
        lines.append("|" + "---|" * len(self.columns))
        lines += ["| " + " | ".join(_markdown(cell_text(cell)) for cell in row) + " |" for row in self.rows]
        lines += ["", *(f"- {_markdown(note)}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def to_latex(self) -> str:
        """A table environment in booktabs' style, with the title as caption and the notes below."""
        groups = [column.rpartition(": ")[::2] for column in self.columns]
        is_text = [any(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        lines = [
            r"\begin{table}",
            rf"\caption{{{_latex(self.title)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if left else 'r' for left in is_text)}}}",
            r"\toprule",
        ]
        if any(group for group, _ in groups):
            spans = [(group, len(list(members))) for group, members in groupby(groups, key=lambda pair: pair[0])]
            cells = [rf"\multicolumn{{{span}}}{{c}}{{{_latex(group)}}}" for group, span in spans]
            lines.append(" & ".join(cells) + r" \\")
        lines += [" & ".join(_latex(name) for _, name in groups) + r" \\", r"\midrule"]
        lines += [" & ".join(_latex(cell_text(cell)) for cell in row) + r" \\" for row in self.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
        if self.notes:
            lines += [r"\par\smallskip\footnotesize"] + [_latex(note) + r"\par" for note in self.notes]
        return "\n".join([*lines, r"\end{table}", ""])

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the rows in full precision; None is an empty field, NaN is `nan`.

        The file appears whole or not at all; its folder is made when missing.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(self._names())
            writer.writerows(self.rows)

    def _names(self) -> list[str]:
        return [column.replace(": ", " ") for column in self.columns]


_LATEX = str.maketrans(
    {character: "\\" + character for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
)


def _latex(text: str) -> str:
    return text.translate(_LATEX)


def _markdown(text: str) -> str:
    """Names from files stay what they are: no further column, line or HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split("\n")).replace("|", "\\|"))


def cell_text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and math.isnan(cell):
        return "-"
    if isinstance(cell, Signed):
        return f"{cell:+.3f}"
    if isinstance(cell, PValue) and cell < 0.001:
        return "<0.001"
    if isinstance(cell, Hundredths):
        return f"{cell:.2f}"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def write_tables(tables: dict, folder: Path) -> list[str]:
    """Print tables by file name, write each as CSV and, with its notes, as Markdown; returns the files' names."""
    for name, table in tables.items():
        print(f"\n{table.to_text()}")
        table.to_csv(folder / f"{name}.csv")
        write_text(folder / f"{name}.md", table.to_markdown())
    return [f"{name}.{ending}" for name in tables for ending in ("csv", "md")]
