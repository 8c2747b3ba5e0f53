"""Probes learn what is there, nothing where nothing is, and never see the fold that they predict."""

import sys

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.torch_data import ArrayPatches
from wsi_patches.train.probe import colour_baseline, probe

NAMES = ("a", "b", "c")
ROWS, DIM, FOLDS = 180, 8, 4
KINDS = pytest.mark.parametrize("kind", ["linear", "knn"])


@pytest.fixture
def truth(rng):
    return rng.integers(0, len(NAMES), ROWS)


@pytest.fixture
def groups():
    """Twenty patients of nine patches each."""
    return np.array([f"patient{row // 9}" for row in range(ROWS)])


@pytest.fixture
def folds():
    return np.arange(ROWS) // 9 % FOLDS


@pytest.fixture
def features(rng, truth):
    """Noise of all scales, and a class in two of the columns."""
    noise = rng.normal(size=(ROWS, DIM)) * np.logspace(-3, 3, DIM)
    noise[:, [0, -1]] += 6 * noise[:, [0, -1]].std(axis=0) * np.eye(len(NAMES))[:, :2][truth]
    return noise.astype(np.float32)


@KINDS
def test_what_separates_the_classes_is_learned(features, truth, groups, folds, kind):
    probabilities = probe(features, truth, groups, folds, NAMES, kind)

    assert probabilities.dtype == np.float32
    assert balanced_accuracy_score(truth, probabilities.argmax(axis=1)) > 0.9
    ids = np.arange(ROWS).astype(str)
    assert len(Predictions(NAMES, ids, groups, truth.astype(np.int32), probabilities)) == ROWS


@KINDS
def test_on_shuffled_labels_it_is_at_chance(features, truth, groups, folds, rng, kind):
    shuffled = rng.permutation(truth)

    probabilities = probe(features, shuffled, groups, folds, NAMES, kind)

    assert balanced_accuracy_score(shuffled, probabilities.argmax(axis=1)) == pytest.approx(1 / 3, abs=0.12)


@KINDS
def test_labels_of_a_fold_do_not_change_what_is_predicted_for_it(features, truth, groups, folds, rng, kind):
    held_out = folds == 2
    other = np.where(held_out, rng.integers(0, len(NAMES), ROWS), truth)

    before, after = (probe(features, labels, groups, folds, NAMES, kind) for labels in (truth, other))

    assert np.array_equal(before[held_out], after[held_out])
    assert not np.array_equal(before[~held_out], after[~held_out])


@KINDS
def test_features_of_a_fold_do_not_scale_one_another(features, truth, groups, folds, kind):
    held_out = np.flatnonzero(folds == 2)
    changed = features.copy()
    changed[held_out[0]] *= 1e4

    before, after = (probe(some, truth, groups, folds, NAMES, kind) for some in (features, changed))

    np.testing.assert_allclose(before[held_out[1:]], after[held_out[1:]], atol=1e-6)


def test_the_penalty_is_chosen_by_the_training_folds(features, truth, groups, folds):
    chosen = probe(features, truth, groups, folds, NAMES, grid=(1e-6, 0.1))

    assert np.array_equal(chosen, probe(features, truth, groups, folds, NAMES, grid=(0.1,)))


def test_neighbours_vote(groups, folds):
    """Each patch has its like in the same direction, whatever its length, and more of another class elsewhere."""
    angle = np.arange(ROWS) % 3 * 2.0
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.linspace(20, 50, ROWS)[:, None]

    probabilities = probe(features, np.arange(ROWS) % 3, groups, folds, NAMES, "knn", grid=(1, 3))

    assert np.array_equal(probabilities.argmax(axis=1), np.arange(ROWS) % 3)


def test_colour_alone_tells_red_from_blue(groups, folds, rng):
    images = rng.integers(0, 200, (ROWS, 6, 6, 3), dtype=np.uint8)
    truth = np.arange(ROWS) % 2
    images[truth == 1, ..., 0] += 55

    probabilities = colour_baseline(ArrayPatches(images), truth, groups, folds, ("blue", "red"))

    assert balanced_accuracy_score(truth, probabilities.argmax(axis=1)) > 0.9


def test_a_rare_class_may_be_absent_from_a_fold(features, truth, groups, folds):
    rare = np.where(np.isin(folds, [0, 1]), truth, truth % 2)

    probabilities = probe(features, rare, groups, folds, NAMES)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "forest"}, "no probe 'forest': choose from linear, knn"),
        ({"truth": np.zeros(3, int)}, r"was given truth of shape \(3,\)"),
        ({"truth": np.full(ROWS, 3)}, r"classes 3\.\.3 were given to a probe of 3 classes"),
        ({"groups": np.zeros(ROWS)}, r"group 0\.0 lies in folds 0, 1, 2, 3"),
        ({"folds": np.zeros(ROWS, int)}, "needs 3 folds or more, found 1"),
        ({"truth": np.zeros(ROWS, int)}, "fold 0 cannot be predicted, no other fold holds b, c"),
        ({"features": np.zeros((0, DIM))}, "there is no patch to probe"),
        ({"grid": ()}, "grid is one or more numbers above 0"),
        ({"grid": (0.0, 1.0)}, "grid is one or more numbers above 0"),
        ({"kind": "knn", "grid": (136,)}, "136 neighbours were asked for where as few as 135 patches"),
    ],
)
def test_what_cannot_be_probed_is_told(features, truth, groups, folds, change, message):
    given = {"features": features, "truth": truth, "groups": groups, "folds": folds, "class_names": NAMES}

    with pytest.raises(UsageError, match=message):
        probe(**{**given, **change})


def test_folds_that_leave_one_class_to_choose_by_are_told(features, groups):
    folds = np.arange(ROWS) // 9 % 3
    truth = np.where(folds < 2, np.arange(ROWS) % 2, 1)

    with pytest.raises(UsageError, match="beside folds 0 and 1 there is one class alone"):
        probe(features, truth, groups, folds, NAMES[:2])
    assert probe(features, truth, groups, folds, NAMES[:2], grid=(0.1,)).shape == (ROWS, 2)


def test_without_scikit_learn_the_extra_is_named(features, truth, groups, folds, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)

    with pytest.raises(MissingExtra, match=r"pip install 'wsi-patches\[train\]'"):
        probe(features, truth, groups, folds, NAMES)
