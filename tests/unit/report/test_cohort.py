"""The page of all slides: who stands out, how counts are spread, what happens with very many slides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.pages import check_readable
from wsi_patches.counting.pooled import pooled_count, pooled_fraction
from wsi_patches.outcome import DONE, FAILED, PARTIAL, Interval, SlideReport
from wsi_patches.report import COHORT, group_counts, remove_slide_reports, write_cohort
from wsi_patches.report.cohort import MOST_NAMED, MOST_ROWS, render_cohort
from wsi_patches.report.histogram import histogram
from wsi_patches.report.outliers import _others, outliers

NASTY = "<b>&\"' 50%#?"
INTERVALS = st.tuples(st.integers(0, 10**6), st.floats(0, 50), st.floats(0, 50)).map(
    lambda one: Interval(float(one[0]), one[0] - one[1], one[0] + one[2])
)


def report(name, blasts=3.0, white=50.0, group="p", **more):
    told, cells = Interval(blasts, blasts, blasts), Interval(white, white, white)
    share = pooled_fraction(told, cells)
    known = {"blasts": told, "white_cells": cells, "blast_fraction": share, "extra": {"group_kind": "patient"}}
    return SlideReport(name, f"/s/{name}.tif", DONE, group=group, **{**known, **more})


FAILURE = SlideReport("bad", "/s/bad.tif", FAILED, error="it is torn")


@given(st.lists(INTERVALS, min_size=2, max_size=12))
def test_the_others_of_a_group_are_pooled_as_groups_are(counts):
    for row, one in enumerate(_others(counts)):
        expected = pooled_count(counts[:row] + counts[row + 1 :])
        assert (one.value, one.low, one.high) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-5)


def test_each_reason_is_named_and_good_slides_are_not():
    reports = [
        *(report(f"good {number}") for number in range(4)),
        report("far", 40.0),
        report("alone", 40.0, group="q"),
        report("nobody's", 40.0, group=None),
        report("soft", patches_out_of_focus=6, extra={"focus_patches": 10}),
        report("strange", unlike_training=2.0),
        replace(report("torn"), status=PARTIAL, patches_failed=3),
        FAILURE,
    ]
    told = outliers(reports, ["p", "q"])
    assert list(told) == ["far", "soft", "strange", "torn", "bad"]
    said = ("80.0 %", "out of focus: 6 of 10", "2.00", "3 places", "it is torn")
    assert all(words in told[name][0] for name, words in zip(told, said, strict=True))
    assert list(outliers(reports, [])) == ["soft", "strange", "torn", "bad"]


def test_slides_that_differ_by_chance_alone_rarely_stand_out(rng):
    reports = [report(f"{number}", float(rng.binomial(60, 0.3)), 60.0) for number in range(500)]
    assert len(outliers(reports, ["p"])) < 0.05 * 500


def test_the_page_names_links_and_counts(tmp_path):
    reports = [report("a"), report(NASTY, 45.0), report("c"), replace(FAILURE, error=NASTY)]
    write_cohort(tmp_path, reports, group_counts(reports))
    page = check_readable((tmp_path / COHORT).read_text(encoding="utf-8"))
    links = [one["href"] for one in page.all("a")]
    assert links.count("%3Cb%3E%26%22%27%2050%25%23%3F/report.html") == 2
    assert not any(link.startswith("bad/") for link in links)
    assert page.text.count(NASTY) == 3
    assert page.all("b") == []
    assert [text for _, text in page.headings] == [
        "4 slides",
        "Slides that stand out",
        "How counts are spread",
        "By patient",
        "All slides",
    ]
    assert len(page.all("svg")) == 3
    assert len([one for one in page.all("table") if one.get("class") == "sortable"]) == 3
    assert "45" in {one.get("data-value") for one in page.all("td")}


def test_pages_of_nothing_and_of_failures_alone_are_whole():
    assert "No slide was counted" in check_readable(render_cohort([], [])).text
    assert "it is torn" in check_readable(render_cohort([FAILURE], [])).text


def test_ten_thousand_slides_make_a_page_that_opens():
    few = [report(f"slide {number}", float(number % 20), group=f"g{number // 4}") for number in range(10_000)]
    few[9_999] = replace(FAILURE, slide_id="the last")
    text = render_cohort(few, group_counts(few))
    assert len(text) < 4e6
    page = check_readable(text)
    rows = len(page.all("tr"))
    assert MOST_ROWS * 2 < rows <= MOST_ROWS * 2 + MOST_NAMED + 20
    assert f"{MOST_ROWS} of 10000 slides" in page.text
    assert page.text.count("the last") >= 1


def test_a_run_that_replaces_another_removes_its_page(tmp_path):
    write_cohort(tmp_path, [report("a")], [])
    remove_slide_reports(tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.booleans())
def test_every_value_is_in_a_bar(values, share):
    drawn = histogram([value / 1e6 for value in values] if share else values, "x", share=share)
    words = [part.split("</text>")[0] for part in drawn.split("<text ")[1:] if 'y="165"' not in part]
    counts = [int(word.split(">")[1]) for word in words if word.split(">")[1].isdigit()]
    heights = drawn.count("<rect")
    assert heights == len(counts)
    assert sum(counts) == len(values)
    assert np.all(np.array(counts) > 0)
