"""One open file that many threads read, each at its own positions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.locations import open_ranges, read_pieces
from wsi_patches.locations.ranges import LocalRanges, RemoteRanges
from wsi_patches.slides.segment_cache import SegmentCache

__all__ = ["SharedFile"]

BLOCK_BYTES, HELD_BYTES = 1 << 20, 64 << 20
"""Of an object store whole blocks are asked for: a slide's tiles lie row by row, and so the next ones come along."""


class SharedFile:
    """A file to be read at positions without a lock, on this machine or in an object store.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        ranges = open_ranges(path)
        self._file: LocalRanges | _Blocks = ranges if isinstance(ranges, LocalRanges) else _Blocks(ranges)

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` bytes from ``offset``.

        Raises
        ------
        SlideError
            The file ends before, or cannot be read.
        """
        return self._whole(self._file.read(offset, count), count)

    def read_pieces(self, pieces: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of many ``(offset, count)``, reading neighbours in the file at once.

        Raises
        ------
        SlideError
            The file ends before, or cannot be read.
        """
        if isinstance(self._file, LocalRanges):
            found = read_pieces(self._file, pieces)
        else:
            found = [self._file.read(*piece) for piece in pieces]
        return [self._whole(data, count) for data, (_, count) in zip(found, pieces, strict=True)]

    def _whole(self, data: bytes, count: int) -> bytes:
        if len(data) != count:
            msg = f"{self._path} ends within a tile or strip: it was cut off; copy it again from its source"
            raise SlideError(msg)
        return data


class _Blocks:
    """An object, of which the blocks that were used last are held."""

    def __init__(self, file: RemoteRanges) -> None:
        self._file = file
        self._held = SegmentCache(HELD_BYTES)

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes, fewer where the object ends."""
        if not count:
            return b""
        parts = []
        for number in range(offset // BLOCK_BYTES, (offset + count - 1) // BLOCK_BYTES + 1):
            begin = number * BLOCK_BYTES
            parts.append(self._block(number)[max(0, offset - begin) : offset + count - begin].tobytes())
        return b"".join(parts)

    def _block(self, number: int) -> NDArray[np.uint8]:
        block = self._held.get((0, number), lambda: self._fetched(number))
        assert block is not None
        return block

    def _fetched(self, number: int) -> NDArray[np.uint8]:
        return np.frombuffer(self._file.read(number * BLOCK_BYTES, BLOCK_BYTES), np.uint8)
