"""Figures of levels by hand, and votes of slides."""

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.taxonomy import measure_taxonomy, vote
from wsi_patches.models.label_tree import LabelTree

TREE = LabelTree.of({"sick": ["x", "y"], "well": None})
NAMES = ("well", "x", "y")


def predictions(truth, probabilities, groups):
    names = np.array([f"p{number}" for number in range(len(truth))])
    return Predictions(NAMES, names, np.array(groups), np.array(truth, np.int32), np.array(probabilities, np.float32))


# truth x, x, y, well; said x, y, well, well. The third is well by its best leaf (0.4), sick by its sum (0.6).
SAID = predictions(
    [1, 1, 2, 0],
    [[0.1, 0.6, 0.3], [0.1, 0.4, 0.5], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]],
    ["a", "a", "b", "c"],
)


def test_levels_by_hand():
    figures = {name: one.value for name, one in measure_taxonomy(SAID, TREE, SAID.groups, draws=50).metrics.items()}
    assert figures["balanced_accuracy_level_1"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["balanced_accuracy_level_2"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    # Paths: sick > x twice, sick > y, well; said sick > x, sick > y, well, well. Shared 2, 1, 0, 1.
    assert figures["hierarchical_precision"] == pytest.approx(4 / 6)
    assert figures["hierarchical_recall"] == pytest.approx(4 / 7)
    assert figures["hierarchical_f1"] == pytest.approx(8 / 13)
    assert figures["levels_contradict"] == pytest.approx(1 / 4)


def test_a_tie_is_told_and_goes_to_the_more_probable_class():
    result = measure_taxonomy(SAID, TREE, SAID.groups, draws=50)
    assert result.votes.ids.tolist() == ["a", "b", "c"]
    assert [NAMES[one] for one in result.votes.voted] == ["x", "well", "well"]  # x 0.6 + 0.4 against y 0.3 + 0.5
    assert result.votes.tied.tolist() == [True, False, False]
    assert any("vote of 1 slide is a tie, decided by the mean probability: a" in one for one in result.warnings)
    assert result.metrics["vote_accuracy"].value == pytest.approx(2 / 3)
    assert result.metrics["vote_accuracy"].n == 3


def test_the_vote_is_the_mode_and_not_the_mean():
    sure = predictions([1, 1, 1], [[0.02, 0.5, 0.48], [0.02, 0.5, 0.48], [0.0, 0.0, 1.0]], ["a", "a", "a"])
    votes = vote(sure, sure.groups)
    assert (NAMES[votes.voted[0]], votes.votes[0], votes.patches[0], votes.tied[0]) == ("x", 2, 3, False)


def test_slides_of_several_classes_are_not_measured_and_single_pictures_do_not_vote():
    mixed = predictions([1, 2, 0, 0], SAID.probabilities, ["a", "a", "b", "b"])
    result = measure_taxonomy(mixed, TREE, mixed.groups, draws=50)
    assert result.votes.truth.tolist() == [-1, 0]
    assert any("of 1 slide are of several classes" in one for one in result.warnings)
    single = measure_taxonomy(SAID, TREE, SAID.ids, draws=50)
    assert "vote_accuracy" not in single.metrics
    assert any("nothing to vote" in one for one in single.warnings)


def test_other_classes_are_refused():
    with pytest.raises(UsageError, match="'well' is not in the tree"):
        measure_taxonomy(SAID, LabelTree.of({"x": None, "y": None}), SAID.groups)
