"""Reading a whole store against its checksums and its own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wsi_patches.stores.reader import READ_ERRORS, Part, Store, open_store

__all__ = ["verify_store"]

COLUMNS = ("slide", "index", "xy", "counts", "patch_indptr", "patch_cells", "cells/slide", "cells/x", "cells/class")


def verify_store(path: Path, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read every chunk of a store and return a sentence for each thing that is wrong; none if the store is sound.

    Raises
    ------
    StoreError
        There is no store that could be read at all.
    """
    store = open_store(path)
    problems = [
        f"part {name} was begun and never completed: run extract again with --resume" for name in store.unfinished
    ]
    for number, part in enumerate(store.parts, start=1):
        problems += [*_chunks(part), *_columns(part)]
        if progress is not None:
            progress(number, len(store.parts))
    return [*problems, *_coverage(store)]


def _chunks(part: Part) -> Iterator[str]:
    """Yield what is wrong with chunks: absent, cut short, or changed since they were written."""
    arrays = ("images", *COLUMNS, "cells/y")
    for name in arrays:
        try:
            array: Any = part.group[name]
            stored, expected = array.nchunks_initialized, array.nchunks
            if stored < expected:
                yield f"part {part.id}: {name} lacks {expected - stored} of its {expected} chunks"
            step = (array.shards or array.chunks)[0]
            for start in range(0, array.shape[0], step):
                array[start : start + step]
        except READ_ERRORS as error:
            yield f"part {part.id}: {name} is damaged ({error})"


def _columns(part: Part) -> Iterator[str]:
    """Yield where the columns of a part contradict each other."""
    try:
        slide, index, counts, indptr = (part.column(name) for name in ("slide", "index", "counts", "patch_indptr"))
    except READ_ERRORS:
        return
    lengths = {len(slide), len(index), len(counts), len(indptr) - 1, part.count}
    if len(lengths) > 1:
        yield f"part {part.id}: its columns have different lengths, {sorted(lengths)}"
        return
    if len(slide) and int(slide.max()) >= len(part.slides):
        yield f"part {part.id}: a patch names slide row {slide.max()} of {len(part.slides)}"
        return
    pairs = np.stack([slide.astype(np.int64), index.astype(np.int64)], axis=1)
    if len(np.unique(pairs, axis=0)) != len(pairs):
        yield f"part {part.id}: a place of a slide appears twice"
    if np.any(np.diff(indptr.astype(np.int64)) != counts.sum(axis=1, dtype=np.int64)):
        yield f"part {part.id}: counts and patch_cells disagree"


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
