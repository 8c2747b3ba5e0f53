"""Counts and calls of slides."""

import numpy as np
import pytest
from sklearn import metrics as sk

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.slides import SlideCounts, measure_slides

IDS = np.array(["a", "b", "c", "d"])
PREDICTED, TRUE = np.array([10.0, 0, 6, 3]), np.array([8.0, 0, 8, 4])


def values(result):
    return {name: metric.value for name, metric in result.metrics.items()}


def test_counts_by_hand():
    low, high = np.array([5, 0, 3, np.nan]), np.array([18, 3, 7, np.nan])
    result = measure_slides(SlideCounts(IDS, IDS, PREDICTED, TRUE, low, high), draws=50)
    found = values(result)
    assert found["count_mae"] == pytest.approx(5 / 4)
    assert found["count_bias"] == pytest.approx(-1 / 4)
    assert found["relative_error"] == pytest.approx((2 / 8 + 2 / 8 + 1 / 4) / 3)
    assert result.metrics["relative_error"].n == 3
    assert found["interval_coverage"] == pytest.approx(2 / 3)
    assert "sensitivity" not in found


def test_calls_are_those_of_scikit_learn(rng):
    n = 60
    positive = rng.random(n) < 0.4
    score = np.round(rng.random(n) * 0.6 + positive * 0.4, 2)
    names = np.arange(n).astype(str)
    counts = SlideCounts(names, names, np.zeros(n), positive=positive, score=score)
    result = measure_slides(counts, 0.6, draws=30)
    called = score >= 0.6
    assert values(result) == pytest.approx(
        {
            "sensitivity": sk.recall_score(positive, called),
            "specificity": sk.recall_score(positive, called, pos_label=False),
            "balanced_accuracy": sk.balanced_accuracy_score(positive, called),
            "roc_auc": sk.roc_auc_score(positive, score),
        }
    )
    for metric in result.metrics.values():
        assert metric.interval.low <= metric.value <= metric.interval.high


def test_without_a_score_half_a_cell_makes_a_slide_positive():
    positive = np.array([True, False, False, True])
    found = values(measure_slides(SlideCounts(IDS, IDS, PREDICTED, TRUE, positive=positive), draws=10))
    assert (found["sensitivity"], found["specificity"], found["balanced_accuracy"]) == (1, 0.5, 0.75)
    assert found["roc_auc"] == 0.75


def test_all_positive_slides_have_no_specificity():
    result = measure_slides(SlideCounts(IDS, IDS, PREDICTED, positive=np.ones(4, bool)), draws=10)
    assert np.isnan(result.metrics["specificity"].value)
    assert np.isnan(result.metrics["roc_auc"].value)
    assert result.metrics["sensitivity"].value == 0.75


def test_one_slide_has_figures_but_no_interval():
    result = measure_slides(SlideCounts(IDS[:1], IDS[:1], PREDICTED[:1], TRUE[:1]))
    assert result.metrics["count_mae"].value == 2
    assert not result.metrics["count_mae"].has_interval
    assert np.isnan(result.metrics["count_limit_low"].value)


def test_columns_are_checked():
    with pytest.raises(UsageError, match=r"true of shape \(3,\)"):
        SlideCounts(IDS, IDS, PREDICTED, TRUE[:3])
    with pytest.raises(UsageError, match="slide b has no number for predicted"):
        SlideCounts(IDS, IDS, np.array([1, np.nan, 2, 3]), TRUE)
    with pytest.raises(UsageError, match="both ends"):
        SlideCounts(IDS, IDS, PREDICTED, TRUE, low=TRUE)
    with pytest.raises(UsageError, match="only against true counts"):
        SlideCounts(IDS, IDS, PREDICTED)
