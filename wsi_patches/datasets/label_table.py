"""A dataset's small CSV tables: rows by what they name, nothing in them is followed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

__all__ = ["read_rows"]


def read_rows(path: Path, columns: Sequence[str]) -> tuple[list[list[str]], str | None]:
    """Return the cells of some columns, row by row, and a sentence if the table cannot be read.

    Parameters
    ----------
    path
        The CSV file.
    columns
        Their names, in whatever case the header writes them.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [], f"{path.name} cannot be read as CSV, so its labels are not known: {error}"
    header = [cell.lower() for cell in rows[0]] if rows else []
    missing = [name for name in columns if name.lower() not in header]
    if missing:
        return [], f"{path.name} has the columns {', '.join(header) or 'none'}: expected {', '.join(columns)}"
    places = [header.index(name.lower()) for name in columns]
    return [[row[place] for place in places] for row in rows[1:] if len(row) > max(places)], None
