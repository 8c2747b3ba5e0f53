"""The door to scikit-learn, torchmetrics and matplotlib."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from wsi_patches.errors import MissingExtra
from wsi_patches.evaluate import scores

MODULES = "agreement album bootstrap classification comparison detection gallery page pictures predictions_file slides"


def test_the_libraries_of_the_extra_are_loaded_only_when_a_score_is_asked_for():
    imports = "; ".join(f"import wsi_patches.evaluate.{name}" for name in [*MODULES.split(), "tables", "scores"])
    heavy = "{'sklearn', 'torchmetrics', 'matplotlib', 'torch'} & set(sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; {imports}; print({heavy})"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


def test_who_lacks_the_extra_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtra, match=r"wsi-patches\[train\]"):
        scores.class_scores(np.eye(2))


@given(arrays(np.int64, st.integers(2, 4).map(lambda n: (n, n)), elements=st.integers(0, 5)))
def test_a_confusion_matrix_scores_like_its_rows(confusion):
    rows = np.repeat(np.indices(confusion.shape).reshape(2, -1), confusion.ravel(), axis=1)
    found = scores.class_scores(confusion)
    if not rows.size:
        assert np.isnan(found).all()
        return
    expected = precision_recall_fscore_support(*rows, labels=range(len(confusion)), zero_division=np.nan)
    assert np.allclose(found, expected[:3], equal_nan=True)
    present = confusion.sum(axis=1) > 0
    if present.sum() > 1 and confusion[:, ~present].sum() == 0:
        assert found.recall[present].mean() == pytest.approx(balanced_accuracy_score(*rows))


def test_areas_are_undefined_where_a_kind_has_no_weight():
    positive, score = np.array([True, False, False]), np.array([0.9, 0.1, 0.8])
    assert scores.roc_auc(positive, score, np.ones(3)) == 1
    assert np.isnan(scores.roc_auc(positive, score, np.array([0.0, 1, 1])))
    assert np.isnan(scores.roc_auc(positive, score, np.array([2.0, 0, 0])))
    assert np.isnan(scores.average_precision(positive, score, np.array([0.0, 1, 1])))
    assert scores.average_precision(positive, score, np.array([1.0, 0, 0])) == 1


@given(st.data(), st.integers(2, 4), st.integers(0, 5))
def test_several_matrices_score_as_each_by_itself(data, classes, count):
    confusions = data.draw(arrays(np.int64, (count, classes, classes), elements=st.integers(0, 3)))
    together = scores.class_scores(confusions)
    for row, confusion in enumerate(confusions):
        for figure, alone in zip(together, scores.class_scores(confusion), strict=True):
            np.testing.assert_array_equal(figure[row], alone)


@given(st.data(), st.integers(2, 40))
def test_f1_of_a_curve_is_that_of_calls_at_each_threshold(data, rows):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    positive, score = rng.random(rows) < 0.5, rng.integers(0, 8, rows) / 8
    positive[:1] = True
    curve = scores.precision_recall(positive, score)
    for threshold, f1 in zip(curve.threshold, scores.f1_of(curve), strict=True):
        assert f1 == pytest.approx(f1_score(positive, score >= threshold, zero_division=0.0))
