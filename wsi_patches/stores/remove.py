"""Slides out of a store, part by part; nothing is decoded.

A part that holds removed slides only is moved aside in one step. One that holds others too is written anew without
them, beside the parts, and moved in between them in one step; its attribute ``replaces`` names the old part, which
counts no more from that moment on, and then goes. So a kill leaves each part as it was before or as it is after.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.locations import remove_tree
from wsi_patches.stores.arrays import METADATA, group_metadata, write_columns
from wsi_patches.stores.derived import IMAGES, Derived, DerivedWriter, derived_groups
from wsi_patches.stores.files import other_folders, sync_folder, sync_tree, write_json, write_whole
from wsi_patches.stores.format import COMPLETE, PARTS, REPLACES
from wsi_patches.stores.parts import Part
from wsi_patches.stores.reader import Store
from wsi_patches.stores.shards import ImageReader, ImageWriter
from wsi_patches.stores.writer import create_group

__all__ = ["clear_removed", "forget_pictures", "remove_from_part"]

REMOVED = ".removed"
"""Folder beside the parts: what is being written, and what is on its way out. Nobody reads it."""


def clear_removed(store: Store) -> None:
    """Finish what a killed removal left: old parts that were replaced go, and so does what lies aside."""
    for part in store.parts:
        if part.replaces is not None and (store.path / PARTS / part.replaces).exists():
            _move_aside(store.path, part.replaces)
    remove_tree(store.path / REMOVED, ignore_errors=True)


def remove_from_part(store: Path, part: Part, gone: Collection[str], *, durable: bool = True) -> None:
    """Take slides out of one part.

    Parameters
    ----------
    store
        The store's folder, on this machine.
    part
        One of its parts.
    gone
        Ids of the slides.
    durable
        Wait for the disk.

    Raises
    ------
    StoreError
        Something of the part that stays cannot be read; the part is left as it was.
    """
    aside = store / REMOVED
    aside.mkdir(exist_ok=True)
    kept = [record for record in part.slides if record.id not in gone]
    if kept:
        digest = hashlib.blake2b("\n".join([part.id, *(one.id for one in kept)]).encode(), digest_size=6).hexdigest()
        name = f"{part.id.split('.')[0]}.{kept[0].grid_start:08d}.{digest}"
        _write_without(part, gone, aside / name, durable=durable)
        (aside / name).rename(store / PARTS / name)
    _move_aside(store, part.id)
    if durable:
        sync_folder(store / PARTS)


def _move_aside(store: Path, part_id: str) -> None:
    aside = store / REMOVED
    aside.mkdir(exist_ok=True)
    (store / PARTS / part_id).rename(aside / f"{part_id}.old")
    remove_tree(aside / f"{part_id}.old")


def _write_without(part: Part, gone: Collection[str], folder: Path, *, durable: bool) -> None:
    """Write a part anew without some slides: its pixels as they are coded, and its rows numbered again."""
    stays = np.array([record.id not in gone for record in part.slides], bool)
    rows = np.flatnonzero(stays[part.column("slide")])
    folder.mkdir()
    _copy_images(part.images, folder / IMAGES, rows, durable=durable)
    create_group(folder / "cells", durable=durable)
    write_columns(folder, _columns_without(part, stays, rows), durable=durable)
    for name, group in derived_groups(part.folder):
        if group is not None:  # what was never completed does not count, and is not taken along
            _derive_without(part, name, group, stays, rows, folder, durable=durable)
    if durable:
        sync_tree(folder)
    slides = [record.to_dict() for record in part.slides if record.id not in gone]
    attributes = {"status": COMPLETE, REPLACES: part.id, "slides": slides}
    write_json(folder / METADATA, group_metadata(attributes), durable=durable)


def _copy_images(images: ImageReader, folder: Path, rows: NDArray[np.int64], *, durable: bool) -> None:
    side, shard = images.metadata.shape[1], min(images.shard, max(1, len(rows)))
    writer = ImageWriter(folder, side, shard, images.metadata.codec, durable=durable)
    for chunk in images.chunks(rows.tolist()):
        writer.add_chunk(chunk)
    writer.complete()


def _columns_without(part: Part, stays: NDArray[np.bool_], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the part's columns without some slides."""
    slide, cell_slide = part.column("slide"), part.column("cells/slide")
    indptr, members = part.column("patch_indptr"), part.column("patch_cells")
    cell_stays = stays[cell_slide]
    new_slide, new_cell = (np.cumsum(one) - 1 for one in (stays, cell_stays))
    of_rows = np.repeat(stays[slide], np.diff(indptr))
    columns = {
        "slide": new_slide[slide[rows]].astype(slide.dtype),
        **{name: part.column(name)[rows] for name in ("index", "xy", "counts")},
        "patch_indptr": np.concatenate([[0], np.cumsum(np.diff(indptr)[rows])]).astype(indptr.dtype),
        "patch_cells": new_cell[members[of_rows]].astype(members.dtype),
        "cells/slide": new_slide[cell_slide[cell_stays]].astype(cell_slide.dtype),
    }
    return columns | {f"cells/{name}": part.column(f"cells/{name}")[cell_stays] for name in ("x", "y", "class")}


def _derive_without(
    part: Part,
    name: str,
    group: Derived,
    stays: NDArray[np.bool_],
    rows: NDArray[np.int64],
    folder: Path,
    *,
    durable: bool,
) -> None:
    """Write a derived group without some slides.

    Arrays have a row a patch; where there is a column ``row``, it names the patches that the group's images are of.
    """
    settings, arrays = dict(group.settings), group.arrays
    if len(settings.get("slides", ())) == len(stays):  # what was fitted to each slide
        settings["slides"] = [one for one, kept in zip(settings["slides"], stays, strict=True) if kept]
    writer = DerivedWriter(folder, name, settings, durable=durable)
    of_images = rows
    if "row" in arrays:
        named = group.column("row")
        of_images = np.flatnonzero(np.isin(named, rows))
        writer.column("row", np.searchsorted(rows, named[of_images]), named.dtype)
    for array in arrays:
        if array == IMAGES:
            _copy_images(group.images(), writer.folder / IMAGES, of_images, durable=durable)
        elif array != "row":
            values = group.column(array)
            if len(values) != part.count:
                msg = f"derived {name} of part {part.id} has {len(values)} rows in {array} for {part.count} patches"
                raise StoreError(msg)
            writer.column(array, values[rows], values.dtype)
    writer.complete()


def forget_pictures(store: Path, gone: Collection[str]) -> None:
    """Remove pictures of slides, and their rows in tables, from the folders for people beside the parts."""
    for folder in other_folders(store):
        for slide_id in gone:
            (folder / f"{slide_id}.png").unlink(missing_ok=True)
        for table in folder.glob("*.csv"):
            rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
            text = io.StringIO()
            csv.writer(text).writerows(row for row in rows if not row or row[0] not in gone)
            write_whole(table, text.getvalue().encode())
