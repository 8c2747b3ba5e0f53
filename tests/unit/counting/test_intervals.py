"""Intervals against published values and against their own limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.counting import blast_interval, fraction_interval, poisson_interval
from wsi_patches.errors import UsageError


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)])
def test_garwood(count, low, high):
    interval = poisson_interval(count)
    assert (interval.low, interval.high) == (pytest.approx(low, rel=1e-3), pytest.approx(high, rel=1e-3))


def test_wilson():
    interval = fraction_interval(0, 10)
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high == pytest.approx(0.2775, abs=1e-4)


@given(st.integers(0, 10**6), st.floats(0.5, 0.999))
def test_poisson_contains_its_count_and_grows(count, level):
    one, more = poisson_interval(count, level), poisson_interval(count + 1, level)
    assert one.low <= one.value <= one.high
    assert one.low <= more.low
    assert one.high < more.high


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_fractions_stay_between_0_and_1(pair):
    interval = fraction_interval(*pair)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@given(st.lists(st.floats(0, 1), max_size=30))
def test_blasts_contain_their_expectation(probabilities):
    interval = blast_interval(probabilities)
    assert 0 <= interval.low <= interval.value <= interval.high
    assert interval.value == pytest.approx(sum(probabilities))


@given(st.integers(0, 50), st.integers(0, 50))
def test_certain_blasts_have_the_poisson_interval(blasts, others):
    interval, poisson = blast_interval([1.0] * blasts + [0.0] * others), poisson_interval(blasts)
    assert interval.low == pytest.approx(poisson.low, rel=1e-6)
    assert interval.high == pytest.approx(poisson.high, rel=1e-6)


def test_doubt_widens_the_interval():
    sure, unsure = blast_interval([1.0] * 20 + [0.0] * 20), blast_interval([0.5] * 40)
    assert unsure.value == sure.value
    assert unsure.low < sure.low
    assert unsure.high > sure.high


def test_many_cells_agree_with_few(rng):
    p = rng.random(1000)
    few, many = blast_interval(p), blast_interval(np.append(p, np.zeros(1)))
    assert many.low == pytest.approx(few.low, rel=1e-3)
    assert many.high == pytest.approx(few.high, rel=1e-3)
    assert blast_interval(np.ones(5000)).low == pytest.approx(poisson_interval(5000).low, rel=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: poisson_interval(-1),
        lambda: poisson_interval(1, level=1.0),
        lambda: fraction_interval(1, 0),
        lambda: fraction_interval(3, 2),
        lambda: blast_interval([1.2]),
        lambda: blast_interval([float("nan")]),
    ],
)
def test_values_out_of_range_are_refused(call):
    with pytest.raises(UsageError):
        call()
