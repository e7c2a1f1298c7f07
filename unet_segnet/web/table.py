"""Tables in HTML: the cells that `Table.to_text` prints, under headings that sort."""

from __future__ import annotations

import math
from itertools import groupby

from markupsafe import Markup

from unet_segnet.output.tabular import Cell, Table, cell_text
from unet_segnet.web.page import asset, checked_identifier, render

SCRIPT = asset("table.js")


def table_html(table: Table, identifier: str) -> Markup:
    """A table with its title above and its notes below, in a box of its own that scrolls where it is wide.

    With `SCRIPT` in the page, its columns sort by a click or by Enter on their headings: up, down, as it was.

    Arguments:
        table: columns "group: name" stand under one heading per group; columns of numbers go to the right.
        identifier: of the element, for links.

    Raises:
        ValueError: an identifier that is not safe.
    """
    groups, names = zip(*(column.rpartition(": ")[::2] for column in table.columns), strict=True)
    return render(
        "table.html",
        table=table,
        identifier=checked_identifier(identifier),
        names=names,
        groups=[(group, list(members)) for group, members in groupby(range(len(names)), key=lambda i: groups[i])],
        depth=2 if any(groups) else 1,
        is_text=[any(isinstance(row[i], str) for row in table.rows) for i in range(len(names))],
        rows=[[(cell_text(cell), _sort_value(cell)) for cell in row] for row in table.rows],
    )


def _sort_value(cell: Cell) -> float | None:
    """What fractions sort by: their full value."""
    return float(cell) if isinstance(cell, float) and not math.isnan(cell) else None
