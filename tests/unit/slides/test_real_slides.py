"""Real slides of several makers: size, levels, resolution, maker, or a clear reason."""

import numpy as np
import openslide
import pytest

from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

SLIDES = {
    "aperio_cmu-1-small-region.svs": ((2220, 2967), 1, 0.499, "aperio"),
    "aperio_small_16x16.svs": ((16, 16), 1, 0.499, "aperio"),
    "aperio_tcga-cr-7395_jp2k_2level.svs": ((4443, 3567), 2, None, "aperio"),
    "hamamatsu_dapi_7level.ndpi": ((3968, 4864), 7, 0.2282, "hamamatsu"),
    "dicom_wsi_camelyon_jpeg.dcm": ((1152, 700), 1, 28.969, "dicom"),
    "dicom_wsi_leica_boxes/boxes_0.dcm": ((16, 16), 1, 0.499, "dicom"),
    "generic_boxes_4level.tiff": ((300, 250), 4, None, "generic-tiff"),
    "generic_bigtiff_zstd_10kx5k_5level.tiff": ((10000, 5000), 5, None, "generic-tiff"),
    "dicom_wsi_highdicom_50x50_25frames.dcm": ((50, 50), 1, 0.499, "dicom"),
}


@pytest.mark.parametrize("name", SLIDES)
def test_what_a_slide_says_of_itself(shared_data, name):
    size, levels, mpp, vendor = SLIDES[name]
    with open_slide(shared_data / "slides" / name) as slide:
        info = slide.info
        assert (info.size, len(info.levels), info.vendor) == (size, levels, vendor)
        assert info.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-3))
        for x in (0, size[0] // 2, size[0] - 8):
            assert slide.read(Box(x, size[1] // 2, 8, 8)).shape == (8, 8, 3)


def test_several_channels_are_refused_with_a_reason(shared_data):
    with pytest.raises(SlideError, match="channels"):
        open_slide(shared_data / "slides" / "ome_multi-channel.ome.tif")


@pytest.mark.parametrize("reader", ["openslide", "tifffile"])
def test_pixels_are_those_of_openslide(shared_data, reader):
    path = shared_data / "slides" / "aperio_cmu-1-small-region.svs"
    with openslide.OpenSlide(str(path)) as handle, open_slide(path, reader=reader) as slide:
        for x, y in [(0, 0), (777, 1311), (2100, 2900)]:
            width, height = min(256, 2220 - x), min(256, 2967 - y)
            expected = np.asarray(handle.read_region((x, y), 0, (width, height)).convert("RGB"))
            assert np.array_equal(slide.read(Box(x, y, width, height)), expected)
