"""Whatever samples a file holds come out as RGB; headers that lie, and sparse files."""

import logging
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide
from wsi_patches.slides.pixels import full_range, to_8bit

HEIGHT, WIDTH = 70, 90


def read_all(path, reader=None):
    with open_slide(path, reader=reader) as slide:
        return slide.read(Box(0, 0, *slide.info.size))


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 9}])
def test_samples_stored_plane_by_plane(path, rgb, layout):
    tifffile.imwrite(path, rgb.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", **layout)
    assert np.array_equal(read_all(path, "tifffile"), rgb)


def test_white_is_zero(path, rgb):
    tifffile.imwrite(path, rgb[..., 0], photometric="miniswhite")
    assert np.array_equal(read_all(path), np.repeat(255 - rgb[..., :1], 3, axis=2))


def test_palette(tmp_path, path, rgb, rng):
    colours = rng.integers(0, 256, (256, 3), np.uint8)
    tifffile.imwrite(path, rgb[..., 0], photometric="palette", colormap=colours.T.astype(np.uint16) * 257)
    assert np.array_equal(read_all(path), colours[rgb[..., 0]])
    indexed = Image.fromarray(rgb[..., 0])
    indexed.putpalette(colours.tobytes())
    indexed.save(tmp_path / "a.png")
    assert np.array_equal(read_all(tmp_path / "a.png"), colours[rgb[..., 0]])


def test_inks(tmp_path, path):
    inks = np.full((HEIGHT, WIDTH, 4), (0, 255, 255, 0), np.uint8)
    tifffile.imwrite(path, inks, photometric="separated")
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg")
    for name in ("a.tif", "a.jpg"):
        assert np.abs(read_all(tmp_path / name).astype(int) - (255, 0, 0)).max() <= 2, name


@pytest.mark.parametrize("reader", ["tifffile", "openslide"])
def test_premultiplied_alpha_lies_over_white(path, reader):
    half_red = np.full((HEIGHT, WIDTH, 4), (128, 0, 0, 128), np.uint8)
    tifffile.imwrite(path, half_red, tile=(32, 32), photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    assert np.abs(read_all(path, reader).astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize("reader", ["tifffile", "openslide"])
def test_tiles_that_the_file_leaves_out_are_background(path, rgb, reader):
    options = {"tile": (32, 32), "photometric": "rgb", "compression": "zlib", "metadata": None}
    tiles = [zlib.compress(np.ascontiguousarray(rgb[:32, :32]).tobytes()), *[b""] * 8]
    tifffile.imwrite(path, iter(tiles), shape=rgb.shape, dtype=np.uint8, **options)
    expected = np.full_like(rgb, 255)
    expected[:32, :32] = rgb[:32, :32]
    assert np.array_equal(read_all(path, reader), expected)


def test_a_page_of_another_shape_is_no_level(path, rgb):
    with tifffile.TiffWriter(path) as file:
        file.write(np.tile(rgb, (4, 4, 1)), tile=(64, 64), photometric="rgb", metadata=None)
        file.write(rgb[:60, :60], tile=(32, 32), photometric="rgb", subfiletype=1, metadata=None)
    with open_slide(path, reader="tifffile") as slide:
        assert len(slide.info.levels) == 1


def png_that_says(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "message"), [(12_000, "cannot be"), (100_000, "limit"), (3, "truncated")])
def test_a_picture_that_claims_more_than_it_holds(tmp_path, side, message):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_says(side, side))
    with pytest.raises(SlideError, match=message):
        read_all(path)


def test_a_large_photograph_needs_no_permission(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (16_000, 12_000)).save(path)  # above the size at which Pillow warns and refuses
    with open_slide(path) as slide:
        assert slide.info.size == (16_000, 12_000)


@pytest.mark.parametrize("reader", [None, "openslide", "tifffile"])
@pytest.mark.parametrize("tile_rows", [0, 1 << 30])
def test_tiles_of_absurd_size_are_refused_before_memory_is_asked_for(path, rgb, reader, tile_rows):
    tifffile.imwrite(path, rgb, tile=(32, 32), photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags[323]  # TileLength, an unsigned short; made a long
    content = bytearray(path.read_bytes())
    content[tag.offset + 2 : tag.offset + 12] = struct.pack("<HII", 4, 1, tile_rows)
    path.write_bytes(content)
    with pytest.raises(SlideError):
        read_all(path, reader)


def test_a_jpeg_tile_without_its_end_is_refused(path, rgb):
    tifffile.imwrite(path, rgb, tile=(64, 64), photometric="rgb", compression="jpeg", metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        begin, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    content[begin + count // 2 : begin + count] = bytes(count - count // 2)
    path.write_bytes(content)
    with pytest.raises(SlideError, match="no end"):
        read_all(path, "tifffile")


@pytest.mark.parametrize(("y_factor", "known"), [(1.0, True), (1.03, True), (1.2, False)])
def test_pixels_that_are_not_square_have_no_resolution(path, rgb, y_factor, known):
    per_cm = (20_000, round(20_000 * y_factor))
    tifffile.imwrite(path, rgb, tile=(32, 32), photometric="rgb", resolution=per_cm, resolutionunit="CENTIMETER")
    for reader in ("openslide", "tifffile"):
        with open_slide(path, reader=reader) as slide:
            assert (slide.info.mpp is not None) == known


@pytest.mark.parametrize(("unit", "mpp"), [("CENTIMETER", 0.5), ("NONE", None)])
def test_a_resolution_without_a_unit_says_nothing(path, rgb, unit, mpp):
    tifffile.imwrite(path, rgb, photometric="rgb", resolution=(20_000, 20_000), resolutionunit=unit)
    with open_slide(path) as slide:
        assert slide.info.mpp == (None if mpp is None else pytest.approx(mpp))


@pytest.mark.parametrize("reader", ["openslide", "tifffile"])
def test_aperio_says_resolution_and_power_and_a_stated_mpp_wins(tmp_path, rgb, reader):
    path = tmp_path / "a.svs"
    words = "Aperio Image Library v1\n90x70 |AppMag = 40|MPP = 0.25"
    tifffile.imwrite(path, rgb, tile=(32, 32), photometric="rgb", description=words, metadata=None)
    with open_slide(path, reader=reader) as slide:
        assert (slide.info.mpp, slide.info.objective_power, slide.info.vendor) == (0.25, 40.0, "aperio")
    with open_slide(path, reader=reader, mpp=0.4) as slide:
        assert slide.info.mpp == 0.4


def test_what_tifffile_logs_stays_off_the_terminal_while_we_read(path, rgb, caplog, capfd):
    tifffile.imwrite(path, rgb, photometric="rgb", metadata=None)
    path.write_bytes(path.read_bytes()[:-20_000] + bytes(10))
    with caplog.at_level(logging.DEBUG), pytest.raises(SlideError):
        read_all(path)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.WARNING):
        tifffile.logger().warning("from somebody else")
    assert caplog.records


def shown_as(samples, highest):
    return np.clip(np.floor(samples.astype(float) * 255 / highest + 0.5), 0, 255)


@pytest.fixture
def deep(rng):
    return rng.integers(0, 1 << 16, (HEIGHT, WIDTH, 3), np.uint16)


TIFF_LAYOUTS = {
    "strips": {},
    "tiles": {"tile": (32, 32)},
    "deflate with predictor": {"tile": (32, 32), "compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "planes": {"planarconfig": "separate", "tile": (32, 32)},
    "big endian": {"byteorder": ">"},
    "jpeg 2000": {"tile": (32, 32), "compression": "jpeg2000"},
}


@pytest.mark.parametrize("name", TIFF_LAYOUTS)
def test_16_bit_samples_of_a_tiff_are_scaled_and_this_is_noted(path, deep, name):
    pixels = deep.transpose(2, 0, 1) if name == "planes" else deep
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, **TIFF_LAYOUTS[name])
    assert np.array_equal(read_all(path), shown_as(deep, 65535))
    with open_slide(path) as slide:
        assert slide.info.reader == "tifffile"
        assert slide.info.notes[0].startswith("16-bit samples are shown as 8-bit: 0 to 65535 became 0 to 255")
    with pytest.raises(SlideError, match="OpenSlide cuts"):
        open_slide(path, reader="openslide")


def test_a_highest_value_that_the_file_states_becomes_white(path, deep):
    tags = [(281, "H", 3, (4095, 4095, 4095), True)]
    tifffile.imwrite(path, deep % 5000, photometric="rgb", metadata=None, extratags=tags)
    assert np.array_equal(read_all(path), shown_as(deep % 5000, 4095))
    with open_slide(path) as slide:
        assert "0 to 4095 became 0 to 255 (MaxSampleValue)" in slide.info.notes[0]


def test_white_is_zero_in_16_bits_too(path, deep):
    tifffile.imwrite(path, deep[..., 0], photometric="miniswhite")
    assert np.array_equal(read_all(path)[..., 1], 255 - shown_as(deep[..., 0], 65535))


def test_16_bit_transparency_lies_over_white(path, deep):
    alpha = np.full((HEIGHT, WIDTH, 1), 32896, np.uint16)  # 128 of 255
    tifffile.imwrite(path, np.dstack([deep, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    expected = shown_as(deep, 65535) * 128 / 255 + 127
    assert np.abs(read_all(path) - expected).max() <= 1.01


def test_a_sample_that_is_not_said_to_be_transparency_is_left_out_with_a_note(path, rgb):
    four = np.dstack([rgb, rgb[..., :1]])
    tifffile.imwrite(path, four, photometric="rgb", extrasamples=["unspecified"], metadata=None)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(Box(0, 0, WIDTH, HEIGHT)), rgb)
        assert "is not shown" in slide.info.notes[0]


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_1_bit(path, rgb, photometric):
    bits = rgb[..., 0] > 128
    tifffile.imwrite(path, bits, photometric=photometric)
    white = bits if photometric == "minisblack" else ~bits
    assert np.array_equal(read_all(path)[..., 0], white * 255)


@pytest.mark.parametrize("bits", [2, 4, 10, 12])
def test_other_depths_have_their_own_white(path, rgb, bits):
    highest = (1 << bits) - 1
    samples = (rgb[..., 0].astype(np.uint16) * 257) % (highest + 1)
    packed = samples.astype(np.uint8 if bits <= 8 else np.uint16)
    tifffile.imwrite(path, packed, photometric="minisblack", bitspersample=bits)
    assert np.array_equal(read_all(path)[..., 0], shown_as(samples, highest))


@pytest.mark.parametrize("channels", [0, 2, 3, 4])
def test_16_bit_png(tmp_path, deep, channels):
    path = tmp_path / "a.png"
    alpha = np.full((HEIGHT, WIDTH, 1), 32896, np.uint16)
    grey = deep[..., :1]
    stored = {0: grey[..., 0].copy(), 2: np.dstack([grey, alpha]), 3: deep, 4: np.dstack([deep, alpha])}[channels]
    path.write_bytes(imagecodecs.png_encode(stored))
    expected = np.broadcast_to(shown_as(grey if channels in (0, 2) else deep, 65535), (HEIGHT, WIDTH, 3))
    if channels in (2, 4):
        expected = expected * 128 / 255 + 127
    assert np.abs(read_all(path) - expected).max() <= (1.01 if channels in (2, 4) else 0)
    with open_slide(path) as slide:
        assert "0 to 65535 became 0 to 255" in slide.info.notes[0]


def test_a_16_bit_png_that_is_cut_off_is_refused(tmp_path, deep):
    content = imagecodecs.png_encode(deep)
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(SlideError):
        read_all(tmp_path / "a.png")


def test_inks_that_adobe_writes_upside_down(tmp_path):
    inks = np.full((HEIGHT, WIDTH, 4), (0, 255, 255, 0), np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(inks, "CMYK").save(path, quality=95)
    stored = imagecodecs.jpeg8_decode(path.read_bytes(), colorspace="CMYK", outcolorspace="CMYK")
    assert np.abs(stored.astype(int) - (255 - inks)).max() <= 2
    assert np.abs(read_all(path).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".png", ".jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_photographs(tmp_path, suffix, mode):
    smooth = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
    pixels = smooth if mode == "L" else np.dstack([smooth, 255 - smooth, smooth // 2])
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 98}}.get(suffix, {})
    Image.fromarray(pixels, mode).save(tmp_path / f"a{suffix}", **options)
    expected = np.broadcast_to(pixels[..., None] if mode == "L" else pixels, (HEIGHT, WIDTH, 3)).astype(int)
    assert np.abs(read_all(tmp_path / f"a{suffix}") - expected).max() <= (8 if suffix == ".jpg" else 0)
    with open_slide(tmp_path / f"a{suffix}") as slide:
        assert (slide.info.reader, slide.info.notes) == ("image", ())


@given(st.integers(1, 16).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, (1 << bits) - 1))))
def test_samples_keep_their_order_and_reach_both_ends(bits_and_value):
    bits, value = bits_and_value
    whole = full_range(bits)
    ends = np.array([0, value, (1 << bits) - 1], np.uint16)
    low, middle, high = to_8bit(ends, whole).astype(float)
    assert (low, high) == (0, 255)
    assert abs(middle - value * 255 / ((1 << bits) - 1)) <= 0.5


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_png_whose_pixels_are_not_as_they_were_written_is_refused(tmp_path, deep, depth, capfd):
    content = bytearray(imagecodecs.png_encode(deep.astype(depth), level=0))  # not compressed: no decoder would notice
    content[len(content) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SlideError, match="checksum"):
        read_all(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")
