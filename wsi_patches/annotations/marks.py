"""What readers gather, mark by mark, before it becomes cells.

Frame: pixels counted from 0, whole numbers being the middles of pixels. A box names its first and last pixel, both
inclusive, so its width is ``right - left + 1`` and its centre ``(left + right) / 2``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError, UsageError

__all__ = ["BOX_COLUMNS", "Edges", "Mark", "box_mark", "boxes_of", "cells_of", "in_class_order", "rename_classes"]

BOX_COLUMNS = ("left_px", "top_px", "right_px", "bottom_px")
RESERVED = ("slide", "x", "y", "class", "class_index", "score")
NO_ATTRIBUTES: Mapping[str, float | str] = MappingProxyType({})


class Edges(NamedTuple):
    """A box's first and last column and row, both inclusive."""

    left: float
    top: float
    right: float
    bottom: float


class Mark(NamedTuple):
    """One cell as a file marks it."""

    class_name: str
    x: float
    y: float
    box: Edges | None = None
    score: float = 1.0
    attributes: Mapping[str, float | str] = NO_ATTRIBUTES
    slide: str = ""


def box_mark(
    class_name: str,
    box: Edges,
    where: str,
    attributes: Mapping[str, float | str] = NO_ATTRIBUTES,
    score: float = 1.0,
) -> Mark:
    """Return the mark at the centre of a box.

    Raises
    ------
    AnnotationError
        Width or height is below 0; one of no area is taken, as is one outside of the image.
    """
    width, height = box.right - box.left + 1, box.bottom - box.top + 1
    if width < 0 or height < 0:
        msg = f"{where}: expected a box whose right and bottom follow its left and top, found {width:g} x {height:g} px"
        raise AnnotationError(msg)
    return Mark(class_name, (box.left + box.right) / 2, (box.top + box.bottom) / 2, box, score, attributes)


def cells_of(marks: Sequence[Mark], path: Path) -> Cells:
    """Return marks as cells; the classes are named in order of appearance.

    An attribute that some marks lack is NaN there (empty if it is text); boxes are kept only if all marks have one.

    Raises
    ------
    AnnotationError
        An attribute has the name of a cell's own column.
    """
    names = tuple(dict.fromkeys(mark.class_name for mark in marks))
    number = {name: index for index, name in enumerate(names)}
    attributes = _attributes(marks, path)
    boxes = [mark.box for mark in marks if mark.box is not None]
    if marks and len(boxes) == len(marks):
        attributes |= dict(zip(BOX_COLUMNS, np.array(boxes, np.float64).T, strict=True))
    return Cells(
        x=np.array([mark.x for mark in marks], np.float64),
        y=np.array([mark.y for mark in marks], np.float64),
        class_index=np.array([number[mark.class_name] for mark in marks], np.int32),
        score=np.array([mark.score for mark in marks], np.float32),
        class_names=names,
        slide=np.array([mark.slide for mark in marks], str),
        attributes=attributes,
    )


def _attributes(marks: Sequence[Mark], path: Path) -> dict[str, NDArray[Any]]:
    keys = dict.fromkeys(key for mark in marks for key in mark.attributes)
    taken = [key for key in keys if key in RESERVED or key in BOX_COLUMNS]
    if taken:
        msg = f"{path}: a cell's own columns cannot be further attributes, found {', '.join(taken)}: rename them"
        raise AnnotationError(msg)
    return {key: _column([mark.attributes.get(key) for mark in marks]) for key in keys}


def _column(values: Sequence[float | str | None]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values], str)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def in_class_order(cells: Cells, class_names: Sequence[str], path: Path) -> Cells:
    """Return the cells with their classes numbered as in ``class_names``.

    Raises
    ------
    AnnotationError
        A cell's class is not among them.
    """
    known = {name: index for index, name in enumerate(class_names)}
    occurring = [cells.class_names[index] for index in np.unique(cells.class_index)]
    unknown = [name for name in occurring if name not in known]
    if unknown:
        msg = f"{path} has cells of class {', '.join(unknown)}; the classes are {', '.join(class_names)}"
        raise AnnotationError(msg)
    ours = np.array([known.get(name, 0) for name in cells.class_names], np.int32)
    index = ours[cells.class_index] if len(cells) else cells.class_index
    return replace(cells, class_index=index, class_names=tuple(class_names))


def rename_classes(cells: Cells, rename: Callable[[str], str | None]) -> Cells:
    """Return the cells with other class names; those of a class that is renamed to None are left out.

    Classes that get the same name become one; names are in the order of the old ones.
    """
    ours = [rename(name) for name in cells.class_names]
    names = tuple(dict.fromkeys(name for name in ours if name is not None))
    index = np.array([names.index(name) if name is not None else -1 for name in ours], np.int32)
    renamed = index[cells.class_index] if len(cells) else cells.class_index
    kept = cells.take(renamed >= 0)
    return replace(kept, class_index=renamed[renamed >= 0], class_names=names)


def boxes_of(cells: Cells) -> NDArray[np.float64]:
    """Return left, top, right and bottom of each cell, shape ``(n, 4)``.

    Raises
    ------
    UsageError
        The cells have no boxes.
    """
    missing = [name for name in BOX_COLUMNS if name not in cells.attributes]
    if missing and len(cells):
        msg = f"cells that are written as boxes need {', '.join(BOX_COLUMNS)}, found no {', '.join(missing)}"
        raise UsageError(msg)
    if not len(cells):
        return np.empty((0, 4))
    return np.stack([np.asarray(cells.attributes[name], np.float64) for name in BOX_COLUMNS], axis=1)
