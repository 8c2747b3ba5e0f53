"""Intervals of what a slide holds: against known limits, and against slides drawn with known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_patches.counting.slide_counts import FinderReliability, count_intervals
from wsi_patches.errors import UsageError

PROBABILITIES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20)


@settings(max_examples=30)
@given(PROBABILITIES)
def test_intervals_hold_their_value(pairs):
    cell, blast = np.array(pairs).reshape(-1, 2).T
    counts = count_intervals(cell, blast)
    for one, most in ((counts.white_cells, len(pairs)), (counts.blasts, len(pairs)), (counts.blast_fraction, 1)):
        assert one is None or 0 <= one.low <= one.value <= one.high <= most
    assert counts.white_cells.value == pytest.approx(cell.sum())
    assert counts.blasts.value == pytest.approx((cell * blast).sum())


def test_what_is_sure_has_no_interval_but_the_blood_has():
    counts = count_intervals(np.ones(10), [1.0] * 4 + [0.0] * 6, shift=3.0)
    assert (counts.white_cells.low, counts.white_cells.high) == (10, 10)
    assert (counts.blasts.low, counts.blasts.high) == (4, 4)
    # Jeffreys' interval for 4 of 10.
    assert (counts.blast_fraction.low, counts.blast_fraction.high) == (
        pytest.approx(0.153, abs=0.02),
        pytest.approx(0.696, abs=0.02),
    )


def test_a_finder_that_misses_raises_the_upper_bound_alone():
    sure, missing = (count_intervals(np.ones(100), np.ones(100), recall=recall) for recall in (None, (90.0, 10.0)))
    assert missing.white_cells.low >= sure.white_cells.low == 100
    assert missing.white_cells.high > 115
    assert count_intervals([], [], recall=(90.0, 10.0)).white_cells.high <= 2


def test_a_shift_of_a_slide_moves_all_cells_together():
    p = np.full(200, 0.5)
    alone, together = count_intervals(np.ones(200), p), count_intervals(np.ones(200), p, shift=1.0)
    assert (together.blasts.high - together.blasts.low) > 3 * (alone.blasts.high - alone.blasts.low)


def test_intervals_cover_slides_drawn_as_they_are_thought_to_be(rng):
    inside = 0
    for _ in range(300):
        truth = rng.poisson(20)
        blast = rng.random(truth) < 0.4
        seen = rng.random(truth) < rng.beta(60, 3)
        said = np.where(blast[seen], rng.beta(8, 2, seen.sum()), rng.beta(2, 8, seen.sum()))
        p = said**7 * (1 - said) * 0.4 / (said**7 * (1 - said) * 0.4 + said * (1 - said) ** 7 * 0.6)
        found = count_intervals(np.ones(seen.sum()), p, recall=(60.0, 3.0)).blasts
        inside += found.low <= blast.sum() <= found.high
    assert inside >= 0.93 * 300


def test_many_cells_agree_with_the_normal_limit(rng):
    p = rng.random(5000)
    found = count_intervals(np.ones(5000), p).blasts
    spread = 1.96 * np.sqrt((p * (1 - p)).sum())
    assert (found.high - found.low) / 2 == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"is_cell": [1.2], "is_blast": [0.5]},
        {"is_cell": [float("nan")], "is_blast": [0.5]},
        {"is_cell": [0.5, 0.5], "is_blast": [0.5]},
        {"is_cell": [0.5], "is_blast": [0.5], "shift": -1.0},
        {"is_cell": [0.5], "is_blast": [0.5], "level": 1.0},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(UsageError):
        count_intervals(**arguments)


def test_scores_are_read_between_points():
    finder = FinderReliability((50.0, 1.0), ((0.4, 0.5), (0.8, 1.0)))
    np.testing.assert_allclose(finder.are_cells([0.3, 0.6, 0.9]), [0.5, 0.75, 1.0])
    np.testing.assert_allclose(FinderReliability((50.0, 1.0)).are_cells([0.1]), [1.0])
    for recall, precision in (((0.0, 1.0), ()), ((1.0, 1.0), ((0.5, 0.9), (0.6, 0.8))), ((1.0, 1.0), ((0.5, 1.9),))):
        with pytest.raises(UsageError, match="finder's recall"):
            FinderReliability(recall, precision)
