"""Draws of groups and the intervals that they give."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.bootstrap import GroupBootstrap, group_draws, percentile_interval
from wsi_patches.evaluate.result import Sampling, plural, sampling_warnings

GROUPS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30)


@given(GROUPS, st.integers(0, 20), st.integers(0, 5))
def test_each_draw_takes_as_many_groups_as_there_are(groups, draws, seed):
    drawn = group_draws(groups, draws, seed)
    count = len(set(groups))
    assert drawn.shape == (draws if count > 1 else 0, count)
    assert (drawn.sum(axis=1) == count).all()
    assert (drawn == group_draws(sorted(groups), draws, seed)).all()


def test_a_longer_run_begins_like_a_shorter_one():
    assert (group_draws(list("abcd"), 50, 3)[:20] == group_draws(list("abcd"), 20, 3)).all()
    assert (group_draws(list("abcd"), 50, 3) != group_draws(list("abcd"), 50, 4)).any()


@given(GROUPS)
def test_weighted_sums_are_the_sums_of_the_drawn_rows(groups):
    bootstrap = GroupBootstrap.of(groups, draws=5, seed=1)
    values = np.arange(2 * len(groups), dtype=float).reshape(-1, 2)
    labels = np.arange(len(groups)) % 3
    totals, tallies = bootstrap.totals(values), bootstrap.tallies(labels, 3)
    for draw in range(len(bootstrap.counts)):
        rows = bootstrap.rows(draw)
        assert (np.bincount(rows, minlength=len(groups)) == bootstrap.weights(draw)).all()
        assert np.allclose(totals[draw], values[rows].sum(axis=0))
        assert (tallies[draw] == np.bincount(labels[rows], minlength=3)).all()


def test_an_interval_is_the_percentiles_of_the_defined_draws():
    drawn = np.append(np.arange(101.0), [np.nan] * 50)
    interval = percentile_interval(40, drawn)
    assert (interval.value, interval.low, interval.high) == (40, 2.5, 97.5)


def test_one_group_or_no_defined_draw_gives_no_interval():
    one = GroupBootstrap.of(["a", "a"]).metric(0.5, [])
    assert one.value == 0.5
    assert not one.has_interval
    assert math.isnan(percentile_interval(0.5, np.full(9, np.nan)).high)
    assert math.isnan(percentile_interval(math.nan, np.ones(9)).low)


def test_the_interval_of_a_mean_is_about_its_normal_one(rng):
    groups = np.arange(400)
    values = rng.normal(size=400)
    bootstrap = GroupBootstrap.of(groups, 2000, 0)
    interval = bootstrap.metric(values.mean(), bootstrap.totals(values) / 400).interval
    error = values.std() / 20
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_rows_of_one_group_are_not_independent():
    value = np.repeat([0.0, 1.0] * 5, 100)
    by_group = GroupBootstrap.of(np.repeat(np.arange(10), 100), 500)
    by_row = GroupBootstrap.of(np.arange(1000), 500)
    honest, flattering = (one.metric(0.5, one.totals(value) / 1000).interval for one in (by_group, by_row))
    assert honest.high - honest.low > 5 * (flattering.high - flattering.low)


def test_a_metric_of_some_rows_says_how_many():
    bootstrap = GroupBootstrap.of(["a", "a", "b"], 10)
    metric = bootstrap.metric(0.0, np.zeros(10), np.array([True, True, False]))
    assert (metric.n, metric.groups) == (2, 1)


def test_nothing_cannot_be_measured():
    with pytest.raises(UsageError, match="nothing to measure"):
        GroupBootstrap.of([])
    with pytest.raises(UsageError, match="draws must be 0 or more"):
        GroupBootstrap.of(["a", "b"], -1)


def test_few_groups_and_undefined_draws_are_said():
    metric = GroupBootstrap.of(list("abc"), 4).metric(1.0, [1, np.nan, 1, 1])
    some = Sampling(3, "patch", 3, "patient", 4, 4, 0)
    rough, left_out, same = sampling_warnings(some, {"recall": metric})
    assert "Only 3 patients" in rough
    assert "recall 1 of 4" in left_out
    assert "no width: recall" in same
    (alone,) = sampling_warnings(Sampling(9, "field", 1, "slide", 0, 0, 0), {})
    assert "one slide" in alone


def test_plurals():
    assert plural(1, "patch") == "1 patch"
    assert plural(2, "patch") == "2 patches"
    assert plural(3, "block of file order") == "3 blocks of file order"
    assert plural(40, "query") == "40 queries"
    assert plural(2, "day") == "2 days"
