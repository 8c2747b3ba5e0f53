"""Draws of shares of types: what a sample and a classifier's confusion leave open."""

import numpy as np
import pytest

from wsi_patches.counting.type_shares import draw_shares
from wsi_patches.errors import UsageError

CONFUSED = np.array([[80, 20, 0], [30, 70, 0], [0, 0, 100]])


def widths(draws):
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return high - low


def test_draws_are_shares_and_the_same_again():
    draws = draw_shares([10, 5, 0], CONFUSED, draws=33, seed=1)
    assert draws.shape == (33, 3)
    assert draws.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(draws, draw_shares([10, 5, 0], CONFUSED, draws=33, seed=1))


@pytest.mark.parametrize("confusion", [None, CONFUSED])
def test_few_cells_leave_more_open_than_many(confusion):
    few, many = (widths(draw_shares(np.array([2, 2, 1]) * n, confusion, 400)) for n in (4, 100))
    assert (few > 1.8 * many).all()


def test_types_that_are_taken_for_each_other_leave_more_open_than_the_sample_alone():
    counts = np.array([200, 200, 100])
    alone, confused = (widths(draw_shares(counts, one, 400)) for one in (None, CONFUSED))
    assert (confused[:2] > 1.5 * alone[:2]).all()
    assert confused[2] == pytest.approx(alone[2], rel=0.3)


def test_the_true_shares_are_found_though_the_classifier_was_measured_on_others():
    true = np.array([0.9, 0.05, 0.05])  # CONFUSED was counted on equal numbers of each
    said = true @ (CONFUSED / 100)
    drawn = draw_shares(np.round(said * 4000).astype(int), CONFUSED * 50, 400).mean(axis=0)
    assert drawn == pytest.approx(true, abs=0.03)
    assert abs(said[0] - true[0]) > 0.15  # as counted they are far off


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, inside = np.random.default_rng(0), []
    for seed in range(120):
        true = rng.dirichlet([1, 1, 1])
        said = rng.multinomial(60, true @ (CONFUSED / 100))
        low, high = np.percentile(draw_shares(said, CONFUSED, 200, seed), [2.5, 97.5], axis=0)
        inside += ((low <= true) & (true <= high)).tolist()
    assert 0.9 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize(("counts", "confusion"), [([0, 0], None), ([3, -1], None), ([1, 2], CONFUSED)])
def test_nothing_is_drawn_from_nothing(counts, confusion):
    with pytest.raises(UsageError, match="shares are drawn from one cell or more"):
        draw_shares(counts, confusion)
