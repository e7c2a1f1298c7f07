"""Tables in HTML: the cells that `Table.to_text` prints, under headings that sort."""

from __future__ import annotations

import math
from itertools import groupby

from unet_segnet.output.tabular import Cell, Table, cell_text
from unet_segnet.web.page import asset, checked_identifier, escape, prose, title_html

SCRIPT = asset("table.js")


def table_html(table: Table, identifier: str) -> str:
    """A table with its title above and its notes below, in a box of its own that scrolls where it is wide.

    With `SCRIPT` in the page, its columns sort by a click or by Enter on their headings: up, down, as it was.

    Arguments:
        table: columns "group: name" stand under one heading per group; columns of numbers go to the right.
        identifier: of the element, for links.

    Raises:
        ValueError: an identifier that is not safe.
    """
    identifier = checked_identifier(identifier)
    groups, names = zip(*(column.rpartition(": ")[::2] for column in table.columns), strict=True)
    is_text = [any(isinstance(row[i], str) for row in table.rows) for i in range(len(names))]
    depth = 2 if any(groups) else 1
    headings: list[list[str]] = [[] for _ in range(depth)]
    for group, members in groupby(range(len(names)), key=lambda i: groups[i]):
        members = list(members)
        if group:
            headings[0].append(f'<th scope="colgroup" colspan="{len(members)}" class="group">{escape(group)}</th>')
        for i in members:
            span = f' rowspan="{depth}"' if depth > 1 and not group else ""
            kind = "" if is_text[i] else ' class="number"'
            headings[depth - 1 if group else 0].append(
                f'<th scope="col"{span}{kind} aria-sort="none" data-column="{i}">'
                f'<button type="button">{escape(names[i])}</button></th>'
            )
    head = "\n".join(f"<tr>{''.join(row)}</tr>" for row in headings)
    body = "\n".join(
        f"<tr>{''.join(_cell(cell, is_text[i], first=i == 0) for i, cell in enumerate(row))}</tr>" for row in table.rows
    )
    notes = "".join(f"<p>{prose(note)}</p>" for note in table.notes)
    return (
        f'<figure class="table" id="{identifier}">\n'
        f'<figcaption id="{identifier}-title">{title_html(table.title)}</figcaption>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{identifier}-title">\n'
        f'<table class="sortable" aria-labelledby="{identifier}-title">\n'
        f"<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
        + (f'<div class="notes">{notes}</div>\n' if notes else "")
        + "</figure>"
    )


def _cell(cell: Cell, is_text: bool, first: bool) -> str:
    """One cell; fractions carry their full value, by which they sort."""
    attributes = "" if is_text else ' class="number"'
    if isinstance(cell, float) and not math.isnan(cell):
        attributes += f' data-value="{float(cell)!r}"'
    element = 'th scope="row"' if first and is_text else "td"
    return f"<{element}{attributes}>{escape(cell_text(cell))}</{element.split()[0]}>"
