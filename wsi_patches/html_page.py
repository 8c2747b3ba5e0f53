"""The frame of every HTML page that is written: one file that needs nothing beside itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle, islice
from typing import Any

__all__ = [
    "LINE_COLOURS",
    "RESEARCH_USE",
    "SORT_SCRIPT",
    "details_table",
    "embedded_picture",
    "figures_table",
    "html_document",
    "line_styles",
    "picture_address",
    "warnings_box",
]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p.path { color: #555; margin: 0 0 1.5rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0 0 1.5rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: anywhere; }
td.figure { font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
caption { text-align: left; font-weight: 600; }
figure { margin: 0 0 1.5rem; }
img { max-width: 100%; height: auto; border: 1px solid #ddd; }
figcaption { color: #555; }
a { color: #00508a; }
svg { max-width: 100%; height: auto; }
.warnings { border-left: .3rem solid #d55e00; padding: .1rem 0 .1rem 1rem; }
.gallery { display: flex; flex-wrap: wrap; gap: .75rem; list-style: none; padding: 0; margin: 0 0 1.5rem; }
.gallery figure { margin: 0; width: 7rem; }
.gallery img { width: 7rem; height: 7rem; }
.gallery figcaption { font-size: .8rem; line-height: 1.3; }
.wide { overflow-x: auto; }
.wide th, .wide td { padding-right: 1rem; }
.wide td { min-width: 5rem; }
.wide td[data-value] { white-space: nowrap; }
.sortable button { all: unset; cursor: pointer; text-decoration: underline dotted; }
.sortable button:focus-visible { outline: .15rem solid #00508a; }
.sortable th[aria-sort=ascending] button::after { content: " \\25B2"; }
.sortable th[aria-sort=descending] button::after { content: " \\25BC"; }
footer { color: #555; margin: 2rem 0; }
@media screen and (max-width: 48rem) {
  table { display: block; overflow-x: auto; }
  thead ~ tbody td { overflow-wrap: normal; }
}
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  thead { display: table-header-group; }
  tr, figure, .gallery li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .wide { overflow: visible; font-size: 8pt; }
  .wide th, .wide td { padding-right: .5rem; }
  .wide td { min-width: 0; }
  figure > img { max-height: 20cm; width: auto; }
  a { color: inherit; text-decoration: none; }
}
"""

SORT_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const order = new Intl.Collator("en", {numeric: true});
  const told = cell => cell.dataset.value ?? cell.textContent;
  const compare = (one, other) => {
    const difference = one - other;
    return Number.isNaN(difference) ? order.compare(one, other) : difference;
  };
  const sort = (column, sign) => {
    const rows = [...body.rows].map(row => [told(row.cells[column]), row]);
    const known = rows.filter(row => row[0] !== ""), unknown = rows.filter(row => row[0] === "");
    known.sort((one, other) => sign * compare(one[0], other[0]));
    body.append(...[...known, ...unknown].map(row => row[1]));
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isDown = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(one => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      sort(column, isDown ? -1 : 1);
    });
  });
}
"""
"""Lets the columns of tables of the class ``sortable`` be sorted by a click or a key on their heads.

A cell's ``data-value`` goes before its text, numbers before words, and what is not known is always last. Without it the
table stays in the order in which it was written.
"""

LINE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Of the Okabe-Ito palette, which people with colour blindness can tell apart."""
LINE_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 5)))
"""As matplotlib takes them."""

RESEARCH_USE = "For research use only. These figures are no diagnosis and must not be used as one."


def html_document(title: str, body: str, script: str = "") -> str:
    """Return a whole page with the line on research use at its foot.

    Parameters
    ----------
    title
        Plain text, of the window; headings are the body's own.
    body
        HTML; whatever comes from files must have been escaped.
    script
        JavaScript of this package, such as `SORT_SCRIPT`; the page must say all without it.
    """
    run = f"\n<script>{script}</script>" if script else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)} - wsi-patches</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<footer>{RESEARCH_USE}</footer>{run}
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
    return f'<img src="{picture_address(data, kind)}" alt="{escape(alt)}">'


def picture_address(data: bytes, kind: str) -> str:
    """Return the address of an image that holds its own file, ``png`` or ``jpeg``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


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


def figures_table(rows: Sequence[Sequence[str]], caption: str = "", *, figures: int = 1) -> str:
    """Return rows of text as a table.

    Parameters
    ----------
    rows
        Plain text: the header first; the first column names the rows.
    caption
        Plain text; none if empty.
    figures
        How many of the columns that follow are the figures that count.
    """
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in rows[0])
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    lines = [f"<table>{title}", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for name, *texts in rows[1:]:
        kinds = [' class="figure"'] * figures + [""] * (len(texts) - figures)
        told = "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, texts, strict=True))
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{told}</tr>')
    return "\n".join([*lines, "</tbody></table>"])


def line_styles(count: int) -> list[dict[str, Any]]:
    """Return matplotlib's arguments for the lines of a picture: they differ by dashes first, then by colour.

    So a picture in grey is legible too, and one with more lines than dashes in colour.
    """
    pairs = zip(cycle(LINE_DASHES), cycle(LINE_COLOURS), strict=False)
    return [{"linestyle": dashes, "color": colour} for dashes, colour in islice(pairs, count)]
