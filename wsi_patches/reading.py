"""Reading all patches of a grid in batches, where one bad place costs one patch and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.patch import GridSource

__all__ = ["Batch", "read_batches"]

BATCH_PATCHES = 32
"""6 MB of patches of 256 px: enough to make one call of many, small enough for each worker."""


@dataclass(frozen=True)
class Batch:
    """Some patches of a source, in its order."""

    positions: NDArray[np.int64]
    images: list[NDArray[np.uint8] | bytes]
    """Pixels ``(h, w, 3)``, or a JPEG tile's own bytes; background where a patch could not be read."""
    failed: NDArray[np.bool_]
    """Which could not be read."""
    error: SlideError | None = None
    """Why the first of them could not."""


def read_batches(source: GridSource, elsewhere: GridSource, *, as_tiles: bool = False) -> Iterator[Batch]:
    """Yield all patches of a source, in order.

    Nothing is yielded before one patch was read, so a slide of which nothing can be read leaves nothing behind.

    Parameters
    ----------
    source
        A run of a grid over an open slide.
    elsewhere
        Places all over the slide: where one of them can be read, a run of which nothing can be is a hole in a slide,
        not a slide that is lost.
    as_tiles
        Take the file's own JPEG bytes where a patch is exactly a tile.

    Raises
    ------
    SlideError
        No patch at all could be read, here or elsewhere.
    """
    held: list[NDArray[np.int64]] = []
    first_error: SlideError | None = None
    readable = False
    for start in range(0, len(source), BATCH_PATCHES):
        positions = np.arange(start, min(start + BATCH_PATCHES, len(source)))
        batch = _read(source, positions, as_tiles=as_tiles)
        first_error = first_error or batch.error
        readable = readable or not batch.failed.all()
        if not readable:
            held.append(positions)  # only where they lie: there may be a hundred thousand of them
            continue
        while held:
            yield _unreadable(source, held.pop(0))
        yield batch
    if first_error is not None and held:
        if not any(_can_be_read(elsewhere, position) for position in range(len(elsewhere))):
            raise first_error
        for positions in held:
            yield _unreadable(source, positions)


def _can_be_read(source: GridSource, position: int) -> bool:
    try:
        source.read([position])
    except SlideError:
        return False
    return True


def _read(source: GridSource, positions: NDArray[np.int64], *, as_tiles: bool) -> Batch:
    """Read a batch, or, if that fails, patch by patch."""
    try:
        return Batch(positions, _images(source, positions, as_tiles=as_tiles), np.zeros(len(positions), bool))
    except SlideError as error:
        first_error = error
    batch = _unreadable(source, positions)
    for row, position in enumerate(positions):
        try:
            batch.images[row] = _images(source, position[None], as_tiles=as_tiles)[0]
            batch.failed[row] = False
        except SlideError:
            continue
    return Batch(positions, batch.images, batch.failed, first_error)


def _images(source: GridSource, positions: NDArray[np.int64], *, as_tiles: bool) -> list[NDArray[np.uint8] | bytes]:
    if not as_tiles:
        return list(source.read(positions))
    tiles = source.encoded(positions)
    missing = [row for row, tile in enumerate(tiles) if tile is None]
    pixels = iter(source.read(positions[missing]))
    return [next(pixels) if tile is None else tile for tile in tiles]


def _unreadable(source: GridSource, positions: NDArray[np.int64]) -> Batch:
    side = source.grid.spec.size_px
    background = np.full((side, side, 3), source.slide.background, np.uint8)
    return Batch(positions, [background] * len(positions), np.ones(len(positions), bool))
