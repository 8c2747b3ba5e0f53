"""Boxes in slide coordinates, each cell's once."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_patches.counting.boxes import edges_on_slide, merge_boxes, square_edges
from wsi_patches.counting.windows import Window

SQUARES = st.integers(0, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (n, 2), elements=st.floats(0, 100, width=16)),
        arrays(np.float64, n, elements=st.floats(2, 20, width=16)),
        arrays(np.float64, n, elements=st.floats(0, 1, width=16)),
    )
)


def shared(one, other):
    """Return intersection over union, counted pixel line by pixel line."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:]) + 1
    common = np.prod(np.maximum(high - low, 0))
    return common / (np.prod(one[2:] - one[:2] + 1) + np.prod(other[2:] - other[:2] + 1) - common)


def test_a_square_is_as_wide_as_its_circle_and_round_the_same_centre():
    (edges,) = square_edges([10.0], [20.5], [4.0])
    assert edges.tolist() == [6.5, 17.0, 13.5, 24.0]
    assert ((edges[2:] - edges[:2] + 1) == 8).all()


@given(SQUARES)
def test_kept_boxes_are_different_cells_and_every_other_is_one_of_theirs(drawn):
    centres, radius, score = drawn
    edges = square_edges(*centres.T, radius)
    kept = merge_boxes(edges, score)

    def same(one, other):
        near = np.hypot(*(centres[one] - centres[other])) < 0.5 * max(radius[one], radius[other])
        return near or shared(edges[one], edges[other]) >= 0.5

    assert not any(same(one, other) for one in kept for other in kept if one < other)
    for lost in np.setdiff1d(np.arange(len(edges)), kept):
        assert any(same(lost, one) and score[one] >= score[lost] for one in kept)


@given(SQUARES, st.randoms(use_true_random=False))
def test_the_order_of_boxes_does_not_matter(drawn, random):
    centres, _, score = drawn
    edges = square_edges(*centres.T, np.full(len(centres), 6.0))
    order = np.array(random.sample(range(len(edges)), len(edges)), int)
    shuffled = order[merge_boxes(edges[order], score[order])]
    assert sorted(map(tuple, edges[merge_boxes(edges, score)])) == sorted(map(tuple, edges[shuffled]))


@given(st.floats(0, 2 * np.pi), st.floats(5, 40), st.floats(0.4, 1))
def test_cells_that_touch_stay_two(angle, radius, smaller):
    away = radius * (1 + smaller)
    edges = square_edges([0, away * np.cos(angle)], [0, away * np.sin(angle)], [radius, radius * smaller])
    assert merge_boxes(edges, [0.9, 0.8]).tolist() == [0, 1]


def test_a_box_within_another_with_its_centre_near_is_the_same_cell():
    edges = [[0, 0, 39, 39], [14, 14, 24, 26]]
    assert merge_boxes(edges, [0.5, 0.6]).tolist() == [1]
    assert merge_boxes(np.empty((0, 4)), []).tolist() == []


@pytest.mark.parametrize("step", [1.0, 2.0, 1.25])
def test_boxes_of_a_window_lie_on_the_slide_where_its_pixels_do(step):
    # The box of the window's pixels 4 to 7 covers as many slide pixels as they do.
    found = SimpleNamespace(edges=np.array([[4.0, 4.0, 7.0, 7.0], [0.0, 0.0, 0.0, 0.0]]))
    window = Window(found, np.array([0]), left=100, top=50, step_x=step, step_y=1.0)
    left, top, right, bottom = edges_on_slide(window)[0].tolist()
    assert (left, right) == (100 + 4 * step, 100 + 8 * step - 1)
    assert (top, bottom) == (54, 57)
