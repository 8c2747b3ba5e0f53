"""One level of an OME-Zarr: its shape, and its chunks as planes; checked before anything is decoded."""

from __future__ import annotations

import lzma
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box, Size
from wsi_patches.locations.remote import as_remote
from wsi_patches.slides.ome_zarr_chunk import check_encoded_chunk
from wsi_patches.slides.pixels import check_dtype

__all__ = ["ZARR_ERRORS", "ZarrLevel"]

ZARR_ERRORS = (
    # zarr-python and its codecs trust what they read: damage ends in whatever Python raises of nonsense.
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, EOFError, ImportError, SystemError, zlib.error, lzma.LZMAError, struct.error),
)
"""What zarr-python and numcodecs raise of damaged or unsupported arrays."""
MAX_CHUNK_BYTES = 256 << 20
"""A chunk is decoded whole; one that claims more is not asked for."""
SLACK_BYTES = 1 << 16
"""A file longer by this than twice its decoded chunk was not made by compressing that: it may unpack to anything."""
MOST_CHANNELS = 1000


@dataclass(frozen=True)
class ZarrLevel:
    """An array whose axes have names."""

    array: Any
    """An open ``zarr.Array``."""
    folder: Path
    axes: str

    @property
    def size(self) -> Size:
        """Width and height in this level's pixels."""
        return Size(self._of("x", self.array.shape), self._of("y", self.array.shape))

    @property
    def chunk(self) -> Size:
        """Width and height of a chunk, those at the border apart."""
        return Size(self._of("x", self.array.chunks), self._of("y", self.array.chunks))

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return self._of("c", self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def _of(self, axis: str, values: Sequence[int]) -> int:
        return int(values[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def compression(self) -> str:
        """How chunks are compressed, as the array names it: blosc (lz4), zstd, none ..."""
        names = [_codec_name(codec) for codec in self.array.compressors]
        return ", ".join(name for name in names if name) or "none"

    def check(self) -> None:
        """Refuse what is not one plane of unsigned samples, or has chunks beyond memory.

        Raises
        ------
        SlideError
            With the reason.
        """
        shape, chunks = self.array.shape, self.array.chunks
        if len(shape) != len(self.axes) or min(*shape, *chunks) < 1:
            msg = f"{self.folder} has {len(shape)} dimensions for the axes {self.axes}, or an empty one: it is damaged"
            raise SlideError(msg)
        check_dtype(self.folder, self.dtype)
        for axis, name in (("t", "times"), ("z", "planes")):
            if self._of(axis, shape) > 1:
                msg = (
                    f"{self.folder} holds {self._of(axis, shape)} {name}, and a slide is one picture: export the one "
                    "that is meant"
                )
                raise SlideError(msg)
        if self.channels > MOST_CHANNELS:
            msg = f"{self.folder} says that it has {self.channels:,} channels: the file is damaged"
            raise SlideError(msg)
        if math.prod(chunks) * self.dtype.itemsize > MAX_CHUNK_BYTES:
            msg = f"{self.folder} has chunks of {chunks} samples, over the limit of {MAX_CHUNK_BYTES >> 20} MiB each"
            raise SlideError(msg)

    def touching(self, box_px: Box) -> Iterator[int]:
        """Yield the numbers, by row, then column, of the chunks that a box inside the level touches."""
        width, height = self.chunk
        columns = -(-self.size.width // width)
        for row in range(box_px.y // height, (box_px.bottom - 1) // height + 1):
            for column in range(box_px.x // width, (box_px.right - 1) // width + 1):
                yield row * columns + column

    def place(self, number: int) -> Box:
        """Return where a chunk lies in this level's pixels; one at the border is cut."""
        width, height = self.chunk
        row, column = divmod(number, -(-self.size.width // width))
        return Box(column * width, row * height, width, height).clipped(self.size)

    def planes(self, channels: Sequence[int], number: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return a chunk of some channels, ``(channels, h, w)``.

        Raises
        ------
        SlideError
            A chunk is damaged.
        """
        box_px = self.place(number)
        self._check_chunks(channels, box_px)
        first, last = min(channels), max(channels)
        if last - first + 1 == len(channels):  # neighbours, such as red, green and blue: in one call
            planes = self._read(slice(first, last + 1), box_px)
            return planes[[channel - first for channel in channels]]
        return np.concatenate([self._read(slice(channel, channel + 1), box_px) for channel in channels])

    def _read(self, channels: slice, box_px: Box) -> NDArray[np.unsignedinteger[Any]]:
        parts = {"c": channels, "y": slice(box_px.y, box_px.bottom), "x": slice(box_px.x, box_px.right)}
        samples = np.asarray(self.array[tuple(parts.get(axis, 0) for axis in self.axes)])
        kept = [axis for axis in self.axes if axis in parts]
        if "c" not in kept:
            kept, samples = ["c", *kept], samples[None]
        ordered = samples.transpose([kept.index(axis) for axis in "cyx"])
        return ordered.astype(self.dtype.newbyteorder("="), copy=False)

    def _check_chunks(self, channels: Sequence[int], box_px: Box) -> None:
        """Refuse a chunk file that is cut short or too long, or a link to nothing, which zarr takes for none."""
        for file in {self._chunk_file(channel, box_px) for channel in channels}:
            if not (os.path.lexists(file) if as_remote(file) is None else file.exists()):
                if not self.folder.is_dir():
                    raise self._damaged(self.folder, "is not there any more")
                continue
            if not file.is_file():
                raise self._damaged(file, "is no file, or a link to none")
            if self.array.shards is not None:
                continue
            if file.stat().st_size > 2 * math.prod(self.array.chunks) * self.dtype.itemsize + SLACK_BYTES:
                raise self._damaged(file, "is far longer than its pixels")
            if self.array.compressors:
                self._check_encoded(file, _codec_name(self.array.compressors[-1]))

    def _chunk_file(self, channel: int, box_px: Box) -> Path:
        stored = self.array.shards or self.array.chunks
        at = {"c": channel, "y": box_px.y, "x": box_px.x}
        place = tuple(at.get(axis, 0) // side for axis, side in zip(self.axes, stored, strict=True))
        return self.folder / str(self.array.metadata.encode_chunk_key(place))

    def _check_encoded(self, file: Path, codec: str) -> None:
        expected = math.prod(self.array.chunks) * self.dtype.itemsize
        try:
            check_encoded_chunk(file.read_bytes(), codec, expected)
        except (ValueError, zlib.error) as error:
            raise self._damaged(file, str(error)) from error

    def _damaged(self, file: Path, what: str) -> SlideError:
        return SlideError(f"{file} {what}: the chunk is damaged; copy the slide again from its source")

    def count_chunks(self) -> tuple[int, int]:
        """Return how many chunk files there are, and how many there would be if none were left out."""
        stored = self.array.shards or self.array.chunks
        expected = math.prod(-(-side // part) for side, part in zip(self.array.shape, stored, strict=True))
        first = str(self.array.metadata.encode_chunk_key((0,) * len(stored)))
        key = re.compile(re.escape(first).replace("0", r"\d+"))
        return sum(1 for file in _files(self.folder) if key.fullmatch(file)), expected


def _codec_name(codec: Any) -> str:
    name = getattr(codec, "codec_id", None) or type(codec).__name__.removesuffix("Codec").lower()
    inner = getattr(codec, "cname", None)
    return f"{name} ({getattr(inner, 'value', inner)})" if inner else str(name)


def _files(folder: Path) -> Iterator[str]:
    """Yield the files below a folder, relative to it, with slashes."""
    remote = as_remote(folder)
    if remote is not None:
        yield from (str(path.relative_to(remote)) for path in remote.sizes_below())
        return
    for below, _, names in os.walk(folder):
        within = Path(below).relative_to(folder).as_posix()
        yield from names if within == "." else (f"{within}/{name}" for name in names)
