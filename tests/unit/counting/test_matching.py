"""Points and boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.counting import assign_points_to_boxes, assign_points_to_points, match_points_to_boxes

BOX = [0, 0, 10, 10]


def test_a_box_is_taken_once():
    assert match_points_to_boxes([[5, 5], [6, 6]], [0.9, 0.8], [BOX]) == (1, 1, 0)


def test_a_box_without_a_point_is_a_miss():
    assert match_points_to_boxes([[50, 50]], [1.0], [BOX]) == (0, 1, 1)


def test_borders_belong_to_the_box():
    assert match_points_to_boxes([[0, 10]], [1.0], [BOX]) == (1, 0, 0)


def test_better_points_choose_first_and_the_nearest_centre():
    boxes = [[0, 0, 10, 10], [8, 0, 18, 10]]
    assert match_points_to_boxes([[9, 5], [9.5, 5]], [0.5, 0.9], boxes) == (2, 0, 0)
    assert match_points_to_boxes([[8.5, 5], [2, 5]], [0.9, 0.5], boxes) == (1, 1, 1)


def test_nothing_matches_nothing():
    assert match_points_to_boxes([], [], []) == (0, 0, 0)
    assert match_points_to_boxes([], [], [BOX]) == (0, 0, 1)
    assert match_points_to_boxes([[1, 1]], [1.0], []) == (0, 1, 0)


def test_each_point_is_told_its_box():
    boxes = [[0, 0, 10, 10], [8, 0, 18, 10]]
    assert assign_points_to_boxes([[9, 5], [9.5, 5], [40, 5]], [0.5, 0.9, 1.0], boxes).tolist() == [0, 1, -1]


def test_annotated_points_are_taken_within_their_radius():
    truth = [[0, 0], [10, 0]]
    assert assign_points_to_points([[4, 0], [5, 0]], [0.1, 0.9], truth, 5).tolist() == [-1, 0]
    assert assign_points_to_points([[4, 0], [7, 0]], [0.1, 0.9], truth, [5, 2]).tolist() == [0, -1]
    assert assign_points_to_points([], [], truth, 5).tolist() == []
    assert assign_points_to_points([[1, 1]], [1.0], [], 5).tolist() == [-1]


COORDINATE = st.integers(0, 30)
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE, st.integers(0, 5)), max_size=12)


@given(POINTS, st.lists(st.tuples(COORDINATE, COORDINATE, st.integers(0, 15)), max_size=8), st.integers(0, 12))
def test_what_the_best_took_does_not_depend_on_the_rest(points, squares, kept):
    found = np.array(points, np.float64).reshape(-1, 3)
    truth = np.array(squares, np.float64).reshape(-1, 3)
    boxes = np.column_stack([truth[:, :2], truth[:, :2] + truth[:, 2:]])
    best = np.argsort(-found[:, 2], kind="stable")[:kept]
    for whole, part in (
        (assign_points_to_boxes(found[:, :2], found[:, 2], boxes), lambda xy, s: assign_points_to_boxes(xy, s, boxes)),
        (
            assign_points_to_points(found[:, :2], found[:, 2], truth[:, :2], truth[:, 2]),
            lambda xy, s: assign_points_to_points(xy, s, truth[:, :2], truth[:, 2]),
        ),
    ):
        assert whole[best].tolist() == part(found[best, :2], found[best, 2]).tolist()
        taken = whole[whole >= 0]
        assert len(set(taken.tolist())) == len(taken)
