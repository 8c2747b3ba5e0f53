"""JPEG tiles: what cannot be a whole one is found out by its markers, and pixels are those of libjpeg."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.painted_tiffs import jpeg, smooth_noise, without_tables
from wsi_patches.geometry import Size
from wsi_patches.jpeg_tile import check_jpeg, check_jpeg_part, check_jpeg_tile, decode_jpeg_tile

HEIGHT, WIDTH = 48, 64
PIXELS = smooth_noise(HEIGHT, WIDTH)
TILE = jpeg(PIXELS)
SIZE = Size(WIDTH, HEIGHT)


def progressive(pixels):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", progressive=True, quality=80)
    return stream.getvalue()


@pytest.mark.parametrize("stored", ["rgb", "ycbcr", "grey"])
def test_pixels_are_those_of_libjpeg_with_tables_inside_and_outside(stored):
    tile = jpeg(PIXELS[..., 0] if stored == "grey" else PIXELS, stored)
    space = {"rgb": "RGB", "ycbcr": "YCBCR", "grey": "GRAYSCALE"}[stored]
    expected = imagecodecs.jpeg8_decode(tile, colorspace=space, outcolorspace="RGB")
    tables, rest = without_tables(tile)
    assert np.array_equal(decode_jpeg_tile(tile, b"", stored), expected)
    assert np.array_equal(decode_jpeg_tile(rest, tables, stored), expected)
    assert decode_jpeg_tile(tile, b"", stored).shape == (HEIGHT, WIDTH, 3)


def test_a_tile_can_be_decoded_into_a_row_of_a_batch():
    batch = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    assert decode_jpeg_tile(TILE, b"", "ycbcr", batch[1]).base is batch
    assert np.array_equal(batch[1], decode_jpeg_tile(TILE, b"", "ycbcr"))
    assert not batch[0].any()


@pytest.mark.parametrize("tile", [TILE, TILE + bytes(7), without_tables(TILE)[1], progressive(PIXELS)])
def test_whole_tiles_pass(tile):
    check_jpeg_tile(tile, SIZE, 3)
    check_jpeg(tile)


@given(st.integers(0, len(TILE) - 2))
def test_a_tile_that_is_cut_anywhere_is_refused(length):
    for tile in (TILE[:length], TILE[:length] + bytes(len(TILE) - length)):
        with pytest.raises(ValueError, match="JPEG"):
            check_jpeg_tile(tile, SIZE, 3)


@given(st.integers(0, len(TILE) - 4), st.sampled_from([0x01, 0x3C, 0xC0, 0xD8, 0xFE]))
def test_a_marker_where_none_can_be_is_refused_or_ends_in_nothing(at, code):
    begin = TILE.find(b"\xff\xda") + 14
    at = begin + at % (len(TILE) - begin - 4)
    broken = TILE[:at] + bytes([0xFF, code]) + TILE[at + 2 :]
    if code == 0xFE:  # a comment, whose length then reaches somewhere: the end may still be found behind it
        return
    with pytest.raises(ValueError, match="marker"):
        check_jpeg_tile(broken, SIZE, 3)


def test_a_marker_within_a_header_is_not_taken_for_the_first_scan():
    comment = b"a thumbnail \xff\xda within"
    tile = TILE[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + TILE[2:]
    check_jpeg_tile(tile, SIZE, 3)
    assert np.array_equal(decode_jpeg_tile(tile, b"", "ycbcr"), decode_jpeg_tile(TILE, b"", "ycbcr"))


def test_a_hole_of_zeros_is_refused_where_no_picture_can_hold_it():
    hole = bytearray(TILE)
    hole[-200:-100] = bytes(100)
    with pytest.raises(ValueError, match="zeros"):
        check_jpeg_tile(bytes(hole), SIZE, 3)
    tables, rest = without_tables(bytes(hole))
    with pytest.raises(ValueError, match="zeros"):
        check_jpeg_tile(rest, SIZE, 3, tables)


def test_an_even_tile_whose_own_tables_make_it_all_zeros_passes():
    white = np.full((HEIGHT * 8, WIDTH * 8, 3), 255, np.uint8)
    for optimize in (False, True):
        tile = imagecodecs.jpeg8_encode(white, level=80, optimize=optimize)
        assert not optimize or bytes(64) in tile
        check_jpeg_tile(tile, Size(WIDTH * 8, HEIGHT * 8), 3)
        assert np.array_equal(decode_jpeg_tile(tile, b"", "ycbcr"), white)


@pytest.mark.parametrize(("size", "samples"), [(Size(WIDTH, WIDTH), 3), (Size(HEIGHT, WIDTH), 3), (SIZE, 1)])
def test_a_tile_of_another_size_or_kind_is_refused(size, samples):
    with pytest.raises(ValueError, match="expected"):
        check_jpeg_tile(TILE, size, samples)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xda" + bytes(30), bytes(100), b"\xff" * 100])
def test_what_is_no_jpeg_is_refused(data):
    with pytest.raises(ValueError, match="JPEG data"):
        check_jpeg(data)


def test_runs_between_restarts_end_in_a_restart_or_the_end():
    for ending in (b"\xff\xd0", b"\xff\xd7", b"\xff\xd9"):
        check_jpeg_part(b"\x01\xff\x00\x02" + ending)
    for broken in (b"\x01\x02", b"\x01\xff\xc0\x02\xff\xd0", b"", b"\x01\xff\xd0\x00"):
        with pytest.raises(ValueError, match="JPEG data between"):
            check_jpeg_part(broken)
