"""An object as a stream that can be sought in, for libraries that read files."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from wsi_patches.locations.object_store import AddressError

__all__ = ["ObjectStream"]

BLOCK_BYTES, BLOCKS = 256 << 10, 32
"""In what a file that is read here and there, such as a TIFF's tags, is read, and how much of it is kept."""

ReadRanges = Callable[[Sequence[tuple[int, int]]], list[bytes]]


class ObjectStream(io.RawIOBase):
    """An object, read in blocks; those that were used last are kept.

    Parameters
    ----------
    name
        The address in full: beside a bare name a library would look for a file's other parts in the working folder.
    size
        In bytes.
    read_ranges
        Returns the bytes of some ``(start, stop)``.
    """

    def __init__(self, name: str, size: int, read_ranges: ReadRanges) -> None:
        self.name, self._size, self._at = name, size, 0
        # What is kept does not name the stream: its blocks go with it, as soon as nobody has it.
        self._block = lru_cache(BLOCKS)(partial(_fetched, name, size, read_ranges))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            msg = "a position before the beginning"
            raise ValueError(msg)
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer up to the end of a block, and return how many bytes that were."""
        if self._at >= self._size:
            return 0
        number, begin = divmod(self._at, BLOCK_BYTES)
        data = self._block(number)[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _fetched(name: str, size: int, read_ranges: ReadRanges, number: int) -> bytes:
    start, stop = number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, size)
    (data,) = read_ranges([(start, stop)])
    if len(data) != stop - start:
        raise AddressError(errno.EINVAL, f"{name} is not as long as it was: it was written anew meanwhile")
    return data
