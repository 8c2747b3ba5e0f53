"""A basis a class: what it spans, which item it leaves least of, how large it may be."""

import sys

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from tensorly.decomposition import tucker

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.train.hosvd import HosvdClassifier, class_basis, fit_hosvd, residuals
from wsi_patches.train.probe import probe

ROWS, FOLDS, SHAPE = 120, 4, (3, 3, 6)
NAMES = ("a", "b")


@pytest.fixture
def folds():
    return np.arange(ROWS) // 5 % FOLDS


def planes(rng, truth, noise=0.3):
    """Maps of two classes with the same mean, 0: each lies on a plane of its own, along row, column and channel."""
    flat = []
    for _ in NAMES:
        parts = [rng.normal(size=(side, 2)) for side in SHAPE]
        flat.append(np.stack([np.einsum("i,j,k", *(part[:, one] for part in parts)).ravel() for one in range(2)]))
    within = rng.normal(size=(len(truth), 2))
    maps = np.stack([where @ flat[label] for where, label in zip(within, truth, strict=True)])
    return (maps + noise * rng.normal(size=maps.shape)).astype(np.float32)


def test_of_vectors_the_basis_is_that_of_a_truncated_svd(rng):
    features = rng.normal(size=(12, 30))
    basis = class_basis(features, (30,), 4)
    expected = np.linalg.svd(features)[2][:4]
    np.testing.assert_allclose(np.abs(expected @ basis), np.eye(4), atol=1e-5)


def test_a_worked_example_by_hand():
    """Two samples of 2 x 2: one is all in a corner, one all in the other, half as long."""
    features = np.array([[2.0, 0, 0, 0], [0, 0, 0, 1.0]])
    basis = class_basis(features, (2, 2), 2)
    np.testing.assert_allclose(np.abs(basis), [[1, 0], [0, 0], [0, 0], [0, 1]], atol=1e-6)
    left = residuals(np.array([[3.0, 0, 0, 0], [0, 5, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]]), basis, (1, 2))
    np.testing.assert_allclose(left, [[0, 0], [1, 1], [0.5, 0], [0.75, 0.5]], atol=1e-6)


def test_modes_are_cut_and_the_columns_stay_at_right_angles(rng):
    features = planes(rng, np.zeros(20, int), noise=0.05)
    basis = class_basis(features, SHAPE, 3, share=0.95)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-5)
    tensor = basis.T.reshape(-1, *SHAPE)
    for mode in range(1, 4):
        unfolded = np.moveaxis(tensor, mode, 0).reshape(SHAPE[mode - 1], -1)
        assert np.linalg.matrix_rank(unfolded, tol=1e-4) <= 2
    whole = class_basis(features, SHAPE, 3)
    assert np.linalg.matrix_rank(np.moveaxis(whole.T.reshape(-1, *SHAPE), 3, 0).reshape(6, -1), tol=1e-4) > 2


def test_the_slices_of_the_core_are_those_of_tensorlys_own_decomposition(rng):
    """Without cuts the basis is that of the full higher-order SVD, the first slices of its core in samples' mode."""
    features = rng.normal(size=(7, 54))
    core, factors = tucker(features.T.reshape(*SHAPE, 7), [3, 3, 6, 7], init="svd", n_iter_max=1)
    slices = np.einsum("abcn,ia,jb,kc->ijkn", core, *factors[:3]).reshape(54, 7)
    basis = class_basis(features, SHAPE, 4)
    by_hand = slices / np.linalg.norm(slices, axis=0)
    np.testing.assert_allclose(np.abs(basis.T @ by_hand)[:, :4], np.eye(4), atol=1e-4)


def test_classes_that_no_line_tells_apart_are_told_by_what_their_bases_leave(rng, folds):
    truth = np.arange(ROWS) % 2
    features = planes(rng, truth)
    groups = np.arange(ROWS) // 5
    told = {
        kind: balanced_accuracy_score(truth, probe(features, truth, groups, folds, NAMES, kind, grid).argmax(axis=1))
        for kind, grid in (("linear", (0.1,)), ("hosvd", None))
    }
    assert told["hosvd"] > 0.9
    assert told["linear"] < 0.7


def test_on_shuffled_labels_it_is_at_chance(rng, folds):
    truth = np.arange(ROWS) % 2
    shuffled = rng.permutation(truth)
    said = probe(planes(rng, truth), shuffled, np.arange(ROWS) // 5, folds, NAMES, "hosvd", shape=SHAPE)
    assert balanced_accuracy_score(shuffled, said.argmax(axis=1)) == pytest.approx(0.5, abs=0.13)


def test_without_a_basis_of_its_own_a_class_is_never_told(rng, folds):
    """The idea taken away: with one basis for both, nothing is left to tell them by."""
    truth = np.arange(ROWS) % 2
    features = planes(rng, truth)
    model = fit_hosvd(features, truth, folds, 2, shape=SHAPE)
    own = balanced_accuracy_score(truth, model.predict_proba(features).argmax(axis=1))
    shared = HosvdClassifier(model.mean, model.std, (model.bases[0], model.bases[0]), model.choice)
    assert own > 0.9
    np.testing.assert_allclose(shared.predict_proba(features), 0.5)


def test_the_rank_is_that_of_the_planes_and_is_chosen_without_the_fold_that_is_predicted(rng, folds):
    truth = np.arange(ROWS) % 2
    features, held_out = planes(rng, truth), folds == 1
    assert fit_hosvd(features, truth, folds, 2, shape=SHAPE).choice.rank in (2, 4)
    other, changed = np.where(held_out, 1 - truth, truth), features.copy()
    changed[np.flatnonzero(held_out)[0]] *= 50
    groups = np.arange(ROWS) // 5
    before, labels, pixels = (
        probe(some, known, groups, folds, NAMES, "hosvd", shape=SHAPE)[held_out]
        for some, known in ((features, truth), (features, other), (changed, truth))
    )
    assert np.array_equal(before, labels)
    np.testing.assert_allclose(before[1:], pixels[1:], atol=1e-5)


def test_a_class_with_fewer_patches_than_the_rank_is_told(rng, folds):
    truth = np.where(np.arange(ROWS) % 20 == 0, 1, 0)
    with pytest.raises(UsageError, match="basis of 8 vectors a class was asked for, where a class has as few as 6"):
        fit_hosvd(planes(rng, truth), truth, folds, 2, (8,))
    assert fit_hosvd(planes(rng, truth), truth, folds, 2).choice.rank <= 4


def test_one_fold_to_learn_from_leaves_no_choice(rng):
    truth = np.arange(ROWS) % 2
    features = planes(rng, truth)
    assert fit_hosvd(features, truth, np.zeros(ROWS, int), 2, (2,)).choice.rank == 2
    halves = np.arange(ROWS) // 2 % 2
    said = probe(features, truth, np.arange(ROWS), halves, NAMES, "hosvd", (2,))
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(UsageError, match="needs 3 folds or more, found 2"):
        probe(features, truth, np.arange(ROWS), halves, NAMES, "hosvd")


def test_a_feature_that_never_varies_and_a_patch_of_zeros_are_no_trouble(rng, folds):
    truth = np.arange(ROWS) % 2
    features = planes(rng, truth)
    features[:, 3] = 7
    model = fit_hosvd(features, truth, folds, 2)
    assert np.isfinite(model.predict_proba(np.stack([model.mean, features[0]]))).all()


def test_without_tensorly_the_extra_is_named(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorly.base", None)
    with pytest.raises(MissingExtra, match=r"pip install 'wsi-patches\[selection\]'"):
        class_basis(rng.normal(size=(4, 6)), (6,), 2)
