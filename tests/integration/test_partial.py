"""Slides of which some places cannot be read: the others are kept, the bad ones are told and never count."""

import numpy as np
import pytest
import tifffile

from wsi_patches.geometry import Box
from wsi_patches.stores import MosaicSlide, open_store, verify_store
from wsi_patches.workflows.extract import ExtractSettings, extract

SIDE, TILE, PATCH = 512, 64, 32
ACROSS = SIDE // PATCH


def write_damaged(path, pixels, tiles):
    """Write a tiled TIFF and overwrite the bytes of some of its tiles."""
    tifffile.imwrite(path, pixels, tile=(TILE, TILE), compression="zlib", photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        places = [(page.dataoffsets[tile], page.databytecounts[tile]) for tile in tiles]
    content = bytearray(path.read_bytes())
    for offset, count in places:
        content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize(
    "tiles",
    [[27], [63], list(range(8)), [*range(16), 40]],
    ids=[
        "one in the middle",
        "the last",
        "the first row, a whole batch",
        "the first two rows, two batches, and one more",
    ],
)
def test_the_other_patches_are_kept(tmp_path, pixels, tiles):
    path = tmp_path / "damaged.tif"
    write_damaged(path, pixels, tiles)
    result = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=PATCH))
    (outcome,) = result.outcomes
    tile_of = np.add.outer(np.arange(SIDE) // TILE * (SIDE // TILE), np.arange(SIDE) // TILE)[::PATCH, ::PATCH].ravel()
    bad = np.flatnonzero(np.isin(tile_of, tiles))
    assert (outcome.status, outcome.unreadable, outcome.patches) == ("partial", len(bad), ACROSS**2)
    store = open_store(result.out)
    assert store.slides[0].unreadable == tuple(bad.tolist())
    assert store.grid_index.tolist() == list(range(ACROSS**2))
    expected = pixels.reshape(ACROSS, PATCH, ACROSS, PATCH, 3).swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3).copy()
    expected[bad] = 255
    assert np.array_equal(store.read(np.arange(len(store))), expected)
    assert verify_store(result.out) == []
    mosaic = MosaicSlide(store, "damaged")
    assert mosaic.coverage() == pytest.approx(1 - len(bad) / ACROSS**2)
    assert np.array_equal(mosaic.read(Box(448, 384, 64, 64)), pixels[384:448, 448:512])


def test_a_slide_of_which_nothing_can_be_read_leaves_nothing_behind(tmp_path, pixels):
    write_damaged(tmp_path / "a.tif", pixels, range(64))
    write_damaged(tmp_path / "b.tif", pixels, [])
    result = extract(ExtractSettings((tmp_path / "a.tif", tmp_path / "b.tif"), tmp_path / "a.zarr", patch_size=PATCH))
    assert [(one.slide_id, one.status) for one in result.outcomes] == [("a", "failed"), ("b", "done")]
    store = open_store(result.out)
    assert [record.id for record in store.slides] == ["b"]
    assert len(store) == ACROSS**2
    assert verify_store(result.out) == []
    alone = extract(ExtractSettings((tmp_path / "a.tif",), tmp_path / "b.zarr", patch_size=PATCH))
    assert alone.patches == 0
    assert open_store(alone.out).unfinished == []
