"""Attributes of cells that a table states, by slide and place: what captions of patches are made of."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Box

__all__ = ["AttributeTable", "Attributed"]

IMAGES = ("image", "slide", "slide_id", "file", "filename", "file_name", "path", "id")
TYPE, CELLS = "type", "cells.csv"
NO_MORPHOLOGY = {
    "x", "y", "class", "score", "described", "group", "patient", "split", "label", "entropy", "disagreement",
    "variance", "nucleus_seen", *IMAGES,
}  # fmt: skip
"""Columns of a table, of `cells.csv` too, that do not say what a cell looks like; nor do any in px or of scores."""


class Attributed(NamedTuple):
    """What is stated of a cell."""

    x: float | None
    """Level-0 pixels; None where the table speaks of whole images."""
    y: float | None
    values: Mapping[str, str]
    """By attribute, as `wsi_patches.morphology` names them."""
    kind: str


@dataclass(frozen=True)
class AttributeTable:
    """Cells by slide."""

    cells: Mapping[str, list[Attributed]]

    @classmethod
    def read(cls, path: Path) -> AttributeTable:
        """Read a CSV file, or all ``SLIDE/cells.csv`` of a folder that ``infer`` wrote.

        A file has a column image (a slide's id or file), and columns named as attributes; with x and y a row is of one
        cell at that place, else of the whole image.

        Raises
        ------
        UsageError
            There is no such file, it is no table, or it has no such columns.
        """
        found: dict[str, list[Attributed]] = {}
        files = sorted(path.glob(f"*/{CELLS}")) if path.is_dir() else [path]
        if not files:
            msg = (
                f"--attributes {path} is a folder without SLIDE/{CELLS}: give a CSV file, or a folder that infer wrote"
            )
            raise UsageError(msg)
        for file in files:
            for name, one in _rows(file, file.parent.name if path.is_dir() else None):
                found.setdefault(name, []).append(one)
        return cls(found)

    def at(self, names: tuple[str, ...], box: Box) -> Attributed | None:
        """Return what is stated of the cell of an image that lies nearest to the middle of a box, and within it."""
        known = next((self.cells[name] for name in names if name in self.cells), [])
        centre = box.x + box.width / 2, box.y + box.height / 2
        best, nearest = None, float("inf")
        for one in known:
            if one.x is None or one.y is None:
                return one
            inside = box.x <= one.x < box.x + box.width and box.y <= one.y < box.y + box.height
            apart = (one.x - centre[0]) ** 2 + (one.y - centre[1]) ** 2
            if inside and apart < nearest:
                best, nearest = one, apart
        return best


def _rows(file: Path, image: str | None) -> Iterator[tuple[str, Attributed]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
            titles = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"--attributes {file} cannot be read as CSV: {error}"
        raise UsageError(msg) from error
    column = next((titles[name] for name in IMAGES if name in titles), None)
    told = [name for name in titles if name and name not in NO_MORPHOLOGY and not name.endswith(("_px", "_score"))]
    if (column is None and image is None) or not told:
        msg = f"--attributes {file} has the columns {', '.join(titles) or 'none'}: it needs image, and attributes"
        raise UsageError(msg if len(titles) != 1 else f"{msg}, separated by commas")
    for line, row in enumerate(rows, 2):
        values = {name: row[titles[name]].strip() for name in told if name != TYPE}
        kind = row[titles[TYPE]].strip() if TYPE in titles else ""
        x, y = (_place(row[titles[name]], file, line) if name in titles else None for name in ("x", "y"))
        yield image or Path(row[str(column)]).name, Attributed(x, y, values, kind)


def _place(text: str, file: Path, line: int) -> float | None:
    try:
        place = float(text) if text.strip() else None
        if place is not None and not math.isfinite(place):
            raise ValueError
    except ValueError as error:
        msg = f"--attributes {file}, line {line}: expected a place in level-0 pixels, found {text!r}"
        raise UsageError(msg) from error
    return place
