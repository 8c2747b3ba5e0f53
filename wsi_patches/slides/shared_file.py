"""One open file that many threads read, each at its own positions."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_patches.errors import SlideError

__all__ = ["SharedFile"]

MERGE_GAP_BYTES, MERGE_BYTES = 4 << 10, 4 << 20
"""Pieces that lie this close are read at once, up to so many bytes."""


class SharedFile:
    """A file to be read at positions without a lock.

    It closes when nobody holds it any more, so that a slide may be closed while another thread still reads: a
    descriptor that was closed under a reader could by then be another file's.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` bytes from ``offset``.

        Raises
        ------
        SlideError
            The file ends before.
        """
        data = os.pread(self._descriptor, count, offset)
        if len(data) != count:
            msg = f"{self._path} ends within a tile or strip: it was cut off; copy it again from its source"
            raise SlideError(msg)
        return data

    def read_pieces(self, pieces: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of many ``(offset, count)``, reading neighbours in the file at once.

        Raises
        ------
        SlideError
            The file ends before.
        """
        found = [b""] * len(pieces)
        for run in _runs(pieces):
            begin, end = pieces[run[0]][0], max(sum(pieces[i]) for i in run)
            data = self.read(begin, end - begin)
            for i in run:
                offset, count = pieces[i]
                found[i] = data[offset - begin : offset - begin + count]
        return found


def _runs(pieces: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield the indices of pieces that lie close together, in the file's order."""
    run: list[int] = []
    for i in sorted((i for i, (_, count) in enumerate(pieces) if count), key=pieces.__getitem__):
        offset, count = pieces[i]
        if run:
            begin, end = pieces[run[0]][0], sum(pieces[run[-1]])
            if offset - end > MERGE_GAP_BYTES or offset + count - begin > MERGE_BYTES:
                yield run
                run = []
        run.append(i)
    if run:
        yield run
