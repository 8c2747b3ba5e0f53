"""Writing: a store's root once, then parts, each by one writer, whole shards at a time."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.codecs import compressors
from wsi_patches.stores.format import COMPLETE, PARTS, WRITING, StoreSettings, patches_in_shard

if TYPE_CHECKING:
    import zarr

__all__ = ["PartWriter", "PatchRows", "create_store", "sweep_unfinished"]

ZARR_FORMAT: Final = 3
COLUMNS = {"slide": np.uint32, "index": np.int32, "xy": np.int32, "counts": np.uint16}
"""What a part keeps of each patch beside its pixels."""
KEEP_EMPTY = {"write_empty_chunks": True}
"""A black patch is data: a chunk that is absent must always mean that something was lost."""


def create_store(path: Path, settings: StoreSettings) -> None:
    """Write the root group of a new store and its empty group of parts; what a killed run left of them is completed.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    import zarr

    try:
        root = zarr.open_group(path, mode="a", zarr_format=ZARR_FORMAT, attributes=settings.to_attributes())
        root.require_group(PARTS)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise StoreError(msg) from error


def sweep_unfinished(path: Path, part_ids: Sequence[str]) -> None:
    """Remove parts that were never completed, and what a killed writer left half written beside the parts."""
    for part_id in part_ids:
        shutil.rmtree(path / PARTS / part_id)
    for orphan in path.glob("*.partial"):
        orphan.unlink()
    for orphan in (path / PARTS).glob("*.partial"):
        orphan.unlink()


class PatchRows(NamedTuple):
    """Some patches of one slide, on their way into a part."""

    indices: NDArray[np.int64]
    """Grid index of each."""
    xy: NDArray[np.int64]
    """Level-0 top left corners, shape ``(n, 2)``."""
    images: NDArray[np.uint8]
    """RGB, shape ``(n, h, w, 3)``."""
    counts: NDArray[np.uint16]
    """Annotated cells of each class, shape ``(n, classes)``."""
    members: tuple[NDArray[np.int64], ...]
    """For each patch the rows of its cells among the slide's cells."""


class PartWriter:
    """Writes one part: patches slide by slide, then everything else, then its status.

    Parameters
    ----------
    store
        The store's folder; its root must have been created.
    part_id
        A name that no other part has.
    settings
        What the whole store shares.
    capacity
        How many patches are expected; fewer may come.
    codec
        How the pixels are compressed.

    Raises
    ------
    StoreError
        The part is already there.
    """

    def __init__(self, store: Path, part_id: str, settings: StoreSettings, capacity: int, codec: str = "auto") -> None:
        import zarr

        parts = zarr.open_group(store, mode="r+", zarr_format=ZARR_FORMAT)[PARTS]
        if (store / PARTS / part_id).exists():
            msg = f"part {part_id} of {store} is already there, and a part has one writer"
            raise StoreError(msg)
        self.group: zarr.Group = parts.create_group(part_id, attributes={"status": WRITING})  # type: ignore[union-attr]
        self.store, self.part_id, self.settings = store, part_id, settings
        side = settings.spec.size_px
        self.shard = min(patches_in_shard(side * side * 3), max(1, capacity))
        self.images = self.group.create_array(
            "images",
            shape=(max(1, capacity), side, side, 3),
            dtype="uint8",
            chunks=(1, side, side, 3),
            shards=(self.shard, side, side, 3),
            compressors=compressors(codec),
            dimension_names=("patch", "row", "column", "channel"),
            config=KEEP_EMPTY,  # type: ignore[arg-type]
        )
        self.written = 0
        self.waiting: list[NDArray[np.uint8]] = []
        self.columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        self.members: list[NDArray[np.int64]] = []
        self.cells: list[Cells] = []

    def add(self, slide_row: int, rows: PatchRows) -> None:
        """Append patches of the slide that will be row ``slide_row`` of the part's slides."""
        self.waiting.append(rows.images)
        self.columns["slide"].append(np.full(len(rows.indices), slide_row))
        self.columns["index"].append(rows.indices)
        self.columns["xy"].append(rows.xy)
        self.columns["counts"].append(rows.counts)
        offset = sum(len(cells) for cells in self.cells)
        self.members += [members + offset for members in rows.members]
        while sum(map(len, self.waiting)) >= self.shard:
            self._write_shard()

    def add_cells(self, cells: Cells) -> None:
        """Append all annotated cells of the slide whose patches were just added."""
        self.cells.append(cells)

    def _write_shard(self) -> None:
        """Write as many waiting patches as make one shard; one write call each, or the shard is written anew."""
        ready = self.waiting[0] if len(self.waiting) == 1 else np.concatenate(self.waiting)
        shard, rest = ready[: self.shard], ready[self.shard :]
        self.images[self.written : self.written + len(shard)] = shard
        self.written += len(shard)
        self.waiting = [rest] if len(rest) else []

    def complete(self, records: Sequence[SlideRecord]) -> None:
        """Write what is left, then the columns, then the status that makes the part count."""
        if self.waiting:
            self._write_shard()
        if self.written < self.images.shape[0]:
            self.images.resize((self.written, *self.images.shape[1:]))
        for name, blocks in self.columns.items():
            self._column(self.group, name, np.concatenate(blocks).astype(COLUMNS[name]))
        self._write_cells()
        self.group.attrs.update({"slides": [record.to_dict() for record in records]})
        self.group.attrs.update({"status": COMPLETE})

    def abandon(self) -> None:
        """Remove a part that came to hold nothing."""
        shutil.rmtree(self.store / PARTS / self.part_id)

    def _write_cells(self) -> None:
        group = self.group.create_group("cells")
        rows = [np.full(len(cells), row, np.uint32) for row, cells in enumerate(self.cells)]
        self._column(group, "slide", np.concatenate([np.empty(0, np.uint32), *rows]))
        self._column(group, "x", np.concatenate([np.empty(0), *(cells.x for cells in self.cells)]))
        self._column(group, "y", np.concatenate([np.empty(0), *(cells.y for cells in self.cells)]))
        classes = [cells.class_index.astype(np.uint16) for cells in self.cells]
        self._column(group, "class", np.concatenate([np.empty(0, np.uint16), *classes]))
        lengths = np.array([0, *(len(members) for members in self.members)], np.int64)
        self._column(self.group, "patch_indptr", np.cumsum(lengths))
        self._column(self.group, "patch_cells", np.concatenate([np.empty(0, np.int64), *self.members]).astype(np.int32))

    @staticmethod
    def _column(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
        chunks = tuple(max(1, length) for length in values.shape)
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=chunks,
            compressors=compressors("zstd"),
            config=KEEP_EMPTY,  # type: ignore[arg-type]
        )
        if values.size:
            array[...] = values
