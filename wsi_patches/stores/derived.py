"""What later stages add to a part: groups of their own, so that a parent is never rewritten.

A group counts only when its own attribute ``status`` says ``complete``; it is written last, as a part's is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike, NDArray

from wsi_patches.errors import StoreError
from wsi_patches.stores.arrays import METADATA, METADATA_ERRORS, group_metadata, read_column, write_column
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.files import sync_tree, write_json
from wsi_patches.stores.format import COMPLETE, patches_in_shard
from wsi_patches.stores.shards import ImageReader, ImageWriter

__all__ = ["DERIVED", "Derived", "DerivedWriter", "derived_settings", "read_derived"]

DERIVED = "derived"


@dataclass(frozen=True)
class Derived:
    """A complete derived group of one part."""

    name: str
    folder: Path
    settings: dict[str, Any]
    """What it was made with."""

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
            msg = f"derived {self.name} in {self.folder.parent.parent.name}: {error}: run wsi-patches preprocess again"
            raise StoreError(msg) from error

    def images(self) -> ImageReader:
        """Return its images, uint8 ``(n, h, w, 3)``."""
        return ImageReader(self.folder / "images")


def derived_settings(part: Path, name: str) -> dict[str, Any] | None:
    """Return what a part's derived group was made with, or None where there is none that is complete."""
    try:
        attributes = json.loads((part / DERIVED / name / METADATA).read_bytes())["attributes"]
        complete = attributes["status"] == COMPLETE
        settings: dict[str, Any] = attributes["settings"]
    except METADATA_ERRORS:  # absent, or cut off by a kill: either way it does not count
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
        msg = f"part {part.name} holds no complete derived {name}: run wsi-patches preprocess on the store"
        raise StoreError(msg)
    return Derived(name, part / DERIVED / name, settings)


class DerivedWriter:
    """Writes one derived group of one part; what was there under that name goes.

    Parameters
    ----------
    part
        The part's folder.
    name
        Of the group.
    settings
        What it is made with: plain values.
    durable
        Wait for the disk.
    """

    def __init__(self, part: Path, name: str, settings: Mapping[str, Any], *, durable: bool = True) -> None:
        self.folder, self.settings, self.durable = part / DERIVED / name, dict(settings), durable
        group = part / DERIVED / METADATA
        if not group.exists():
            group.parent.mkdir(exist_ok=True)
            write_json(group, group_metadata({}), durable=durable)
        # Its metadata go first, so that a kill in the middle of the removal does not leave half a group that counts.
        (self.folder / METADATA).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def column(self, name: str, values: NDArray[Any], dtype: DTypeLike) -> None:
        """Write a column."""
        write_column(self.folder / name, values, dtype, durable=self.durable)

    def images(self, side_px: int, capacity: int) -> ImageWriter:
        """Return the writer of the group's images; it must be completed before the group is."""
        shard = min(patches_in_shard(side_px), max(1, capacity))
        return ImageWriter(self.folder / "images", side_px, shard, ChunkCodec("zstd"), durable=self.durable)

    def complete(self) -> None:
        """Make the group count."""
        if self.durable:
            sync_tree(self.folder)
        attributes = {"status": COMPLETE, "settings": self.settings}
        write_json(self.folder / METADATA, group_metadata(attributes), durable=self.durable)
