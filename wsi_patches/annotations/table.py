"""Cells as rows of a CSV file, of one slide or of many.

Columns are known by name, whatever their case: ``x`` and ``y``, or ``xmin``, ``ymin``, ``xmax`` and ``ymax``; and where
they are there ``class`` (or ``label``), ``score`` (or ``confidence``) and ``image`` (or ``filename``). Further columns
are not read. Frame: pixels counted from 0; a box names its first and last pixel, both inclusive. This program's own
``cells.csv`` is such a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsi_patches.annotations.marks import BOX_COLUMNS, Edges, Mark, box_mark, cells_of
from wsi_patches.annotations.once import parsed_once
from wsi_patches.annotations.text import column_key, csv_rows, finite, score_of
from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.errors import AnnotationError

__all__ = ["Table", "read_table", "table_of"]

TITLES = {
    "image": ("image", "filename", "imagename", "imageid", "file", "path"),
    "class": ("class", "classname", "label", "category"),
    "score": ("score", "confidence"),
    "x": ("x", "xpx"),
    "y": ("y", "ypx"),
    "left": ("xmin", "left", column_key(BOX_COLUMNS[0])),
    "top": ("ymin", "top", column_key(BOX_COLUMNS[1])),
    "right": ("xmax", "right", column_key(BOX_COLUMNS[2])),
    "bottom": ("ymax", "bottom", column_key(BOX_COLUMNS[3])),
}
"""What a column may be called, as `column_key` makes it; the first that is there counts."""
POINT = ("x", "y")

Row = tuple[int, Mapping[str, str]]


@dataclass(frozen=True)
class Table:
    """A table of cells by image."""

    columns: Mapping[str, str]
    """Our name of a column -> its title as `column_key` makes it."""
    rows: Mapping[str, Sequence[Row]]
    """Line and fields by image, in the file's order; all are of the image ``""`` where no column names one."""


@parsed_once
def table_of(path: Path) -> Table:
    """Parse a table; its last result is kept, so asking for each image is cheap.

    Raises
    ------
    AnnotationError
        It is no table, or has no columns for points or boxes.
    """
    titles, rows = csv_rows(path)
    found = {ours: next((name for name in names if name in titles), "") for ours, names in TITLES.items()}
    columns = {ours: title for ours, title in found.items() if title}
    if not all(name in columns for name in Edges._fields) and not all(name in columns for name in POINT):
        msg = f"{path}, line 1: expected the columns x and y, or xmin, ymin, xmax and ymax, found {', '.join(titles)}"
        raise AnnotationError(msg)
    by_image: dict[str, list[Row]] = {}
    for line, fields in rows:
        by_image.setdefault(fields[columns["image"]] if "image" in columns else "", []).append((line, fields))
    return Table(columns, by_image)


def read_table(path: Path, image: str | None = None, default_class: str = WHITE_CELL) -> Cells:
    """Read the cells of one image.

    Parameters
    ----------
    path
        The file, UTF-8 with a header; fields are parted by commas, semicolons or tabs.
    image
        What the file calls the image; may be left out if it speaks of one only. A row with an image and no coordinates
        says that there are no cells on it.
    default_class
        Of cells without a class.

    Returns
    -------
    Cells in the file's order, level-0 pixels counted from 0, with boxes as attributes if the file has them; classes in
    order of appearance.

    Raises
    ------
    AnnotationError
        The file is no such table, does not speak of the image, or a row has no numbers.
    """
    table = table_of(path)
    rows = _rows_of(table, image, path)
    shape = Edges._fields if all(name in table.columns for name in Edges._fields) else POINT
    marks = [_mark(table, fields, shape, default_class, f"{path}, line {line}") for line, fields in rows]
    return cells_of([mark for mark in marks if mark is not None], path)


def _rows_of(table: Table, image: str | None, path: Path) -> Sequence[Row]:
    if "image" not in table.columns:
        return table.rows.get("", ())
    if image is None and len(table.rows) > 1:
        msg = f"{path} speaks of {len(table.rows)} images: say which of them is meant"
        raise AnnotationError(msg)
    if image is None:
        return next(iter(table.rows.values()), ())
    if image not in table.rows:
        msg = f"{path} does not speak of an image {image!r}; one without cells has a row without coordinates"
        raise AnnotationError(msg)
    return table.rows[image]


def _mark(
    table: Table, fields: Mapping[str, str], shape: tuple[str, ...], default_class: str, where: str
) -> Mark | None:
    said = {ours: fields[title] for ours, title in table.columns.items()}
    if not any(said[name] for name in shape):
        return None
    numbers = [finite(said[name], f"{where}, {table.columns[name]}") for name in shape]
    name = said.get("class") or default_class
    score = score_of(said.get("score") or 1.0, f"{where}, score")
    if shape != POINT:
        return box_mark(name, Edges(*numbers), where, score=score)
    x, y = numbers
    return Mark(name, x, y, score=score)
