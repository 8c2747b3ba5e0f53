"""Found cells against annotated ones, by hand and by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tests.unit.evaluate.small_results import FIELDS, field
from wsi_patches.counting import assign_points_to_points
from wsi_patches.errors import UsageError
from wsi_patches.evaluate.detection import FieldDetections, measure_detection


def values(result):
    return {name: metric.value for name, metric in result.metrics.items()}


def test_figures_by_hand():
    found = values(measure_detection(FIELDS, draws=20))
    assert (found["true_positives"], found["false_positives"], found["misses"]) == (3, 2, 2)
    assert found["precision"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx(3 / 5)
    # Each step of recall is 1/5; precision there is 1, 2/3 and 3/4.
    assert found["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert (found["count_mae"], found["count_bias"]) == (0, 0)


def test_a_threshold_leaves_points_out_but_not_out_of_the_curve():
    result = measure_detection(FIELDS, 0.7, draws=20)
    found = values(result)
    assert (found["true_positives"], found["false_positives"], found["misses"]) == (2, 1, 3)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    assert found["count_bias"] == pytest.approx(-1)
    # Differences of -1 and -1: no spread.
    assert (found["count_limit_low"], found["count_limit_high"]) == (-1, -1)
    assert result.curve.threshold.tolist() == [0.3, 0.5, 0.7, 0.8, 0.9]
    assert result.curve.recall == pytest.approx([3 / 5, 3 / 5, 2 / 5, 1 / 5, 1 / 5])
    assert result.curve.f1 == pytest.approx([3 / 5, 2 / 3, 1 / 2, 2 / 7, 1 / 3])


def test_limits_of_agreement_by_hand():
    fields = [field("a", [1, 1, 1], [0, -1, -1], 1), field("b", [1], [0], 2), field("c", [], [], 0)]
    found = values(measure_detection(fields, draws=20))
    differences = np.array([2, -1, 0])
    spread = 1.96 * differences.std(ddof=1)
    assert found["count_mae"] == pytest.approx(1)
    assert found["count_bias"] == pytest.approx(1 / 3)
    assert found["count_limit_low"] == pytest.approx(1 / 3 - spread)
    assert found["count_limit_high"] == pytest.approx(1 / 3 + spread)


def test_nothing_found_has_no_precision_but_recall_nought():
    result = measure_detection([field("a", [], [], 2), field("b", [], [], 1)], draws=20)
    found = values(result)
    assert np.isnan(found["precision"])
    assert (found["recall"], found["f1"], found["average_precision"]) == (0, 0, 0)
    assert len(result.curve.f1) == 0


def test_only_wrong_points():
    found = measure_detection([field("a", [0.1, 0.2], [-1, -1], 2)])
    assert found.metrics["precision"].value == 0
    assert found.metrics["average_precision"].value == 0
    assert found.curve.f1.tolist() == [0, 0]
    assert "one group" in found.warnings[0]


def test_nothing_annotated_has_no_recall():
    found = values(measure_detection([field("a", [0.5], [-1], 0), field("b", [], [], 0)], draws=20))
    assert found["precision"] == 0
    assert np.isnan(found["recall"])
    assert np.isnan(found["average_precision"])


def test_draws_without_annotated_cells_are_left_out_and_said():
    fields = [field("a", [1.0], [0], 1), field("b", [], [], 0)]
    result = measure_detection(fields, draws=100)
    recall = result.metrics["recall"]
    assert 10 < recall.undefined_draws < 45
    assert (recall.interval.low, recall.interval.high) == (1, 1)
    assert any(f"recall {recall.undefined_draws} of 100" in warning for warning in result.warnings)


def test_an_interval_is_over_groups():
    fields = [field(f"s{i}", [1.0] * 4, [0, 1, -1, -1] if i % 2 else [0, 1, 2, 3], 4, f"p{i // 4}") for i in range(48)]
    result = measure_detection(fields, draws=300, group_kind="patient")
    # Every patient has the same mixture, so that drawing patients changes nothing.
    assert result.metrics["recall"].interval.low == result.metrics["recall"].interval.high == 0.75
    assert str(result.sampling) == "n = 48 fields of 12 patients"
    (sentence,) = result.warnings
    assert "Equal in every draw" in sentence
    assert "these 12 patients" in sentence


def test_missed_cells_are_named():
    assert FIELDS[0].missed.tolist() == [2]
    assert FIELDS[0].above(0.6).missed.tolist() == [1, 2]


def test_fields_are_checked():
    with pytest.raises(UsageError, match="different ones"):
        field("a", [1, 1], [0, 0], 2)
    with pytest.raises(UsageError, match="different ones"):
        field("a", [1], [2], 2)
    with pytest.raises(UsageError, match="score that is a number"):
        field("a", [np.nan], [0], 2)
    with pytest.raises(UsageError, match="assigned of"):
        field("a", [1.0], [0, 1], 2)
    with pytest.raises(UsageError, match="threshold must be a number"):
        measure_detection(FIELDS, np.nan)
    with pytest.raises(UsageError, match="nothing to measure"):
        measure_detection([])


POINT = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 6))


@given(st.lists(st.tuples(st.lists(POINT, max_size=8), st.lists(POINT, max_size=6)), min_size=1, max_size=4))
def test_every_threshold_of_the_curve_is_what_that_threshold_gives(drawn):
    fields = []
    for number, (found, true) in enumerate(drawn):
        points, truth = np.array(found, float).reshape(-1, 3), np.array(true, float).reshape(-1, 3)[:, :2]
        assigned = assign_points_to_points(points[:, :2], points[:, 2], truth, 3)
        fields.append(FieldDetections(str(number), str(number), points[:, :2], points[:, 2], assigned, truth))
    curve = measure_detection(fields, draws=0).curve
    for row, threshold in enumerate(curve.threshold):
        at = values(measure_detection(fields, float(threshold), draws=0))
        assert at["precision"] == pytest.approx(curve.precision[row])
        assert at["recall"] == pytest.approx(curve.recall[row])
        assert at["f1"] == pytest.approx(curve.f1[row])


def test_average_precision_is_scikit_learns_where_every_cell_is_reached(rng):
    scores = rng.random(60)
    right = rng.random(60) < 0.5
    assigned = np.where(right, np.cumsum(right) - 1, -1)
    found = measure_detection([field("a", scores, assigned, int(right.sum()))])
    assert found.metrics["average_precision"].value == pytest.approx(average_precision_score(right, scores))
