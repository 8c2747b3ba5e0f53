"""``predictions.csv``: truth and probabilities of labelled patches, written here or by any other program."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.tables import write_table

__all__ = ["FIRST_COLUMNS", "NO_MORE", "read_predictions", "write_predictions"]

FIRST_COLUMNS = ("id", "group", "truth", "predicted")
NO_MORE: Mapping[str, NDArray[np.float64]] = MappingProxyType({})
PROBABILITY = "p_"
"""What a column of probabilities begins with; the class name follows."""


class _Row(NamedTuple):
    id: str
    group: str
    truth: str
    probabilities: list[float]


def write_predictions(path: Path, predictions: Predictions, more: Mapping[str, NDArray[np.float64]] = NO_MORE) -> None:
    """Write the table: ``id,group,truth,predicted`` and a column ``p_<class>`` for each class.

    Probabilities are written with nine digits, so that reading gives the same float32 back. Further columns ``(n,)``,
    such as how unsure the classifier is, come last.
    """
    columns = [column.tolist() for column in more.values()]
    names = predictions.class_names
    rows = (
        [
            one,
            group,
            names[truth],
            names[predicted],
            *(f"{p:.9g}" for p in probabilities),
            *(f"{column[row]:.6g}" for column in columns),
        ]
        for row, (one, group, truth, predicted, probabilities) in enumerate(
            zip(
                predictions.ids.tolist(),
                predictions.groups.tolist(),
                predictions.truth.tolist(),
                predictions.predicted.tolist(),
                predictions.probabilities.tolist(),
                strict=True,
            )
        )
    )
    write_table(path, [*FIRST_COLUMNS, *(PROBABILITY + name for name in names), *more], rows)


def read_predictions(path: Path) -> Predictions:
    """Read a table of predictions.

    Parameters
    ----------
    path
        CSV, UTF-8, with a header. Columns are found by name: ``id``, ``group``, ``truth`` and one ``p_<class>`` for
        each class; ``predicted`` is not read, since the probabilities say it. An empty group is the row's own id.

    Raises
    ------
    UsageError
        The file cannot be read or is not such a table; the message names file, line and column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            return _predictions(path, ((reader.line_num, cells) for cells in reader))
    except OSError as error:
        msg = f"predictions cannot be read: {path}: {error.strerror}"
        raise UsageError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text: write the predictions as CSV in UTF-8"
        raise UsageError(msg) from error
    except csv.Error as error:
        msg = f"{path} is not a CSV table: {error}"
        raise UsageError(msg) from error


def _predictions(path: Path, lines: Iterator[tuple[int, list[str]]]) -> Predictions:
    _, header = next(lines, (1, []))
    names = tuple(name.removeprefix(PROBABILITY) for name in header if name.startswith(PROBABILITY))
    _check_header(path, header, names)
    where = [header.index(column) for column in ("id", "group", "truth")]
    shares = [header.index(PROBABILITY + name) for name in names]
    rows = []
    for number, cells in lines:
        if cells:
            rows.append(_row(f"{path}, line {number}", header, cells, where, shares))
            if rows[-1].truth not in names:
                msg = f"{path}, line {number}, column truth: {rows[-1].truth!r} is none of the classes {names}"
                raise UsageError(msg)
    index = {name: k for k, name in enumerate(names)}
    return Predictions(
        names,
        np.array([row.id for row in rows], np.str_),
        np.array([row.group for row in rows], np.str_),
        np.array([index[row.truth] for row in rows], np.int32),
        np.array([row.probabilities for row in rows], np.float32).reshape(-1, len(names)),
    )


def _check_header(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in ("id", "group", "truth") if name not in header]
    if missing or not names:
        what = missing or [f"{PROBABILITY}<class>"]
        msg = f"{path}, line 1: predictions need the columns id, group, truth and p_<class>; missing: {what}"
        raise UsageError(msg)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        msg = f"{path}, line 1: these columns occur more than once: {twice}"
        raise UsageError(msg)


def _row(place: str, header: Sequence[str], cells: Sequence[str], where: Sequence[int], shares: Sequence[int]) -> _Row:
    if len(cells) != len(header):
        msg = f"{place}: {len(cells)} cells were found where the header has {len(header)} columns"
        raise UsageError(msg)
    one, group, truth = (cells[at] for at in where)
    probabilities = [_probability(f"{place}, column {header[at]}", cells[at]) for at in shares]
    total = math.fsum(probabilities)
    if not math.isclose(total, 1, abs_tol=1e-3):
        msg = f"{place}: the probabilities of {one!r} sum to {total:.4g}, not to 1"
        raise UsageError(msg)
    return _Row(one, group or one, truth, probabilities)


def _probability(place: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        msg = f"{place}: a probability between 0 and 1 was expected, found {text!r}"
        raise UsageError(msg)
    return number
