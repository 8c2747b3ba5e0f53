"""One suite over all readers, on slides that the tests write and know every pixel of."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsi_patches.errors import ResolutionUnknown, SlideError, UsageError
from wsi_patches.geometry import Box, Resolution
from wsi_patches.slide import downsample_of
from wsi_patches.slides import READERS, open_slide

SIZE = (230, 310)  # height, width: no multiple of the tile


def truth():
    return np.random.default_rng(5).integers(0, 256, (*SIZE, 3), np.uint8)


def half(pixels):
    return cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)


def write_tiled(path):
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib", "metadata": None}
    per_cm = (1e4 / 0.5, 1e4 / 0.5)
    with tifffile.TiffWriter(path) as file:
        file.write(truth(), resolution=per_cm, resolutionunit="CENTIMETER", **options)
        file.write(half(truth()), subfiletype=1, **options)


def write_stripped(path):
    tifffile.imwrite(path, truth(), photometric="rgb", rowsperstrip=7, compression="lzw", metadata=None)


def write_picture(path):
    cv2.imwrite(str(path), truth()[:, :, ::-1])


WRITERS = {
    "openslide": ("tiled.tif", write_tiled),
    "tifffile": ("tiled.tif", write_tiled),
    "stripped": ("stripped.tif", write_stripped),
    "png": ("field.png", write_picture),
    "bmp": ("field.bmp", write_picture),
}


@pytest.fixture(scope="module", params=WRITERS)
def path_and_reader(request, tmp_path_factory):
    name, write = WRITERS[request.param]
    path = tmp_path_factory.mktemp("slides") / name
    write(path)
    return path, request.param if request.param in READERS else None


@pytest.fixture
def slide(path_and_reader):
    path, reader = path_and_reader
    with open_slide(path, reader=reader) as slide:
        yield slide


def test_size_levels_and_type(slide):
    assert slide.info.size == SIZE[::-1]
    pixels = slide.read(Box(0, 0, 50, 40))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (40, 50, 3))


def test_all_of_level_0(slide):
    assert np.array_equal(slide.read(Box(0, 0, *slide.info.size)), truth())


@given(x=st.integers(-80, 330), y=st.integers(-80, 250), width=st.integers(1, 150), height=st.integers(1, 150))
def test_any_box_is_the_slice_with_background_around_it(path_and_reader, x, y, width, height):
    path, reader = path_and_reader
    with open_slide(path, reader=reader) as slide:
        found = slide.read(Box(x, y, width, height))
    canvas = np.full((SIZE[0] + 400, SIZE[1] + 400, 3), 255, np.uint8)
    canvas[100 : 100 + SIZE[0], 100 : 100 + SIZE[1]] = truth()
    assert np.array_equal(found, canvas[100 + y : 100 + y + height, 100 + x : 100 + x + width])


def test_threads_read_the_same(slide):
    boxes = [Box(x, y, 100, 90) for x in range(0, 220, 40) for y in range(0, 150, 40)]
    alone = [slide.read(box) for box in boxes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(slide.read, boxes))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_slide_travels_as_its_path(slide):
    with pickle.loads(pickle.dumps(slide)) as copy:
        assert copy.info == slide.info
        assert np.array_equal(copy.read(Box(3, 4, 50, 60)), slide.read(Box(3, 4, 50, 60)))


def test_reading_after_closing_is_a_slide_error(path_and_reader):
    path, reader = path_and_reader
    slide = open_slide(path, reader=reader)
    slide.close()
    with pytest.raises(SlideError):
        slide.read(Box(0, 0, 8, 8))


def test_levels_and_resolution(tmp_path):
    write_tiled(tmp_path / "a.tif")
    for reader in ("openslide", "tifffile"):
        with open_slide(tmp_path / "a.tif", reader=reader) as slide:
            assert slide.info.mpp == pytest.approx(0.5)
            assert [level.size for level in slide.info.levels] == [(310, 230), (155, 115)]
            assert np.array_equal(slide.read(Box(0, 0, 310, 230), 1), half(truth()))
            assert np.array_equal(slide.read_at(Box(64, 32, 100, 80), 1.0), half(truth())[16:56, 32:82])
            with pytest.raises(UsageError, match="levels 0 to 1"):
                slide.read(Box(0, 0, 8, 8), 2)


def test_shrinking_reads_the_coarsest_level_that_is_fine_enough(tmp_path):
    write_tiled(tmp_path / "a.tif")
    with open_slide(tmp_path / "a.tif") as slide:
        found = slide.read_at(Box(0, 0, 300, 200), 1.5)
        assert found.shape == (67, 100, 3)
        expected = cv2.resize(half(truth())[:100, :150], (100, 67), interpolation=cv2.INTER_AREA)
        assert np.array_equal(found, expected)


def test_an_unknown_resolution_is_asked_for_and_can_be_stated(tmp_path):
    write_picture(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.info.mpp is None
        with pytest.raises(ResolutionUnknown, match="--slide-mpp"):
            slide.read_at(Box(0, 0, 8, 8), 0.5)
    with open_slide(tmp_path / "a.png", mpp=0.25) as slide:
        assert slide.read_at(Box(0, 0, 80, 40), 0.5).shape == (20, 40, 3)
        with pytest.raises(UsageError, match="coarser"):
            slide.read_at(Box(0, 0, 80, 40), 0.1)


def test_magnification_comes_from_the_objective_or_by_convention_from_the_pixel_size(tmp_path):
    write_picture(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide, pytest.raises(ResolutionUnknown, match="--slide-mpp"):
        downsample_of(slide.info, Resolution(magnification=20))
    with open_slide(tmp_path / "a.png", mpp=0.25) as slide:
        assert downsample_of(slide.info, Resolution(magnification=20)) == pytest.approx(2)
        assert downsample_of(replace(slide.info, objective_power=60.0), Resolution(magnification=20)) == pytest.approx(
            3
        )


@pytest.mark.parametrize("dpi", [72, 96, 300])
def test_a_printers_resolution_is_no_pixel_size(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "a.tif", truth(), tile=(64, 64), resolution=(dpi, dpi), resolutionunit="INCH")
    Image.fromarray(truth()).save(tmp_path / "a.jpg", dpi=(dpi, dpi))
    for name in ("a.tif", "a.jpg"):
        with open_slide(tmp_path / name) as slide:
            assert slide.info.mpp is None


def test_ome_tiff_with_levels_in_subifds(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        metadata = {"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
        metadata |= {"PhysicalSizeY": 250.0, "PhysicalSizeYUnit": "nm"}
        file.write(truth(), tile=(64, 64), photometric="rgb", subifds=1, metadata=metadata)
        file.write(half(truth()), tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.info.reader == "tifffile"
        assert slide.info.mpp == pytest.approx(0.25)
        assert len(slide.info.levels) == 2
        assert np.array_equal(slide.read(Box(0, 0, 310, 230), 1), half(truth()))


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000", "webp", "lzma", "zstd", "deflate"])
def test_every_codec_of_a_tiff_is_read_truly_or_refused(tmp_path, codec):
    smooth = cv2.GaussianBlur(truth(), (0, 0), 8)
    lossy = codec in ("jpeg", "webp")
    args = {"lossless": True} if codec == "webp" else None
    tifffile.imwrite(
        tmp_path / "a.tif", smooth, tile=(64, 64), compression=codec, compressionargs=args, photometric="rgb"
    )
    with open_slide(tmp_path / "a.tif") as slide:
        found = slide.read(Box(0, 0, 310, 230)).astype(int)
    assert np.abs(found - smooth).max() <= (12 if lossy else 0)


def rgba_over_white(rgb, alpha):
    share = alpha[..., None] / 255
    return rgb * share + 255 * (1 - share)


def test_grey_transparent_and_indexed_pictures_become_rgb(tmp_path, rng):
    grey = rng.integers(0, 256, SIZE, np.uint8)
    alpha = rng.integers(0, 256, SIZE, np.uint8)
    expected = {
        "grey.png": np.repeat(grey[..., None], 3, axis=2),
        "alpha.png": rgba_over_white(truth(), alpha),
        "grey.tif": np.repeat(grey[..., None], 3, axis=2),
        "alpha.tif": rgba_over_white(truth(), alpha),
    }
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    Image.fromarray(np.dstack([truth(), alpha])).save(tmp_path / "alpha.png")
    tifffile.imwrite(tmp_path / "grey.tif", grey, rowsperstrip=16)
    tifffile.imwrite(
        tmp_path / "alpha.tif", np.dstack([truth(), alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    for name, pixels in expected.items():
        with open_slide(tmp_path / name) as slide:
            assert np.abs(slide.read(Box(0, 0, *SIZE[::-1])) - pixels).max() <= 1.01, name


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_samples_without_a_stated_way_to_8_bits_are_refused_and_never_cut(tmp_path, dtype, tile):
    tifffile.imwrite(tmp_path / "a.tif", (truth() // 2).astype(dtype), photometric="rgb", tile=tile)
    for reader in (None, "openslide", "tifffile"):
        with pytest.raises(SlideError, match="-bit samples"):
            open_slide(tmp_path / "a.tif", reader=reader)


def test_the_orientation_of_a_photograph_is_not_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(truth()).save(tmp_path / "a.png", exif=exif)
    with open_slide(tmp_path / "a.png") as slide:
        assert np.array_equal(slide.read(Box(0, 0, 310, 230)), truth())


def test_readers_can_be_forced_by_name(tmp_path):
    write_tiled(tmp_path / "a.tif")
    with open_slide(tmp_path / "a.tif", reader="tifffile") as slide:
        assert slide.info.reader == "tifffile"
    with pytest.raises(SlideError, match="not a JPEG"):
        open_slide(tmp_path / "a.tif", reader="image")
    with pytest.raises(UsageError, match="openslide, tifffile, image"):
        open_slide(tmp_path / "a.tif", reader="vips")
