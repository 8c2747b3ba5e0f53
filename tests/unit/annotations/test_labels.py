"""Labels against the brute-force oracle and the published numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle_all_idb as oracle
from wsi_patches.annotations import label_patches, local_xy, read_xyc
from wsi_patches.cells import ALL_IDB_CLASSES, ALL_IDB_RULE, Cells, LabelRule
from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec

SPEC = PatchSpec(256, overlap=0.25, edge="drop")


def labels_of(size, blasts, others):
    """Label with the package; points count from 1."""
    xy = np.array([*blasts, *others], float).reshape(-1, 2) - 1
    classes = [0] * len(blasts) + [1] * len(others)
    grid = PatchGrid(Size(*size), SPEC)
    cells = Cells.at(xy, ALL_IDB_CLASSES, classes)
    return grid, cells, label_patches(grid.xy(), grid.side, cells, ALL_IDB_RULE)


points = st.lists(st.tuples(st.integers(1, 800), st.integers(1, 700)), max_size=30)


@given(st.integers(200, 800), st.integers(200, 700), points, points)
def test_labels_and_local_coordinates_equal_the_oracle(width, height, blasts, others):
    grid, cells, labels = labels_of((width, height), blasts, others)
    origins = oracle.patches(width, height)
    assert grid.xy().tolist() == [[column - 1, row - 1] for column, row in origins]
    for patch, origin in enumerate(origins):
        expected = [oracle.local_points(blasts, origin), oracle.local_points(others, origin)]
        assert labels.counts[patch].tolist() == [len(of_class) for of_class in expected]
        members = cells.take(labels.cells[labels.indptr[patch] : labels.indptr[patch + 1]])
        found = [tuple(point) for point in local_xy(members, grid[patch].box).tolist()]
        assert found == expected[0] + expected[1]


@pytest.mark.golden
def test_other_cells_of_im001_1_lie_in_the_published_patches(shared_data):
    others = read_xyc(shared_data / "all_idb1_other" / "Im001_1.xyc", "other")
    grid = PatchGrid(Size(1712, 1368), SPEC)
    labels = label_patches(grid.xy(), grid.side, others, ALL_IDB_RULE)
    positive = np.flatnonzero(labels.counts[:, ALL_IDB_CLASSES.index("other")]) + 1
    assert positive.tolist() == [8, 28, 29, 36, 37]
    in_patch = {
        number: others.take(labels.cells[labels.indptr[number - 1] : labels.indptr[number]]) for number in positive
    }
    assert local_xy(in_patch[28], grid[27].box).tolist() == [[222, 192]]
    assert local_xy(in_patch[36], grid[35].box).tolist() == [[222, 1]]
    assert local_xy(in_patch[37], grid[36].box).tolist() == [[30, 1]]


@pytest.mark.golden
def test_all_108_other_files_give_the_published_totals(shared_data):
    """Sizes as the spec infers them: images 001 to 033 are small, the others large."""
    positive = occurrences = lost = most = points = 0
    for file in sorted((shared_data / "all_idb1_other").glob("*.xyc")):
        size = Size(1712, 1368) if int(file.stem[2:5]) <= 33 else Size(2592, 1944)
        cells = read_xyc(file, "other")
        grid = PatchGrid(size, SPEC)
        labels = label_patches(grid.xy(), grid.side, cells, ALL_IDB_RULE)
        points += len(cells)
        positive += int((labels.counts[:, 1] > 0).sum())
        occurrences += int(labels.counts.sum())
        most = max(most, int(labels.counts.max()))
        lost += len(cells) - len(np.unique(labels.cells))
    assert (points, positive, occurrences, most, lost) == (1430, 1911, 2250, 6, 143)


def test_tolerance_is_inclusive_on_both_sides():
    xy = np.array([[100, 100]])
    for x, inside in [(94, False), (95, True), (360, True), (361, False)]:
        cells = Cells.at([(x, 200)], ALL_IDB_CLASSES)
        assert label_patches(xy, 256, cells, ALL_IDB_RULE).counts.sum() == inside
        strict = label_patches(xy, 256, cells, LabelRule(0)).counts.sum()
        assert strict == (100 <= x <= 355)


def test_no_cells_and_no_patches():
    none = Cells.at([], ALL_IDB_CLASSES)
    assert label_patches(np.array([[0, 0]]), 8, none, ALL_IDB_RULE).counts.tolist() == [[0, 0]]
    assert label_patches(np.empty((0, 2), int), 8, none, ALL_IDB_RULE).indptr.tolist() == [0]


def test_cells_of_other_classes_are_refused():
    with pytest.raises(UsageError, match="classes"):
        label_patches(np.array([[0, 0]]), 8, Cells.at([(1, 1)], ("wbc",)), ALL_IDB_RULE)


@given(st.floats(0, 511.4), st.floats(0, 511.4))
def test_patches_without_overlap_hold_every_centre_once_also_between_pixels(x, y):
    xy = np.array([[left, top] for top in (0, 256) for left in (0, 256)])
    labels = label_patches(xy, 256, Cells.at([[x, y]], ALL_IDB_CLASSES), LabelRule())
    assert labels.counts.sum() == 1
