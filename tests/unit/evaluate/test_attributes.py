"""Attributes beside the majority's value, and the table across domains."""

import csv

import numpy as np
import pytest

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.attributes import MEAN, ToldCells, attribute_rows, measure_attributes
from wsi_patches.evaluate.detection import FieldDetections, measure_detection
from wsi_patches.evaluate.domains import DomainFigures, domain_rows, write_domains

VALUES = {"cell_size": 2, "nucleus": 3}


def told(usual=None):
    """Return ten cells of five slides: of size 8 are known, 6 of them large; of the nucleus none is."""
    true = np.array([1, 1, 1, 1, 1, 1, 0, 0, -1, -1])
    said = np.array([1, 1, 1, 0, 0, 1, 0, 1, 1, 0])
    none = np.full(10, -1)
    groups = np.repeat(["a", "b", "c", "d", "e"], 2)
    return ToldCells(
        groups, {"cell_size": true, "nucleus": none}, {"cell_size": said, "nucleus": none + 1}, usual or {}
    )


def test_figures_are_over_the_cells_of_which_an_attribute_is_known():
    result = measure_attributes(told(), VALUES, draws=50)
    size = {
        kind: result.metrics[f"cell_size_{kind}"] for kind in ("balanced_accuracy", "accuracy", "majority_accuracy")
    }
    assert size["balanced_accuracy"].value == pytest.approx((4 / 6 + 1 / 2) / 2)
    assert size["accuracy"].value == pytest.approx(5 / 8)
    assert size["majority_accuracy"].value == pytest.approx(6 / 8)
    assert (size["accuracy"].n, size["accuracy"].groups) == (8, 4)
    assert np.isnan(result.metrics["nucleus_accuracy"].value)
    assert result.metrics[MEAN].value == size["balanced_accuracy"].value  # of what is known of no cell, nothing is told
    assert str(result.sampling) == "n = 10 cells of 5 groups"


def test_the_majority_is_that_of_the_cells_learnt_from():
    result = measure_attributes(told({"cell_size": 0}), VALUES, draws=10)
    assert result.metrics["cell_size_majority_accuracy"].value == pytest.approx(2 / 8)


def test_intervals_are_over_groups_and_leave_out_draws_without_a_value():
    result = measure_attributes(told(), VALUES, draws=200)
    one = result.metrics["cell_size_balanced_accuracy"]
    assert one.interval.low <= one.value <= one.interval.high
    assert one.undefined_draws > 0  # the small cells are all of one slide
    assert measure_attributes(told(), VALUES, draws=200).metrics["cell_size_accuracy"].interval.low < 5 / 8


def test_rows_for_people_name_each_attribute():
    rows = attribute_rows(measure_attributes(told(), VALUES, draws=10))
    assert rows[0][:2] == ["attribute", "known of"]
    assert [row[0] for row in rows[1:]] == ["cell_size", "nucleus"]
    assert rows[1][1:3] == ["8", "0.583"]
    assert rows[2][1:3] == ["0", "undefined"]


def test_columns_that_differ_are_refused():
    with pytest.raises(UsageError, match="told cells have columns"):
        ToldCells(np.array(["a"]), {"x": np.array([1, 2])}, {"x": np.array([1, 2])}, {})
    none = {"cell_size": np.empty(0, int)}
    with pytest.raises(UsageError, match="nothing to measure"):
        measure_attributes(ToldCells(np.empty(0, str), none, none, {}), {"cell_size": 2})


def found(group, right, wrong, missed):
    """Return a field with so many cells."""
    count = right + wrong
    assigned = np.array([*range(right), *[-1] * wrong], np.int64)
    return FieldDetections(group, group, np.zeros((count, 2)), np.ones(count), assigned, np.zeros((right + missed, 4)))


def test_the_table_has_a_row_a_domain_and_says_which_was_learnt_from(tmp_path):
    first = measure_detection([found("a", 8, 0, 0), found("b", 6, 2, 2)], draws=20)
    other = measure_detection([found("a", 2, 2, 6), found("b", 4, 0, 4)], draws=20)
    attributes = measure_attributes(told(), VALUES, draws=20)
    figures = [DomainFigures("H_100x_C1", True, first, attributes), DomainFigures("L_40x_C2", False, other)]
    write_domains(tmp_path / "domains.csv", figures)
    with (tmp_path / "domains.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    said = [(row["domain"], row["learnt"], row["fields"]) for row in rows]
    assert said == [("H_100x_C1", "yes", "2"), ("L_40x_C2", "no", "2")]
    assert float(rows[0]["recall"]) == pytest.approx(14 / 16)
    assert float(rows[1]["recall_low"]) <= 6 / 16 <= float(rows[1]["recall_high"])
    assert float(rows[0][MEAN]) == pytest.approx(attributes.metrics[MEAN].value, abs=1e-5)
    assert rows[1][MEAN] == ""
    shown = domain_rows(figures)
    assert shown[0][:3] == ["domain", "learnt from", "fields"]
    assert all(len(row) == len(shown[0]) for row in shown)
