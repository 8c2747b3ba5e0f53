"""Outcomes of several parts of one slide are one outcome."""

import errno

from wsi_patches.outcome import Interval, Outcome, SlideReport, merge_outcomes

NAN = float("nan")


def test_the_worst_part_says_what_became_of_the_slide():
    parts = [
        Outcome("a", "a.svs", "done", 10),
        Outcome("b", "b.svs", "done", 5),
        Outcome("a", "a.svs", "partial", 8, 2, warnings=("w",)),
        Outcome.failed("b", "b.svs", ValueError("two\nlines")),
    ]
    a, b = merge_outcomes(parts)
    assert (a.status, a.patches, a.unreadable, a.warnings) == ("partial", 18, 2, ("w",))
    assert (b.status, b.error) == ("failed", "two lines")


def test_a_report_survives_its_own_file_format():
    report = SlideReport("a", "a.svs", "done", white_cells=Interval(3, 1, 8), warnings=("w",), extra={"seconds": 1.5})
    assert SlideReport.from_dict(report.to_dict()) == report


def test_a_full_disk_is_told_with_what_to_do():
    told = Outcome.failed("a", "a.svs", OSError(errno.ENOSPC, "No space left on device", "out/a/cells.csv"))
    assert "no space is left" in told.error
    assert "--resume" in told.error
    assert "out/a/cells.csv" in told.error


def test_an_interval_that_is_not_defined_is_null_in_json():
    assert Interval(0.5, NAN, NAN).plain == {"value": 0.5, "low": None, "high": None}
    assert Interval(0.5, 0.0, 1.0).plain == {"value": 0.5, "low": 0.0, "high": 1.0}
