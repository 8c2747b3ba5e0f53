"""Broken files read truly or raise SlideError; nothing else, and nothing half filled."""

import cv2
import numpy as np
import pytest
import tifffile

from tests.conftest import shared_files
from wsi_patches.errors import SlideError
from wsi_patches.geometry import Box
from wsi_patches.slides import open_slide

PIXELS = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)


def read_all(path):
    with open_slide(path) as slide:
        return slide.read(Box(0, 0, *slide.info.size))


def broken_files(folder):
    """Write files that are broken in different ways; return path and a word of the message."""
    (folder / "empty.svs").touch()
    yield folder / "empty.svs", "empty"
    (folder / "text.svs").write_text("Aperio Image Library, but only the words\n" * 9)
    yield folder / "text.svs", "text"
    yield folder / "nowhere.svs", "does not exist"
    (folder / "folder.svs").mkdir()
    yield folder / "folder.svs", "folder"
    for suffix in ("jpg", "png", "bmp"):
        path = folder / f"short.{suffix}"
        content = cv2.imencode(f".{suffix}", PIXELS)[1].tobytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        yield path, "truncated|cannot"
    for name, options in {
        "tiled": {"tile": (64, 64)},
        "stripped": {"rowsperstrip": 16},
        "jpeg": {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"},
    }.items():
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, PIXELS, **options)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        yield path, "truncated|cannot"


def test_files_broken_on_purpose(tmp_path):
    for path, message in broken_files(tmp_path):
        with pytest.raises(SlideError, match=message) as caught:
            read_all(path)
        assert path.name in str(caught.value)


def test_a_damaged_tile_costs_that_tile_only(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, tile=(64, 64), compression="zlib", photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages.first.dataoffsets[8]
    content = bytearray(path.read_bytes())
    content[offset : offset + 60] = b"\xff" * 60
    path.write_bytes(content)
    for reader in ("tifffile", "openslide"):
        with open_slide(path, reader=reader) as slide:
            with pytest.raises(SlideError, match=r"a\.tif"):
                slide.read(Box(70, 70, 10, 10))
            assert np.array_equal(slide.read(Box(200, 200, 50, 50)), PIXELS[200:250, 200:250])


@pytest.mark.parametrize("relative", shared_files("corrupt", not_named=("BEHAVIOUR.csv",)))
def test_every_known_broken_file_reads_truly_or_raises_slide_error(shared_data, relative):
    path = shared_data / relative
    try:
        pixels = read_all(path)
    except SlideError as error:
        told = str(error)
    else:
        told = ""
        assert pixels.size
        assert pixels.shape[2] == 3
    assert not told or (path.name in told and len(told.split()) > 4)


def test_the_truncated_svs_is_no_empty_image(shared_data):
    with pytest.raises(SlideError):
        open_slide(shared_data / "corrupt" / "svs" / "derived_cmu_truncated_60pct.svs")
