"""The tifffile reader gives OpenSlide's levels, pixels and facts, on real slides and on every way of storing tiles.

Levels are compared as wholes from their corner: elsewhere OpenSlide interpolates where a downsample is no whole number.
"""

from itertools import product

import numpy as np
import openslide
import pytest
import tifffile

from tests.conftest import shared_files
from tests.painted_tiffs import smooth_noise, write_aperio_jpeg2000, write_jpeg_tiff, write_philips
from wsi_patches.geometry import Box
from wsi_patches.slides import OpenSlideSlide, TiffSlide, open_slide
from wsi_patches.slides.openslide_reader import detect_vendor

HEIGHT, WIDTH, TILE = 147, 203, (48, 64)
PIXELS = smooth_noise(HEIGHT, WIDTH)
APERIO = "Aperio Image Library v1\n203x147 |AppMag = 40|MPP = 0.25"


def whole_level(handle, level):
    """Return what OpenSlide reads of a level, over white."""
    rgba = np.asarray(handle.read_region((0, 0), level, handle.level_dimensions[level]))
    return np.where(rgba[..., 3:] == 0, 255, rgba[..., :3])


def assert_same_as_openslide(path, reader="tifffile"):
    with openslide.OpenSlide(str(path)) as handle, open_slide(path, reader=reader) as slide:
        assert [level.size for level in slide.info.levels] == list(handle.level_dimensions)
        assert [level.downsample for level in slide.info.levels] == list(handle.level_downsamples)
        for number, level in enumerate(slide.info.levels):
            box = Box(0, 0, *(round(side * level.downsample) for side in level.size))
            assert np.array_equal(
                slide.read(box, number)[: level.size.height, : level.size.width], whole_level(handle, number)
            )


def real_slides():
    """Return the TIFFs that both readers read; of Hamamatsu's see below."""
    names = shared_files("slides", not_named=("ome_multi-channel.ome.tif",))
    return [name for name in names if name.endswith((".svs", ".tif", ".tiff"))]


@pytest.mark.parametrize("relative", real_slides())
def test_real_slides(shared_data, relative):
    path = shared_data / relative
    assert_same_as_openslide(path)
    with TiffSlide(path) as ours, OpenSlideSlide(path) as theirs:
        assert ours.background == theirs.background
        facts = [(one.vendor, one.mpp, one.objective_power, one.size) for one in (ours.info, theirs.info)]
        assert facts[0] == facts[1]
        assert ours.info.levels[0].tile == theirs.info.levels[0].tile


STORED = [("rgb", (1, 1)), ("grey", (1, 1)), *(("ycbcr", ratio) for ratio in [(1, 1), (2, 1), (2, 2)])]


@pytest.mark.parametrize(("stored", "subsampling"), STORED)
@pytest.mark.parametrize("shared_tables", [False, True])
def test_jpeg_tiles(tmp_path, stored, subsampling, shared_tables):
    pixels = PIXELS[..., 0] if stored == "grey" else PIXELS
    path = tmp_path / "a.tif"
    write_jpeg_tiff(path, pixels, TILE, stored, subsampling, shared_tables=shared_tables)
    assert_same_as_openslide(path)
    with open_slide(path) as slide:
        assert slide.info.reader == "tifffile"
        assert (slide.info.levels[0].tile, slide.info.levels[0].compression) == ((64, 48), "jpeg")


COMPRESSIONS = [None, "lzw", "zlib", "zstd", "packbits", "adobe_deflate"]
WITH_PREDICTOR = ["lzw", "zlib", "zstd"]
LOSSLESS = [*product(COMPRESSIONS, [None]), *product(WITH_PREDICTOR, [2])]


@pytest.mark.parametrize(("compression", "predictor"), LOSSLESS)
def test_lossless_tiles(tmp_path, compression, predictor):
    path = tmp_path / "a.tif"
    for bigtiff, order in [(False, "<"), (True, "<"), (True, ">"), (False, ">")]:
        options = {"compression": compression, "predictor": predictor, "bigtiff": bigtiff, "byteorder": order}
        tifffile.imwrite(path, PIXELS, tile=TILE, photometric="rgb", metadata=None, **options)
        with open_slide(path) as slide:
            assert slide.info.reader == "tifffile"
            assert np.array_equal(slide.read(Box(0, 0, WIDTH, HEIGHT)), PIXELS)
        if detect_vendor(path) is not None:  # a classic TIFF whose numbers are big-endian OpenSlide does not know
            assert_same_as_openslide(path)


@pytest.mark.parametrize("kind", ["minisblack", "miniswhite", "palette", "planes", "inks", "alpha"])
def test_other_samples(tmp_path, rng, kind):
    grey, path = PIXELS[..., 0], tmp_path / "a.tif"
    colours = rng.integers(0, 65536, (3, 256)).astype(np.uint16)
    pixels, options = {
        "minisblack": (grey, {"photometric": "minisblack"}),
        "miniswhite": (grey, {"photometric": "miniswhite"}),
        "palette": (grey, {"photometric": "palette", "colormap": colours}),
        "planes": (PIXELS.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
        "inks": (np.dstack([PIXELS, grey]), {"photometric": "separated"}),
        "alpha": (np.dstack([PIXELS, grey]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    }[kind]
    tifffile.imwrite(path, pixels, tile=TILE, compression="zlib", metadata=None, **options)
    with open_slide(path) as slide:
        # Where the two round differently, OpenSlide reads.
        assert slide.info.reader == ("openslide" if kind in ("inks", "alpha") else "tifffile")
    if kind not in ("inks", "alpha"):
        assert_same_as_openslide(path)


@pytest.mark.parametrize("ycbcr", [False, True])
def test_aperio_jpeg2000(tmp_path, ycbcr):
    path = tmp_path / "a.svs"
    write_aperio_jpeg2000(path, PIXELS, ycbcr=ycbcr)
    assert_same_as_openslide(path)
    with open_slide(path) as slide:
        assert (slide.info.reader, slide.info.levels[0].compression) == ("tifffile", "jpeg2000")


@pytest.mark.parametrize("left_out", [(), (1, 2)])
def test_philips_levels_lose_their_padding_and_tiles_left_out_are_background(tmp_path, left_out):
    path = tmp_path / "a.tiff"
    write_philips(path, smooth_noise(130, 641), left_out)
    assert_same_as_openslide(path)
    with open_slide(path) as slide, OpenSlideSlide(path) as theirs:
        assert [level.size for level in slide.info.levels] == [(704, 192), (352, 96), (176, 48)]
        assert (slide.info.reader, slide.info.vendor, slide.info.objective_power) == ("tifffile", "philips", 40.0)
        assert slide.info.objective_power == theirs.info.objective_power


def test_generic_tiles_left_out_are_background(tmp_path):
    write_jpeg_tiff(tmp_path / "a.tif", PIXELS, TILE, left_out=[0, 6])
    assert_same_as_openslide(tmp_path / "a.tif")


def test_an_aperio_pyramid_with_tiles_left_out_is_read_by_openslide_which_paints_them(tmp_path):
    path = tmp_path / "a.svs"
    for left_out, reader in [((), "tifffile"), ((1,), "openslide")]:
        write_jpeg_tiff(path, PIXELS, TILE, left_out=left_out, description=APERIO)
        write_jpeg_tiff(path, PIXELS[::2, ::2], TILE, subfiletype=1, append=True)
        with open_slide(path) as slide:
            assert (slide.info.reader, len(slide.info.levels)) == (reader, 2)
        if reader == "tifffile":
            assert_same_as_openslide(path)


def test_hamamatsu_is_read_by_openslide_which_adds_levels_and_gives_the_same_pixels(shared_data):
    path = shared_data / "slides" / "hamamatsu_dapi_7level.ndpi"
    with openslide.OpenSlide(str(path)) as handle, open_slide(path) as slide, TiffSlide(path) as ours:
        assert slide.info.reader == "openslide"
        for level in range(1, len(ours.info.levels)):
            size = ours.info.levels[level].size
            assert size == handle.level_dimensions[level]
            box = Box(0, 0, *(round(side * ours.info.levels[level].downsample) for side in size))
            assert np.array_equal(ours.read(box, level), whole_level(handle, level))
