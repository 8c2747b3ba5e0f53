"""Points and boxes."""

from wsi_patches.counting import match_points_to_boxes

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
