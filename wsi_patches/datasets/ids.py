"""Slide ids: unique in their output, safe as a folder's name, the same when a run is resumed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["assign_ids", "safe_id"]

RESERVED = re.compile(r"con|nul|(counts|groups)(\..*)?\.csv|run(\..*)?\.jsonl|report\.html")
"""Names that Windows keeps for itself, and those of the output's own files."""
UNSAFE = re.compile(r"[\x00-\x1f/\\:*?\"<>|]")


def assign_ids(slides: Sequence[tuple[str, str]], known: Mapping[str, tuple[str, str]] | None = None) -> list[str]:
    """Return an id for each slide: its file stem, or ``stem~2``, ``stem~3`` where the stem is taken.

    Parameters
    ----------
    slides
        Path and fingerprint of each, in input order; the fingerprint is empty where the file cannot be read.
    known
        Id -> (path, fingerprint) of slides that the output holds. A slide that is there keeps its id: first the one
        at the same path, then one of the same name and fingerprint.
    """
    known = known or {}
    ids: list[str | None] = [None] * len(slides)
    for key in (_same_place, _same_file):
        _claim(ids, slides, known, key)
    taken = {name.casefold() for name in (*known, *(one for one in ids if one))}
    last: dict[str, int] = {}
    return [one or _new_id(Path(path).stem, taken, last) for one, (path, _) in zip(ids, slides, strict=True)]


def _claim(
    ids: list[str | None],
    slides: Sequence[tuple[str, str]],
    known: Mapping[str, tuple[str, str]],
    key: Callable[[str, str], tuple[str, str]],
) -> None:
    """Give slides without an id that of a known one with the same key; each id goes to one slide."""
    gone = {name for name in ids if name is not None}
    free: dict[tuple[str, str], deque[str]] = {}
    for name, (path, fingerprint) in known.items():
        if name not in gone:
            free.setdefault(key(path, fingerprint), deque()).append(name)
    for position, (path, fingerprint) in enumerate(slides):
        names = free.get(key(path, fingerprint)) if ids[position] is None and fingerprint else None
        if names:
            ids[position] = names.popleft()


def _same_place(path: str, fingerprint: str) -> tuple[str, str]:
    return path, fingerprint


def _same_file(path: str, fingerprint: str) -> tuple[str, str]:
    return Path(path).name, fingerprint


def safe_id(stem: str) -> str:
    """Return a name that is one folder inside of the output, whatever a file or a store calls a slide."""
    safe = UNSAFE.sub("_", stem)
    # A leading dot would hide the folder, and "." and ".." would leave it.
    return f"_{safe}" if safe.startswith(".") or RESERVED.fullmatch(safe.casefold()) or not safe else safe


def _new_id(stem: str, taken: set[str], last: dict[str, int]) -> str:
    """Return a free name; ``last`` remembers how far each stem has come, as there may be thousands of one."""
    safe = safe_id(stem)
    name, number = safe, last.get(safe.casefold(), 1)
    while name.casefold() in taken:
        number += 1
        name = f"{safe}~{number}"
    taken.add(name.casefold())
    last[safe.casefold()] = number
    return name
