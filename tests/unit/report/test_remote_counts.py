"""The table and the slides' folders in an object store."""

import csv

import numpy as np

from wsi_patches.cells import Cells
from wsi_patches.outcome import DONE, Interval, SlideReport
from wsi_patches.report import CountsFile, read_report, read_reports, remove_slide_reports, write_slide_report
from wsi_patches.report import counts as counts_module

CLASSES = ("blast", "other")


def report(name):
    return SlideReport(name, f"/slides/{name}.tif", DONE, blasts=Interval(1, 0, 2), white_cells=Interval(3, 2, 4))


def ids_in(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return [row["slide_id"] for row in csv.DictReader(stream)]


def test_the_table_is_there_from_the_start_grows_and_ends_in_order(s3_bucket, monkeypatch):
    monkeypatch.setattr(counts_module, "UPLOAD_EVERY_S", 0.0)
    path = s3_bucket / "out" / "counts.csv"
    with CountsFile(path, [report("kept")], ["a", "kept", "b"]) as table:
        assert ids_in(path) == ["kept"]
        for name in ("b", "a"):
            table.add(report(name))
            assert name in ids_in(path)
    assert ids_in(path) == ["a", "kept", "b"]


def test_the_table_is_not_written_for_every_row(s3_bucket):
    path = s3_bucket / "out" / "counts.csv"
    with CountsFile(path, [], ["a"]) as table:
        table.add(report("a"))
        assert ids_in(path) == []
    assert ids_in(path) == ["a"]


def test_reports_are_the_same_as_on_this_machine(s3_bucket, tmp_path):
    cells = Cells.at([(5, 6), (9, 9)], CLASSES, [0, 1])
    picture = np.full((40, 50, 3), 200, np.uint8)
    for out in (tmp_path, s3_bucket / "out"):
        write_slide_report(out / "a", report("a"), cells, picture, 2.0)
    here, there = (
        {path.name: path.read_bytes() for path in (out / "a").iterdir()} for out in (tmp_path, s3_bucket / "out")
    )
    assert there == here
    out = s3_bucket / "out"
    assert read_report(out / "a") == report("a")
    assert read_report(out / "none") is None
    assert read_reports([out / "none", out / "a"]) == [report("a")]
    (out / "mine" / "notes.txt").write_text("keep me")
    remove_slide_reports(out)
    assert [entry.name for entry in out.iterdir()] == ["mine"]
