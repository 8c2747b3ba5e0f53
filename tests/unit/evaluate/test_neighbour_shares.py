"""How often neighbours are right, by hand."""

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.neighbour_shares import measure_neighbours

TRUTH = np.array([0, 0, 1, 1])
SAID = np.array([0, -1, 1, 0])
NEAR = np.array([[0, 0], [0, 1], [1, 1], [0, 0]])
COLOUR = np.array([[1, 1], [0, 1], [1, 1], [0, 1]])


def test_shares_by_hand():
    found = measure_neighbours(TRUTH, SAID, NEAR, COLOUR, [0.5, 0.5, 0.25, 0.25], list("abcd")).metrics
    values = {name: metric.value for name, metric in found.items()}
    assert values == pytest.approx(
        {
            "neighbours_of_own_class": 5 / 8,
            "by_chance": 3 / 8,
            "above_chance": 2 / 8,
            "colour_alone": 4 / 8,
            "votes_right": 2 / 3,
            "abstained": 1 / 4,
        }
    )
    assert all(metric.interval.low <= metric.value <= metric.interval.high for metric in found.values())


def test_intervals_are_over_groups():
    of_one = measure_neighbours(TRUTH, SAID, NEAR, COLOUR, [0.5] * 4, ["a"] * 4)
    assert np.isnan(of_one.metrics["above_chance"].interval.low)
    many = measure_neighbours(
        *(np.tile(one, (10, 1)) if one.ndim > 1 else np.tile(one, 10) for one in (TRUTH, SAID, NEAR, COLOUR)),
        [0.5] * 40,
        np.arange(40),
    )
    assert many.metrics["above_chance"].interval.high - many.metrics["above_chance"].interval.low < 0.4


def test_neighbours_that_all_abstain_have_no_right_votes():
    found = measure_neighbours(TRUTH, np.full(4, -1), NEAR, COLOUR, [0.5] * 4, list("abcd")).metrics
    assert np.isnan(found["votes_right"].value)
    assert found["abstained"].value == 1


def test_nothing_cannot_be_measured():
    none = np.empty(0, np.int64)
    with pytest.raises(UsageError):
        measure_neighbours(none, none, none.reshape(0, 2), none.reshape(0, 2), [], [])
