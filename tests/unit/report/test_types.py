"""types.csv: what is written of slides is read back as counts of patients."""

import csv
import json

import pytest

from wsi_patches.errors import UsageError
from wsi_patches.outcome import FAILED, SlideReport
from wsi_patches.report import read_types, write_types

NAMES = ["lymphoblast", "monocyte"]


def report(slide, group, counts, status="done"):
    types = {"names": NAMES, "counts": counts, "expected": counts, "blasts": NAMES[:1], "confusion": [[5, 1], [0, 6]]}
    extra = {} if counts is None else {"types": types}
    return SlideReport(slide, f"{slide}.svs", status, group=group, model="m", weights_sha256="ab", extra=extra)


def test_slides_of_a_patient_are_summed_and_those_without_types_are_passed_over(tmp_path):
    reports = [
        report("A1", "A", [3, 4]),
        report("A2", "A", [1, 0]),
        report("B1", None, [0, 2]),
        report("C1", "C", None, FAILED),
        report("D1", "D", None),  # a person marked its cells, so that no model told their types
    ]
    write_types(tmp_path, reports, ["A", "C", "D"])
    read = read_types(tmp_path)
    assert (read.patients, read.types, read.blasts, read.model) == (("A", "B1"), tuple(NAMES), ("lymphoblast",), "ab")
    assert read.counts.tolist() == [[4, 4], [0, 2]]
    assert read.confusion.tolist() == [[5, 1], [0, 6]]
    with (tmp_path / "types.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["status"] for row in rows] == ["done", "done", "done", "failed", "done"]
    assert rows[3]["cells"] == rows[4]["count_monocyte"] == ""  # not counted is not none
    with (tmp_path / "types_groups.csv").open() as stream:
        groups = {row["group"]: row for row in csv.DictReader(stream)}
    assert (groups["A"]["slides"], groups["A"]["count_monocyte"], groups["C"]["cells"]) == ("2", "4", "")


def test_a_run_that_tells_no_types_leaves_none_of_an_earlier_one(tmp_path):
    write_types(tmp_path, [report("A1", "A", [3, 4])], ["A"])
    assert write_types(tmp_path, [report("A1", "A", None)], ["A"]) is None
    assert not list(tmp_path.iterdir())


def test_what_lies_beside_another_table_is_refused(tmp_path):
    write_types(tmp_path, [report("A1", "A", [3, 4])])
    (tmp_path / "types.csv").write_text("patient,count_monocyte\nA,3\n")
    with pytest.raises(UsageError, match="speaks of the types lymphoblast, monocyte, and the table beside it of mono"):
        read_types(tmp_path)
    (tmp_path / "types.json").write_text("{}")
    with pytest.raises(UsageError, match="no description of types"):
        read_types(tmp_path)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("patient;count_a\nP1;3\n", "separate the columns by commas"),
        ("slide_id,count_a\nS1,3\nS1,3\n", "line 3: slide S1 is in the table already"),
        ("patient,count_a,count_a\nP1,3,4\n", "has the column count_a twice"),
        ("patient,count_a,count_b\nP1,1,234,5\n", "line 2 has more cells than there are columns"),
        ("patient,count_a\nP1,1e300\n", "found '1e300'; 1000000000 is the most"),
        ("patient,count_a\nP1,1e17\n", "found '1e17'; 1000000000 is the most"),
        ("patient,count_a\nP1,inf\n", "found 'inf'"),
    ],
)
def test_tables_whose_counts_cannot_be_told_are_refused(tmp_path, table, told):
    (tmp_path / "lab.csv").write_text(table)
    with pytest.raises(UsageError, match=told):
        read_types(tmp_path / "lab.csv")


def test_a_table_as_office_programs_write_it_is_read(tmp_path):
    (tmp_path / "lab.csv").write_text("\ufeffpatient,count_a,,\nP1,3,,\nP1,4,,\n", encoding="utf-8")
    assert read_types(tmp_path / "lab.csv").counts.tolist() == [[7]]


def test_a_confusion_below_nothing_is_refused(tmp_path):
    write_types(tmp_path, [report("A1", "A", [3, 4])])
    facts = json.loads((tmp_path / "types.json").read_text())
    (tmp_path / "types.json").write_text(json.dumps({**facts, "confusion": [[5, -1], [0, 6]]}))
    with pytest.raises(UsageError, match="taken for each other is below 0"):
        read_types(tmp_path)
