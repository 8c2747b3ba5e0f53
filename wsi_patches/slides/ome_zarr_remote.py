"""What zarr-python asks of a store, answered by the objects below an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from wsi_patches.locations import RemotePath

__all__ = ["ObjectsBelow"]


class ObjectsBelow(Store):
    """The objects below an address, to be read: with the same waiting and the same errors as everything else is.

    Parameters
    ----------
    folder
        What keys are relative to.
    """

    supports_writes = supports_deletes = supports_partial_writes = False
    supports_listing = False

    def __init__(self, folder: RemotePath) -> None:
        super().__init__(read_only=True)
        self.folder = folder

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectsBelow) and other.folder == self.folder

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or some bytes of it; None where it is not there."""
        try:
            content = await asyncio.to_thread(_content, self.folder / key, byte_range)
        except FileNotFoundError:
            return None
        return prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return bytes of several objects."""
        return await asyncio.gather(*(self.get(key, prototype, asked) for key, asked in key_ranges))

    async def exists(self, key: str) -> bool:
        """Say whether an object is there."""
        return await asyncio.to_thread((self.folder / key).is_file)

    async def set(self, key: str, value: Buffer) -> None:
        """Raise: a slide is never written."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Raise: a slide is never written."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Raise: nothing is listed."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Raise: nothing is listed."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Raise: nothing is listed."""
        raise NotImplementedError


def _content(path: RemotePath, asked: Any) -> bytes:
    match asked:
        case RangeByteRequest(start=start, end=end):
            return path.read_ranges([(start, end)])[0]
        case OffsetByteRequest(offset=offset):
            return path.read_ranges([(offset, path.stat().st_size)])[0]
        case SuffixByteRequest(suffix=suffix):
            return path.read_ranges([(-suffix, 0)])[0]
    return path.read_bytes()
