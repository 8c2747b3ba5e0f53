"""The cores of patches: a partition of what they cover, whatever the grid and whatever was lost of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.counting.cores import core_counts, densest_place, patch_cores
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec


@st.composite
def grids(draw, edges=("drop", "shift", "pad"), widest=1.5):
    """A grid of any overlap, or with gaps, over a slide that is at least as large as a patch."""
    size_px = draw(st.integers(2, 16))
    spec = PatchSpec(size_px, draw(st.integers(1, int(widest * size_px))), draw(st.sampled_from(edges)))
    size = Size(draw(st.integers(size_px, 40)), draw(st.integers(size_px, 40)))
    return PatchGrid(size, spec, draw(st.sampled_from([1.0, 2.0, 1.37, 4.0001])))


@st.composite
def irregular(draw):
    """A grid of which some places were lost."""
    grid = draw(grids())
    share = draw(st.floats(0, 1))
    return grid.where(np.random.default_rng(draw(st.integers(0, 2**32))).random(len(grid)) >= share)


def painted(boxes, shape):
    """Return how many boxes each pixel lies in."""
    hits = np.zeros(shape, int)
    for left, top, right, bottom in boxes.tolist():
        hits[top:bottom, left:right] += 1
    return hits


def covered(grid):
    side = grid.spec.size_px
    boxes = np.hstack([grid.xy_px(), grid.xy_px() + side])
    return painted(boxes, (grid.size.height, grid.size.width)) > 0


def cores_of(grid):
    return patch_cores(grid.xy_px(), grid.spec.size_px, grid.size)


@given(irregular())
def test_every_pixel_that_a_patch_shows_lies_in_just_one_core(grid):
    cores = cores_of(grid)
    assert np.array_equal(painted(cores.boxes, (grid.size.height, grid.size.width)), covered(grid))


@given(irregular())
def test_a_core_lies_in_its_own_patch_and_patches_come_in_order(grid):
    cores, corners = cores_of(grid), grid.xy_px()
    assert (cores.boxes[:, :2] >= corners[cores.patch]).all()
    assert (cores.boxes[:, 2:] <= corners[cores.patch] + grid.spec.size_px).all()
    assert (np.diff(cores.patch) >= 0).all()
    assert sum(len(cores.of(row)) for row in range(len(grid))) == len(cores.boxes)
    assert cores.areas(len(grid)).sum() == covered(grid).sum()


@given(irregular())
def test_at_level_0_it_is_a_partition_too(grid):
    boxes = cores_of(grid).scaled(grid.downsample).boxes
    size = [int(np.floor(side * grid.downsample + 0.5)) for side in grid.size]
    hits = painted(boxes, size[::-1])
    assert hits.max(initial=0) <= 1
    edges = [np.floor(np.arange(side + 1) * grid.downsample + 0.5).astype(int) for side in grid.size]
    shown = np.repeat(np.repeat(covered(grid), np.diff(edges[1]), axis=0), np.diff(edges[0]), axis=1)
    assert np.array_equal(hits, shown)


@given(grids(edges=("shift", "pad"), widest=1))
def test_shift_and_pad_leave_no_pixel_of_the_slide_to_nobody(grid):
    cores = cores_of(grid)
    assert cores.areas(len(grid)).sum() == grid.size.width * grid.size.height
    assert np.array_equal(cores.patch, np.arange(len(grid)))  # one box each


@given(grids(widest=1))
def test_on_a_whole_grid_no_other_centre_is_nearer_to_a_core_than_its_own(grid):
    cores, side = cores_of(grid), grid.spec.size_px
    middle = cores.boxes[:, :2] + cores.boxes[:, 2:]
    inside = (cores.boxes[:, 2:] < grid.size).all(axis=1) & (cores.boxes[:, :2] > 0).all(axis=1)
    away = np.abs(middle[:, None] - 2 * grid.xy_px() - side).max(axis=2)
    own = away[np.arange(len(middle)), cores.patch]
    assert (own[inside] <= away.min(axis=1)[inside] + 2).all()  # an odd overlap has no middle


def test_what_a_lost_place_answered_for_goes_to_those_that_show_it():
    grid = PatchGrid(Size(12, 4), PatchSpec(4, 2)).take([0, 1, 3, 4])  # the third of five was lost
    cores = cores_of(grid)
    assert cores.of(1).tolist() == [[3, 0, 6, 4]]
    assert cores.of(2).tolist() == [[6, 0, 9, 4]]
    far = cores_of(PatchGrid(Size(12, 8), PatchSpec(4, 4)).where([True, False, True, True, True, True]))
    assert far.areas(5).tolist() == [16] * 5  # nobody shows it, so nobody answers for it


def test_a_patch_beside_the_slide_and_no_patch_at_all():
    assert len(patch_cores([(8, 0)], 4, Size(8, 8)).boxes) == 0
    assert len(patch_cores(np.empty((0, 2)), 4, Size(8, 8)).boxes) == 0
    twice = patch_cores([(0, 0), (0, 0)], 4, Size(4, 4))
    assert twice.areas(2).tolist() == [16, 0]


@given(irregular(), st.floats(0.3, 3), st.integers(0, 2**32))
def test_an_even_density_counts_the_area_of_the_core(grid, step, seed):
    cores, side = cores_of(grid), grid.spec.size_px
    places = int(np.ceil(side / step))
    per_pixel = np.random.default_rng(seed).random(2)
    density = np.broadcast_to((per_pixel * step**2)[:, None, None], (2, places, places))
    corners, areas = grid.xy_px(), cores.areas(len(grid))
    for row in range(len(grid)):
        local = cores.of(row) - np.tile(corners[row], 2)
        assert core_counts(density, local, step) == pytest.approx(per_pixel * areas[row])


@given(grids(edges=("shift", "pad"), widest=1), st.integers(0, 2**32))
def test_points_are_counted_once_whatever_the_overlap(grid, seed):
    rng = np.random.default_rng(seed)
    slide = rng.integers(0, 3, (1, grid.size.height + 24, grid.size.width + 24)).astype(float)
    cores, side = cores_of(grid), grid.spec.size_px
    total = 0.0
    for row, (x, y) in enumerate(grid.xy_px().tolist()):
        local = cores.of(row) - np.array([x, y, x, y])
        total += core_counts(slide[:, y : y + side, x : x + side], local, 1.0)[0]
    assert total == slide[0, : grid.size.height, : grid.size.width].sum()


@given(irregular(), st.integers(0, 2**32))
def test_the_densest_place_lies_in_the_core_and_nothing_there_is_denser(grid, seed):
    cores, side = cores_of(grid), grid.spec.size_px
    density = np.random.default_rng(seed).random((2, side, side))
    for row, corner in enumerate(grid.xy_px()):
        local = cores.of(row) - np.tile(corner, 2)
        inside = painted(local, (side, side)) > 0
        if inside.any():
            x, y = densest_place(density, local, 1.0).astype(int)
            assert inside[y, x]
            assert density.sum(axis=0)[y, x] == density.sum(axis=0)[inside].max()


def test_a_place_is_said_by_its_middle():
    density = np.zeros((1, 8, 8))
    density[0, 2, 5], density[0, 6, 1] = 1, 2
    whole, above = np.array([[0, 0, 32, 32]]), np.array([[0, 0, 32, 16]])
    assert densest_place(density, whole, 4.0).tolist() == [5.5, 25.5]
    assert densest_place(density, above, 4.0).tolist() == [21.5, 9.5]
