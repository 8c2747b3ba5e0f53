"""Writing: a store's root once, then parts, each by one writer, whole shards at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.locations import is_remote, remove_tree
from wsi_patches.patch import SlideRecord
from wsi_patches.stores.arrays import METADATA, group_metadata, write_columns
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.files import PARTIAL_SUFFIX, sync_folder, sync_names, write_json
from wsi_patches.stores.format import COMPLETE, PARTS, StoreSettings, patches_in_shard
from wsi_patches.stores.shards import ImageWriter

__all__ = ["PartWriter", "PatchRows", "create_group", "create_store", "sweep_unfinished"]

COLUMNS = {"slide": np.uint32, "index": np.int32, "xy": np.int32, "counts": np.uint16}
"""What a part keeps of each patch beside its pixels."""


def create_store(path: Path, settings: StoreSettings, *, durable: bool = True) -> None:
    """Write the root group of a new store and its empty group of parts; what a killed run left of them is completed.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    try:
        # The root comes first: a run that is killed before the rest leaves what is known as ours, and is completed.
        create_group(path, settings.to_attributes(), durable=durable)
        create_group(path / PARTS, durable=durable)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise StoreError(msg) from error


def create_group(folder: Path, attributes: Mapping[str, Any] | None = None, *, durable: bool = True) -> None:
    """Make a Zarr group, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / METADATA).exists():
        write_json(folder / METADATA, group_metadata(attributes or {}), durable=durable)


def sweep_unfinished(path: Path, part_ids: Sequence[str]) -> None:
    """Remove parts that were never completed, and what a killed writer left half written beside the parts."""
    for part_id in part_ids:
        remove_tree(path / PARTS / part_id)
    for orphan in (*path.glob(f"*{PARTIAL_SUFFIX}"), *(path / PARTS).glob(f"*{PARTIAL_SUFFIX}")):
        if orphan.is_file():  # a folder may be a part that another shard writes right now
            orphan.unlink()


class PatchRows(NamedTuple):
    """Some patches of one slide, on their way into a part."""

    indices: NDArray[np.int64]
    """Grid index of each."""
    xy: NDArray[np.int64]
    """Level-0 top left corners, shape ``(n, 2)``."""
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8] | bytes]
    """RGB, shape ``(n, h, w, 3)``; with the jpeg codec a tile's own bytes in place of pixels."""
    counts: NDArray[np.uint16]
    """Annotated cells of each class, shape ``(n, classes)``."""
    members: tuple[NDArray[np.int64], ...]
    """For each patch the rows of its cells among the slide's cells."""


class PartWriter:
    """Writes one part: patches slide by slide, then everything else, then its status.

    On this machine's file systems a part lies beside its place until it is complete, under a name that no other writer
    has: where a worker was given up that still writes, whoever completes the part first wins. In an object store both
    write the same bytes to the same keys.

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
        How the pixels are compressed; ``auto`` is ``zstd`` here, ``jpeg`` needs ``tiles``.
    tiles
        What the slides' JPEG tiles have in common.
    durable
        Wait until the disk has every file (fsync).

    Raises
    ------
    StoreError
        The part is already there.
    UsageError
        The codec ``jpeg`` was asked for without tiles.
    """

    def __init__(
        self,
        store: Path,
        part_id: str,
        settings: StoreSettings,
        capacity: int,
        codec: str = "auto",
        tiles: JpegTiles | None = None,
        *,
        durable: bool = True,
    ) -> None:
        if (codec == "jpeg") != (tiles is not None):
            msg = "the codec jpeg keeps a slide's own JPEG tiles, and no other codec does: give both or neither"
            raise UsageError(msg)
        self.place, self.settings, self.durable = store / PARTS / part_id, settings, durable
        if (self.place / METADATA).exists():  # which is written last
            msg = f"part {part_id} of {store} is already there, and a part has one writer"
            raise StoreError(msg)
        begun = f"{part_id}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
        self.folder = self.place if is_remote(self.place) else self.place.with_name(begun)
        self.folder.mkdir(exist_ok=True)
        side = settings.spec.size_px
        shard = min(patches_in_shard(side, as_tiles=tiles is not None), max(1, capacity))
        chunks = ChunkCodec("zstd" if codec == "auto" else codec, tiles)
        self.images = ImageWriter(self.folder / "images", side, shard, chunks, durable=durable)
        self.columns: dict[str, list[NDArray[Any]]] = {
            "slide": [np.empty(0)],
            "index": [np.empty(0)],
            "xy": [np.empty((0, 2))],
            "counts": [np.empty((0, len(settings.rule.class_names)))],
        }
        self.members: list[NDArray[np.int64]] = []
        self.cells: list[Cells] = []
        self.cell_count = 0
        self.is_complete = False

    def add(self, slide_row: int, rows: PatchRows) -> None:
        """Append patches of the slide that will be row ``slide_row`` of the part's slides."""
        for image in rows.images:
            self.images.add(image)
        self.columns["slide"].append(np.full(len(rows.indices), slide_row))
        self.columns["index"].append(rows.indices)
        self.columns["xy"].append(rows.xy)
        self.columns["counts"].append(rows.counts)
        self.members += [members + self.cell_count for members in rows.members]

    def add_cells(self, cells: Cells) -> None:
        """Append all annotated cells of the slide whose patches were just added."""
        self.cells.append(cells)
        self.cell_count += len(cells)

    def complete(self, records: Sequence[SlideRecord]) -> None:
        """Write what is left, then the columns, then the status that makes the part count."""
        self.images.complete()
        create_group(self.folder / "cells", durable=self.durable)
        columns = {name: np.concatenate(blocks).astype(COLUMNS[name]) for name, blocks in self.columns.items()}
        write_columns(self.folder, {**columns, **self._of_cells()}, durable=self.durable)
        if self.durable:
            sync_names(self.folder)
        attributes = {"status": COMPLETE, "slides": [record.to_dict() for record in records]}
        write_json(self.folder / METADATA, group_metadata(attributes), durable=self.durable)
        if self.durable:
            sync_folder(self.folder)
        self._take_place()
        if self.durable:
            sync_folder(self.folder.parent)
        self.is_complete = True

    def _take_place(self) -> None:
        if self.folder == self.place:
            return
        try:
            self.folder.rename(self.place)
        except OSError:
            if not (self.place / METADATA).exists():
                raise
            remove_tree(self.folder)  # another writer was given the same part, and was first

    def abandon(self) -> None:
        """Remove a part that came to hold nothing, or that cannot be completed.

        From an object store nothing is removed, since another worker may be writing the same keys by now: what is there
        never counts, and the next run sweeps it.
        """
        self.images.abandon()
        if not is_remote(self.folder):
            remove_tree(self.folder)

    def _of_cells(self) -> dict[str, NDArray[Any]]:
        """Return the columns of all annotated cells, and of which patches hold them."""
        rows = [np.full(len(cells), row) for row, cells in enumerate(self.cells)]
        empty = np.empty(0)
        classes = np.concatenate([empty, *(cells.class_index for cells in self.cells)])
        lengths = np.array([0, *(len(members) for members in self.members)])
        return {
            "cells/slide": np.concatenate([empty, *rows]).astype(np.uint32),
            "cells/x": np.concatenate([empty, *(cells.x for cells in self.cells)]),
            "cells/y": np.concatenate([empty, *(cells.y for cells in self.cells)]),
            "cells/class": classes.astype(np.uint16),
            "patch_indptr": np.cumsum(lengths).astype(np.int64),
            "patch_cells": np.concatenate([empty, *self.members]).astype(np.int32),
        }
