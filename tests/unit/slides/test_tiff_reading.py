"""Tiles are read once, as they lie, by many threads; a damaged one costs its own place."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile

from tests.painted_tiffs import smooth_noise, write_jpeg_tiff
from wsi_patches.errors import SlideError, UsageError
from wsi_patches.geometry import Box
from wsi_patches.jpeg_tile import decode_jpeg_tile
from wsi_patches.slides import TiffSlide, open_slide
from wsi_patches.slides.segment_cache import SegmentCache
from wsi_patches.slides.shared_file import SharedFile

HEIGHT, WIDTH, SIDE = 300, 420, 64
PIXELS = smooth_noise(HEIGHT, WIDTH)
COLUMNS = -(-WIDTH // SIDE)


@pytest.fixture
def path(tmp_path):
    write_jpeg_tiff(tmp_path / "a.tif", PIXELS, (SIDE, SIDE))
    return tmp_path / "a.tif"


def tile_box(number):
    row, column = divmod(number, COLUMNS)
    return Box(column * SIDE, row * SIDE, SIDE, SIDE)


def pieces(path):
    with tifffile.TiffFile(path) as file:
        return list(zip(file.pages.first.dataoffsets, file.pages.first.databytecounts, strict=True))


def overwrite(path, offset, data):
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


@pytest.mark.parametrize("shared_tables", [False, True])
@pytest.mark.parametrize("stored", ["rgb", "ycbcr", "grey"])
def test_encoded_tiles_are_the_files_own_bytes_and_mean_the_same_pixels(path, stored, shared_tables):
    pixels = PIXELS[..., 0] if stored == "grey" else PIXELS
    write_jpeg_tiff(path, pixels, (SIDE, SIDE), stored, shared_tables=shared_tables)
    boxes = [tile_box(number) for number in (8, 0, 9, 8, 3)]
    content = path.read_bytes()
    with TiffSlide(path) as slide:
        jpeg = slide.jpeg_tiles(0)
        assert (jpeg.size, jpeg.colour, bool(jpeg.tables)) == ((SIDE, SIDE), stored, shared_tables)
        tiles = slide.encoded(boxes, 0)
        for number, box, tile in zip((8, 0, 9, 8, 3), boxes, tiles, strict=True):
            offset, count = pieces(path)[number]
            assert tile == content[offset : offset + count]
            assert np.array_equal(decode_jpeg_tile(tile, jpeg.tables, jpeg.colour), slide.read(box))


def test_no_tile_no_bytes(path, tmp_path):
    write_jpeg_tiff(path, PIXELS, (SIDE, SIDE), left_out=[9])
    others = [Box(1, 0, SIDE, SIDE), Box(0, 0, SIDE, 2 * SIDE), Box(384, 0, SIDE, SIDE), Box(-64, 0, SIDE, SIDE)]
    with TiffSlide(path) as slide:
        assert slide.encoded([*others, tile_box(9)], 0) == [None] * 5
        assert slide.encoded([], 0) == []
        with pytest.raises(UsageError, match="levels 0 to 0"):
            slide.jpeg_tiles(1)
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, tile=(SIDE, SIDE), compression="zlib", photometric="rgb")
    with TiffSlide(tmp_path / "b.tif") as slide:
        assert slide.jpeg_tiles(0) is None
        assert slide.encoded([tile_box(0)], 0) == [None]


@pytest.mark.parametrize("how", ["start", "end", "marker", "size"])
def test_a_damaged_tile_costs_its_own_place_on_any_thread(path, how):
    bad = 9
    offset, count = pieces(path)[bad]
    frame = path.read_bytes().index(b"\xff\xc0", offset)
    at, data = {
        "start": (offset, bytes(40)),
        "end": (offset + count // 2, bytes(count - count // 2)),
        "marker": (offset + count // 2 + 200, b"\xff\x77"),
        "size": (frame + 5, b"\x00\x20"),
    }[how]
    with TiffSlide(path) as slide:
        whole = slide.read(Box(0, 0, WIDTH, HEIGHT))
    overwrite(path, at, data)
    good = [Box(0, 0, SIDE, SIDE), Box(200, 70, 90, 90), tile_box(10), Box(10, 130, 300, 60)]
    broken = [tile_box(bad), Box(130, 70, 20, 20), Box(0, 0, WIDTH, HEIGHT)]

    def outcome(box):
        try:
            return slide.read(box)
        except SlideError as error:
            return str(error)

    with TiffSlide(path) as slide, ThreadPoolExecutor(4) as pool:
        boxes = [*good, *broken] * 4
        for box, found in zip(boxes, pool.map(outcome, boxes), strict=True):
            if box in broken:
                assert path.name in found
                assert str(tuple(box)) in found
            else:
                assert np.array_equal(found, whole[box.y : box.bottom, box.x : box.right])
        with pytest.raises(SlideError, match=r"a\.tif.*\(128, 64, 64, 64\)"):
            slide.encoded([tile_box(8), tile_box(bad)], 0)
        assert len(slide.encoded([tile_box(8), tile_box(10)], 0)) == 2


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "jpeg", "jpeg2000"])
def test_what_is_read_is_the_readers_own(path, compression):
    tifffile.imwrite(path, PIXELS, tile=(SIDE, SIDE), compression=compression, photometric="rgb", metadata=None)
    with TiffSlide(path) as slide:
        for box in (tile_box(0), Box(10, 10, 30, 30)):
            first = slide.read(box)
            kept = first.copy()
            first[:] = 7
            assert np.array_equal(slide.read(box), kept)


def test_overlapping_patches_decode_each_tile_once(path, monkeypatch):
    decoded = []
    load = SharedFile.read
    monkeypatch.setattr(SharedFile, "read", lambda self, *piece: decoded.append(piece) or load(self, *piece))
    boxes = [Box(x, y, SIDE, SIDE) for y in range(5, 230, 48) for x in range(5, 340, 48)]
    with TiffSlide(path) as slide, ThreadPoolExecutor(8) as pool:
        list(pool.map(slide.read, boxes))
    assert len(decoded) == len(set(decoded)) == 5 * 6


def test_the_cache_is_bounded_and_keeps_what_was_used_last():
    cache = SegmentCache(250)
    segments = {number: np.full((10, 10, 1), number, np.uint8) for number in range(4)}
    asked = []

    def decode(number):
        return cache.get((0, number), lambda: asked.append(number) or segments[number])

    for number in (0, 1, 0, 2, 0, 1):
        assert decode(number) is segments[number]
    assert asked == [0, 1, 2, 1]
    assert cache.get((1, 0), lambda: None) is None


def test_two_threads_that_want_one_segment_decode_it_once():
    cache, together, calls = SegmentCache(1000), threading.Barrier(2), []

    def want():
        together.wait(5)
        return cache.get((0, 0), lambda: calls.append(1) or np.zeros((1, 1, 3), np.uint8))

    with ThreadPoolExecutor(2) as pool:
        first, second = (each.result() for each in [pool.submit(want), pool.submit(want)])
    assert first is second
    assert calls == [1]


def test_closing_while_another_reads_is_safe_and_reading_after_it_an_error(path):
    slide = open_slide(path)
    copy = pickle.loads(pickle.dumps(slide))
    failures = []

    def read_on():
        try:
            while True:
                slide.read(Box(10, 10, 200, 200))
        except SlideError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    slide.close()
    for thread in threads:
        thread.join(5)
    assert [" is closed" in failure for failure in failures] == [True] * 3
    assert np.array_equal(copy.read(Box(0, 0, SIDE, SIDE)), open_slide(path).read(Box(0, 0, SIDE, SIDE)))
    copy.close()


def test_a_jpeg2000_tile_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(SIDE, SIDE), compression="jpeg2000", photometric="rgb", metadata=None)
    offset, count = pieces(path)[0]
    overwrite(path, offset + count - 2, bytes(2))
    with TiffSlide(path) as slide:
        with pytest.raises(SlideError, match="no end"):
            slide.read(tile_box(0))
        assert np.array_equal(slide.read(tile_box(1)), PIXELS[:SIDE, SIDE : 2 * SIDE])
