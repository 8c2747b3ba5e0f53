"""What lies in a folder, by name alone: no file is opened or asked for its size."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from wsi_patches.locations.remote import as_remote

__all__ = [
    "PICTURES",
    "SPLITS",
    "Listing",
    "listing",
    "looked_at_once",
    "pictures",
    "stem",
    "subfolder",
    "suffix",
    "within",
]

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


@dataclass(frozen=True)
class Listing:
    """The names in a folder, each kind in order; what is hidden and what systems leave behind is not among them."""

    files: tuple[str, ...]
    folders: tuple[str, ...]

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """The files that are plain pictures by their suffix."""
        return tuple(name for name in self.files if suffix(name) in PICTURES)


_seen: ContextVar[dict[Path, Listing] | None] = ContextVar("_seen", default=None)


@contextmanager
def looked_at_once() -> Iterator[None]:
    """Look into each folder once only while the block runs: one of 100,000 files takes 0.1 s to list."""
    if _seen.get() is not None:
        yield
        return
    token = _seen.set({})
    try:
        yield
    finally:
        _seen.reset(token)


def listing(folder: Path) -> Listing:
    """Return what lies in a folder."""
    seen = _seen.get()
    if seen is None:
        return _look(folder)
    if folder not in seen:
        seen[folder] = _look(folder)
    return seen[folder]


def _look(folder: Path) -> Listing:
    files, folders = list[str](), list[str]()
    with os.scandir(folder) if as_remote(folder) is None else nullcontext(folder.iterdir()) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in LITTER:
                (folders if _is_folder(entry) else files).append(entry.name)
    return Listing(tuple(sorted(files)), tuple(sorted(folders)))


def _is_folder(entry: os.DirEntry[str] | Path) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def suffix(name: str) -> str:
    """Return a file name's last suffix in lower case, with its dot; empty if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def stem(name: str) -> str:
    """Return a file name without its last suffix."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 else name


def pictures(folder: Path) -> tuple[str, ...]:
    """Return the names of the plain pictures that lie directly in a folder, in order."""
    return listing(folder).pictures


def subfolder(folder: Path, *names: str) -> Path | None:
    """Return the first of some folders that is there, in whatever case it is written."""
    there = {name.lower(): name for name in reversed(listing(folder).folders)}
    return next((folder / there[name.lower()] for name in names if name.lower() in there), None)


def within(name: str) -> str | None:
    """Return a path that a file of the dataset states, in plain form; None if it leads out of the dataset's folder.

    Both kinds of slash are taken; ``a/./b`` becomes ``a/b``.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or DRIVE.match(name) or "\0" in name:
        return None
    return path.as_posix()
