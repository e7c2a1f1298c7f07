"""Rows of tables as dictionaries, for the tests."""

import csv


def records(table):
    """Of a `Table`: column -> value."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def read_records(path):
    """Of a CSV file: column -> text."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
