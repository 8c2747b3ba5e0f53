"""What a finder misses is learnt from slides whose truth is known."""

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.detection import FieldDetections
from wsi_patches.evaluate.reliability import fit_recall, found_scores


def test_recall_comes_back_from_slides_drawn_with_it(rng):
    marked = rng.integers(1, 40, 2000)
    a, b = fit_recall(rng.binomial(marked, rng.beta(36, 4, 2000)), marked)
    assert a / (a + b) == pytest.approx(0.9, abs=0.01)
    assert a + b == pytest.approx(40, rel=0.25)


def test_no_finder_is_taken_to_miss_nothing():
    a, b = fit_recall([20] * 10, [20] * 10)
    assert 0.98 < a / (a + b) < 1
    assert a + b > 19.9


@pytest.mark.parametrize(("found", "marked"), [([0], [0]), ([3], [2])])
def test_what_cannot_be_is_refused(found, marked):
    with pytest.raises(UsageError, match="recall is learnt"):
        fit_recall(found, marked)


def test_found_scores_are_those_above_the_threshold():
    points, scores = np.zeros((3, 2)), np.array([0.9, 0.5, 0.1])
    field = FieldDetections("a", "a", points, scores, np.array([0, -1, -1]), np.zeros((1, 2)))
    found, right = found_scores([field], 0.4)
    np.testing.assert_array_equal(found, [0.9, 0.5])
    np.testing.assert_array_equal(right, [True, False])
