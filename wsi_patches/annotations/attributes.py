"""Attributes of cells as files have them, numbers or texts, into texts under the names of `wsi_patches.morphology`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.annotations.words import our_class
from wsi_patches.cells import Cells
from wsi_patches.errors import UsageError
from wsi_patches.morphology import Attribute

__all__ = ["UNKNOWN", "attribute_numbers", "named_attributes", "numbered_columns"]

UNKNOWN = -1
"""The number of a value that is not known."""
NOTHING = ""
NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


def numbered_columns(names: Sequence[str]) -> dict[str, str]:
    """Return which attribute each column behind a YOLO box is, ``a1`` being the first of the names."""
    return {f"a{number}": name for number, name in enumerate(names, start=1)}


def named_attributes(cells: Cells, attributes: Sequence[Attribute], columns: Mapping[str, str] = NO_COLUMNS) -> Cells:
    """Return cells whose attributes are texts under the names that we have for them.

    A column is an attribute's if ``columns`` says so, or if it bears its name (``Nuclear Chromatin`` does). A number
    is the value of that number, counted from 0; any other number, or text, says that the value is not known (``""``).

    Parameters
    ----------
    cells
        As a reader gives them.
    attributes
        Which there may be, with their values.
    columns
        Name of a file's column -> name of the attribute.

    Raises
    ------
    UsageError
        A column is said to be an attribute that there is not.
    """
    known = {one.name: one for one in attributes}
    unknown = sorted(set(columns.values()) - set(known))
    if unknown:
        msg = f"columns are said to be {', '.join(unknown)}; the attributes are {', '.join(known) or 'none'}"
        raise UsageError(msg)
    ours: dict[str, NDArray[Any]] = {}
    for name, column in cells.attributes.items():
        word = columns.get(name, our_class(name))
        ours[word if word in known else name] = _texts(column, known[word].values) if word in known else column
    return replace(cells, attributes=ours)


def attribute_numbers(cells: Cells, attributes: Sequence[Attribute]) -> NDArray[np.int64]:
    """Return the number of each cell's value of each attribute, `UNKNOWN` where it is not known, ``(n, attributes)``.

    Parameters
    ----------
    cells
        With texts, as `named_attributes` returns them.
    attributes
        In the order of the columns.
    """
    numbers = np.full((len(cells), len(attributes)), UNKNOWN, np.int64)
    for column, one in enumerate(attributes):
        said = np.asarray(cells.attributes.get(one.name, np.full(len(cells), NOTHING)))
        for number, value in enumerate(one.values):
            numbers[said == value, column] = number
    return numbers


def _texts(column: NDArray[Any], values: Sequence[str]) -> NDArray[np.str_]:
    return np.array([_value(one, values) for one in column.tolist()], str) if len(column) else np.empty(0, str)


def _value(said: float | str, values: Sequence[str]) -> str:
    if isinstance(said, str):
        word = said.strip().lower()
        return next((value for value in values if value.lower() == word), _numbered(word, values))
    return values[int(said)] if said in range(len(values)) else NOTHING


def _numbered(word: str, values: Sequence[str]) -> str:
    """Return the value that a number written as text means."""
    return values[int(word)] if word.isdecimal() and int(word) < len(values) else NOTHING
