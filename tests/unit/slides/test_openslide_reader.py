"""The OpenSlide reader: what OpenSlide would say nothing about, and how it goes on after an error."""

import numpy as np
import pytest
import tifffile

from tests.painted_tiffs import smooth_noise, write_jpeg_tiff
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import OpenSlideSlide, open_slide

SIDE = 64
PIXELS = smooth_noise(150, 210)


def cut_segment(path, number):
    """Overwrite the second half of a segment of the first page with zeros."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        offset, count = page.dataoffsets[number], page.databytecounts[number]
    content = bytearray(path.read_bytes())
    content[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(content)


@pytest.mark.parametrize("shared_tables", [False, True])
def test_a_cut_jpeg_tile_is_refused_and_costs_its_own_place(tmp_path, shared_tables):
    path = tmp_path / "a.tif"
    write_jpeg_tiff(path, PIXELS, (SIDE, SIDE), shared_tables=shared_tables)
    with OpenSlideSlide(path) as slide:
        whole = slide.read(Box(0, 0, 210, 150))
    cut_segment(path, 1)
    with OpenSlideSlide(path) as slide:
        for _ in range(2):
            assert np.array_equal(slide.read(Box(0, 0, SIDE, 150)), whole[:, :SIDE])
            with pytest.raises(SlideError, match=r"a\.tif.*cut off"):
                slide.read(Box(60, 0, 10, 10))
        assert np.array_equal(slide.read(Box(130, 10, 80, 140)), whole[10:150, 130:210])


def test_a_cut_part_of_hamamatsus_jpeg_is_refused(shared_data, tmp_path):
    real = shared_data / "slides" / "hamamatsu_dapi_7level.ndpi"
    path = tmp_path / "a.ndpi"
    path.write_bytes(real.read_bytes())
    cut_segment(path, 100)  # rows 800 to 807 of level 0
    with open_slide(real) as whole, open_slide(path) as slide:
        assert slide.info.reader == "openslide"
        with pytest.raises(SlideError, match=r"a\.ndpi.*cut off"):
            slide.read(Box(1000, 700, 256, 256))
        for box in (Box(1000, 500, 256, 256), Box(1000, 900, 256, 256)):
            assert np.array_equal(slide.read(box), whole.read(box))


def test_tiles_and_their_size_are_known(shared_data):
    with open_slide(shared_data / "slides" / "hamamatsu_dapi_7level.ndpi") as slide:
        assert all(level.tile is not None for level in slide.info.levels)
