"""Merging points, and cells on the seams between windows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_patches.counting import find_cells, merge_points
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.slides import ArraySlide

POINTS = st.integers(0, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (n, 2), elements=st.floats(0, 100, width=16)),
        arrays(np.float64, n, elements=st.floats(0, 1, width=16)),
        arrays(np.float64, n, elements=st.floats(1, 20, width=16)),
    )
)


@given(POINTS)
def test_kept_points_lie_apart_and_every_other_lies_near_a_better_one(drawn):
    xy, score, radius = drawn
    kept = merge_points(*xy.T, score, radius)
    gaps = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    near = gaps < 0.5 * np.maximum(radius[:, None], radius[None])
    assert not (near[np.ix_(kept, kept)] & ~np.eye(len(kept), dtype=bool)).any()
    for lost in np.setdiff1d(np.arange(len(xy)), kept):
        assert (near[lost, kept] & (score[kept] >= score[lost])).any()


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(drawn, random):
    xy, score, radius = drawn
    order = np.array(random.sample(range(len(xy)), len(xy)), int)
    kept = merge_points(*xy.T, score, 5.0)
    shuffled = order[merge_points(*xy[order].T, score[order], 5.0)]
    assert sorted(map(tuple, xy[kept])) == sorted(map(tuple, xy[shuffled]))
    assert radius.shape == score.shape


@given(POINTS)
def test_merging_twice_changes_nothing(drawn):
    xy, score, radius = drawn
    kept = merge_points(*xy.T, score, radius)
    assert len(merge_points(*xy[kept].T, score[kept], radius[kept])) == len(kept)


DIAMETER, PITCH, SIDE = 24.0, 34, 300


def smear_of_discs(shifts):
    """Nuclei as plain discs, one a lattice place, each moved by its own shift in pixels."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    lattice = [(u, v) for v in range(PITCH, SIDE - PITCH, PITCH) for u in range(PITCH, SIDE - PITCH, PITCH)]
    centres = np.array(lattice, np.float64) + np.resize(shifts, (len(lattice), 2))
    cover = np.zeros((SIDE, SIDE), np.float32)
    for u, v in centres:
        cover = np.maximum(cover, np.clip(DIAMETER * 0.4 + 0.5 - np.hypot(x - u, y - v), 0, 1))
    glass, nucleus = np.array([230.0, 228.0, 232.0]), np.array([110.0, 70.0, 170.0])
    return (glass + (nucleus - glass) * cover[..., None]).round().astype(np.uint8), centres


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, (7, 2), elements=st.floats(-4, 4, width=16)),
    st.integers(64, 320),
    st.sampled_from([1.0, 1.3]),
)
def test_a_cell_on_any_seam_is_found_once(shifts, window_px, downsample):
    image, centres = smear_of_discs(shifts)
    finder = WhiteCellFinder(cell_diameter_px=DIAMETER / downsample)
    found = find_cells(ArraySlide(image), finder, downsample=downsample, window_px=window_px)
    assert len(found) == len(centres)
    gaps = np.hypot(*(found.xy[:, None] - centres[None]).transpose(2, 0, 1))
    assert gaps.min(axis=0).max() < 1.0
    assert len(set(gaps.argmin(axis=1).tolist())) == len(centres)
