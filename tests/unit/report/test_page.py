"""The page of one slide: what it says, how large it gets, who can read it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.report.pages import check_readable
from wsi_patches.cells import Cells
from wsi_patches.counting.cores import PatchCounts, patch_cores
from wsi_patches.geometry import Size
from wsi_patches.outcome import DONE, PARTIAL, Interval, SlideReport
from wsi_patches.report import cut_galleries, write_slide_report
from wsi_patches.report.album import MOST
from wsi_patches.report.focus_map import focus_map
from wsi_patches.report.page import render_page
from wsi_patches.slides import ArraySlide

NASTY = "</td><script>alert('x')</script>&\""
REPORT = SlideReport(
    "field",
    "/slides/field.tif",
    DONE,
    white_cells=Interval(20, 18, 24),
    blasts=Interval(7, 5, 9),
    blast_fraction=Interval(0.35, 0.2, 0.5),
    patches=20,
    patches_out_of_focus=1,
    model="m",
    weights_sha256="abc123",
    unlike_training=1.5,
    interval_method="Made so.",
    warnings=("mind this",),
    extra={"focus_patches": 2, "focus_patch_px": 40, "focus_places": [[30.0, 30.0, 6.0], [150.0, 90.0, 12.0]]},
)


@pytest.fixture
def slide():
    """Each pixel's red and green say where it lies."""
    y, x = np.indices((200, 240))
    return ArraySlide(np.dstack([x, y, np.full_like(x, 99)]).astype(np.uint8))


def cells_of(scores, index=0, **attributes):
    xy = [(40 + 5 * number, 60) for number in range(len(scores))]
    return Cells.at(xy, ("blast", "other"), index, scores, radius_px=[10.0] * len(scores))


def test_the_most_and_the_least_certain_blasts_are_cut_where_they_lie(slide):
    scores = np.random.default_rng(3).permutation(np.linspace(0.5, 0.99, 30))
    most, least = cut_galleries(slide, cells_of(scores))
    assert (len(most.crops), len(least.crops)) == (MOST, MOST)
    ordered = np.sort(scores)
    assert [crop.caption.split()[0] for crop in most.crops] == [f"{one:.2f}" for one in ordered[::-1][:MOST]]
    assert [crop.caption.split()[0] for crop in least.crops] == [f"{one:.2f}" for one in ordered[:MOST]]
    x = 40 + 5 * int(scores.argmax())
    centre = most.crops[0].pixels[56, 56]
    assert abs(int(centre[0]) - x) <= 1
    assert abs(int(centre[1]) - 60) <= 1


def test_few_blasts_are_shown_once_and_others_that_came_near(slide):
    cells = cells_of([0.9, 0.7, 0.8, 0.6], [0, 0, 1, 1])
    blasts, others = cut_galleries(slide, cells)
    assert [crop.caption for crop in blasts.crops] == ["0.90 at 40, 60", "0.70 at 45, 60"]
    assert [crop.caption for crop in others.crops] == ["0.60 at 55, 60", "0.80 at 50, 60"]
    assert cut_galleries(slide, cells.take([])) == ()
    (found,) = cut_galleries(slide, Cells.at([(50, 50)], ("white_cell",), 0, 0.4))
    assert "white cells" in found.title


def test_where_patches_were_counted_the_fullest_are_shown(slide):
    xy = np.array([(x, y) for y in (0, 80) for x in (0, 80, 160)])
    counts = np.array([[0.0], [2.5], [0], [0], [0.5], [0]])
    patches = PatchCounts(("blast",), xy, 80, counts, patch_cores(xy, 80, Size(240, 160)))
    (gallery,) = cut_galleries(slide, Cells.at([], ("blast",)), patches)
    assert [crop.caption for crop in gallery.crops] == ["2.50 at 120, 40", "0.50 at 120, 120"]


def test_soft_places_are_framed_and_lost_ones_hatched():
    picture = np.full((600, 1000, 3), 210, np.uint8)
    report = replace(REPORT, extra={**REPORT.extra, "unreadable_places": [[100, 10, 40, 30]]})
    drawn = focus_map(report, picture, 0.2)  # a level-0 pixel is five of the picture's
    changed = np.any(drawn[:600] != 210, axis=2)
    assert changed[50:250, 50:250].all()
    assert changed[350:550, 650:850].all()
    hatched = drawn[50:200, 500:700]
    assert {60, 200} == set(np.unique(hatched).tolist())
    assert (drawn[350:353, 660:840] == (213, 94, 0)).all()
    assert not (drawn[50:253, 50:250] == (213, 94, 0)).all(axis=2).any()
    assert not changed[300:340].any()
    assert focus_map(replace(REPORT, extra={}), picture, 1.0) is None


def test_the_page_says_everything(slide):
    picture = np.full((200, 240, 3), 210, np.uint8)
    galleries = cut_galleries(slide, cells_of([0.9, 0.8]))
    page = check_readable(render_page(REPORT, picture, focus_map(REPORT, picture, 1.0), galleries))
    titles = [text for _, text in page.headings]
    assert titles[:4] == ["field", "Counts", "Warnings", "Overview"]
    assert {"Quality", "Focus map", "How this was made"} <= set(titles)
    for said in ("7", "5 to 9", "35.0 %", "mind this", "abc123", "Made so.", "1.50", "1 of 2 patches"):
        assert said in page.text
    assert "focus_places" not in page.text
    assert len(page.all("img")) == 4
    assert all(one["src"].startswith("data:image/jpeg") for one in page.all("img"))


def test_what_files_say_cannot_become_part_of_the_page():
    report = replace(REPORT, slide_id=NASTY, path=NASTY, model=NASTY, warnings=(NASTY,), extra={NASTY: NASTY})
    page = check_readable(render_page(report, np.zeros((9, 9, 3), np.uint8)))
    assert page.all("script") == []
    assert page.text.count(NASTY) >= 5


def test_a_page_stays_small_whatever_is_on_the_slide(rng, tmp_path):
    noise = rng.integers(0, 256, (1800, 2400, 3), np.uint8)  # nothing compresses worse
    slide = ArraySlide(noise)
    xy = rng.uniform(100, 1700, (200, 2))
    cells = Cells.at(xy, ("blast", "other"), rng.integers(0, 2, 200), rng.uniform(0.5, 1, 200), radius_px=[20.0] * 200)
    holes = [[16 * number, 0, 16, 16] for number in range(100)]
    extra = {**REPORT.extra, "unreadable_places": holes}
    report = replace(REPORT, status=PARTIAL, extra=extra, patches_failed=100)
    write_slide_report(tmp_path / "a", report, cells, noise, 1.0, None, cut_galleries(slide, cells))
    assert 1e6 < (tmp_path / "a" / "report.html").stat().st_size < 4e6
    assert "80 more" in (tmp_path / "a" / "report.html").read_text()


def test_further_figures_are_told_as_people_read_them():
    extra = {"slide_mpp": None, "slide_mpp_stated_by_user": False, "slide_size_px": [640, 480], "marks": ["a", "b"]}
    page = render_page(replace(REPORT, extra=extra), np.zeros((20, 20, 3), np.uint8))
    for told in ("not stated", ">no<", "640 x 480", "a, b"):
        assert told in page
    assert "None" not in page
    assert "False" not in page


def test_the_types_of_the_cells_are_a_table_and_no_heap_of_figures():
    told = {"names": ["small_blast", "monocyte", "eosinophil"], "counts": [3, 9, 0], "expected": [3.24, 8.5, 0.26]}
    types = {**told, "blasts": ["small_blast"], "confusion": [[71, 2, 0], [1, 83, 4], [0, 5, 97]]}
    extra = {"types": types, "attributes": {"cell_size": ["small", "large"]}}
    page = check_readable(render_page(replace(REPORT, extra=extra), np.zeros((9, 9, 3), np.uint8)))
    words = " ".join(page.text.split())
    assert words.index("monocyte 9 75.0 % 8.5 other") < words.index("small blast 3 25.0 % 3.2 blast")
    assert "No cell is most probably: eosinophil." in words
    assert "cell size: small, large" in words
    assert "97" not in words  # how often types are taken for each other is in types.json
    for none in ({}, {"types": {**types, "counts": [0, 0, 0]}}):
        page = check_readable(render_page(replace(REPORT, extra=none), np.zeros((9, 9, 3), np.uint8)))
        assert "Types" not in [text for _, text in page.headings]
