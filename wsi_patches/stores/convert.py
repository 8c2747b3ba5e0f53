"""The same store in another codec, for readers that lack this program's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsi_patches.errors import UsageError
from wsi_patches.locations import copy_tree, path_of, patiently, remove_tree
from wsi_patches.stores.arrays import METADATA
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.files import new_folder, other_folders, sync_tree, write_whole
from wsi_patches.stores.format import PARTS, patches_in_shard
from wsi_patches.stores.reader import Store, is_store, open_store
from wsi_patches.stores.shards import ImageReader, ImageWriter
from wsi_patches.stores.writer import sweep_unfinished

__all__ = ["ConvertTask", "convert_part", "start_conversion"]

BATCH_PATCHES = 32


@dataclass(frozen=True)
class ConvertTask:
    """One part to be written anew: names only."""

    store: str
    part_id: str
    out: str
    codec: str
    patches: int
    durable: bool = True


def start_conversion(store: Path, out: Path, codec: str, *, durable: bool = True) -> list[ConvertTask]:
    """Write the root of the new store, remove what a killed run left in it, and return the parts to convert.

    Raises
    ------
    StoreError
        The store cannot be read.
    UsageError
        The output holds another store's patches.
    """
    source = open_store(store)
    if is_store(out):
        _check_same(source, open_store(out))
    # The root comes first: a run that is killed before the rest leaves what is known as ours, and is completed.
    write_whole(out / METADATA, (store / METADATA).read_bytes(), durable=durable)
    (out / PARTS).mkdir(exist_ok=True)
    write_whole(out / PARTS / METADATA, (store / PARTS / METADATA).read_bytes(), durable=durable)
    sweep_unfinished(out, open_store(out).unfinished)
    for folder in other_folders(store):
        copy_tree(folder, out / folder.name)
    return [
        ConvertTask(str(store), part.id, str(out), codec, part.count, durable)
        for part in source.parts
        if not (out / PARTS / part.id / METADATA).exists()
    ]


def _check_same(source: Store, there: Store) -> None:
    """Refuse to go on with a store that was not begun as a conversion of this one."""
    others = {part.id for part in there.parts} - {part.id for part in source.parts}
    if there.settings != source.settings or others:
        msg = f"{there.path} is no conversion of {source.path} that could be resumed: give another -o"
        raise UsageError(msg)


def convert_part(task: ConvertTask) -> int:
    """Write one part anew and return how many patches it has; everything but the pixels' coding stays as it is.

    Raises
    ------
    StoreError
        A patch cannot be read.
    """
    return patiently(lambda: _write_part(task))


def _write_part(task: ConvertTask) -> int:
    old, new = (path_of(store) / PARTS / task.part_id for store in (task.store, task.out))
    try:
        new_folder(new)
        for folder in (entry for entry in old.iterdir() if entry.is_dir() and entry.name != "images"):
            copy_tree(folder, new / folder.name)
        _convert_images(old / "images", new / "images", task)
        if task.durable:
            sync_tree(new)
        # The part's own metadata come last: they are what makes it count.
        write_whole(new / METADATA, (old / METADATA).read_bytes(), durable=task.durable)
    finally:
        if not (new / METADATA).exists():
            remove_tree(new, ignore_errors=True)
    return task.patches


def _convert_images(old: Path, new: Path, task: ConvertTask) -> None:
    reader = ImageReader(old)
    side = reader.metadata.shape[1]
    shard = min(patches_in_shard(side), max(1, len(reader)))
    writer = ImageWriter(new, side, shard, ChunkCodec(task.codec), durable=task.durable)
    batch = np.empty((BATCH_PATCHES, *reader.metadata.shape[1:]), np.uint8)
    try:
        for start in range(0, len(reader), BATCH_PATCHES):
            rows = range(start, min(start + BATCH_PATCHES, len(reader)))
            reader.read(rows, list(batch))
            for image in batch[: len(rows)]:
                writer.add(image)
        writer.complete()
    finally:
        writer.abandon()
