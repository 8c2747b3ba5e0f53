"""A split on disk: ``split.csv`` with a row an image, and ``split.json`` with how it was made."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from wsi_patches._version import __version__
from wsi_patches.datasets.item import GroupKind
from wsi_patches.datasets.splits import Split, SplitRow
from wsi_patches.errors import OutputExists, UsageError

__all__ = ["read_split", "write_split"]

COLUMNS = ("id", "path", "group", "group_kind", "label", "split", "slide")
REQUIRED = ("id", "split")
"""Enough to apply a split that was made elsewhere; all that is left out counts as unknown."""


def write_split(split: Split, folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``split.csv`` and ``split.json`` into a folder, which is made if need be.

    Returns
    -------
    The path of the CSV.

    Raises
    ------
    OutputExists
        A split is there and ``overwrite`` is false.
    """
    table = folder / "split.csv"
    if table.exists() and not overwrite:
        msg = f"{table} exists: give another folder, or --overwrite to replace it"
        raise OutputExists(msg)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "by": split.by,
        "seed": split.seed,
        "wish": dict(split.wish) if isinstance(split.wish, Mapping) else split.wish,
        "counts": split.counts(),
        "warnings": list(split.warnings),
        "version": __version__,
    }
    _beside(table).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with table.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, name in zip(split.rows, split.names, strict=True):
            writer.writerow([row.id, row.path, row.group, row.group_kind, row.label, name, row.slide])
    return table


def read_split(table: Path, known: Collection[str] | None = None) -> Split:
    """Read a split, with how it was made where that lies beside it.

    Parameters
    ----------
    table
        A CSV file with the columns ``id`` and ``split`` at least. A row without a slide is its own.
    known
        The ids that the split may name, if they are known.

    Raises
    ------
    UsageError
        The file cannot be read, lacks a column, or a line is bad: line and column are named. Or it names an id that is
        not among ``known``.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                msg = f"{table}, line 1: a split needs the column {' and '.join(missing)}, found {found}"
                raise UsageError(msg)
            lines = [(reader.line_num, values) for values in reader]
    except (OSError, csv.Error) as error:
        msg = f"{table} cannot be read as the CSV file of a split: {error}"
        raise UsageError(msg) from error
    rows = [_row(table, number, values) for number, values in lines]
    _check_ids(table, [(number, row.id) for (number, _), row in zip(lines, rows, strict=True)], known)
    return Split(tuple(rows), tuple(values["split"] for _, values in lines), **_settings(_beside(table)))


def _beside(table: Path) -> Path:
    return table.with_suffix(".json")


def _row(table: Path, number: int, values: dict[str | None, Any]) -> SplitRow:
    if None in values or None in values.values():
        msg = f"{table}, line {number}: it has {'more' if None in values else 'fewer'} cells than the header"
        raise UsageError(msg)
    for name in REQUIRED:
        if not values[name]:
            msg = f"{table}, line {number}, column {name}: it is empty"
            raise UsageError(msg)
    kind = values.get("group_kind") or None
    if kind not in (None, *get_args(GroupKind)):
        msg = f"{table}, line {number}, column group_kind: {kind!r} is not one of {', '.join(get_args(GroupKind))}"
        raise UsageError(msg)
    group, label = values.get("group") or None, values.get("label") or None
    return SplitRow(values["id"], values.get("path") or "", group, kind, label, values.get("slide") or values["id"])


def _check_ids(table: Path, ids: Iterable[tuple[int, str]], known: Collection[str] | None) -> None:
    first: dict[str, int] = {}
    for number, one in ids:
        if one in first:
            msg = f"{table}, line {number}, column id: {one!r} is there already, in line {first[one]}"
            raise UsageError(msg)
        first[one] = number
    strange = [] if known is None else sorted(set(first) - set(known))
    if strange:
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        msg = f"{table} names {', '.join(strange[:5])}{more}, and there is no such id: was it made for other images?"
        raise UsageError(msg)


def _settings(path: Path) -> dict[str, Any]:
    """Return how a split was made, as far as the file beside it says; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: values[name] for name in ("by", "seed", "wish")}
        return {**kept, "warnings": tuple(values["warnings"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} does not say how {path.stem}.csv was made ({error!r}): remove it, or make the split again"
        raise UsageError(msg) from error
