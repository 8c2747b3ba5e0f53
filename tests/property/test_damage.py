"""Damage anywhere in a file of any kind ends in a SlideError or in pixels, and a cut never in wrong pixels."""

import warnings

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.painted_tiffs import smooth_noise, write_aperio_jpeg2000, write_jpeg_tiff, write_philips
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

PIXELS = smooth_noise(70, 90)
TIFFS = {
    "tiled deflate": {"tile": (32, 32), "compression": "zlib", "predictor": 2},
    "tiled jpeg xl": {"tile": (32, 32), "compression": "jpegxl"},
    "stripped lzw": {"rowsperstrip": 16, "compression": "lzw"},
    "stripped jpeg": {"rowsperstrip": 16, "compression": "jpeg"},
    "stripped webp": {"rowsperstrip": 16, "compression": "webp"},
    "bigtiff": {"tile": (32, 48), "bigtiff": True, "compression": "zstd"},
    "planes": {"rowsperstrip": 16, "planarconfig": "separate"},
}
PHOTOGRAPHS = {
    "png.png": {},
    "palette.png": {"mode": "P"},
    "baseline.jpg": {},
    "progressive.jpg": {"progressive": True},
    "inks.jpg": {"mode": "CMYK"},
    "a.bmp": {},
    "lossy.webp": {},
    "lossless.webp": {"lossless": True},
}


def write_all(folder):
    """Write a picture as files of all kinds."""
    for name, options in TIFFS.items():
        planes = PIXELS.transpose(2, 0, 1).copy() if name == "planes" else PIXELS
        tifffile.imwrite(folder / f"{name}.tif", planes, photometric="rgb", metadata=None, **options)
    with tifffile.TiffWriter(folder / "subifds.ome.tif", ome=True) as file:
        file.write(PIXELS, tile=(32, 32), subifds=1, photometric="rgb", compression="zlib")
        file.write(PIXELS[::2, ::2], tile=(32, 32), subfiletype=1, photometric="rgb", compression="zlib")
    write_jpeg_tiff(folder / "tables.tif", PIXELS, (32, 32), shared_tables=True)
    write_philips(folder / "philips.tiff", PIXELS)
    write_aperio_jpeg2000(folder / "aperio.svs", PIXELS, ycbcr=False)
    for name, options in PHOTOGRAPHS.items():
        rest = {key: value for key, value in options.items() if key != "mode"}
        Image.fromarray(PIXELS).convert(options.get("mode", "RGB")).save(folder / name, **rest)
    cv2.imwrite(str(folder / "deep.png"), PIXELS.astype(np.uint16) * 257)


KINDS = (
    *(f"{name}.tif" for name in TIFFS),
    *("subifds.ome.tif", "tables.tif", "philips.tiff", "aperio.svs", *PHOTOGRAPHS, "deep.png"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_all(folder)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def whole(request, folder, tmp_path_factory):
    """A file's bytes, what it reads as, and where to write it damaged."""
    path = folder / request.param
    return path.read_bytes(), read_level_0(path), tmp_path_factory.mktemp("damaged") / path.name


def read_level_0(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_slide(path) as slide:
            width, height = slide.info.size
            pixels = slide.read(Box(0, 0, min(width, 500), min(height, 500)))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (min(height, 500), min(width, 500), 3)
    return pixels


def read_or_refused(path):
    """Return the pixels; None where a SlideError, and nothing else, is raised of the file."""
    told, found = path.name, None
    try:
        found = read_level_0(path)
    except SlideError as error:
        told = str(error)
    assert path.name in told
    return found


@settings(max_examples=15)
@given(share=st.floats(0, 1), last_bytes=st.integers(1, 40), near_the_end=st.booleans())
def test_a_file_that_is_cut_off_reads_as_it_was_or_not_at_all(whole, share, last_bytes, near_the_end):
    content, pixels, path = whole
    end = len(content) - last_bytes if near_the_end else int(share * (len(content) - 1))
    path.write_bytes(content[:end])
    found = read_or_refused(path)
    assert found is None or np.array_equal(found, pixels)


@settings(max_examples=25)
@given(data=st.data())
def test_flipped_bits_end_in_a_slide_error_or_in_pixels(whole, data):
    content, _, path = whole
    places = st.one_of(st.integers(0, min(400, len(content)) - 1), st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    for place, bit in data.draw(st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=4)):
        flipped[place] ^= 1 << bit
    path.write_bytes(flipped)
    read_or_refused(path)
