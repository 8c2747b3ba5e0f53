"""How chunks are coded: the same bytes that zarr-python's codecs of these names write and read.

Every chunk ends in a CRC-32C of its own, so that `verify` can tell a rotten one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from google_crc32c import value as crc32c
from numpy.typing import NDArray

from wsi_patches.errors import StoreError
from wsi_patches.geometry import Size
from wsi_patches.jpeg_tile import JpegTiles, decode_jpeg_tile

__all__ = ["CODECS", "JPEG_CODEC", "ChunkCodec", "checked", "chunk_codec", "decode_patch", "encode_patch", "sealed"]

CODECS = ("auto", "zstd", "lz4", "none", "jpeg")
JPEG_CODEC = "wsi_patches.jpeg_tile"
"""Name of the passthrough codec in a store's metadata."""
ZSTD_LEVEL = 1
"""Level 1 writes patches 2.5 times as fast as level 3 for 6 % more bytes."""
LZ4_LEVEL = 1
"""Level 5 costs a fourth more time for 3 % fewer bytes."""
SEAL_BYTES = 4
JPEG_START = b"\xff\xd8"
# Their annotations leave out arrays, which they take and fill without a copy.
_zstd_encode: Any = imagecodecs.zstd_encode
_zstd_decode: Any = imagecodecs.zstd_decode
_blosc_encode: Any = imagecodecs.blosc_encode
_blosc_decode: Any = imagecodecs.blosc_decode
DECODE_ERRORS = (RuntimeError, ValueError, MemoryError)
"""What imagecodecs raises of bytes that cannot be decoded."""


def sealed(data: bytes) -> bytes:
    """Return data followed by its CRC-32C, little-endian, as zarr's ``crc32c`` codec writes it."""
    return data + int(crc32c(data)).to_bytes(SEAL_BYTES, "little")


def checked(data: bytes) -> bytes:
    """Return sealed data without its seal.

    Raises
    ------
    StoreError
        The data are not what was written.
    """
    body, seal = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    if len(data) < SEAL_BYTES or crc32c(body) != int.from_bytes(seal, "little"):
        msg = "its checksum does not match: it was changed or cut since it was written"
        raise StoreError(msg)
    return body


@dataclass(frozen=True)
class ChunkCodec:
    """How one array's chunks are coded.

    Parameters
    ----------
    name
        ``zstd``, ``lz4``, ``none`` or ``jpeg``.
    tiles
        For ``jpeg``: what the slide's JPEG tiles have in common.
    is_sealed
        Whether a checksum follows each chunk; stores of other makers may lack it.
    """

    name: str
    tiles: JpegTiles | None = None
    is_sealed: bool = True

    def encode(self, values: NDArray[Any]) -> bytes:
        """Return the chunk that holds the values; with ``jpeg`` pixels that are no tile are kept without loss."""
        if self.name == "none":
            return sealed(values.tobytes())
        if self.name == "lz4":
            return sealed(
                _blosc_encode(
                    values, level=LZ4_LEVEL, compressor="lz4", shuffle=0, typesize=values.itemsize, numthreads=1
                )
            )
        return sealed(bytes(_zstd_encode(values, level=ZSTD_LEVEL)))

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        """Put a chunk's values into a contiguous array of its shape and dtype.

        Raises
        ------
        StoreError
            The chunk is damaged.
        """
        body = checked(data) if self.is_sealed else data
        try:
            if self.tiles is not None:
                decode_patch(body, self.tiles, out)
            else:
                _unpack(self.name, body, out)
        except DECODE_ERRORS as error:
            msg = f"it cannot be decoded ({error})"
            raise StoreError(msg) from error

    def to_metadata(self, itemsize: int = 1) -> list[dict[str, Any]]:
        """Return the codecs as zarr's metadata list them."""
        seal = [{"name": "crc32c"}] if self.is_sealed else []
        if self.tiles is not None:
            return [jpeg_metadata(self.tiles), *seal]
        plain: dict[str, Any] = {"name": "bytes"}
        if itemsize > 1:
            plain["configuration"] = {"endian": "little"}
        return [plain, *_COMPRESSORS[self.name](itemsize), *seal]


_COMPRESSORS: dict[str, Any] = {
    "none": lambda _: [],
    "zstd": lambda _: [{"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}],
    "lz4": lambda itemsize: [
        {
            "name": "blosc",
            "configuration": {
                "typesize": itemsize,
                "cname": "lz4",
                "clevel": LZ4_LEVEL,
                "shuffle": "noshuffle",
                "blocksize": 0,
            },
        }
    ],
}


def chunk_codec(metadata: Sequence[Mapping[str, Any]]) -> ChunkCodec:
    """Return the codec that zarr's metadata describe.

    Raises
    ------
    StoreError
        It is none that this program reads.
    """
    names = [one["name"] for one in metadata]
    is_sealed = names[-1:] == ["crc32c"]
    match names[:-1] if is_sealed else names:
        case ["bytes"]:
            return ChunkCodec("none", is_sealed=is_sealed)
        case ["bytes", "zstd"]:
            return ChunkCodec("zstd", is_sealed=is_sealed)
        case ["bytes", "blosc"]:
            return ChunkCodec("lz4", is_sealed=is_sealed)
        case [codec] if codec == JPEG_CODEC:
            return ChunkCodec("jpeg", jpeg_tiles(metadata[0]["configuration"]), is_sealed)
    msg = f"its chunks are coded by {', '.join(names)}, which this program does not read: open it with zarr-python"
    raise StoreError(msg)


def jpeg_metadata(tiles: JpegTiles) -> dict[str, Any]:
    """Return the passthrough codec as zarr's metadata hold it."""
    tables = base64.b64encode(tiles.tables).decode()
    size = [tiles.size.width, tiles.size.height]
    return {"name": JPEG_CODEC, "configuration": {"tables": tables, "colour": tiles.colour, "size": size}}


def jpeg_tiles(configuration: Mapping[str, Any]) -> JpegTiles:
    """Return what `jpeg_metadata` wrote."""
    tables = base64.b64decode(configuration["tables"], validate=True)
    return JpegTiles(Size(*configuration["size"]), tables, configuration["colour"])


def encode_patch(values: NDArray[np.uint8]) -> bytes:
    """Return pixels as a passthrough chunk that is no JPEG: a zstd frame, so without loss."""
    encoded: bytes = _zstd_encode(np.ascontiguousarray(values), level=ZSTD_LEVEL)
    return encoded


def decode_patch(data: bytes, tiles: JpegTiles, out: NDArray[np.uint8]) -> None:
    """Put a passthrough chunk's pixels into ``out``: a slide's own JPEG tile, or a zstd frame of pixels."""
    if data.startswith(JPEG_START):
        decode_jpeg_tile(data, tiles.tables, tiles.colour, out)
    else:
        _unpack("zstd", data, out)


def _unpack(name: str, body: bytes, out: NDArray[Any]) -> None:
    flat = out.reshape(-1).view(np.uint8)
    if name == "none":
        flat[:] = np.frombuffer(body, np.uint8)
        return
    unpack = _zstd_decode if name == "zstd" else _blosc_decode
    written = unpack(body, out=flat)
    if len(written) != len(flat):
        msg = f"it holds {len(written)} bytes, not {len(flat)}"
        raise ValueError(msg)
