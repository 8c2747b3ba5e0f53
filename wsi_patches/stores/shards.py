"""Shards: many patches in one file, each a chunk of its own, found through the index at the file's end.

The layout is that of zarr's ``sharding_indexed`` codec: chunks, then for each an offset and a length (uint64, little
endian), then the index's CRC-32C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.locations import open_ranges, patiently, read_pieces
from wsi_patches.locations.ranges import LocalRanges, RemoteRanges
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

    def add_chunk(self, chunk: bytes) -> None:
        """Append one image as `ImageReader.chunks` gave it, of an array with the same codec.

        Raises
        ------
        StoreError
            It is not what was written.
        """
        checked(chunk)
        self._put(chunk)

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

    Parameters
    ----------
    folder
        The array's folder.
    metadata
        The content of its metadata file, where that was read already.

    Raises
    ------
    StoreError
        The array is absent, or coded in a way that this program does not read.
    """

    def __init__(self, folder: Path, metadata: bytes | None = None) -> None:
        self.folder, self.metadata = folder, read_metadata(folder, metadata)
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
        start = 0
        for shard, of_shard in groupby(rows, key=lambda row: row // self.shard):
            some = list(of_shard)
            with self._opened(shard) as file:
                self._read_shard(file, shard, some, out[start : start + len(some)])
            start += len(some)

    def chunks(self, rows: Sequence[int]) -> Iterator[bytes]:
        """Yield images as they lie on disk, coded and sealed.

        Raises
        ------
        StoreError
            A shard is absent or cut short.
        """
        for shard, of_shard in groupby(rows, key=lambda row: row // self.shard):
            with self._opened(shard) as file:
                yield from self._chunks(file, shard, [row % self.shard for row in of_shard])

    def bodies(self, rows: Sequence[int]) -> Iterator[bytes]:
        """Yield the coded bytes of images, ascending, without the seal.

        Raises
        ------
        StoreError
            A shard is absent, or an image damaged.
        """
        for shard, of_shard in groupby(rows, key=lambda row: row // self.shard):
            some = list(of_shard)
            with self._opened(shard) as file:
                chunks = self._chunks(file, shard, [row % self.shard for row in some])
                for row in some:
                    try:
                        chunk = next(chunks)
                        yield checked(chunk) if self.metadata.codec.is_sealed else chunk
                    except (StoreError, OSError) as error:
                        raise self._damaged(row, error) from error

    def _damaged(self, row: int, error: Exception) -> StoreError:
        return StoreError(f"patch {row} of {self.folder} cannot be read, {error}: run wsi-patches verify on the store")

    def _read_shard(
        self, file: LocalRanges | RemoteRanges, shard: int, rows: Sequence[int], out: Sequence[NDArray[np.uint8]]
    ) -> None:
        chunks = self._chunks(file, shard, [row % self.shard for row in rows])
        for row, image in zip(rows, out, strict=True):
            try:
                self.metadata.codec.decode(next(chunks), image)
            except (StoreError, OSError) as error:
                raise self._damaged(row, error) from error

    def _chunks(self, file: LocalRanges | RemoteRanges, shard: int, rows: Sequence[int]) -> Iterator[bytes]:
        """Yield the bytes of some chunks; of an object store neighbours are fetched at once."""
        if shard not in self._indices:
            self._indices[shard] = self._read_index(file)
        pieces = [(int(offset), int(length)) for offset, length in self._indices[shard][list(rows)]]
        if isinstance(file, LocalRanges):  # the disk's cache reads ahead, and nothing need be copied
            yield from (_whole(file.read(*_held(piece)), piece[1]) for piece in pieces)
            return
        held = [piece if piece[0] != ABSENT else (0, 0) for piece in pieces]
        for piece, data in zip(pieces, read_pieces(file, held), strict=True):
            yield _whole(data, _held(piece)[1])

    @contextmanager
    def _opened(self, shard: int) -> Iterator[LocalRanges | RemoteRanges]:
        path = chunk_path(self.folder, shard, len(self.metadata.shape))
        try:
            file = patiently(lambda: open_ranges(path))
        except OSError as error:
            msg = f"shard {shard} of {self.folder} cannot be opened: {error.strerror or error}"
            raise StoreError(msg) from error
        try:
            yield file
        finally:
            file.close()

    def _read_index(self, file: LocalRanges | RemoteRanges) -> NDArray[np.uint64]:
        data, start = file.tail(self.shard * 2 * INDEX_DTYPE.itemsize + SEAL_BYTES)
        if start < 0:
            msg = "its shard is cut short"
            raise StoreError(msg)
        index = np.frombuffer(checked(data), INDEX_DTYPE).reshape(-1, 2)
        held = index[index[:, 0] != ABSENT]
        if np.any(held[:, 0] > start) or np.any(held[:, 1] > start - held[:, 0]):
            msg = "its shard's index points beyond the file"
            raise StoreError(msg)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageReader, (self.folder,)


def _held(piece: tuple[int, int]) -> tuple[int, int]:
    """Return a chunk's offset and length, unless the index says that the shard lacks it."""
    if piece[0] == ABSENT:
        msg = "its shard does not hold it"
        raise StoreError(msg)
    return piece


def _whole(data: bytes, length: int) -> bytes:
    if len(data) != length:
        msg = "its shard is cut short"
        raise StoreError(msg)
    return data
