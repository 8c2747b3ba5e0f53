"""The frame of HTML pages."""

from wsi_patches.html_page import (
    RESEARCH_USE,
    details_table,
    embedded_picture,
    html_document,
    line_styles,
    warnings_box,
)

NASTY = "<script>alert(\"x\")</script> & 'y'"


def test_text_from_files_cannot_become_markup():
    parts = (html_document(NASTY, ""), embedded_picture(b"", "png", NASTY), warnings_box([NASTY]))
    for part in (*parts, details_table({NASTY: NASTY})):
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


def test_lines_differ_without_colour_and_any_number_of_them_in_both():
    assert len({str(style["linestyle"]) for style in line_styles(8)}) == 8
    assert len({str(style) for style in line_styles(40)}) == 40
    assert line_styles(0) == []
