"""A table in AnnData's layout on disk, which anndata and spatialdata read: a matrix, and columns of its rows.

The layout is AnnData's own (its on-disk format 0.1.0, in Zarr v3), written by zarr-python. The library anndata is not
needed: its versions of 2026 refuse pandas 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError

__all__ = ["write_anndata"]

DICT: dict[str, Any] = {"encoding-type": "dict", "encoding-version": "0.1.0"}
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
TEXTS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
TEXT: dict[str, Any] = {"encoding-type": "string", "encoding-version": "0.2.0"}
CATEGORICAL = {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"}
TABLE = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
EMPTY = ("layers", "obsm", "obsp", "varm", "varp")
ROWS_IN_CHUNK = 1024


def write_anndata(
    folder: Path,
    matrix: NDArray[np.float32],
    variables: Sequence[str],
    columns: Mapping[str, NDArray[Any] | Sequence[str | None]],
    notes: Mapping[str, Mapping[str, str]],
    attributes: Mapping[str, Any],
) -> None:
    """Write a table.

    Parameters
    ----------
    folder
        The group's folder; it must not be there.
    matrix
        ``X``, shape ``(rows, variables)``.
    variables
        A name of each column of the matrix, all different.
    columns
        What is known of each row (``obs``): numbers as an array, or texts, of which None is an unknown one.
    notes
        Dictionaries of texts (``uns``).
    attributes
        What stands in the group's metadata beside AnnData's own.

    Raises
    ------
    StoreError
        A column, or the names of the variables, are not as long as the matrix is.
    """
    import zarr  # slow to import

    lengths = {"the variables": (len(variables), matrix.shape[1])}
    lengths |= {name: (len(values), len(matrix)) for name, values in columns.items()}
    wrong = [f"{name} has {found} of {wanted}" for name, (found, wanted) in lengths.items() if found != wanted]
    if wrong:
        msg = f"{folder}: {', '.join(wrong)}"
        raise StoreError(msg)
    table = zarr.create_group(folder, zarr_format=3, attributes={**TABLE, **attributes})
    _array(table, "X", matrix, ARRAY)
    _frame(table, "obs", [str(row) for row in range(len(matrix))], columns)
    _frame(table, "var", variables, {})
    for name in EMPTY:
        table.create_group(name, attributes=DICT)
    unstructured = table.create_group("uns", attributes=DICT)
    for name, texts in notes.items():
        of_name = unstructured.create_group(name, attributes=DICT)
        for key, text in texts.items():
            of_name.create_array(key, data=np.array(text, np.dtypes.StringDType()), attributes=TEXT)


def _frame(group: Any, name: str, index: Sequence[str], columns: Mapping[str, Any]) -> None:
    frame = group.create_group(name, attributes={**FRAME, "column-order": list(columns)})
    _texts(frame, "_index", index)
    for column, values in columns.items():
        if isinstance(values, np.ndarray):
            _array(frame, column, values, ARRAY)
        else:
            _categories(frame, column, values)


def _categories(frame: Any, name: str, values: Sequence[str | None]) -> None:
    """Write texts as the categories that there are, and the number of each one's; -1 is unknown."""
    known = sorted({value for value in values if value is not None})
    number = {value: code for code, value in enumerate(known)}
    group = frame.create_group(name, attributes=CATEGORICAL)
    _array(group, "codes", np.array([-1 if one is None else number[one] for one in values], np.int32), ARRAY)
    _texts(group, "categories", known)


def _texts(group: Any, name: str, values: Sequence[str]) -> None:
    _array(group, name, np.array(list(values), np.dtypes.StringDType()), TEXTS)


def _array(group: Any, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
    rows = min(max(1, len(values)), ROWS_IN_CHUNK)
    chunks = (rows, *(max(1, side) for side in values.shape[1:]))
    group.create_array(name, data=values, chunks=chunks, attributes=dict(attributes))
