"""Shards and columns written by hand: zarr-python reads them, and we read zarr-python's."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from wsi_patches.errors import StoreError
from wsi_patches.stores.arrays import read_column, write_column
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.shards import ImageReader, ImageWriter

SIDE = 8


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def read_all(folder):
    reader = ImageReader(folder)
    out = np.empty((len(reader), SIDE, SIDE, 3), np.uint8)
    reader.read(range(len(reader)), list(out))
    return out


@given(count=st.integers(1, 20), shard=st.integers(1, 9), codec=st.sampled_from(["zstd", "lz4", "none"]))
def test_zarr_python_reads_what_we_write(tmp_path_factory, count, shard, codec):
    folder, images = tmp_path_factory.mktemp("a") / "images", images_of(count, shard)
    writer = ImageWriter(folder, SIDE, shard, ChunkCodec(codec), durable=False)
    for image in images:
        writer.add(image)
    writer.complete()
    array = zarr.open_array(folder, mode="r")
    assert (array.shape, array.chunks, array.shards) == (
        (count, SIDE, SIDE, 3),
        (1, SIDE, SIDE, 3),
        (shard, SIDE, SIDE, 3),
    )
    assert np.array_equal(array[...], images)
    assert np.array_equal(array[count // 2], images[count // 2])
    assert np.array_equal(read_all(folder), images)


@pytest.mark.parametrize(
    "compressors", [(ZstdCodec(level=3),), (BloscCodec(cname="lz4"), Crc32cCodec()), ()], ids=["zstd", "lz4", "none"]
)
def test_we_read_what_zarr_python_writes(tmp_path, compressors):
    images = images_of(11)
    array = zarr.create_array(
        tmp_path / "images",
        shape=images.shape,
        dtype="uint8",
        chunks=(1, SIDE, SIDE, 3),
        shards=(4, SIDE, SIDE, 3),
        compressors=compressors,
    )
    array[...] = images
    assert np.array_equal(read_all(tmp_path / "images"), images)


@given(
    rows=st.integers(0, 9),
    columns=st.none() | st.integers(0, 3),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "uint32", "int64", "float64"]),
)
def test_columns_come_back_from_both(tmp_path_factory, rows, columns, dtype):
    folder = tmp_path_factory.mktemp("a") / "column"
    shape = (rows,) if columns is None else (rows, columns)
    values = (np.arange(np.prod(shape)) * 7).reshape(shape).astype(dtype)
    write_column(folder, values, dtype)
    for found in (read_column(folder), zarr.open_array(folder, mode="r")[...]):
        assert (found.shape, found.dtype) == (values.shape, values.dtype)
        assert np.array_equal(found, values)


def test_a_column_of_several_chunks_is_refused(tmp_path):
    zarr.create_array(tmp_path / "x", shape=(10,), chunks=(3,), dtype="int32")[...] = 1
    with pytest.raises(StoreError, match="several chunks"):
        read_column(tmp_path / "x")


def test_codecs_of_others_are_named(tmp_path):
    zarr.create_array(tmp_path / "x", shape=(4,), chunks=(4,), dtype="int32", compressors=zarr.codecs.GzipCodec())[
        ...
    ] = 1
    with pytest.raises(StoreError, match="gzip"):
        read_column(tmp_path / "x")


def test_a_shard_is_not_there_before_it_is_complete(tmp_path):
    writer = ImageWriter(tmp_path / "images", SIDE, 3, ChunkCodec("none"), durable=False)
    seen = []
    for image in images_of(4):
        writer.add(image)
        seen.append(sorted(path.name for path in (tmp_path / "images").rglob("*") if path.is_file()))
    assert seen == [["0.partial"], ["0.partial"], ["0"], ["0", "0.partial"]]
    writer.abandon()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["0"]


@pytest.mark.parametrize("where", ["chunk", "index", "end"])
def test_any_changed_byte_is_found(tmp_path, where):
    writer = ImageWriter(tmp_path / "images", SIDE, 5, ChunkCodec("zstd"), durable=False)
    for image in images_of(5):
        writer.add(image)
    writer.complete()
    shard = tmp_path / "images" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[{"chunk": 20, "index": -60, "end": -1}[where]] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="checksum"):
        read_all(tmp_path / "images")
