"""What is kept when the most uncertain patches are put aside, by hand and over draws of groups."""

import csv

import numpy as np
import pytest

from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.risk_coverage import entropy_of, risk_coverage, risk_rows, write_risk_coverage


@pytest.fixture
def predictions():
    """Forty patches of ten groups; each fourth is wrong, by a probability that hardly says so."""
    n = 40
    truth = np.arange(n) % 2
    sure = np.where(np.arange(n) % 4 == 0, 0.45, 0.9)
    p = np.empty((n, 2), np.float32)
    p[np.arange(n), truth], p[np.arange(n), 1 - truth] = sure, 1 - sure
    ids, groups = (np.array([f"{kind}{number // size}" for number in range(n)]) for kind, size in (("p", 1), ("g", 4)))
    return Predictions(("blast", "other"), ids, groups, truth.astype(np.int32), p)


def test_putting_aside_what_is_unsure_leaves_what_is_right(predictions, tmp_path):
    doubts = {"entropy": entropy_of(predictions.probabilities), "blind": np.zeros(40)}
    rows = risk_coverage(predictions, doubts, 100, 0, shares=(0.0, 0.1, 0.25, 0.5))
    by = {(row.by, row.put_aside): row for row in rows}
    assert [by["entropy", share].accuracy.value for share in (0.0, 0.1, 0.25, 0.5)] == [0.75, 30 / 36, 1.0, 1.0]
    assert by["entropy", 0.25].kept == 30
    assert by["entropy", 0.1].gain.value == pytest.approx(30 / 36 - 0.75)
    assert by["entropy", 0.1].gain.interval.low > 0
    assert by["entropy", 0.0].gain.interval.low == by["entropy", 0.0].gain.interval.high == 0
    assert by["blind", 0.5].gain.value == 0  # a doubt that knows nothing gains nothing
    write_risk_coverage(tmp_path / "risk.csv", rows)
    with (tmp_path / "risk.csv").open(newline="") as stream:
        told = list(csv.DictReader(stream))
    assert (told[2]["by"], told[2]["put_aside"], told[2]["kept"], told[2]["accuracy"]) == ("entropy", "0.25", "30", "1")
    assert risk_rows(rows)[3][:3] == ["25%", "entropy", "30"]


def test_intervals_are_of_groups_that_were_drawn_whole(predictions):
    one_group = Predictions(
        predictions.class_names, predictions.ids, np.array(["one"] * 40), predictions.truth, predictions.probabilities
    )
    (row,) = risk_coverage(one_group, {"entropy": entropy_of(one_group.probabilities)}, 100, 0, shares=(0.1,))
    assert not row.accuracy.has_interval


def test_entropy_is_in_nats():
    np.testing.assert_allclose(entropy_of(np.array([[0.5, 0.5], [1.0, 0.0]])), [np.log(2), 0], atol=1e-9)
