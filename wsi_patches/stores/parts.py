"""The parts of a store, read many at a time where each request to an object store would be waited for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.locations import is_remote, read_all
from wsi_patches.locations.trees import AT_ONCE
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.arrays import METADATA, read_column
from wsi_patches.stores.derived import IMAGES
from wsi_patches.stores.format import COMPLETE, REPLACES
from wsi_patches.stores.shards import ImageReader

__all__ = ["Part", "attributes_in", "columns_of", "each_part", "read_parts"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class Part:
    """One complete part."""

    id: str
    folder: Path
    slides: tuple[SlideRecord, ...]
    images: ImageReader
    replaces: str | None = None
    """The part that this one was made of, which counts no more, even while it is still there."""

    @property
    def count(self) -> int:
        """How many patches it holds."""
        return len(self.images)

    def column(self, name: str) -> NDArray[Any]:
        """Return one of the part's small arrays.

        Raises
        ------
        StoreError
            The array is absent or damaged.
        """
        try:
            return read_column(self.folder / name)
        except StoreError as error:
            msg = f"part {self.id}: {error}: run wsi-patches verify on the store"
            raise StoreError(msg) from error


def attributes_in(content: bytes) -> dict[str, Any]:
    """Return the attributes in a group's metadata file."""
    attributes: dict[str, Any] = json.loads(content).get("attributes", {})
    return attributes


def read_parts(folders: Sequence[Path]) -> list[Part]:
    """Return the complete parts among some; one that was begun and never completed is none, nor one replaced."""
    contents = zip(folders, read_all([folder / METADATA for folder in folders]), strict=True)
    attributes = {folder: attributes_in(content) for folder, content in contents if content is not None}
    complete = [folder for folder, of_part in attributes.items() if of_part.get("status") == COMPLETE]
    replaced = {attributes[folder].get(REPLACES) for folder in complete}
    complete = [folder for folder in complete if folder.name not in replaced]
    images = read_all([folder / IMAGES / METADATA for folder in complete])
    return [
        Part(
            folder.name,
            folder,
            _records(attributes[folder]),
            ImageReader(folder / IMAGES, content),
            attributes[folder].get(REPLACES),
        )
        for folder, content in zip(complete, images, strict=True)
    ]


def _records(attributes: dict[str, Any]) -> tuple[SlideRecord, ...]:
    return tuple(SlideRecord.from_dict(row) for row in attributes["slides"])


def each_part(parts: Sequence[Part], act: Callable[[Part], Found]) -> list[Found]:
    """Return what a function returns of each part; of an object store's, some at a time."""
    if not any(is_remote(part.folder) for part in parts):
        return [act(part) for part in parts]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(act, parts))


def columns_of(parts: Sequence[Part], name: str) -> list[NDArray[Any]]:
    """Return a column of each part.

    Raises
    ------
    StoreError
        One is absent or damaged.
    """
    return each_part(parts, lambda part: part.column(name))
