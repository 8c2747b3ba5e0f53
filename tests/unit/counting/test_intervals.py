"""The interval of a share against published values and against its own limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.counting import fraction_interval
from wsi_patches.errors import UsageError


def test_wilson():
    interval = fraction_interval(0, 10)
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high == pytest.approx(0.2775, abs=1e-4)


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_fractions_stay_between_0_and_1(pair):
    interval = fraction_interval(*pair)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.parametrize("arguments", [(1, 0), (3, 2), (-1, 2), (1, 2, 1.0)])
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(UsageError):
        fraction_interval(*arguments)
