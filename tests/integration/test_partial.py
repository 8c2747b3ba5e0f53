"""Slides of which some places cannot be read: the others are kept, the bad ones are told and never count."""

import numpy as np
import pytest

from tests.damaged_tiffs import TILE, write_damaged
from wsi_patches.geometry import Box, Size
from wsi_patches.stores import MosaicSlide, open_store, verify_store
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.extract import ExtractSettings, extract
from wsi_patches.workflows.infer import InferSettings, infer

SIDE, PATCH = 512, 32
ACROSS = SIDE // PATCH


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


def test_a_run_of_a_large_slide_that_cannot_be_read_is_a_hole_not_a_lost_slide(tmp_path, pixels, monkeypatch):
    """Cut into many parts, the first of which holds nothing that can be read."""
    monkeypatch.setattr("wsi_patches.workflows.extract_plan.part_patches", lambda *_: 16)
    path = tmp_path / "damaged.tif"
    write_damaged(path, pixels, list(range(16)))
    result = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=PATCH))
    (outcome,) = result.outcomes
    assert (outcome.status, outcome.unreadable, outcome.patches) == ("partial", 64, ACROSS**2)
    assert verify_store(result.out) == []
    again = extract(ExtractSettings((path,), tmp_path / "a.zarr", patch_size=PATCH, resume=True))
    assert [(one.status, one.unreadable) for one in again.outcomes] == [("partial", 64)]


def test_infer_counts_what_can_be_read_and_says_what_could_not(tmp_path):
    image, _ = paint_smear(Size(1024, 768), SmearSettings.random(5, cell_diameter_px=60.0))
    whole, damaged = tmp_path / "whole.tif", tmp_path / "damaged.tif"
    tiles = [17, 18]
    for path, bad in ((whole, []), (damaged, tiles)):
        write_damaged(path, image, bad)
    result = infer(InferSettings((whole, damaged), tmp_path / "counts"))
    first, second = result.reports
    assert (first.status, first.patches_failed, first.coverage) == ("done", 0, 1.0)
    assert (second.status, second.patches_failed) == ("partial", len(tiles))
    assert second.coverage == pytest.approx(1 - len(tiles) * TILE**2 / (1024 * 768))
    assert "2 places could not be read" in second.warnings[0]
    assert second.extra["unreadable_places"] == [[64, 64, TILE, TILE], [128, 64, TILE, TILE]]
    assert abs(second.white_cells.value - first.white_cells.value) <= 2


def test_infer_fails_a_slide_of_which_nothing_can_be_read(tmp_path, pixels):
    write_damaged(tmp_path / "a.tif", pixels, range(64))
    (report,) = infer(InferSettings((tmp_path / "a.tif",), tmp_path / "counts")).reports
    assert report.status == "failed"
    assert "a.tif" in report.error
