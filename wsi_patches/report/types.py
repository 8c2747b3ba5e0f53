"""``types.csv``: how many cells of each type a slide holds, where the classifier tells types; and the same of groups.

A slide's row has ``count_TYPE``, the cells that are most probably of a type, and ``expected_TYPE``, the sum of the
cells' calibrated probabilities. ``types.json`` says which model counted, and how often it takes a type for another.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.locations import patiently
from wsi_patches.outcome import FAILED, SlideReport
from wsi_patches.stores.files import replacing

__all__ = ["TYPES", "TypeCounts", "read_types", "write_types"]

TYPES, GROUPS, FACTS = "types.csv", "types_groups.csv", "types.json"
COUNT, EXPECTED = "count_", "expected_"
MOST_CELLS = 1_000_000_000
"""Of one type in one row: more is a slip of the pen, and beyond some 1e18 no whole number of numpy's."""
OTHER_SIGNS = (";", "\t")
PATIENT = ("patient", "group", "slide_id")
"""Columns that name the patient of a row: the first of them that the row fills."""
IN_REPORT = "types"
"""What the counts are called in a report's ``extra``."""


@dataclass(frozen=True)
class TypeCounts:
    """Cells of each type that were counted of some patients."""

    patients: tuple[str, ...]
    """The group of a slide, or the slide itself where none is known."""
    types: tuple[str, ...]
    counts: NDArray[np.int64]
    """Shape ``(patients, types)``."""
    blasts: tuple[str, ...] = ()
    """Types that are blasts, as far as is known."""
    confusion: NDArray[np.int64] | None = None
    """How often the classifier took each type (row) for each (column); None where nobody says."""
    model: str = ""
    """SHA-256 of the weights that told the types; empty where unknown."""


def write_types(out: Path, reports: Sequence[SlideReport], groups: Sequence[str] = ()) -> Path | None:
    """Write ``types.csv``, ``types.json`` and, of known groups, ``types_groups.csv``; None where no type is told.

    Parameters
    ----------
    out
        The output folder; tables of an earlier run are removed where they say nothing of this one.
    reports
        Of all slides, in input order.
    groups
        Names of the groups to sum up.
    """
    told = [report for report in reports if IN_REPORT in report.extra]
    for name in (TYPES, GROUPS, FACTS):
        (out / name).unlink(missing_ok=True)
    if not told:
        return None
    facts = told[0].extra[IN_REPORT]
    names: list[str] = list(facts["names"])
    head = ["cells", *(COUNT + name for name in names), *(EXPECTED + name for name in names)]
    rows = [[one.slide_id, one.group or "", one.status, *_figures(_table([one], names))] for one in reports]
    _write(out / TYPES, [["slide_id", "group", "status", *head], *rows])
    if groups:
        known = [(name, [one for one in told if one.group == name]) for name in groups]
        summed = [[name, len(slides), *_figures(_table(slides, names))] for name, slides in known]
        _write(out / GROUPS, [["group", "slides", *head], *summed])
    said = {"types": names, "blasts": facts["blasts"], "confusion": facts["confusion"], "model": told[0].model}
    text = json.dumps({**said, "weights_sha256": told[0].weights_sha256}, indent=1)
    patiently(lambda: _replace(out / FACTS, text))
    return out / TYPES


def _table(reports: Sequence[SlideReport], names: Sequence[str]) -> NDArray[np.float64] | None:
    """Return counts and expected counts, shape ``(2, types)``, of slides together; None where none was counted."""
    told = [report.extra[IN_REPORT] for report in reports if report.status != FAILED and IN_REPORT in report.extra]
    return np.sum([[one["counts"], one["expected"]] for one in told], axis=0).reshape(2, len(names)) if told else None


def _figures(table: NDArray[np.float64] | None) -> list[str]:
    if table is None:
        return []
    return [*(f"{n:.0f}" for n in (table[0].sum(), *table[0])), *(f"{value:.4f}" for value in table[1])]


def _write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    whole = [[*row, *[""] * (len(rows[0]) - len(row))] for row in rows]
    patiently(lambda: _write_rows(path, whole))


def _write_rows(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)


def _replace(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_types(path: Path) -> TypeCounts:
    """Read counts of types, those of a patient's slides summed.

    Parameters
    ----------
    path
        An output folder of ``infer``, or a CSV file: a column ``patient``, ``group`` or ``slide_id``, and one called
        ``count_TYPE`` for each type. What ``types.json`` beside it says is taken too.

    Raises
    ------
    UsageError
        There is no such table, or a count is no whole number of 0 or more.
    """
    table = path / TYPES if path.is_dir() else path
    if not table.is_file():
        why = "was its model one of types (a classifier of more than blast and other)?" if path.is_dir() else ""
        msg = f"{table} is not there: give an output folder of wsi-patches infer, or a CSV file of counts; {why}"
        raise UsageError(msg.rstrip("; "))
    names, rows = _rows(table)
    sums: dict[str, NDArray[np.int64]] = {}
    slides = set[str]()
    for line, row in enumerate(rows, start=2):
        if row.get("status") == FAILED or not any(row[COUNT + name] for name in names):
            continue  # failed, or of cells that a person marked and no model told
        patient = next((row[name] for name in PATIENT if row.get(name)), "")
        if not patient:
            msg = f"{table}, line {line}: nothing names the patient; fill the column {' or '.join(PATIENT)}"
            raise UsageError(msg)
        slide = row.get("slide_id", "")
        if slide in slides:
            msg = f"{table}, line {line}: slide {slide} is in the table already, its cells would count twice"
            raise UsageError(msg + ": leave one row of it")
        slides |= {slide} - {""}
        counts = np.array([_count(row[COUNT + name], f"{table}, line {line}, {COUNT}{name}") for name in names])
        sums[patient] = sums.get(patient, np.zeros(len(names), np.int64)) + counts
    if not sums:
        msg = f"{table} holds no counted slide"
        raise UsageError(msg)
    return _with_facts(TypeCounts(tuple(sums), tuple(names), np.array(list(sums.values()))), table.parent / FACTS)


def _rows(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            told = list(reader)
            titles = reader.fieldnames or ()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table} cannot be read as CSV: {error}"
        raise UsageError(msg) from error
    names = [title.removeprefix(COUNT) for title in titles if title.startswith(COUNT)]
    if not names or not set(titles) & set(PATIENT):
        found, wanted = ", ".join(titles) or "none", ", ".join(PATIENT[:-1])
        msg = f"{table} has the columns {found}: it needs {wanted} or {PATIENT[-1]}, and {COUNT}TYPE for each type"
        commas = len(titles) == 1 and any(sign in titles[0] for sign in OTHER_SIGNS)
        raise UsageError(msg + ("; separate the columns by commas" if commas else ""))
    _check_clear(table, titles, told)
    return names, [{key: (value or "").strip() for key, value in row.items() if key} for row in told]


def _check_clear(table: Path, titles: Sequence[str], rows: Sequence[dict[str | Any, Any]]) -> None:
    """Refuse a column that is there twice, and rows whose cells lie beside the columns: ``1,234`` without quotes."""
    found = [f" has the column {title} twice" for title in titles if title and titles.count(title) > 1]
    found += [
        f", line {line} has more cells than there are columns"
        for line, row in enumerate(rows, start=2)
        if any(cell.strip() for cell in row.get(None, ()))
    ]
    if found:
        msg = f"{table}{found[0]}: which of them counts cannot be told; mend the table"
        raise UsageError(msg)


def _count(text: str, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MOST_CELLS or not value.is_integer():
        msg = f"{where}: a count is a whole number of 0 or more, found {text!r}"
        raise UsageError(f"{msg}; {MOST_CELLS} is the most" if value > MOST_CELLS else msg)
    return int(value)


def _with_facts(read: TypeCounts, path: Path) -> TypeCounts:
    """Add what is known of the classifier, if it is one of the same types."""
    if not path.is_file():
        return read
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        confusion = np.array(facts["confusion"], np.int64) if facts["confusion"] else None
        if confusion is not None and confusion.min(initial=0) < 0:
            msg = "how often types were taken for each other is below 0"
            raise ValueError(msg)
        types, blasts, model = tuple(facts["types"]), tuple(facts["blasts"]), str(facts["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no description of types that wsi-patches infer wrote: {error}"
        raise UsageError(msg) from error
    if types != read.types or (confusion is not None and confusion.shape != (len(types), len(types))):
        msg = f"{path} speaks of the types {', '.join(types)}, and the table beside it of {', '.join(read.types)}"
        raise UsageError(msg)
    return TypeCounts(read.patients, read.types, read.counts, blasts, confusion, model)
