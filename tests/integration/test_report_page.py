"""The pages that `infer` writes, in a real browser: they open from a folder, ask the network for nothing, and sort."""

import csv

import pytest

from tests.damaged_tiffs import write_damaged
from tests.integration.conftest import NARROWEST_PX
from wsi_patches.geometry import Size
from wsi_patches.html_page import figures_table, html_document
from wsi_patches.outcome import DONE, Interval, SlideReport
from wsi_patches.report import write_cohort
from wsi_patches.synthetic import SmearSettings, paint_smear
from wsi_patches.workflows.infer import InferSettings, infer

PAPER_PX = 718
"""Of A4 between margins of 10 mm, at 96 pixels an inch."""


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A leukemic slide, a healthy one, one of which places are unreadable, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, (name, blasts, lost) in enumerate([("leukemic", 14, []), ("healthy", 0, []), ("torn", 5, [17, 18])]):
        settings = SmearSettings.random(seed + 5, cell_diameter_px=48.0, blasts=blasts, others=6)
        image, _ = paint_smear(Size(768, 640), settings)
        write_damaged(folder / f"{name}.tif", image, lost)
    (folder / "text.svs").write_text("this is no slide\n" * 50)
    settings = InferSettings((folder,), folder / "out", model="painted-cells-lbp", group_pattern="(?P<patient>[a-z])")
    return infer(settings)


def column(tab, number, table="#all-slides ~ div table"):
    script = "(cells) => cells.map(one => one.dataset.value ?? one.textContent)"
    return tab.eval_on_selector_all(f"{table} tbody tr > :nth-child({number})", script)


def pictures(tab):
    return tab.eval_on_selector_all("img", "(all) => all.map(one => [one.naturalWidth, one.clientWidth, one.alt])")


def test_a_slide_that_cannot_be_read_is_still_its_patients(counted):
    told = {one.slide_id: one for one in counted.reports}
    assert (told["text"].status, told["text"].group) == ("failed", told["torn"].group)
    with counted.groups.open(newline="") as stream:
        failed = {row["group"]: (row["slides"], row["slides_failed"]) for row in csv.DictReader(stream)}
    assert failed[told["text"].group] == ("1", "1")


@pytest.mark.parametrize(("name", "fewest"), [("leukemic", 14), ("healthy", 7), ("torn", 6)])
def test_the_page_of_a_slide_opens_with_its_pictures(counted, show, name, fewest):
    tab = show(counted.out / name / "report.html")
    shown = pictures(tab)
    assert len(shown) >= fewest
    assert all(natural > 0 and drawn > 0 and alt for natural, drawn, alt in shown)
    assert tab.inner_text("h1") == name
    assert "research use only" in tab.inner_text("footer")
    assert ("2 places could not be read" in tab.inner_text("main")) == (name == "torn")


def test_slides_are_sorted_by_a_click_and_by_a_key_and_what_is_not_known_is_last(counted, show):
    tab = show(counted.out / "report.html")
    names = ["healthy", "leukemic", "text", "torn"]
    assert column(tab, 1) == names
    blasts = tab.locator("#all-slides ~ div table").get_by_role("button", name="Blasts (95 %)")
    blasts.click()
    rising = column(tab, 4)
    assert [float(one) for one in rising[:3]] == sorted(float(one) for one in rising[:3])
    assert (rising[-1], column(tab, 1)[-1]) == ("", "text")
    blasts.focus()
    tab.keyboard.press("Enter")
    assert column(tab, 4) == [*rising[2::-1], ""]
    sorted_by = "(heads) => heads.map(one => one.getAttribute('aria-sort')).filter(Boolean)"
    assert tab.eval_on_selector_all("#all-slides ~ div th", sorted_by) == ["descending"]
    tab.locator("#all-slides ~ div table").get_by_role("button", name="Slide").click()
    assert column(tab, 1) == names


def test_every_link_leads_to_a_page(counted, show):
    tab = show(counted.out / "report.html")
    links = set(tab.eval_on_selector_all("a", "(all) => all.map(one => one.getAttribute('href'))"))
    assert links == {f"{name}/report.html" for name in ("healthy", "leukemic", "torn")}
    assert all((counted.out / link).is_file() for link in links)


def test_the_table_is_whole_without_scripts(counted, show):
    tab = show(counted.out / "report.html", java_script_enabled=False)
    assert tab.locator("#all-slides ~ div tbody tr").count() == 4
    assert tab.locator("th button").count() == 0


@pytest.mark.parametrize("page", ["report.html", "leukemic/report.html"])
def test_a_narrow_window_shows_everything_without_scrolling_sideways(counted, show, page):
    tab = show(counted.out / page, viewport={"width": NARROWEST_PX, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth") <= NARROWEST_PX


LINES = "() => { const all = document.createRange(); all.selectNodeContents(document.querySelector('td'));"
LINES += " return all.getClientRects().length; }"


def test_a_table_of_figures_scrolls_by_itself_in_a_narrow_window_and_a_number_stays_on_one_line(show, tmp_path):
    rows = [["figure", *"abcde"], ["balanced accuracy", "0.500", *["0.500 (0.412 to 0.588)"] * 4]]
    page = tmp_path / "figures.html"
    page.write_text(html_document("Figures", figures_table(rows, "Beside simpler ones")), encoding="utf-8")
    tab = show(page, viewport={"width": NARROWEST_PX, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= NARROWEST_PX
    assert tab.evaluate(LINES) == 1


def test_the_table_of_all_slides_is_no_wider_than_paper(counted, show):
    tab = show(counted.out / "report.html", viewport={"width": PAPER_PX, "height": 1000})
    tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PAPER_PX


def test_the_page_prints(counted, browser, tmp_path):
    tab = browser.new_page()
    tab.goto((counted.out / "leukemic" / "report.html").as_uri())
    pages = tab.pdf(path=tmp_path / "page.pdf", format="A4").count(b"/Type /Page\n")
    tab.close()
    assert 1 <= pages <= 8


def test_ten_thousand_slides_open_and_sort(show, tmp_path):
    interval = Interval(2, 1, 3)
    reports = [
        SlideReport(
            f"slide {number}", "/s", DONE, white_cells=interval, blasts=Interval(float(7919 * number % 997), 0, 1)
        )
        for number in range(10_000)
    ]
    write_cohort(tmp_path, reports, [])
    tab = show(tmp_path / "report.html")
    assert "2000 of 10000 slides" in tab.inner_text("main")
    tab.locator("#all-slides ~ div table").get_by_role("button", name="Blasts (95 %)").click()
    values = [float(one) for one in column(tab, 4)]
    assert len(values) == 2000
    assert values == sorted(values)
