"""What lies in a folder, by name alone: one look at each folder, no file is opened or asked for its size."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["PICTURES", "SPLITS", "Listing", "listing", "pictures", "some", "stem", "subfolder", "suffix", "within"]

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
"""Suffixes of plain pictures, in lower case."""

SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call the folders of a published split, in lower case."""

LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
DRIVE = re.compile(r"^[A-Za-z]:")


class Listing(NamedTuple):
    """The names in a folder, each kind in order; what is hidden and what systems leave behind is not among them."""

    files: list[str]
    folders: list[str]


def listing(folder: Path) -> Listing:
    """Return what lies in a folder."""
    files, folders = list[str](), list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in LITTER:
                (folders if entry.is_dir() else files).append(entry.name)
    return Listing(sorted(files), sorted(folders))


def suffix(name: str) -> str:
    """Return a file name's last suffix in lower case, with its dot; empty if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def stem(name: str) -> str:
    """Return a file name without its last suffix."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 else name


def pictures(folder: Path) -> list[str]:
    """Return the names of the plain pictures that lie directly in a folder."""
    return [name for name in listing(folder).files if suffix(name) in PICTURES]


def subfolder(folder: Path, *names: str) -> Path | None:
    """Return the first of some folders that is there, in whatever case it is written."""
    there = {name.lower(): name for name in reversed(listing(folder).folders)}
    return next((folder / there[name.lower()] for name in names if name.lower() in there), None)


def some(names: Sequence[str] | Iterable[str], limit: int = 5) -> str:
    """Return the first few of many names for a sentence, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def within(name: str) -> str | None:
    """Return a path that a file of the dataset states, in plain form; None if it leads out of the dataset's folder.

    Both kinds of slash are taken; ``a/./b`` becomes ``a/b``.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or DRIVE.match(name) or "\0" in name:
        return None
    return path.as_posix()
