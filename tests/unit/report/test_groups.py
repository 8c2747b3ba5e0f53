"""Slides of one patient taken together: sums, votes, and what failed."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.counting.pooled import pooled_count, pooled_fraction
from wsi_patches.outcome import DONE, FAILED, Interval, SlideReport
from wsi_patches.report import GROUP_COLUMNS, group_counts, write_groups

INTERVALS = st.tuples(st.integers(0, 50), st.floats(0, 20), st.floats(0, 20)).map(
    lambda one: Interval(float(one[0]), max(0.0, one[0] - one[1]), one[0] + one[2])
)


def report(name, blasts, white=10.0, group="p1", status=DONE):
    told = None if blasts is None else Interval(blasts, blasts, blasts + 1.0)
    cells = None if status == FAILED else Interval(white, white - 1, white + 2)
    extra = {"group_kind": "patient"}
    return SlideReport(name, name, status, group=group, blasts=told, white_cells=cells, extra=extra)


@given(st.lists(INTERVALS, min_size=1, max_size=8))
def test_a_pooled_count_is_the_sum_and_surer_than_all_ends_together(counts):
    pooled = pooled_count(counts)

    assert pooled.value == sum(one.value for one in counts)
    assert sum(one.low for one in counts) - 1e-9 <= pooled.low <= pooled.value
    assert pooled.value <= pooled.high <= sum(one.high for one in counts) + 1e-9
    assert pooled_count(counts[:1]).low == pytest.approx(counts[0].low)


def test_independent_slides_are_covered_as_often_as_said(rng):
    inside = 0
    for _ in range(400):
        noise = rng.normal(0, 2, 6)
        pooled = pooled_count([Interval(50 + one, 50 + one - 3.92, 50 + one + 3.92) for one in noise])
        inside += pooled.low <= 300 <= pooled.high
    assert 0.92 < inside / 400 < 0.98


def test_a_pooled_share_holds_jeffreys_interval():
    share = pooled_fraction(Interval(4, 4, 4), Interval(10, 10, 10))
    assert (share.value, share.low, share.high) == (0.4, pytest.approx(0.153, abs=1e-3), pytest.approx(0.696, abs=1e-3))
    assert pooled_fraction(Interval(4, 2, 9), Interval(10, 9, 12)).low < share.low
    assert pooled_fraction(Interval(0, 0, 1), Interval(0, 0, 1)) is None


def test_the_vote_stands_beside_the_pooled_count(tmp_path):
    reports = [report("a", 3.0), report("b", 0.0), report("c", None, status=FAILED), report("d", 0.0, group="p2")]
    groups = group_counts([*reports, report("alone", 5.0, group=None)])
    write_groups(tmp_path / "groups.csv", groups)

    with (tmp_path / "groups.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert tuple(first) == GROUP_COLUMNS
    assert (first["group"], first["slides"], first["slides_failed"]) == ("p1", "2", "1")
    assert (first["slides_with_blasts"], first["vote"], first["blasts"], first["white_cells"]) == (
        "1",
        "0.5000",
        "3",
        "20",
    )
    assert float(first["blasts_high"]) == pytest.approx(3 + np.sqrt(2), abs=0.06)
    assert (second["vote"], second["blast_fraction"]) == ("0.0000", "0.0000")


def test_without_a_model_there_is_no_vote():
    (group,) = group_counts([report("a", None), report("b", 2.0)])
    assert (group.blasts, group.vote, group.blast_fraction) == (None, None, None)
    assert group.white_cells.value == 20
    (failed,) = group_counts([report("a", None, status=FAILED)])
    assert (failed.slides, failed.vote, failed.white_cells.value) == (0, None, 0)


def test_of_a_patient_of_whom_no_slide_could_be_read_nothing_is_said(tmp_path):
    write_groups(tmp_path / "groups.csv", group_counts([report("a", None, status=FAILED)]))
    with (tmp_path / "groups.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["slides"], row["slides_failed"], row["white_cells"], row["blasts"]) == ("0", "1", "", "")
