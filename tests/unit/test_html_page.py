"""The frame of HTML pages."""

from wsi_patches.html_page import (
    RESEARCH_USE,
    details_table,
    embedded_picture,
    figures_table,
    html_document,
    line_styles,
    warnings_box,
)

NASTY = "<script>alert(\"x\")</script> & 'y'"


def test_text_from_files_cannot_become_markup():
    parts = (html_document(NASTY, ""), embedded_picture(b"", "png", NASTY), warnings_box([NASTY]))
    tables = details_table({NASTY: NASTY}), figures_table([[NASTY, NASTY], [NASTY, NASTY]], NASTY)
    for part in (*parts, *tables):
        assert "<script" not in part
        assert '"x"' not in part
        assert "&lt;script&gt;" in part


def test_a_page_says_that_it_is_for_research_and_needs_no_network():
    page = html_document("a", embedded_picture(b"abc", "png", "letters"))
    assert RESEARCH_USE in page
    assert 'src="data:image/png;base64,YWJj" alt="letters"' in page
    assert "http" not in page


def test_no_warnings_no_box():
    assert warnings_box([]) == ""


def test_a_table_has_a_head_named_rows_and_figures():
    table = figures_table([["", "with", "without", "note"], ["accuracy", "0.9", "0.8", "good"]], figures=2)
    assert table.count('<th scope="col">') == 4
    assert '<th scope="row">accuracy</th><td class="figure">0.9</td><td class="figure">0.8</td><td>good</td>' in table
    assert "<caption>" not in table


def test_lines_differ_without_colour_and_any_number_of_them_in_both():
    assert len({str(style["linestyle"]) for style in line_styles(8)}) == 8
    assert len({str(style) for style in line_styles(40)}) == 40
    assert line_styles(0) == []
