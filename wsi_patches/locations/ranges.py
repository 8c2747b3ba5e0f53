"""Reading a file at positions, without a lock: from this machine's disk, or from an object store by range requests."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_patches.locations.patience import patiently
from wsi_patches.locations.remote import RemotePath, as_remote

__all__ = ["LocalRanges", "Piece", "RemoteRanges", "open_ranges", "read_pieces"]

Piece = tuple[int, int]
"""Offset and count of bytes."""
LOCAL_GAP, LOCAL_MOST = 4 << 10, 4 << 20
REMOTE_GAP, REMOTE_MOST = 64 << 10, 8 << 20
"""Pieces that lie this close are read at once, up to so many bytes: a request costs as much as many kilobytes."""


class LocalRanges:
    """A file of this machine, or of a file server.

    It closes when nobody holds it any more, so that a slide may be closed while another thread still reads: a
    descriptor that was closed under a reader could by then be another file's.
    """

    gap, most = LOCAL_GAP, LOCAL_MOST

    def __init__(self, path: Path) -> None:
        self.path, self._is_lost = path, False
        self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes, fewer where the file ends."""
        try:
            return os.pread(self._descriptor, count, offset)
        except OSError:
            if self._is_lost:
                raise
        try:
            return patiently(lambda: self._again(offset, count))
        except OSError:
            self._is_lost = True  # what was waited for once, such as a bad sector, is not waited for at every tile
            raise

    def _again(self, offset: int, count: int) -> bytes:
        """Read through a name looked up anew: a file server that was restarted may not know the old handle."""
        number = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            return os.pread(number, count, offset)
        finally:
            os.close(number)

    def read_many(self, pieces: Sequence[Piece]) -> list[bytes]:
        """Return the bytes of each piece."""
        return [self.read(*piece) for piece in pieces]

    def tail(self, count: int) -> tuple[bytes, int]:
        """Return the last bytes, and where they begin; a negative place where the file is shorter."""
        start = os.fstat(self._descriptor).st_size - count
        return (self.read(start, count) if start >= 0 else b""), start

    def close(self) -> None:
        """Let the file go."""
        self._close()


class RemoteRanges:
    """An object."""

    gap, most = REMOTE_GAP, REMOTE_MOST

    def __init__(self, path: RemotePath) -> None:
        self.path = path

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes, fewer where the object ends."""
        return self.path.read_ranges([(offset, offset + count)])[0]

    def read_many(self, pieces: Sequence[Piece]) -> list[bytes]:
        """Return the bytes of each piece, all asked for at a time."""
        return self.path.read_ranges([(offset, offset + count) for offset, count in pieces])

    def tail(self, count: int) -> tuple[bytes, int]:
        """Return the last bytes, and where they begin; a negative place where the object is shorter."""
        size = self.path.stat().st_size
        return (self.read(size - count, count) if size >= count else b""), size - count

    def close(self) -> None:
        """Do nothing: no connection is held."""


def open_ranges(path: Path) -> LocalRanges | RemoteRanges:
    """Open a file to be read at positions.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    remote = as_remote(path)
    return LocalRanges(path) if remote is None else RemoteRanges(remote)


def read_pieces(file: LocalRanges | RemoteRanges, pieces: Sequence[Piece]) -> list[bytes]:
    """Return the bytes of many pieces, reading neighbours in the file at once; short where the file ends."""
    found = [b""] * len(pieces)
    runs = list(_runs(pieces, file.gap, file.most))
    spans = [(pieces[run[0]][0], max(sum(pieces[i]) for i in run)) for run in runs]
    read = file.read_many([(begin, end - begin) for begin, end in spans])
    for run, (begin, _), data in zip(runs, spans, read, strict=True):
        for i in run:
            offset, count = pieces[i]
            found[i] = data[offset - begin : offset - begin + count]
    return found


def _runs(pieces: Sequence[Piece], gap: int, most: int) -> Iterator[list[int]]:
    """Yield the indices of pieces that lie close together, in the file's order."""
    run: list[int] = []
    for i in sorted((i for i, (_, count) in enumerate(pieces) if count), key=pieces.__getitem__):
        offset, count = pieces[i]
        if run:
            begin, end = pieces[run[0]][0], sum(pieces[run[-1]])
            if offset - end > gap or offset + count - begin > most:
                yield run
                run = []
        run.append(i)
    if run:
        yield run
