"""Zarr v3 arrays as files: metadata, and columns that are one chunk.

zarr-python reads and writes the same files; it takes milliseconds for each small array, and a store has a dozen a part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsi_patches.errors import StoreError
from wsi_patches.locations import is_remote, patiently
from wsi_patches.locations.trees import AT_ONCE
from wsi_patches.stores.codecs import ChunkCodec, chunk_codec
from wsi_patches.stores.files import write_json, write_whole

__all__ = [
    "METADATA",
    "METADATA_ERRORS",
    "ArrayMetadata",
    "chunk_path",
    "group_metadata",
    "read_column",
    "read_metadata",
    "write_column",
    "write_columns",
]

METADATA = "zarr.json"
METADATA_ERRORS = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What damaged or foreign metadata end in."""
SHARDING = "sharding_indexed"
INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def group_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a group's metadata file holds."""
    return {"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"}


@dataclass(frozen=True)
class ArrayMetadata:
    """Shape, chunks and codec of an array; only its first axis may be cut into several chunks or shards."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: int
    """Rows in a chunk."""
    codec: ChunkCodec
    shard: int | None = None
    """Rows in a shard, or None without shards."""
    names: tuple[str, ...] = ()
    """Of the axes."""

    def to_dict(self) -> dict[str, Any]:
        """Return what the metadata file holds."""
        inner = self.codec.to_metadata(self.dtype.itemsize)
        rest = [max(1, side) for side in self.shape[1:]]
        codecs, outer = inner, self.chunk
        if self.shard is not None:
            sharding = {"chunk_shape": [self.chunk, *rest], "codecs": inner, "index_codecs": INDEX_CODECS}
            codecs, outer = [{"name": SHARDING, "configuration": {**sharding, "index_location": "end"}}], self.shard
        named = {"dimension_names": list(self.names)} if self.names else {}
        return {
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [outer, *rest]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": codecs,
            "attributes": {},
            **named,
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ArrayMetadata:
        """Read what `to_dict` or zarr-python wrote.

        Raises
        ------
        StoreError
            It is coded or cut in a way that this program does not read.
        """
        outer, codecs, shard = values["chunk_grid"]["configuration"]["chunk_shape"], values["codecs"], None
        shape, inner = tuple(values["shape"]), outer
        if codecs[0]["name"] == SHARDING:
            configuration, shard = codecs[0]["configuration"], int(outer[0])
            inner, codecs = configuration["chunk_shape"], configuration["codecs"]
            _check_sharding(configuration)
        if values.get("node_type") != "array" or any(
            cut[axis] < shape[axis] for cut in (outer, inner) for axis in range(1, len(shape))
        ):
            msg = "it is cut along other axes than its first"
            raise StoreError(msg)
        dtype = np.dtype(values["data_type"]).newbyteorder("<")
        return cls(shape, dtype, int(inner[0]), chunk_codec(codecs), shard, tuple(values.get("dimension_names") or ()))


def _check_sharding(configuration: Mapping[str, Any]) -> None:
    if configuration["index_codecs"] != INDEX_CODECS or configuration.get("index_location", "end") != "end":
        msg = "its shards' index is kept in a way that this program does not read: open it with zarr-python"
        raise StoreError(msg)


def read_metadata(folder: Path, content: bytes | None = None) -> ArrayMetadata:
    """Return the metadata of the array in a folder, whose metadata file may have been read already.

    Raises
    ------
    StoreError
        There is no array, or one that this program does not read.
    """
    try:
        content = patiently((folder / METADATA).read_bytes) if content is None else content
        return ArrayMetadata.from_dict(json.loads(content))
    except StoreError as error:
        msg = f"{folder.name} cannot be read: {error}"
        raise StoreError(msg) from error
    except METADATA_ERRORS as error:
        msg = f"{folder.name} cannot be read: its metadata are absent or damaged ({error})"
        raise StoreError(msg) from error


def chunk_path(folder: Path, number: int, axes: int) -> Path:
    """Return the file of chunk or shard ``number`` along the first axis."""
    return folder.joinpath("c", str(number), *["0"] * (axes - 1))


def write_column(folder: Path, values: NDArray[Any], dtype: DTypeLike, *, durable: bool = True) -> None:
    """Write an array of one chunk, compressed by zstd."""
    kept = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    metadata = ArrayMetadata(kept.shape, kept.dtype, max(1, len(kept)), ChunkCodec("zstd"))
    folder.mkdir()
    if kept.size:
        path = chunk_path(folder, 0, kept.ndim)
        path.parent.mkdir(parents=True)
        write_whole(path, metadata.codec.encode(kept), durable=durable)
    write_json(folder / METADATA, metadata.to_dict(), durable=durable)


def write_columns(folder: Path, columns: Mapping[str, NDArray[Any]], *, durable: bool = True) -> None:
    """Write some columns below a folder, in their own types; into an object store some at a time."""
    if not is_remote(folder):
        for name, values in columns.items():
            write_column(folder / name, values, values.dtype, durable=durable)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(write_column, folder / name, one, one.dtype) for name, one in columns.items()]:
            done.result()


def read_column(folder: Path) -> NDArray[Any]:
    """Return an array of one chunk.

    Raises
    ------
    StoreError
        It is absent or damaged.
    """
    metadata = read_metadata(folder)
    out = np.empty(metadata.shape, metadata.dtype)
    if not out.size:
        return out
    if metadata.shard is not None or metadata.chunk < len(out):
        msg = f"{folder.name} is cut into several chunks, and a column has one"
        raise StoreError(msg)
    try:
        metadata.codec.decode(patiently(chunk_path(folder, 0, out.ndim).read_bytes), out)
    except (OSError, StoreError) as error:
        msg = f"{folder.name} cannot be read: {error}"
        raise StoreError(msg) from error
    return out
