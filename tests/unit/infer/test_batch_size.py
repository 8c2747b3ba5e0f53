"""Finding the batch size from how long batches took."""

import pytest

from wsi_patches.infer.engine_settings import FIRST, TURNS, BatchSize


def run(size, rate, batches=100):
    """Let batches of the present size run, where ``rate`` says how many patches a second a size does."""
    for _ in range(batches):
        size.ran(size.value, size.value / rate(size.value))
    return size.value


def test_it_doubles_while_that_is_faster():
    best = 4 * FIRST

    assert run(BatchSize(None, 1024), lambda value: min(value, best)) == best


def test_it_stays_small_where_nothing_is_gained():
    assert run(BatchSize(None, 1024), lambda value: 100) == FIRST


def test_it_stops_at_the_most():
    assert run(BatchSize(None, 8 * FIRST), lambda value: value) == 8 * FIRST


def test_a_slow_first_batch_of_a_size_does_not_count():
    size = BatchSize(None, 1024)
    for value in (FIRST, 2 * FIRST):
        size.ran(value, 1000.0)
        for _ in range(TURNS - 1):
            size.ran(value, 1.0)

    assert size.value == 4 * FIRST


@pytest.mark.parametrize("patches", [1, FIRST - 1, 2 * FIRST])
def test_batches_of_another_size_tell_nothing(patches):
    size = BatchSize(None, 1024)
    for _ in range(10):
        size.ran(patches, 1.0)

    assert size.value == FIRST


def test_a_size_that_was_asked_for_is_never_doubled():
    assert run(BatchSize(7, 1024), lambda value: value) == 7


def test_where_memory_was_short_it_is_halved_for_good():
    size = BatchSize(None, 1024)
    run(size, lambda value: value, TURNS)
    size.halve(size.value)

    assert run(size, lambda value: value) == FIRST
    size.halve(5)
    assert size.value == 2
    size.halve(1)
    assert size.value == 1
