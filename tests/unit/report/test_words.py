"""Cells' attributes in a slide's report: below each crop, in cells.csv, and as shares of the blasts on the page."""

import csv

import numpy as np
import pytest

from tests.unit.report.pages import check_readable
from wsi_patches.cells import Cells
from wsi_patches.outcome import DONE, Interval, SlideReport
from wsi_patches.report import cut_galleries, write_slide_report
from wsi_patches.report.words import described, summary_of
from wsi_patches.slides import ArraySlide

SHAPES = ["irregular", "irregular", "", "regular"]
TOLD = "A cell of the type lymphoblast with an irregular nucleus."


@pytest.fixture
def cells():
    """Three blasts, one of them of unknown shape, and another cell."""
    return Cells.at(
        [(40 + 30 * number, 60) for number in range(4)], ("blast", "other"), [0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6],
        radius_px=[10.0] * 4, type=["lymphoblast"] * 3 + ["monocyte"], type_score=[0.9] * 4, nuclear_shape=SHAPES,
    )  # fmt: skip


def test_each_cell_has_a_sentence_where_something_is_known(cells):
    assert described(cells) == [TOLD, TOLD, "", "A cell of the type monocyte with a regular nucleus."]
    assert summary_of(cells) == "Of 3 blasts, as far as known: irregular nuclei 100 %."


def test_page_crops_and_table_say_it(cells, tmp_path):
    slide = ArraySlide(np.full((120, 240, 3), 200, np.uint8))
    galleries = cut_galleries(slide, cells)
    assert galleries[0].crops[0].caption == f"0.90 at 40, 60. {TOLD}"
    assert galleries[0].crops[2].caption == "0.70 at 100, 60"
    report = SlideReport("a", "a.png", DONE, white_cells=Interval(4, 4, 4), blasts=Interval(3, 3, 3), patches=4)
    write_slide_report(tmp_path, report, cells, np.full((120, 240, 3), 200, np.uint8), 1.0, None, galleries)
    page = check_readable((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "irregular nuclei 100 %" in page.text
    assert page.text.count(TOLD) == 2
    assert "says nothing of a patient" in page.text
    with (tmp_path / "cells.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["described"] for row in rows] == described(cells)


def test_cells_without_attributes_are_told_as_ever(tmp_path):
    cells = Cells.at([(40, 60)], ("blast",), 0, 0.9, radius_px=[10.0])
    picture = np.full((120, 240, 3), 200, np.uint8)
    (gallery,) = cut_galleries(ArraySlide(picture), cells)
    assert gallery.crops[0].caption == "0.90 at 40, 60"
    report = SlideReport("a", "a.png", DONE, white_cells=Interval(1, 1, 1), blasts=Interval(1, 1, 1), patches=1)
    write_slide_report(tmp_path, report, cells, picture, 1.0, None, (gallery,))
    assert "Morphology" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "cells.csv").read_text(encoding="utf-8").splitlines()[0] == "x,y,class,score"
