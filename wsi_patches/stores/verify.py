"""Reading a whole store against its checksums and its own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.stores.derived import IMAGES, derived_groups
from wsi_patches.stores.parts import Part
from wsi_patches.stores.reader import Store, open_store
from wsi_patches.stores.shards import ImageReader

__all__ = ["verify_store"]

COLUMNS = ("slide", "index", "xy", "counts", "patch_indptr", "patch_cells")
BATCH_PATCHES = 32
NAMED = 10
"""How many damaged patches of a part are named."""
CELL_COLUMNS = ("cells/slide", "cells/x", "cells/y", "cells/class")


def verify_store(path: Path, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read and decode every chunk of a store and return a sentence for each thing that is wrong; none if it is sound.

    Raises
    ------
    StoreError
        There is no store that could be read at all.
    """
    store = open_store(path)
    problems = [
        f"part {name} was begun and never completed: run extract again with --resume" for name in store.unfinished
    ]
    done = 0
    for part in store.parts:
        damaged: list[str] = []
        for problem in _images(part.images):
            damaged += [f"part {part.id}: {sentence}" for sentence in problem]
            done += 1
            if progress is not None:
                progress(done, len(store))
        problems += [*_shortened(f"part {part.id}", damaged, part.count), *_columns(part), *_derived(part)]
    return [*problems, *_coverage(store)]


def _shortened(where: str, damaged: list[str], count: int) -> Iterator[str]:
    """Yield each different sentence, but not a thousand: a shard that is gone takes all its patches with it."""
    different = list(dict.fromkeys(damaged))
    yield from different[:NAMED]
    if len(damaged) > NAMED:
        yield f"{where}: {len(damaged)} of its {count} patches cannot be read"


def _images(images: ImageReader) -> Iterator[list[str]]:
    """Yield, for each image, what is wrong with it: absent, cut short, changed since it was written, undecodable."""
    _, *shape = images.metadata.shape
    out = np.empty((BATCH_PATCHES, *shape), np.uint8)
    for start in range(0, len(images), BATCH_PATCHES):
        rows = range(start, min(start + BATCH_PATCHES, len(images)))
        try:
            images.read(rows, list(out[: len(rows)]))
        except StoreError:
            yield from (_image(images, row, out[0]) for row in rows)
        else:
            yield from ([] for _ in rows)


def _image(images: ImageReader, row: int, out: NDArray[np.uint8]) -> list[str]:
    try:
        images.read([row], [out])
    except StoreError as error:
        return [str(error)]
    return []


def _columns(part: Part) -> Iterator[str]:
    """Yield where the columns of a part are damaged or contradict each other."""
    columns = {}
    for name in (*COLUMNS, *CELL_COLUMNS):
        try:
            columns[name] = part.column(name)
        except StoreError as error:
            yield str(error)
    if len(columns) < len(COLUMNS) + len(CELL_COLUMNS):
        return
    slide, index, counts, indptr = (columns[name] for name in ("slide", "index", "counts", "patch_indptr"))
    lengths = {len(slide), len(index), len(counts), len(columns["xy"]), len(indptr) - 1, part.count}
    if len(lengths) > 1:
        yield f"part {part.id}: its columns have different lengths, {sorted(lengths)}"
        return
    if len(slide) and int(slide.max()) >= len(part.slides):
        yield f"part {part.id}: a patch names slide row {slide.max()} of {len(part.slides)}"
        return
    pairs = np.stack([slide.astype(np.int64), index.astype(np.int64)], axis=1)
    if len(np.unique(pairs, axis=0)) != len(pairs):
        yield f"part {part.id}: a place of a slide appears twice"
    if np.any(np.diff(indptr) != counts.sum(axis=1, dtype=np.int64)):
        yield f"part {part.id}: counts and patch_cells disagree"


def _derived(part: Part) -> Iterator[str]:
    """Yield what is wrong with what later stages added to a part."""
    for name, group in derived_groups(part.folder):
        where = f"part {part.id}: derived {name}"
        if group is None:
            yield f"{where} was begun and never completed: run the command that makes it again"
            continue
        for array in group.arrays:
            try:
                if array != IMAGES:
                    group.column(array)
                    continue
                images = group.images()
            except StoreError as error:
                yield f"part {part.id}: {error}"
            else:
                damaged = [f"{where}: {sentence}" for problem in _images(images) for sentence in problem]
                yield from _shortened(where, damaged, len(images))


def _coverage(store: Store) -> Iterator[str]:
    """Yield the slides of which some parts are absent."""
    ranges: dict[str, int] = {}
    for _, record in store.records():
        ranges[record.id] = ranges.get(record.id, 0) + record.grid_stop - record.grid_start
    for record in store.slides:
        if ranges[record.id] != record.grid_total:
            yield (
                f"slide {record.id}: {ranges[record.id]} of {record.grid_total} places are in complete parts: "
                "run extract again with --resume"
            )
