"""The table of patches, and the map of where the cells are."""

import csv

import numpy as np
import pytest

from wsi_patches.counting.cores import PatchCounts, patch_cores
from wsi_patches.geometry import Size
from wsi_patches.report.patches import draw_heat, write_patches


@pytest.fixture
def counted():
    """Six patches of 80 px with an overlap of a quarter, cells in the first and the last."""
    xy = np.array([(x, y) for y in (0, 60) for x in (0, 60, 120)])
    counts = np.zeros((6, 2))
    counts[0], counts[5] = (2.5, 1.0), (0.5, 0.0)
    return PatchCounts(("blast", "other"), xy, 80, counts, patch_cores(xy, 80, Size(200, 140)))


def test_a_row_a_patch(counted, tmp_path):
    write_patches(tmp_path / "patches.csv", counted)
    with (tmp_path / "patches.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["x", "y", "side", "core_area", "blast", "other"]
    assert [(int(row["x"]), int(row["y"]), int(row["side"])) for row in rows] == [
        (*xy, 80) for xy in counted.xy.tolist()
    ]
    assert float(rows[0]["blast"]) == 2.5
    assert sum(int(row["core_area"]) for row in rows) == 200 * 140


@pytest.mark.parametrize("downsample", [1.0, 2.0])
def test_only_cores_with_cells_are_tinted_and_the_fullest_most(counted, downsample):
    size = (round(140 / downsample), round(200 / downsample))
    picture = np.full((*size, 3), 220, np.uint8)
    drawn = draw_heat(picture, downsample, counted)
    assert (picture == 220).all()
    assert drawn.shape[0] > size[0]
    changed = np.abs(drawn[: size[0]].astype(int) - 220).sum(axis=2)
    tinted = {(0, 0): changed[2, 2], (5, 5): changed[-3, -3]}
    assert tinted[0, 0] > tinted[5, 5] > 0
    left, top, right, bottom = (counted.cores.boxes[0] / downsample).astype(int)
    assert (changed[top:bottom, left:right] > 0).all()
    assert (changed[: size[0] // 3, right + 1 : -1] == 0).all()


def test_another_class_and_a_slide_without_cells(counted):
    picture = np.full((140, 200, 3), 220, np.uint8)
    other = draw_heat(picture, 1.0, counted, "other")
    assert (other[130, 190] == 220).all()
    assert (other[5, 5] != 220).any()
    bare = PatchCounts(counted.class_names, counted.xy, 80, np.zeros((6, 2)), counted.cores)
    assert np.array_equal(draw_heat(picture, 1.0, bare)[:140], picture)
    nowhere = PatchCounts(("blast",), np.empty((0, 2), np.int64), 0, np.zeros((0, 1)), patch_cores([], 1, Size(1, 1)))
    assert np.array_equal(draw_heat(picture, 1.0, nowhere)[:140], picture)
