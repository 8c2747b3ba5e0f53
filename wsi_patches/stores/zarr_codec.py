"""The passthrough codec for zarr-python, which finds it by the package's entry point."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer

from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.stores.codecs import JPEG_CODEC, decode_patch, encode_patch, jpeg_metadata, jpeg_tiles

__all__ = ["JpegTileCodec"]


@dataclass(frozen=True)
class JpegTileCodec(ArrayBytesCodec):
    """Chunks that are a slide's own JPEG tiles, or zstd frames of pixels where a patch is no tile.

    What zarr itself writes with it are pixels without loss: nothing is ever compressed as JPEG a second time.
    """

    tiles: JpegTiles
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the codec's metadata."""
        return cls(jpeg_tiles(data["configuration"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec's metadata."""
        return {**jpeg_metadata(self.tiles), "name": JPEG_CODEC}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:  # noqa: ARG002 - the same for every array
        """Return the same codec."""
        return self

    def compute_encoded_size(self, input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Raise, since the size depends on the pixels."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        out = np.empty(chunk_spec.shape, np.uint8)
        # A chunk is one patch with an axis of length 1 before it.
        patch = out.reshape(chunk_spec.shape[-3:])
        await asyncio.to_thread(decode_patch, chunk_data.to_bytes(), self.tiles, patch)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(out)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = await asyncio.to_thread(encode_patch, chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(encoded)
