"""Any box of a TIFF without loss is the slice of its array, however it is tiled, by every reader that reads it."""

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tests.painted_tiffs import write_jpeg_tiff
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

HEIGHT, WIDTH = 131, 203  # prime: no multiple of any tile
PIXELS = np.random.default_rng(11).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
LAYOUTS = {
    "tiled": ({"tile": (48, 32), "compression": "zlib"}, ("tifffile", "openslide")),
    "one tile": ({"tile": (256, 256), "compression": "lzw"}, ("tifffile", "openslide")),
    "predicted": ({"tile": (32, 32), "compression": "zstd", "predictor": 2}, ("tifffile", "openslide")),
    "stripped": ({"rowsperstrip": 10, "compression": "lzw"}, ("tifffile",)),
    "one strip": ({"rowsperstrip": HEIGHT}, ("tifffile",)),
    "planes": ({"rowsperstrip": 7, "compression": "packbits", "planarconfig": "separate"}, ("tifffile",)),
}
CASES = [(layout, reader) for layout, (_, readers) in LAYOUTS.items() for reader in readers]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiffs")
    for layout, (options, _) in LAYOUTS.items():
        planes = PIXELS.transpose(2, 0, 1) if "planarconfig" in options else PIXELS
        tifffile.imwrite(folder / f"{layout}.tif", planes, photometric="rgb", metadata=None, **options)
    return folder


@pytest.fixture(scope="module", params=CASES, ids=" by ".join)
def slide(request, folder):
    layout, reader = request.param
    with open_slide(folder / f"{layout}.tif", reader=reader) as slide:
        yield slide


@given(
    x=st.integers(-20, WIDTH + 20),
    y=st.integers(-20, HEIGHT + 20),
    width=st.integers(1, WIDTH + 20),
    height=st.integers(1, HEIGHT + 20),
)
def test_any_box_is_the_slice_of_the_array(slide, x, y, width, height):
    margin = WIDTH + 60
    padded = np.pad(PIXELS, ((margin, margin), (margin, margin), (0, 0)), constant_values=255)
    expected = padded[margin + y : margin + y + height, margin + x : margin + x + width]
    assert np.array_equal(slide.read(Box(x, y, width, height)), expected)


@pytest.fixture(scope="module")
def jpeg_slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("jpegs") / "a.tif"
    even = PIXELS[:-1, :-1]  # so that the second level lies at a downsample of exactly 2
    write_jpeg_tiff(path, even, (32, 48), shared_tables=True)
    write_jpeg_tiff(path, even[::2, ::2], (32, 48), "rgb", subfiletype=1, append=True)
    with openslide.OpenSlide(str(path)) as handle:
        wholes = [handle.read_region((0, 0), level, size) for level, size in enumerate(handle.level_dimensions)]
    with open_slide(path, reader="tifffile") as slide:
        yield slide, [np.asarray(whole.convert("RGB")) for whole in wholes]


SIDES = st.one_of(st.integers(1, 110), st.sampled_from([32, 48, 64, 96]))
CORNERS = st.one_of(st.integers(0, 100), st.sampled_from([0, 32, 48, 64, 96]))


@given(level=st.integers(0, 1), x=CORNERS, y=CORNERS, width=SIDES, height=SIDES)
def test_any_box_of_jpeg_tiles_whole_or_not_is_the_slice_of_what_openslide_reads(
    jpeg_slide, level, x, y, width, height
):
    slide, wholes = jpeg_slide
    by = round(slide.info.levels[level].downsample)
    box = Box(x, y, width, height).clipped(slide.info.levels[level].size)
    expected = wholes[level][box.y : box.bottom, box.x : box.right]
    if expected.size:
        found = slide.read(Box(*(by * value for value in box)), level)
        assert np.array_equal(found, expected)
