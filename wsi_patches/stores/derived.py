"""What later stages add to a part: groups of their own, so that a parent is never rewritten.

A group counts only when its own attribute ``status`` says ``complete``; it is written last, as a part's is. A name may
be nested: ``features/lite0`` lies in a group ``features`` that holds groups alone and never counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import DTypeLike, NDArray

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.locations import patiently, remove_tree
from wsi_patches.locations.patience import was_waited_for
from wsi_patches.stores.arrays import METADATA, METADATA_ERRORS, group_metadata, read_column, write_column
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.files import sync_folder, sync_tree, write_json
from wsi_patches.stores.format import COMPLETE, patches_in_shard
from wsi_patches.stores.shards import ImageReader, ImageWriter

__all__ = ["DERIVED", "IMAGES", "Derived", "DerivedWriter", "derived_groups", "derived_settings", "read_derived"]

DERIVED = "derived"
IMAGES = "images"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")


@dataclass(frozen=True)
class Derived:
    """A complete derived group of one part."""

    name: str
    part: Path
    """The part's folder."""
    settings: dict[str, Any]
    """What it was made with."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.part / DERIVED / self.name

    @property
    def arrays(self) -> list[str]:
        """Names of its columns, and ``images`` where it has some."""
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir())

    def column(self, name: str) -> NDArray[Any]:
        """Return one of its columns.

        Raises
        ------
        StoreError
            It is absent or damaged.
        """
        try:
            return read_column(self.folder / name)
        except StoreError as error:
            msg = f"derived {self.name} in {self.part.name}: {error}: remove {self.folder} and {_remedy(self.name)}"
            raise StoreError(msg) from error

    def images(self) -> ImageReader:
        """Return its images, uint8 ``(n, h, w, 3)``."""
        return ImageReader(self.folder / IMAGES)


def derived_settings(part: Path, name: str) -> dict[str, Any] | None:
    """Return what a part's derived group was made with, or None where there is none that is complete."""
    try:
        attributes = json.loads(patiently((part / DERIVED / name / METADATA).read_bytes))["attributes"]
        complete = attributes["status"] == COMPLETE
        settings: dict[str, Any] = attributes["settings"]
    except METADATA_ERRORS as error:  # absent, or cut off by a kill: either way it does not count
        if was_waited_for(error):
            raise
        return None
    return settings if complete else None


def read_derived(part: Path, name: str) -> Derived:
    """Return a derived group of a part.

    Raises
    ------
    StoreError
        There is none that is complete.
    """
    settings = derived_settings(part, name)
    if settings is None:
        msg = f"part {part.name} holds no complete derived {name}: {_remedy(name)}"
        raise StoreError(msg)
    return Derived(name, part, settings)


def derived_groups(part: Path) -> Iterator[tuple[str, Derived | None]]:
    """Yield the name of every derived group of a part, and the group, or None for one that was never completed."""
    yield from _groups_below(part, "")


def _groups_below(part: Path, above: str) -> Iterator[tuple[str, Derived | None]]:
    for folder in sorted(entry for entry in (part / DERIVED / above).glob("*") if entry.is_dir()):
        name = f"{above}{folder.name}"
        settings = derived_settings(part, name)
        if settings is None and _holds_groups(folder):
            yield from _groups_below(part, f"{name}/")
        else:
            yield name, None if settings is None else Derived(name, part, settings)


def _holds_groups(folder: Path) -> bool:
    """Return whether a folder is a group in between, which is written whole and has no status."""
    try:
        return bool(json.loads((folder / METADATA).read_bytes()) == group_metadata({}))
    except METADATA_ERRORS:
        return False


def _remedy(name: str) -> str:
    command = "probe" if name.startswith("features/") else "preprocess"
    return f"run wsi-patches {command} on the store"


class DerivedWriter:
    """Writes one derived group of one part; what was there under that name goes.

    Parameters
    ----------
    part
        The part's folder.
    name
        Of the group: ``focus``, or nested as ``features/lite0``.
    settings
        What it is made with: plain values.
    durable
        Wait for the disk.

    Raises
    ------
    UsageError
        The name cannot be a group's, or it would lie in or replace another group.
    """

    def __init__(self, part: Path, name: str, settings: Mapping[str, Any], *, durable: bool = True) -> None:
        _check_name(part, name)
        self.part, self.folder = part, part / DERIVED / name
        self.settings, self.durable = dict(settings), durable
        # Outermost first; a kill in between leaves a folder without metadata, or a group without a status.
        self.above = [part / DERIVED / above for above in reversed(PurePosixPath(name).parents)]
        for folder in self.above:
            folder.mkdir(exist_ok=True)
            if not (folder / METADATA).exists():
                write_json(folder / METADATA, group_metadata({}), durable=durable)
        # Its metadata go first, so that a kill in the middle of the removal does not leave half a group that counts.
        (self.folder / METADATA).unlink(missing_ok=True)
        remove_tree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def column(self, name: str, values: NDArray[Any], dtype: DTypeLike) -> None:
        """Write a column."""
        write_column(self.folder / name, values, dtype, durable=self.durable)

    def images(self, side_px: int, capacity: int) -> ImageWriter:
        """Return the writer of the group's images; it must be completed before the group is."""
        shard = min(patches_in_shard(side_px), max(1, capacity))
        return ImageWriter(self.folder / IMAGES, side_px, shard, ChunkCodec("zstd"), durable=self.durable)

    def complete(self) -> None:
        """Make the group count."""
        if self.durable:
            sync_tree(self.folder)
        attributes = {"status": COMPLETE, "settings": self.settings}
        write_json(self.folder / METADATA, group_metadata(attributes), durable=self.durable)
        if self.durable:
            for folder in (self.folder, *reversed(self.above), self.part):
                sync_folder(folder)


def _check_name(part: Path, name: str) -> None:
    """Refuse a name that is no group's, and one that would put a group into another or in place of others."""
    if not NAME.fullmatch(name):
        msg = f"derived {name!r} cannot be a group's name: give small letters, digits, - and _, nested with /"
        raise UsageError(msg)
    complete = [other for other, group in derived_groups(part) if group is not None]
    for other in complete:
        if name.startswith(f"{other}/") or other.startswith(f"{name}/"):
            msg = f"part {part.name} holds derived {other}, so derived {name} cannot be beside it: choose another name"
            raise UsageError(msg)
