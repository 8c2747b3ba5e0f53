"""Shards: many patches in one file, each a chunk of its own, found through the index at the file's end.

The layout is that of zarr's ``sharding_indexed`` codec: chunks, then for each an offset and a length (uint64, little
endian), then the index's CRC-32C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.stores.arrays import METADATA, ArrayMetadata, chunk_path, read_metadata
from wsi_patches.stores.codecs import SEAL_BYTES, ChunkCodec, checked, sealed
from wsi_patches.stores.files import WholeFile, write_json

__all__ = ["ImageReader", "ImageWriter"]

ABSENT = 2**64 - 1
"""Offset and length of a chunk that the shard does not hold."""
INDEX_DTYPE = np.dtype("<u8")
AXES = ("patch", "row", "column", "channel")


class ImageWriter:
    """Writes an array of images, uint8 ``(n, h, w, 3)``: one chunk an image, as they come, shard after shard.

    A shard goes to disk chunk by chunk under a name of its own and gets its true name when it is complete, so memory
    does not grow with the shard.

    Parameters
    ----------
    folder
        The array's folder; made here.
    side_px
        Height and width of an image.
    shard
        Images in a full shard.
    codec
        How they are coded.
    durable
        Wait for the disk.
    """

    def __init__(self, folder: Path, side_px: int, shard: int, codec: ChunkCodec, *, durable: bool = True) -> None:
        self.folder, self.side_px, self.shard, self.codec, self.durable = folder, side_px, shard, codec, durable
        self.count = 0
        self._file: WholeFile | None = None
        self._lengths: list[int] = []

    def add(self, image: NDArray[np.uint8] | bytes) -> None:
        """Append one image: pixels, or bytes that the codec decodes."""
        self._put(sealed(image) if isinstance(image, bytes) else self.codec.encode(image))

    def _put(self, chunk: bytes) -> None:
        if self._file is None:
            path = chunk_path(self.folder, self.count // self.shard, len(AXES))
            path.parent.mkdir(parents=True)
            self._file = WholeFile(path, durable=self.durable)
        self._file.write(chunk)
        self._lengths.append(len(chunk))
        self.count += 1
        if len(self._lengths) == self.shard:
            self._finish_shard()

    def _finish_shard(self) -> None:
        if self._file is None:
            return
        index = np.full((self.shard, 2), ABSENT, INDEX_DTYPE)
        lengths = np.array(self._lengths, INDEX_DTYPE)
        index[: len(lengths), 1] = lengths
        index[: len(lengths), 0] = np.cumsum(lengths) - lengths
        self._file.write(sealed(index.tobytes()))
        self._file.commit()
        self._file, self._lengths = None, []

    def complete(self) -> None:
        """Finish the last shard and write the metadata, which say how many images there are."""
        self._finish_shard()
        self.folder.mkdir(parents=True, exist_ok=True)
        shape = (self.count, self.side_px, self.side_px, 3)
        metadata = ArrayMetadata(shape, np.dtype(np.uint8), 1, self.codec, self.shard, AXES)
        write_json(self.folder / METADATA, metadata.to_dict(), durable=self.durable)

    def abandon(self) -> None:
        """Let go of a shard that will not be completed."""
        if self._file is not None:
            self._file.discard()
            self._file = None


class ImageReader:
    """Reads an array that `ImageWriter` or zarr-python wrote; safe in several threads.

    Raises
    ------
    StoreError
        The array is absent, or coded in a way that this program does not read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.metadata = folder, read_metadata(folder)
        if self.metadata.shard is None or self.metadata.chunk != 1:
            msg = f"{folder.name} is not cut into shards of single images"
            raise StoreError(msg)
        self.shard = self.metadata.shard
        self._indices: dict[int, NDArray[np.uint64]] = {}

    def __len__(self) -> int:
        return self.metadata.shape[0]

    @property
    def shards(self) -> int:
        """How many shards there must be."""
        return -(-len(self) // self.shard)

    def read(self, rows: Sequence[int], out: Sequence[NDArray[np.uint8]]) -> None:
        """Put images into the arrays ``out``, each uint8 ``(h, w, 3)``; neighbours in a shard share its opening.

        Raises
        ------
        StoreError
            A shard is absent, or an image damaged.
        """
        open_shard, shard = ExitStack(), -1
        with open_shard:
            for position, row in enumerate(rows):
                if row // self.shard != shard:
                    open_shard.close()
                    shard = row // self.shard
                    number = open_shard.enter_context(self._opened(shard))
                try:
                    self.metadata.codec.decode(self._chunk(number, shard, row % self.shard), out[position])
                except StoreError as error:
                    msg = f"patch {row} of {self.folder} cannot be read, {error}: run wsi-patches verify on the store"
                    raise StoreError(msg) from error

    @contextmanager
    def _opened(self, shard: int) -> Iterator[int]:
        path = chunk_path(self.folder, shard, len(self.metadata.shape))
        try:
            number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            msg = f"shard {shard} of {self.folder} cannot be opened: {error.strerror or error}"
            raise StoreError(msg) from error
        try:
            yield number
        finally:
            os.close(number)

    def _chunk(self, number: int, shard: int, row: int) -> bytes:
        if shard not in self._indices:
            self._indices[shard] = self._read_index(number)
        offset, length = (int(value) for value in self._indices[shard][row])
        if offset == ABSENT:
            msg = "its shard does not hold it"
            raise StoreError(msg)
        return _read_at(number, offset, length)

    def _read_index(self, number: int) -> NDArray[np.uint64]:
        index_bytes = self.shard * 2 * INDEX_DTYPE.itemsize + SEAL_BYTES
        start = os.fstat(number).st_size - index_bytes
        if start < 0:
            msg = "its shard is cut short"
            raise StoreError(msg)
        index = np.frombuffer(checked(_read_at(number, start, index_bytes)), INDEX_DTYPE).reshape(-1, 2)
        held = index[index[:, 0] != ABSENT]
        if np.any(held[:, 0] > start) or np.any(held[:, 1] > start - held[:, 0]):
            msg = "its shard's index points beyond the file"
            raise StoreError(msg)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageReader, (self.folder,)


def _read_at(number: int, offset: int, length: int) -> bytes:
    """Return bytes of a file without moving its position, so that threads may share it."""
    data = os.pread(number, length, offset)
    if len(data) != length:
        msg = "its shard is cut short"
        raise StoreError(msg)
    return data
