"""Slide ids: unique in their output, safe as a folder's name, the same when a run is resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["assign_ids", "safe_id"]

RESERVED = re.compile(r"con|nul|(counts|groups)(\..*)?\.csv|run(\..*)?\.jsonl")
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
    free = dict(known or {})
    ids: list[str | None] = [_claim(free, path, print_, exact=True) for path, print_ in slides]
    for position, (path, print_) in enumerate(slides):
        ids[position] = ids[position] or _claim(free, path, print_, exact=False)
    taken = {name.casefold() for name in (*(known or {}), *(one for one in ids if one))}
    return [one or _new_id(Path(path).stem, taken) for one, (path, _) in zip(ids, slides, strict=True)]


def _claim(free: dict[str, tuple[str, str]], path: str, fingerprint: str, *, exact: bool) -> str | None:
    """Take the id of a known slide that is this one out of ``free``."""
    for name, (known_path, known_print) in free.items():
        same_place = known_path == path if exact else Path(known_path).name == Path(path).name
        if fingerprint and known_print == fingerprint and same_place:
            del free[name]
            return name
    return None


def safe_id(stem: str) -> str:
    """Return a name that is one folder inside of the output, whatever a file or a store calls a slide."""
    safe = UNSAFE.sub("_", stem)
    # A leading dot would hide the folder, and "." and ".." would leave it.
    return f"_{safe}" if safe.startswith(".") or RESERVED.fullmatch(safe.casefold()) or not safe else safe


def _new_id(stem: str, taken: set[str]) -> str:
    safe = safe_id(stem)
    name, number = safe, 1
    while name.casefold() in taken:
        number += 1
        name = f"{safe}~{number}"
    taken.add(name.casefold())
    return name
