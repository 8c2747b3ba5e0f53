"""Every real slide opens with what it says of itself, or gets a clear reason; found in its folder it is one slide."""

import numpy as np
import pytest

from wsi_patches.datasets import find_slides
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

# Reader, size, levels, um per pixel, vendor, objective power, compression of level 0.
OPENS = {
    "aperio_cmu-1-small-region.svs": ("tifffile", (2220, 2967), 1, 0.499, "aperio", 20, "jpeg"),
    "aperio_small_16x16.svs": ("tifffile", (16, 16), 1, 0.499, "aperio", 20, "jpeg"),
    "aperio_tcga-cr-7395_jp2k_2level.svs": ("tifffile", (4443, 3567), 2, None, "aperio", None, "jpeg2000"),
    "hamamatsu_dapi_7level.ndpi": ("openslide", (3968, 4864), 7, 0.2282, "hamamatsu", 40, ""),
    "dicom_wsi_camelyon_jpeg.dcm": ("openslide", (1152, 700), 1, 28.969, "dicom", None, "jpeg"),
    "dicom_wsi_leica_boxes": ("openslide", (16, 16), 1, 0.499, "dicom", 20, "jpeg"),
    "dicom_wsi_highdicom_50x50_25frames.dcm": ("openslide", (50, 50), 1, 0.499, "dicom", None, "none"),
    "generic_boxes_4level.tiff": ("tifffile", (300, 250), 4, None, "generic-tiff", None, "deflate"),
    "generic_bigtiff_zstd_10kx5k_5level.tiff": ("tifffile", (10000, 5000), 5, None, "generic-tiff", None, "zstd"),
    "ome_zarr_cmu-1-small-region.ome.zarr": ("ome-zarr", (2220, 2967), 2, 0.499, None, 20, "blosc (lz4)"),
}
REFUSED = {
    "ome_multi-channel.ome.tif": "signed 8-bit samples",
    "ome_zarr_blobs_v04.ome.zarr": "floating point 64-bit samples",
}


def test_each_real_slide_of_the_folder_is_found_once(shared_data):
    found = [item.path for item in find_slides([shared_data / "slides"])]
    assert found == sorted(str(shared_data / "slides" / name) for name in (*OPENS, *REFUSED))


@pytest.mark.parametrize("name", OPENS)
def test_what_it_says_of_itself(shared_data, name):
    reader, size, levels, mpp, vendor, power, compression = OPENS[name]
    with open_slide(shared_data / "slides" / name) as slide:
        info = slide.info
        assert (info.reader, info.size, len(info.levels), info.vendor) == (reader, size, levels, vendor)
        assert info.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-3))
        assert info.objective_power == power
        assert info.levels[0].compression == compression
        for level, of_level in enumerate(info.levels):
            side = min(*size, 300 * round(of_level.downsample))
            pixels = slide.read(Box(0, 0, side, side), level)
            assert pixels.shape[:2] == (round(side / of_level.downsample),) * 2
            assert pixels.dtype == np.uint8


@pytest.mark.parametrize("name", REFUSED)
def test_why_it_is_refused(shared_data, name):
    with pytest.raises(SlideError, match=REFUSED[name]):
        open_slide(shared_data / "slides" / name)
