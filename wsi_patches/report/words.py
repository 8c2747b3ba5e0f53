"""What the cells of a slide look like, in sentences: a template over attributes that a model told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.morphology import in_words, shares_in_words

__all__ = ["TYPE", "described", "morphology_of", "summary_of"]

TYPE = "type"
"""The attribute that names a cell's kind."""


def morphology_of(cells: Cells) -> Mapping[str, NDArray[np.str_]]:
    """Return the attributes of morphology that cells have: all columns of text but the type."""
    return {name: column for name, column in cells.attributes.items() if column.dtype.kind == "U" and name != TYPE}


def described(cells: Cells) -> list[str]:
    """Return a sentence for each cell, an empty one where nothing is known of its morphology."""
    columns = morphology_of(cells)
    kinds = cells.attributes.get(TYPE, np.full(len(cells), "")).tolist()
    rows = zip(*(column.tolist() for column in columns.values()), strict=True) if columns else [()] * len(cells)
    said = [dict(zip(columns, row, strict=True)) for row in rows]
    return [in_words(one, kind) if any(one.values()) else "" for one, kind in zip(said, kinds, strict=True)]


def summary_of(cells: Cells) -> str:
    """Return how often each value occurs among a slide's blasts, or among all its cells where no class is blast."""
    told_apart = "blast" in cells.class_names
    rows = (
        np.flatnonzero(cells.class_index == cells.class_names.index("blast")) if told_apart else np.arange(len(cells))
    )
    some = {name: column[rows].tolist() for name, column in morphology_of(cells).items()}
    return shares_in_words(some, "blasts" if told_apart else "white cells")
