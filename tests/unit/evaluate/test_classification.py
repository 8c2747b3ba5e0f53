"""Classes and probabilities against scikit-learn, torchmetrics and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torchmetrics.classification import MulticlassCalibrationError

from tests.unit.evaluate.small_results import made
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.bootstrap import GroupBootstrap
from wsi_patches.evaluate.classification import measure_classes, paired_difference
from wsi_patches.evaluate.predictions import Predictions


def test_figures_are_those_of_scikit_learn_and_torchmetrics(rng):
    p = made(rng)
    result = measure_classes(p, draws=50)
    got = {name: metric.value for name, metric in result.metrics.items()}
    probabilities = p.probabilities.astype(float)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    ece = MulticlassCalibrationError(3, n_bins=15)(torch.from_numpy(probabilities), torch.from_numpy(p.truth).long())
    assert got == pytest.approx(
        {
            "accuracy": sk.accuracy_score(p.truth, p.predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(p.truth, p.predicted),
            "macro_f1": sk.f1_score(p.truth, p.predicted, average="macro"),
            "macro_roc_auc": sk.roc_auc_score(p.truth, probabilities, multi_class="ovr"),
            "log_loss": sk.log_loss(p.truth, probabilities),
            "calibration_error": float(ece),
        }
    )
    assert (result.confusion == sk.confusion_matrix(p.truth, p.predicted)).all()
    precision, recall, f1, support = sk.precision_recall_fscore_support(p.truth, p.predicted)
    for k, row in enumerate(result.classes):
        assert row.support == support[k]
        assert row.metrics["precision"].value == pytest.approx(precision[k])
        assert row.metrics["recall"].value == pytest.approx(recall[k])
        assert row.metrics["f1"].value == pytest.approx(f1[k])
        assert row.metrics["roc_auc"].value == pytest.approx(sk.roc_auc_score(p.truth == k, p.probabilities[:, k]))
        expected = sk.average_precision_score(p.truth == k, p.probabilities[:, k])
        assert row.metrics["average_precision"].value == pytest.approx(expected)


def test_each_draw_is_scikit_learns_figure_of_the_drawn_rows(rng):
    p = made(rng)
    result = measure_classes(p, draws=8, seed=5)
    bootstrap = GroupBootstrap.of(p.groups, 8, 5)
    for draw in range(8):
        rows = bootstrap.rows(draw)
        truth, predicted, probabilities = p.truth[rows], p.predicted[rows], p.probabilities[rows]
        got = {name: metric.draws[draw] for name, metric in result.metrics.items()}
        assert got["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted))
        assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
        assert got["macro_f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
        areas = [sk.roc_auc_score(truth == k, probabilities[:, k]) for k in range(3)]
        assert got["macro_roc_auc"] == pytest.approx(np.mean(areas))
        exact = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=float)
        assert got["log_loss"] == pytest.approx(sk.log_loss(truth, exact))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 6))
def test_figures_stay_in_their_range_and_do_not_depend_on_order(seed, classes, groups):
    rng = np.random.default_rng(seed)
    p = made(rng, 30, classes, groups)
    order = rng.permutation(30)
    shuffled = Predictions(p.class_names, p.ids[order], p.groups[order], p.truth[order], p.probabilities[order])
    one, other = (measure_classes(some, draws=10) for some in (p, shuffled))
    for name, metric in one.metrics.items():
        figures = (metric.value, metric.interval.low, metric.interval.high)
        again = other.metrics[name].interval
        assert (again.value, again.low, again.high) == pytest.approx(figures, nan_ok=True)
        if name != "log_loss":
            assert all(np.isnan(figure) or 0 <= figure <= 1 for figure in figures)


def test_a_class_that_is_absent_from_the_truth_is_said_and_left_out_of_means():
    truth = np.array([0, 0, 1, 1], np.int32)
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]], np.float32)
    result = measure_classes(Predictions(("x", "y", "z"), np.arange(4).astype(str), np.array(list("abcd")), truth, p))
    assert result.metrics["balanced_accuracy"].value == pytest.approx((0.5 + 1) / 2)
    assert result.metrics["macro_f1"].value == pytest.approx((2 / 3 + 1) / 2)
    absent = result.classes[2]
    assert absent.support == 0
    assert absent.metrics["precision"].value == 0
    assert np.isnan(absent.metrics["recall"].value)
    assert np.isnan(absent.metrics["roc_auc"].value)
    assert "No patch is truly z: it has no recall, and is left out of means." in result.warnings


def test_one_true_class_leaves_the_area_undefined(rng):
    p = made(rng, 20)
    same = Predictions(p.class_names, p.ids, p.groups, np.zeros(20, np.int32), p.probabilities)
    result = measure_classes(same, draws=10)
    assert np.isnan(result.metrics["macro_roc_auc"].value)
    assert any("Only one class" in warning for warning in result.warnings)


def test_a_class_of_one_group_is_said(rng):
    p = made(rng, 60, groups=20)
    groups = np.where(p.truth == 1, "lonely", p.groups)
    result = measure_classes(
        Predictions(p.class_names, p.ids, groups, p.truth, p.probabilities), draws=60, group_kind="patient"
    )
    assert any("is of one patient" in warning for warning in result.warnings)
    assert result.metrics["balanced_accuracy"].undefined_draws > 5
    assert result.classes[0].metrics["recall"].undefined_draws == 0


def test_a_better_classifier_is_better_draw_by_draw(rng):
    p = made(rng, 200, strength=0.5)
    guess = Predictions(p.class_names, p.ids, p.groups, p.truth, np.full((200, 3), 1 / 3, np.float32))
    good, chance = measure_classes(p, draws=100), measure_classes(guess, draws=100)
    difference = paired_difference(good, chance, "balanced_accuracy")
    assert difference.value == pytest.approx(good.metrics["balanced_accuracy"].value - 1 / 3)
    assert 0 < difference.interval.low < difference.value < difference.interval.high
    same = paired_difference(good, good, "balanced_accuracy").interval
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_only_the_same_patches_are_compared(rng):
    p = made(rng)
    fewer = Predictions(p.class_names, p.ids[:60], p.groups[:60], p.truth[:60], p.probabilities[:60])
    one = measure_classes(p, draws=5)
    for other in (measure_classes(fewer, draws=5), measure_classes(p, draws=6), measure_classes(p, draws=5, seed=1)):
        with pytest.raises(UsageError, match="same patches"):
            paired_difference(one, other, "accuracy")


def test_one_class_is_no_classification(rng):
    p = made(rng, 5)
    with pytest.raises(UsageError, match="two or more classes"):
        measure_classes(Predictions(("a",), p.ids, p.groups, np.zeros(5, np.int32), np.ones((5, 1), np.float32)))
