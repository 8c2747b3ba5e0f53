"""Retrieval: what neighbours vote for, whose they may be, and an index that finds nearly what a search of all finds."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.neighbours import NeighbourSettings, OwnedVectors, Vote, find_neighbours, vote

A, B, C = 0, 1, 2


@pytest.mark.parametrize(
    ("labels", "tie", "wanted"),
    [
        ([A, A, A], "abstain", Vote(A, 1.0)),
        ([B, A, A], "abstain", Vote(A, 1 / 3)),
        ([B, A, A], "boyer_moore", Vote(A, 1 / 3)),
        ([A, B, C], "abstain", Vote(None, 0.0)),
        ([A, B, C], "nearest", Vote(A, 0.0)),
        ([A, B, C], "boyer_moore", Vote(C, 0.0)),
        ([A, B, B, A], "abstain", Vote(None, 0.0)),
        ([B, A, A, B], "nearest", Vote(B, 0.0)),
        ([A, B, B, C, C], "nearest", Vote(A, -1 / 5)),
        ([A, B, B, C], "abstain", Vote(None, 1 / 4)),
        ([C], "abstain", Vote(C, 1.0)),
    ],
)
def test_votes(labels, tie, wanted):
    said = vote(labels, tie)
    assert said.label == wanted.label
    assert said.margin == pytest.approx(wanted.margin)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_a_majority_wins_whatever_the_tie_rule(labels):
    majority = next((one for one in labels if 2 * labels.count(one) > len(labels)), None)
    said = {vote(labels, tie).label for tie in ("abstain", "nearest", "boyer_moore")}
    assert majority is None or said == {majority}
    assert majority is not None or vote(labels).label is None


def test_of_three_that_differ_the_released_vote_takes_the_farthest():
    for labels in itertools.permutations([A, B, C]):
        assert vote(list(labels), "boyer_moore").label == labels[2]


def of_nobody(vectors):
    return OwnedVectors(vectors, np.full((len(vectors), 2), -1))


def test_neighbours_are_the_nearest_near_to_far():
    reference = np.array([[0, 0], [3, 4], [1, 0], [0, 2]], np.float32)
    found = find_neighbours(of_nobody(np.zeros((1, 2), np.float32)), of_nobody(reference), NeighbourSettings())
    np.testing.assert_array_equal(found.rows, [[0, 2, 3]])
    np.testing.assert_allclose(found.distances, [[0, 1, 2]])


def test_of_equally_near_ones_the_first_are_taken(rng):
    reference = rng.integers(0, 3, (200, 2)).astype(np.float32)
    queries = rng.integers(0, 3, (30, 2)).astype(np.float32)
    found = find_neighbours(of_nobody(queries), of_nobody(reference), NeighbourSettings(k=7))
    far = np.linalg.norm(queries[:, None] - reference, axis=2)
    np.testing.assert_array_equal(found.rows, np.argsort(far, axis=1, kind="stable")[:, :7])


def test_the_order_of_all_known_patches_is_never_held_for_all_queries(rng):
    queries, reference = (of_nobody(rng.normal(size=(count, 2)).astype(np.float32)) for count in (600, 60_000))
    find_neighbours(queries.take(np.arange(1)), reference, NeighbourSettings(approximate_above=100_000))
    tracemalloc.start()
    try:
        found = find_neighbours(queries, reference, NeighbourSettings(approximate_above=100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.rows.shape == (600, 3)
    assert peak < 8 * 600 * 60_000  # the order of all known patches for each query


@pytest.mark.parametrize("approximate_above", [0, 50_000])
def test_neighbours_are_never_of_the_querys_own_patient_or_slide(approximate_above, rng):
    reference = rng.normal(size=(60, 4)).astype(np.float32)
    belongs = np.stack([np.arange(60) // 20, np.arange(60) // 5], axis=1)  # three patients of four slides
    belongs[:20, 0] = -1  # nobody knows whose the first four slides are: they are kept by slide
    settings = NeighbourSettings(k=5, approximate_above=approximate_above)
    patches = OwnedVectors(reference, belongs)
    found = find_neighbours(patches, patches, settings)
    for row, near in enumerate(found.rows):
        assert (belongs[near, 1] != belongs[row, 1]).all()
        assert row < 20 or (belongs[near, 0] != belongs[row, 0]).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()


@pytest.mark.parametrize("approximate_above", [0, 50_000])
def test_a_reference_without_others_is_refused(approximate_above):
    patches = OwnedVectors(np.zeros((4, 2), np.float32), np.zeros((4, 2), np.int64))
    with pytest.raises(UsageError, match="lower -k"):
        find_neighbours(patches, patches, NeighbourSettings(approximate_above=approximate_above))


def test_the_index_finds_nearly_all_of_the_true_neighbours(rng):
    # Vectors of a network lie near a surface of few dimensions; so do these.
    basis = rng.normal(size=(12, 64))
    reference = of_nobody((rng.normal(size=(6000, 12)) @ basis).astype(np.float32))
    queries = of_nobody((rng.normal(size=(200, 12)) @ basis).astype(np.float32))
    exact = find_neighbours(queries, reference, NeighbourSettings(k=5))
    found = find_neighbours(queries, reference, NeighbourSettings(k=5, approximate_above=5000))
    same = [len(set(one) & set(other)) for one, other in zip(exact.rows, found.rows, strict=True)]
    assert np.mean(same) / 5 > 0.95
    agree = exact.rows == found.rows
    np.testing.assert_allclose(found.distances[agree], exact.distances[agree], rtol=1e-3)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"tie": "coin"}, {"approximate_above": -1}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        NeighbourSettings(**wrong)
