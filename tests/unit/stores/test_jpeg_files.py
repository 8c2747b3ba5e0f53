"""JPEG tiles of slides as files: other people's decoders give the store's pixels."""

from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from wsi_patches.errors import StoreError
from wsi_patches.geometry import Size
from wsi_patches.jpeg_tile import JpegTiles, decode_jpeg_tile
from wsi_patches.stores import open_store
from wsi_patches.stores.jpeg_files import jpeg_file, own_jpegs
from wsi_patches.synthetic import SmearSettings, write_slide
from wsi_patches.workflows.extract import ExtractSettings, extract


@pytest.fixture(scope="module")
def jpeg_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jpegs")
    for number in (1, 2):
        write_slide(folder / f"s{number}.tif", Size(512, 256 * number), SmearSettings.random(number), tile_px=128)
    slides = tuple(folder / f"s{number}.tif" for number in (1, 2))
    made = extract(ExtractSettings(slides, folder / "a.zarr", patch_size=128, codec="jpeg", workers=1, fsync=False))
    return open_store(made.out)


def test_pillow_and_opencv_decode_the_stores_own_pixels(jpeg_store):
    positions = np.arange(len(jpeg_store))
    pixels = jpeg_store.read(positions)
    for data, wanted in zip(own_jpegs(jpeg_store, positions), pixels, strict=True):
        assert data is not None
        assert np.array_equal(Image.open(BytesIO(data)), wanted)
        assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), wanted)


def test_some_are_given_in_their_order(jpeg_store):
    everything = own_jpegs(jpeg_store, np.arange(len(jpeg_store)))
    some = [0, 3, len(jpeg_store) - 1]
    assert own_jpegs(jpeg_store, some) == [everything[position] for position in some]


@pytest.mark.parametrize("colour", ["rgb", "ycbcr"])
@pytest.mark.parametrize("said", ["rgb", "ycbcr"])
def test_colours_are_those_that_the_slide_states_whatever_the_stream_says(rng, colour, said):
    image = cv2.GaussianBlur(rng.integers(0, 256, (32, 48, 3), np.uint8), (5, 5), 0)
    stream = imagecodecs.jpeg8_encode(image, level=95, colorspace="rgb", outcolorspace=said)
    tiles = JpegTiles(Size(48, 32), b"", colour)
    found = np.array(Image.open(BytesIO(jpeg_file(stream, tiles))))
    assert np.array_equal(found, decode_jpeg_tile(stream, b"", colour))


def test_grey_tiles_and_other_codecs_are_none(rng, tmp_path):
    grey = imagecodecs.jpeg8_encode(rng.integers(0, 256, (16, 16), np.uint8))
    assert jpeg_file(grey, JpegTiles(Size(16, 16), b"", "grey")) is None
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
    store = open_store(extract(ExtractSettings((tmp_path / "a.png",), tmp_path / "a.zarr", patch_size=32)).out)
    assert own_jpegs(store, [0, 1, 2]) == [None] * 3


def test_a_damaged_tile_is_named(jpeg_store, monkeypatch):
    images = jpeg_store.parts[0].images
    monkeypatch.setattr(type(images), "_chunks", lambda self, file, shard, rows: iter([b"\xff\xd8rotten"] * len(rows)))
    with pytest.raises(StoreError, match=r"patch 0 of .*images cannot be read, its checksum"):
        own_jpegs(jpeg_store, [0])
