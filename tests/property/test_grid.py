"""What a grid promises, for any slide and any spec."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid, PatchSpec

lengths = st.integers(1, 400)


@st.composite
def grids(draw, edges=("drop", "shift", "pad"), smallest=1):
    size_px = draw(st.integers(1, 64))
    spec = PatchSpec(size_px, draw(st.integers(1, size_px)), draw(st.sampled_from(edges)))
    size = Size(draw(st.integers(max(smallest, 1), 300)), draw(st.integers(max(smallest, 1), 300)))
    return PatchGrid(size, spec)


def covered(grid):
    """Paint every place; pixels beyond the slide are let go."""
    hit = np.zeros((grid.size.height, grid.size.width), bool)
    for place in grid:
        hit[place.box.y : place.box.bottom, place.box.x : place.box.right] = True
    return hit


@given(grids(edges=("shift", "pad"), smallest=64))
def test_shift_and_pad_lose_no_pixel(grid):
    assert covered(grid).all()


@given(grids(edges=("drop", "shift")))
def test_drop_and_shift_stay_inside(grid):
    for place in grid:
        assert place.box.clipped(grid.size) == place.box


@given(grids(edges=("drop",)))
def test_drop_is_the_published_count(grid):
    size, step = grid.spec.size_px, grid.spec.step_px
    per_axis = [max(0, (length - size) // step + 1) if length >= size else 0 for length in grid.size]
    assert len(grid) == per_axis[0] * per_axis[1]


@given(grids(edges=("pad",)))
def test_pad_starts_inside_and_repeats_no_place(grid):
    corners = {(place.box.x, place.box.y) for place in grid}
    assert len(corners) == len(grid)
    assert all(x < grid.size.width and y < grid.size.height for x, y in corners)


@given(grids())
def test_no_place_is_repeated_and_iterating_equals_indexing(grid):
    places = list(grid)
    assert len({(place.box.x, place.box.y) for place in places}) == len(places)
    assert [grid[i] for i in range(len(grid))] == places
    assert [place.index for place in places] == list(range(len(grid)))


@given(grids(smallest=64), st.integers(0, 2**32), st.floats(0, 1))
def test_selections_keep_indices(grid, seed, share):
    mask = np.random.default_rng(seed).random(len(grid)) < share
    chosen = grid.where(mask)
    assert chosen.index_array().tolist() == np.flatnonzero(mask).tolist()
    assert list(chosen) == [place for place in grid if mask[place.index]]
    again = chosen.take(np.arange(len(chosen))[::-1])
    assert set(again) == set(chosen)


@given(grids(), st.sampled_from([1.0, 2.0, 4.0001, 3.7, 16.0]))
def test_a_downsampled_grid_is_the_same_grid_in_larger_pixels(grid, downsample):
    scaled = PatchGrid(grid.size, grid.spec, downsample)
    back = np.floor(scaled.xy() / downsample + 0.5).astype(int)
    assert np.array_equal(back, grid.xy())


@pytest.mark.parametrize(
    ("size", "count", "last"),
    [
        ((1712, 1368), 48, (1344, 960)),
        ((2592, 1944), 117, (2304, 1536)),
        ((257, 257), 1, (0, 0)),
        ((255, 900), 0, None),
    ],
)
@pytest.mark.golden
def test_published_grids_of_all_idb(size, count, last):
    """Table of the ALL-IDB Patches protocol: 256 px, overlap 0.25, remainder dropped."""
    grid = PatchGrid(Size(*size), PatchSpec(256, overlap=0.25, edge="drop"))
    assert len(grid) == count
    if last:
        assert tuple(grid.xy()[-1]) == last


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_px": 0},
        {"stride_px": 0},
        {"edge": "wrap"},
        {"overlap": 1.0},
        {"overlap": 0.5, "stride_px": 3},
        {"level": 0, "mpp": 0.5},
        {"mpp": -1.0},
        {"level": -1},
    ],
)
def test_nonsense_is_refused_with_the_value_found(wrong):
    with pytest.raises(UsageError, match=r"found"):
        PatchSpec(**wrong)


def test_spec_round_trip_and_unknown_keys():
    spec = PatchSpec(224, overlap=0.5, edge="pad", mpp=0.5)
    assert PatchSpec.from_dict(spec.to_dict()) == spec
    assert spec.step_px == 112
    with pytest.raises(UsageError, match="colour"):
        PatchSpec.from_dict({"colour": 1})
