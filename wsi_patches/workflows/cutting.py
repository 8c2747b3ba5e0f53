"""How slides are cut into parts: the unit of work, of commit and of resume."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from wsi_patches.extract import SlideJob
from wsi_patches.grid import Kept
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.slide import ReadOptions
from wsi_patches.stores.format import patches_in_shard
from wsi_patches.workflows.look import Looked

__all__ = ["cut_parts", "part_id", "part_name", "part_patches"]

MOST_SHARDS = 8
"""At most 4096 patches of 256 px in a part: a few seconds of work, little to lose and few files."""
PARTS = 8
"""Of a small job, so that some workers have something to do; it does not depend on how many there are, and so neither
do the store's bytes."""
PART_SLIDES = 4096
Range = tuple[int, int]


def part_patches(size_px: int, total: int, as_tiles: bool) -> int:
    """Return how many patches a part holds when a job has ``total``; a shard at least, or its small files cost most."""
    shard = patches_in_shard(size_px, as_tiles=as_tiles)
    return min(MOST_SHARDS * shard, max(shard, -(-total // PARTS)))


def cut_parts(
    waiting: Sequence[Looked], present: Mapping[str, set[Range]], size_of: Callable[[bool], int], options: ReadOptions
) -> Iterator[tuple[tuple[SlideJob, ...], JpegTiles | None]]:
    """Yield the jobs of each part, and what the JPEG tiles of its slides have in common.

    Large slides are cut into runs of their grid, small ones share a part; what complete parts already hold is left out.
    A run that was killed and resumed makes the same parts as one that was not.

    Parameters
    ----------
    waiting
        The slides, in the order in which they were named.
    present
        Of each slide the runs that complete parts answer for.
    size_of
        Patches in a part, given whether they are kept as JPEG tiles.
    options
        How slides are opened.
    """
    # Only slides whose tiles share their tables can share a part: the tables lie in the part's metadata.
    by_tiles = sorted(waiting, key=lambda one: repr(one.tiles))
    for tiles, slides in groupby(by_tiles, key=lambda one: one.tiles):
        size = size_of(tiles is not None)
        jobs = (
            job
            for one in slides
            for gap in _gaps(one.total, present.get(one.slide_id, set()))
            for job in _runs(one, gap, size, options)
        )
        for part in _together(jobs, size):
            yield part, tiles


def _gaps(total: int, present: set[Range]) -> Iterator[Range]:
    """Yield the runs of a grid that no complete part answers for."""
    start = 0
    for begin, end in sorted(present):
        if begin > start:
            yield start, begin
        start = max(start, end)
    if start < total:
        yield start, total


def _runs(one: Looked, gap: Range, size: int, options: ReadOptions) -> Iterator[SlideJob]:
    """Cut a gap into runs of about ``size`` patches that are kept."""
    start, stop = gap
    if one.kept is None:
        for begin in range(start, stop, size):
            yield SlideJob(one.item, one.slide_id, begin, min(begin + size, stop), options)
        return
    mask = one.kept.mask()[start:stop]
    for begin, end in _kept_runs(mask, size):
        kept = Kept.of(mask[begin:end])
        yield SlideJob(one.item, one.slide_id, start + begin, start + end, options, kept, one.notes)


def _kept_runs(mask: NDArray[np.bool_], size: int) -> Iterator[Range]:
    """Yield runs of a mask, end to end, each with at most ``size`` true places."""
    ends = np.flatnonzero(mask)[size::size].tolist()
    yield from zip([0, *ends], [*ends, len(mask)], strict=True)


def _together(jobs: Iterator[SlideJob], size: int) -> Iterator[tuple[SlideJob, ...]]:
    """Yield jobs in parts of at most ``size`` patches, or of a single job."""
    part: list[SlideJob] = []
    patches = 0
    for job in jobs:
        if part and (patches + job.patches > size or len(part) == PART_SLIDES or part[-1].slide_id == job.slide_id):
            yield tuple(part)
            part, patches = [], 0
        part.append(job)
        patches += job.patches
    if part:
        yield tuple(part)


def part_id(jobs: Sequence[SlideJob]) -> str:
    """Name a part after its first slide, safely, and after all of its contents, uniquely."""
    contents = "\n".join(f"{job.slide_id}\0{job.item.path}\0{job.start}\0{job.stop}" for job in jobs)
    digest = hashlib.blake2b(contents.encode(), digest_size=6).hexdigest()
    return f"{part_name(jobs[0].slide_id)}.{jobs[0].start:08d}.{digest}"


def part_name(slide_id: str) -> str:
    """Return how the names of parts begin whose first slide this is."""
    return re.sub(r"[^A-Za-z0-9_~-]", "_", slide_id)[:48]
