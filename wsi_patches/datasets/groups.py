"""Patients and slides that a lab's own file names or tables name, where no known layout does."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from wsi_patches.datasets.item import GroupKind, SlideItem
from wsi_patches.errors import UsageError

__all__ = ["GroupRule", "with_groups"]

IMAGE_COLUMNS = ("image", "slide_id", "slide", "file", "filename", "file_name", "path", "id")
GROUP_COLUMNS: dict[str, GroupKind] = {
    "patient": "patient",
    "patient_id": "patient",
    "case": "patient",
    "group": "slide",
    "smear": "slide",
}


@dataclass(frozen=True)
class GroupRule:
    """Where the groups of a lab's own images come from.

    Raises
    ------
    UsageError
        The pattern is no regular expression, or captures nothing.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pattern: str | None = None
    """A regular expression that is searched in each file's stem; its part named ``patient`` or ``slide`` is the group,
    or else its first part, which is taken for a slide."""
    table: Path | None = None
    """A CSV file with a column for the image's file (or its stem) and one called patient, case or group."""

    def __post_init__(self) -> None:
        if self.pattern is None:
            return
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            msg = f"--group-pattern {self.pattern!r} is no regular expression: {error}"
            raise UsageError(msg) from error
        if not groups:
            msg = f"--group-pattern {self.pattern!r} captures nothing: put what names the patient in parentheses"
            raise UsageError(msg)


def with_groups(items: Sequence[SlideItem], rule: GroupRule) -> list[SlideItem]:
    """Return the items with the groups that a rule gives; an item that it says nothing of keeps its own, and says so.

    Raises
    ------
    UsageError
        The table cannot be used.
    """
    known = _read(rule.table) if rule.table is not None else {}
    if rule.pattern is None and rule.table is None:
        return list(items)
    return [_with_group(item, rule, known) for item in items]


def _with_group(item: SlideItem, rule: GroupRule, known: dict[str, tuple[str, GroupKind]]) -> SlideItem:
    path = Path(item.path)
    found = known.get(path.name) or known.get(path.stem) or _matched(path.stem, rule.pattern)
    if found is None:
        return replace(item, warnings=(*item.warnings, "its patient or slide is neither in the table nor in its name"))
    return replace(item, group=found[0], group_kind=found[1])


def _matched(stem: str, pattern: str | None) -> tuple[str, GroupKind] | None:
    match = re.search(pattern, stem) if pattern is not None else None
    if match is None:
        return None
    named = match.groupdict()
    if named.get("patient"):
        return named["patient"], "patient"
    group = named.get("slide") or next((part for part in match.groups() if part), None)
    return (group, "slide") if group else None


def _read(table: Path) -> dict[str, tuple[str, GroupKind]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"--group-table {table} cannot be read as CSV: {error}"
        raise UsageError(msg) from error
    names = {name.strip().lower(): name for name in (rows[0] if rows else ()) if name}
    image = next((names[name] for name in IMAGE_COLUMNS if name in names), None)
    group = next((name for name in GROUP_COLUMNS if name in names), None)
    if image is None or group is None:
        msg = (
            f"--group-table {table} has the columns {', '.join(names) or 'none'}: it needs one of "
            f"{', '.join(IMAGE_COLUMNS)} and one of {', '.join(GROUP_COLUMNS)}"
        )
        raise UsageError(msg)
    column, kind = names[group], GROUP_COLUMNS[group]
    return {Path(row[image]).name: (row[column].strip(), kind) for row in rows if row[image] and row[column]}
