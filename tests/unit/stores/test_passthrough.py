"""The slide's own JPEG tiles as chunks: bit-exact, readable by zarr, converted without loss."""

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr

from tests.painted_tiffs import write_jpeg_tiff
from wsi_patches.errors import StoreError, UsageError
from wsi_patches.geometry import Size
from wsi_patches.jpeg_tile import JpegTiles
from wsi_patches.stores import open_store, verify_store
from wsi_patches.stores.codecs import ChunkCodec
from wsi_patches.stores.shards import ImageReader, ImageWriter
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.convert import ConvertSettings, convert
from wsi_patches.workflows.extract import ExtractSettings, extract

TILE = 64


@pytest.fixture(scope="module")
def pixels():
    return paint_smear(Size(330, 264), SmearSettings.random(2, cell_diameter_px=40.0))[0]


def write_jpeg(path, pixels, **options):
    tifffile.imwrite(path, pixels, tile=(TILE, TILE), compression="jpeg", photometric="rgb", metadata=None, **options)
    return path


def source_tiles(path):
    """Return each tile's own bytes in the file, by its number."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        content = path.read_bytes()
        spans = zip(page.dataoffsets, page.databytecounts, strict=True)
        return page.jpegtables, [content[offset : offset + count] for offset, count in spans]


def stored_chunks(part):
    """Return the chunks of a part's only shard as they lie on disk, without their checksums."""
    content = next(path for path in (part / "images" / "c").rglob("0") if path.is_file()).read_bytes()
    array = zarr.open_array(part / "images", mode="r")
    index = np.frombuffer(content[-16 * array.shards[0] - 4 : -4], "<u8").reshape(-1, 2)[: array.shape[0]].astype(int)
    return [content[offset : offset + length - 4] for offset, length in index]


@pytest.mark.parametrize("edge", ["drop", "shift", "pad"])
def test_whole_tiles_keep_their_bytes_and_the_rest_its_pixels(tmp_path, pixels, edge):
    path = write_jpeg(tmp_path / "a.tif", pixels)
    asked = {"patch_size": TILE, "edge": edge}
    kept = extract(ExtractSettings((path,), tmp_path / "kept.zarr", **asked))
    plain = extract(ExtractSettings((path,), tmp_path / "plain.zarr", codec="zstd", **asked))
    one, other = open_store(kept.out), open_store(plain.out)
    assert np.array_equal(one.grid_index, other.grid_index)
    assert np.array_equal(one.read(range(len(one))), other.read(range(len(other))))
    assert verify_store(kept.out) == []
    (part,) = (kept.out / "parts").glob("*/images")
    _, tiles = source_tiles(path)
    chunks, across = stored_chunks(part.parent), -(-pixels.shape[1] // TILE)
    whole = 0
    for chunk, (x, y) in zip(chunks, one.xy.tolist(), strict=True):
        if x % TILE == y % TILE == 0 and x + TILE <= pixels.shape[1] and y + TILE <= pixels.shape[0]:
            assert chunk == tiles[y // TILE * across + x // TILE]
            whole += 1
        else:
            assert not chunk.startswith(b"\xff\xd8")
    assert whole == (pixels.shape[0] // TILE) * (pixels.shape[1] // TILE)


@pytest.mark.parametrize(
    "options",
    [{}, {"compressionargs": {"outcolorspace": "rgb"}}, {"subsampling": (1, 1)}, {"subsampling": (2, 1)}],
    ids=["4:2:0", "rgb", "4:4:4", "4:2:2"],
)
def test_plain_zarr_reads_the_pixels_of_the_slide(tmp_path, pixels, options):
    path = write_jpeg(tmp_path / "a.tif", pixels, **options)
    result = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=TILE, edge="drop", codec="jpeg"))
    slide = tifffile.imread(path)
    (part,) = [group for _, group in zarr.open_group(result.out, mode="r")["parts"].groups()]
    xy = part["xy"][...]
    for images in (part["images"][...], np.stack([part["images"][i] for i in range(len(xy))])):
        assert all(
            np.array_equal(image, slide[y : y + TILE, x : x + TILE]) for image, (x, y) in zip(images, xy, strict=True)
        )


def test_convert_makes_a_store_that_needs_nothing_of_ours(tmp_path, pixels):
    path = write_jpeg(tmp_path / "a.tif", pixels)
    kept = extract(ExtractSettings((path,), tmp_path / "kept.zarr", patch_size=TILE)).out
    for codec in ("zstd", "lz4", "none"):
        out = tmp_path / f"{codec}.zarr"
        assert convert(ConvertSettings(kept, out, codec)) == len(open_store(kept))
        assert "wsi_patches.jpeg" not in "".join(file.read_text() for file in out.rglob("zarr.json"))
        one, other = open_store(kept), open_store(out)
        assert one.slides == other.slides
        assert np.array_equal(one.read(range(len(one))), other.read(range(len(other))))
        assert verify_store(out) == []


def test_convert_goes_on_where_it_was_killed_and_refuses_what_is_there(tmp_path, pixels):
    paths = [write_jpeg(tmp_path / f"{name}.tif", pixels) for name in "ab"]
    store = extract(ExtractSettings(tuple(paths), tmp_path / "a.zarr", patch_size=TILE, level=0)).out
    out = tmp_path / "b.zarr"
    convert(ConvertSettings(store, out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--resume"):
        convert(ConvertSettings(store, out))
    with pytest.raises(UsageError, match="in place"):
        convert(ConvertSettings(store, store, overwrite=True))
    part = next((out / "parts").glob("*/zarr.json"))
    part.unlink()
    assert convert(ConvertSettings(store, out, resume=True)) == len(open_store(store))
    assert verify_store(out) == []
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    kept = {path for path in before if part.parent not in path.parents and path.parent not in (out, out / "parts")}
    assert all(before[path] == after[path] for path in kept)


def test_another_store_is_never_taken_for_a_conversion_to_go_on_with(tmp_path, pixels):
    stores = []
    for name, side in (("a", TILE), ("b", TILE), ("c", TILE // 2)):
        path = write_jpeg(tmp_path / f"{name}.tif", pixels)
        stores.append(extract(ExtractSettings((path,), tmp_path / f"{name}.zarr", patch_size=side)).out)
    before = [{path: path.read_bytes() for path in store.rglob("*") if path.is_file()} for store in stores]
    for other in stores[1:]:
        with pytest.raises(UsageError, match="no conversion of"):
            convert(ConvertSettings(stores[0], other, resume=True))
    assert before == [{path: path.read_bytes() for path in store.rglob("*") if path.is_file()} for store in stores]


def test_a_damaged_patch_stops_the_conversion_with_its_name(tmp_path, pixels):
    store = extract(
        ExtractSettings((write_jpeg(tmp_path / "a.tif", pixels),), tmp_path / "a.zarr", patch_size=TILE)
    ).out
    shard = next(path for path in (store / "parts").glob("*/images/c/**/0") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[99] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match="patch 0"):
        convert(ConvertSettings(store, tmp_path / "b.zarr"))


def test_jpeg_is_refused_where_patches_are_no_tiles(tmp_path, pixels):
    path = write_jpeg(tmp_path / "a.tif", pixels)
    for asked in ({"patch_size": 32}, {"patch_size": TILE, "overlap": 0.25}):
        (outcome,) = extract(ExtractSettings((path,), tmp_path / "a.zarr", codec="jpeg", **asked)).outcomes
        assert outcome.status == "failed"
        assert "64 x 64 px (jpeg)" in outcome.error
    assert [file.name for file in (tmp_path / "a.zarr").iterdir()] == ["run.jsonl"]  # which says why


def test_auto_is_zstd_where_patches_are_no_tiles(tmp_path, pixels):
    path = write_jpeg(tmp_path / "a.tif", pixels)
    store = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=32)).out
    assert open_store(store).parts[0].images.metadata.codec.name == "zstd"


def test_slides_whose_tiles_differ_in_tables_or_colour_do_not_share_a_part(tmp_path, pixels):
    for name, stored in (("a", "ycbcr"), ("b", "rgb"), ("c", "ycbcr")):
        write_jpeg_tiff(tmp_path / f"{name}.tif", pixels, (TILE, TILE), stored, shared_tables=True)
    tifffile.imwrite(tmp_path / "d.tif", pixels, tile=(TILE, TILE), compression="zlib", photometric="rgb")
    store = open_store(extract(ExtractSettings((tmp_path,), tmp_path / "o.zarr", patch_size=TILE)).out)
    codecs = {tuple(record.id for record in part.slides): part.images.metadata.codec.name for part in store.parts}
    assert codecs == {("a", "c"): "jpeg", ("b",): "jpeg", ("d",): "zstd"}
    for name in "abcd":
        slide = tifffile.imread(tmp_path / f"{name}.tif")
        row = [record.id for record in store.slides].index(name)
        for position in np.flatnonzero(store.slide_rows == row):
            x, y = store.xy[position]
            assert np.array_equal(store.read([position])[0], slide[y : y + TILE, x : x + TILE])


def test_a_tile_that_is_no_jpeg_any_more_costs_one_patch(tmp_path, pixels):
    path = write_jpeg(tmp_path / "a.tif", pixels)
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages.first.dataoffsets[7], file.pages.first.databytecounts[7]
    content = bytearray(path.read_bytes())
    content[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(content)
    (outcome,) = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=TILE, edge="drop")).outcomes
    assert (outcome.status, outcome.unreadable) == ("partial", 1)
    store = open_store(tmp_path / "a.zarr")
    (bad,) = store.slides[0].unreadable
    assert np.all(store.read(np.flatnonzero(store.grid_index == bad)) == 255)
    assert verify_store(tmp_path / "a.zarr") == []


def test_grey_tiles_are_read_as_grey(tmp_path, pixels):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels[..., 1], tile=(TILE, TILE), compression="jpeg", photometric="minisblack")
    store = open_store(extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=TILE, edge="drop")).out)
    grey = tifffile.imread(path)
    assert store.parts[0].images.metadata.codec.name == "jpeg"
    for image, (x, y) in zip(store.read(range(len(store))), store.xy.tolist(), strict=True):
        assert np.array_equal(image, np.repeat(grey[y : y + TILE, x : x + TILE, None], 3, axis=2))


def test_what_zarr_writes_with_the_codec_has_no_loss(tmp_path, rng):
    tile = imagecodecs.jpeg8_encode(np.zeros((8, 8, 3), np.uint8))
    writer = ImageWriter(tmp_path / "a", 8, 4, ChunkCodec("jpeg", JpegTiles(Size(8, 8), b"", "ycbcr")), durable=False)
    writer.add(tile)
    writer.complete()
    array = zarr.open_array(tmp_path / "a", mode="r+")
    noise = rng.integers(0, 256, (8, 8, 3), np.uint8)
    array[0] = noise
    assert np.array_equal(array[0], noise)
    out = np.empty((8, 8, 3), np.uint8)
    ImageReader(tmp_path / "a").read([0], [out])
    assert np.array_equal(out, noise)
