"""One decision from models of one class against control, by cases worked out by hand and by what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_patches.errors import UsageError
from wsi_patches.models.one_against_control import combined

PROBABILITIES = st.integers(1, 6).flatmap(lambda classes: arrays(np.float64, (4, classes), elements=st.floats(0, 1)))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([0.8], [0.2, 0.8]),  # one class is left as its model says it
        ([0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]),  # odds 1 : 1 : 1
        ([0.75, 0.2], [4 / 17, 12 / 17, 1 / 17]),  # odds 1 : 3 : 1/4
        ([0.9, 0.8, 0.2, 0.2], [1 / 14.5, 9 / 14.5, 4 / 14.5, 0.25 / 14.5, 0.25 / 14.5]),
        ([0.4, 0.45], [1 / (1 + 2 / 3 + 9 / 11), 2 / 3 / (1 + 2 / 3 + 9 / 11), 9 / 11 / (1 + 2 / 3 + 9 / 11)]),
    ],
)
def test_odds_against_control_are_divided_by_their_sum(told, expected):
    assert combined([told])[0] == pytest.approx(expected, abs=1e-6)


def test_it_is_bayes_rule_where_the_models_are_right():
    density = np.array([[0.2, 0.5, 0.1], [0.3, 0.1, 0.9]])  # of control and two classes, at two patches
    frequency = np.array([0.5, 0.2, 0.3])
    joint = density * frequency
    against_control = joint[:, 1:] / (joint[:, 1:] + joint[:, :1])
    np.testing.assert_allclose(combined(against_control), joint / joint.sum(axis=1, keepdims=True), atol=1e-6)


@given(PROBABILITIES)
def test_rows_sum_to_1_and_the_decision_is_the_best_class_above_a_half_or_control(told):
    found = combined(told)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    for row, probabilities in zip(found, told, strict=True):
        best = probabilities.max()
        if best < 0.499:
            assert row.argmax() == 0
        if best > 0.501:
            assert row[1:].max() == pytest.approx(row[1 + probabilities.argmax()])
            assert row[1:].max() > row[0]


@given(PROBABILITIES, st.randoms())
def test_the_order_of_the_classes_changes_nothing(told, random):
    order = list(range(told.shape[1]))
    random.shuffle(order)
    found = combined(told)
    np.testing.assert_allclose(combined(told[:, order]), found[:, [0, *(1 + one for one in order)]], atol=1e-6)


@pytest.mark.parametrize("told", [[0.5, 0.5], [[1.2]], [[float("nan")]], np.empty((3, 0))])
def test_what_are_no_probabilities_of_classes_is_refused(told):
    with pytest.raises(UsageError, match="probabilities of 0 to 1 are combined"):
        combined(told)
