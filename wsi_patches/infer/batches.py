"""Reading patches ahead of the network, in order and never more than it will soon need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import sharpen_adaptively
from wsi_patches.infer.engine_settings import EngineSettings
from wsi_patches.models.backends import as_tensor
from wsi_patches.torch_data import PatchReader

__all__ = ["Chunk", "ChunkReader", "in_batches", "read_ahead"]

T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """Some patches of a source, in its order, with what was told of each."""

    positions: NDArray[np.int64]
    images: Tensor
    """uint8 ``(n, h, w, 3)``, in memory that a GPU can copy from while it computes, if there is one."""
    focus: NDArray[np.float64] | None = None
    """FQPath scores ``(n,)``, as the patches were read."""

    def __len__(self) -> int:
        return len(self.positions)

    def part(self, rows: slice) -> Chunk:
        """Return some of the patches, without copying them."""
        return Chunk(self.positions[rows], self.images[rows], None if self.focus is None else self.focus[rows])


@dataclass(frozen=True)
class ChunkReader:
    """What a reader thread does: read some patches, score and sharpen them where that is asked of it."""

    source: PatchReader
    settings: EngineSettings
    pinned: bool
    """Put the patches where a GPU can fetch them."""
    scores: bool
    """Score the focus here, on the processor."""

    def __call__(self, positions: NDArray[np.int64]) -> Chunk:
        """Return the patches at ``positions``."""
        images, focus = self.source.read(positions), None
        if self.settings.sharpen is not None:
            sharpened = sharpen_adaptively(images, self.settings.sharpen)
            images, focus = sharpened.images, sharpened.score_before
        elif self.scores:
            focus = np.asarray(fqpath(images, precision="float32"), np.float64)
        told = focus if self.settings.focus else None
        pixels = as_tensor(images)
        return Chunk(positions, pixels.pin_memory() if self.pinned else pixels, told)


def read_ahead(
    read: Callable[[NDArray[np.int64]], T], runs: Sequence[NDArray[np.int64]], threads: int, ahead: Callable[[], int]
) -> Generator[T, None, None]:
    """Yield what is read of each run of positions, in their order, while threads read the next ones.

    Where the caller stops, fails or is interrupted, so do the threads: what was not begun is not read.

    Parameters
    ----------
    read
        Called in the threads. What it raises is raised here, as it is.
    runs
        What to read at a time.
    threads
        How many.
    ahead
        How many runs may be read, or waiting to be, before the next one is taken; asked again each time.
    """
    waiting: deque[Future[T]] = deque()
    to_come = iter(runs)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="patch-reader")
    try:
        while True:
            while len(waiting) < ahead() and (run := next(to_come, None)) is not None:
                waiting.append(pool.submit(read, run))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_batches(chunks: Iterator[Chunk], size: Callable[[], int]) -> Iterator[list[Chunk]]:
    """Yield the patches of chunks again, as many at a time as ``size`` says, the last time what is left."""
    held: deque[Chunk] = deque()
    for chunk in chunks:
        held.append(chunk)
        while sum(map(len, held)) >= size():
            yield _taken(held, size())
    if held:
        yield list(held)


def _taken(held: deque[Chunk], count: int) -> list[Chunk]:
    """Take that many patches from the left."""
    taken: list[Chunk] = []
    while count:
        chunk = held.popleft()
        if len(chunk) > count:
            held.appendleft(chunk.part(slice(count, None)))
            chunk = chunk.part(slice(count))
        taken.append(chunk)
        count -= len(chunk)
    return taken


def joined(arrays: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Return the scores of several chunks as one array, None where they have none."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if there else None


def on_device(batch: list[Chunk], device: torch.device) -> Tensor:
    """Return the patches of a batch as one tensor on a device; on the processor a single chunk is not copied."""
    parts = [chunk.images.to(device, non_blocking=True) for chunk in batch]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
