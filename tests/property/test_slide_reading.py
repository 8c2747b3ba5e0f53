"""Any box of a TIFF without loss is the slice of its array, however it is tiled, by every reader that reads it."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

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
