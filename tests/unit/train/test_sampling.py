"""Rare classes are weighed, drawn and grown as asked, and nothing is lost on the way."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.train.sampling import balanced_draws, check_smote, class_weights, oversampled, smote

TRUTH = np.repeat([0, 1, 2], [90, 9, 1])
some_classes = st.lists(st.integers(0, 2), min_size=3, max_size=60).map(lambda rest: np.array([0, 1, 2, *rest]))


def test_inverse_weights_make_the_classes_equal():
    weights = class_weights(TRUTH, 3)

    sums = [weights[one] * (one == TRUTH).sum() for one in range(3)]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-5)
    assert weights.dtype == np.float32


def test_effective_weights_are_those_of_the_paper():
    weights = class_weights(TRUTH, 3, "effective")

    raw = [(1 - 0.999) / (1 - 0.999**count) for count in (90, 9, 1)]
    assert weights / weights[0] == pytest.approx(np.array(raw) / raw[0], rel=1e-5)
    assert weights[2] / weights[0] < class_weights(TRUTH, 3)[2] / class_weights(TRUTH, 3)[0]


@given(some_classes, st.sampled_from(["none", "inverse", "effective"]))
def test_the_mean_weight_of_the_samples_is_one(truth, kind):
    assert class_weights(truth, 3, kind)[truth].mean() == pytest.approx(1, rel=1e-5)


@given(some_classes, st.integers(0, 40), st.integers(0, 9))
def test_oversampling_reaches_the_count_and_loses_nobody(truth, count, seed):
    positions = oversampled(truth, 3, count, seed)

    assert set(positions.tolist()) == set(range(len(truth)))
    for one in range(3):
        members = positions[truth[positions] == one]
        assert len(members) == max(count, (truth == one).sum())
        times = np.bincount(members)[np.flatnonzero(truth == one)]
        assert times.max() - times.min() <= 1
    assert np.array_equal(positions, oversampled(truth, 3, count, seed))


def test_draws_are_balanced_by_class_and_then_by_group():
    truth = np.array([0] * 50 + [0] * 2 + [1] * 8)
    groups = np.array(["many"] * 50 + ["few"] * 2 + ["many"] * 4 + ["other"] * 4)

    drawn = balanced_draws(truth, groups, 400, 1)

    pairs = [(int(truth[one]), str(groups[one])) for one in drawn]
    assert {pair: pairs.count(pair) for pair in set(pairs)} == {
        (0, "many"): 100, (0, "few"): 100, (1, "many"): 100, (1, "other"): 100,
    }  # fmt: skip
    times = np.bincount(drawn, minlength=60)
    assert set(times[:50].tolist()) == {2}
    assert set(times[50:52].tolist()) == {50}


@given(some_classes, st.integers(0, 80), st.integers(0, 9))
def test_draws_are_as_many_as_asked_and_seeded(truth, count, seed):
    groups = np.arange(len(truth)) % 4

    drawn = balanced_draws(truth, groups, count, seed)

    assert len(drawn) == count
    assert np.array_equal(drawn, balanced_draws(truth, groups, count, seed))
    shares = np.bincount(truth[drawn], minlength=3)
    assert shares.max() - shares.min() <= 1


def test_another_seed_draws_in_another_order():
    groups = np.zeros(100, int)

    assert not np.array_equal(balanced_draws(TRUTH, groups, 50, 0), balanced_draws(TRUTH, groups, 50, 1))


def test_smote_grows_rare_classes_between_their_neighbours(rng):
    truth = np.repeat([0, 1], [60, 8])
    features = rng.normal(size=(68, 4)).astype(np.float32) + 20 * truth[:, None].astype(np.float32)

    grown, classes = smote(features, truth, 1)

    assert np.bincount(classes).tolist() == [60, 60]
    assert np.array_equal(grown[:68], features)
    assert np.array_equal(classes[:68], truth)
    rare, made = features[60:], grown[68:]
    assert (made >= rare.min(axis=0) - 1e-4).all()
    assert (made <= rare.max(axis=0) + 1e-4).all()
    assert grown.dtype == np.float32
    assert np.array_equal(smote(features, truth, 1)[0], grown)
    assert not np.array_equal(smote(features, truth, 2)[0], grown)


def test_what_cannot_be_balanced_is_refused(rng, monkeypatch):
    with pytest.raises(UsageError, match="class 3 has no sample"):
        class_weights(TRUTH, 4)
    with pytest.raises(UsageError, match="2 classes"):
        oversampled(TRUTH, 2, 5, 0)
    with pytest.raises(UsageError, match="no class weights 'sqrt'"):
        class_weights(TRUTH, 3, "sqrt")
    with pytest.raises(UsageError, match="found 100 samples, 3 groups"):
        balanced_draws(TRUTH, [1, 2, 3], 5, 0)
    with pytest.raises(UsageError, match="0: 90, 1: 9, 2: 1"):
        smote(rng.random((100, 2), np.float32), TRUTH, 0)
    with pytest.raises(UsageError, match="two classes"):
        smote(rng.random((9, 2), np.float32), np.zeros(9, int), 0)
    with pytest.raises(UsageError, match=r"6 patches or more of each class .* found 1 of basophil: give more"):
        check_smote(TRUTH, ("blast", "other", "basophil"))
    check_smote([0] * 3 + [1] * 3, ("none", "grows"))
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    for refused in (lambda: smote(rng.random((9, 2), np.float32), np.zeros(9, int), 0), lambda: check_smote([0], "a")):
        with pytest.raises(MissingExtra, match="SMOTE needs imblearn"):
            refused()
