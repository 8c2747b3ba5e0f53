"""Conditions on columns: what they select, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_patches.errors import UsageError
from wsi_patches.export.where import class_column, select

TABLE = {
    "blast": np.array([0.0, 1, 2, np.nan]),
    "focus": np.array([3.0, 9, 8, 1]),
    "x": np.array([0, 192, 384, 0]),
    "slide": np.array(["a", "b b", "a", "c'd"], object),
    "group": np.array(["p1", None, "p2", None], object),
    "foreground": np.array([True, True, False, True]),
}
COLUMNS = {name: (lambda column=column: column) for name, column in TABLE.items()}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("focus < 8", [0, 3]),
        ("focus <= 8 and blast > 0", [2]),
        ("blast == 0 or blast >= 2", [0, 2]),
        ("not (x == 0)", [1, 2]),
        ("2 < focus < 9", [0, 2]),
        ("-1.5 < x", [0, 1, 2, 3]),
        ("slide == 'a'", [0, 2]),
        ("'b b' == slide", [1]),
        ('slide == "c\'d"', [3]),
        ("slide in ('a', 'b b')", [0, 1, 2]),
        ("x not in [0, 192]", [2]),
        ("group == 'p1'", [0]),
        ("group != 'p1'", [1, 2, 3]),
        ("foreground", [0, 1, 3]),
        ("not foreground and x > 0", [2]),
        ("foreground == True", [0, 1, 3]),
        ("blast != 0", [1, 2, 3]),
        (" focus\t>\n 8 ", None),
    ],
)
def test_what_a_condition_selects(text, rows):
    if rows is None:
        with pytest.raises(UsageError, match="cannot be read"):
            select(text, COLUMNS)
    else:
        assert np.flatnonzero(select(text, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        ("focus <", "cannot be read"),
        ("focus = 8", "cannot be read"),
        ("(" * 900 + "x" + ")" * 900 + " > 0", "cannot be read"),
        ("x > 0 " + "and x > 0 " * 400, "longer than 2000"),
        ("__import__('os').system('true')", "it may hold columns"),
        ("x.real > 0", "a column, a number or a text in quotes"),
        ("(lambda: 1)() > x", "a column, a number or a text in quotes"),
        ("x + 1 > 0", "a column, a number or a text in quotes"),
        ("x ** 99999999 > 0", "a column, a number or a text in quotes"),
        ("[y for y in x]", "it may hold columns"),
        ("x[0] > 1", "a column, a number or a text in quotes"),
        ("f'{x}' == slide", "a column, a number or a text in quotes"),
        ("b'a' == slide", "a column, a number or a text in quotes"),
        ("y := x", "cannot be read"),
        ("(y := x)", "it may hold columns"),
        ("x if x else x", "it may hold columns"),
        ("1 < 2", "neither side of the comparison is a column"),
        ("x is 0", "compare by =="),
        ("slide < 'b'", "texts are compared by =="),
        ("slide == 3", "a text is compared with a text"),
        ("x == 'a'", "a text is compared with a text"),
        ("x", "compare it with something"),
        ("slide in 'abc'", "write what it may be in brackets"),
        ("blasts > 0", "no such column: there are blast, focus, x, slide, group, foreground"),
        ("1", "it may hold columns"),
    ],
)
def test_what_is_no_condition_is_refused_with_a_reason(text, told):
    with pytest.raises(UsageError, match=told):
        select(text, COLUMNS)


@given(st.text(alphabet="xfocus<>=!()andort 0189.'\"[],-_*", max_size=60))
def test_whatever_is_written_selects_or_is_refused(text):
    try:
        found = select(text, COLUMNS)
    except UsageError:
        return
    assert found.dtype == bool
    assert found.shape == (4,)


def test_classes_that_are_no_names_have_columns_too():
    assert class_column("blast", ("x",)) == "blast"
    assert class_column("Early Pre-B", ("x",)) == "Early_Pre_B"
    assert class_column("x", ("x",)) == "count_x"
    assert class_column("3a", ()) == "count_3a"
    assert class_column("not", ()) == "count_not"
