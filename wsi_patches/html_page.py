"""The frame of every HTML page that is written: one file that needs nothing beside itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle, islice
from typing import Any

__all__ = ["RESEARCH_USE", "details_table", "embedded_picture", "html_document", "line_styles", "warnings_box"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p.path { color: #555; margin: 0 0 1.5rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0 0 1.5rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: anywhere; }
td.figure { font-variant-numeric: tabular-nums; font-weight: 600; }
caption { text-align: left; font-weight: 600; }
figure { margin: 0 0 1.5rem; }
img { max-width: 100%; height: auto; border: 1px solid #ddd; }
.warnings { border-left: .3rem solid #d55e00; padding: .1rem 0 .1rem 1rem; }
footer { color: #555; margin: 2rem 0; }
"""

LINE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Of the Okabe-Ito palette, which people with colour blindness can tell apart."""
LINE_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 5)))
"""As matplotlib takes them."""

RESEARCH_USE = "For research use only. These figures are no diagnosis and must not be used as one."


def html_document(title: str, body: str) -> str:
    """Return a whole page with the line on research use at its foot.

    Parameters
    ----------
    title
        Plain text, of the window; headings are the body's own.
    body
        HTML; whatever comes from files must have been escaped.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - wsi-patches</title>
<style>{STYLE}</style>
</head>
<body>
{body}
<footer>{RESEARCH_USE}</footer>
</body>
</html>
"""


def embedded_picture(data: bytes, kind: str, alt: str) -> str:
    """Return an image element that holds its own file.

    Parameters
    ----------
    data
        The file's bytes.
    kind
        ``png`` or ``jpeg``.
    alt
        Plain text: what is to be seen.
    """
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img src="data:image/{kind};base64,{encoded}" alt="{escape(alt)}">'


def warnings_box(warnings: Sequence[str]) -> str:
    """Return the warnings as a list; nothing where there are none."""
    if not warnings:
        return ""
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><h2>Warnings</h2><ul>{lines}</ul></div>'


def details_table(details: Mapping[str, str]) -> str:
    """Return a table of names and what they are, both plain text."""
    rows = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in details.items())
    return "\n".join(["<table><tbody>", *rows, "</tbody></table>"])


def line_styles(count: int) -> list[dict[str, Any]]:
    """Return matplotlib's arguments for the lines of a picture: they differ by dashes first, then by colour.

    So a picture in grey is legible too, and one with more lines than dashes in colour.
    """
    pairs = zip(cycle(LINE_DASHES), cycle(LINE_COLOURS), strict=False)
    return [{"linestyle": dashes, "color": colour} for dashes, colour in islice(pairs, count)]
