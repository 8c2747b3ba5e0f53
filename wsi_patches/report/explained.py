"""``explained.html``: for each query its most similar known patches, where they are alike, and what they vote for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.html_page import (
    details_table,
    embedded_picture,
    figures_table,
    html_document,
    picture_address,
    warnings_box,
)

__all__ = ["Alike", "ExplainedCase", "ExplainedMap", "ExplainedNeighbour", "render_explained"]

JPEG_QUALITY = 85
SIDE_PX = 144
HEAT_SHARE = 0.3
"""Of the colours in an overlay, as DSS-XAI lays it; the picture has the rest."""
STYLE = """<style>
main section { border-top: .15rem solid #ddd; padding-top: .5rem; break-inside: avoid-page; }
.query { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.query figure { margin: 0; }
.query > figure > img { width: 9rem; height: 9rem; }
.query > div { flex: 1 1 14rem; min-width: 0; overflow-wrap: anywhere; }
.query svg { width: 15rem; border: 1px solid #ddd; }
td.figure { white-space: nowrap; }
.vote { font-size: 1.15rem; font-weight: 600; }
.alike { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin: .75rem 0; break-inside: avoid; }
.alike > figure { margin: 0; width: 7rem; }
.alike img { width: 7rem; height: 7rem; }
.alike figcaption { font-size: .8rem; line-height: 1.3; overflow-wrap: anywhere; }
.alike .pair { width: 14.5rem; }
.alike .pair span { display: flex; gap: .5rem; }
.key { display: inline-block; width: .9em; height: .9em; }
@media (max-width: 30rem) { .alike > figure, .alike img { width: 6.2rem; } .alike img { height: 6.2rem; }
  .alike .pair { width: 12.9rem; } }
@media print { .alike > figure, .alike img, .query > figure > img { width: 2.6cm; height: auto; }
  .alike .pair { width: 5.5cm; } .query svg { width: 5cm; } }
</style>"""


@dataclass(frozen=True)
class Alike:
    """Where a query and a neighbour resemble each other, by one kind of map."""

    title: str
    query: NDArray[np.float32]
    """0 to 1, ``(h, w)``."""
    neighbour: NDArray[np.float32]


@dataclass(frozen=True)
class ExplainedNeighbour:
    """A known patch beside a query."""

    label: str
    distance: float
    where: str
    """Its file, and its patient where one is known."""
    pixels: NDArray[np.uint8]
    """RGB ``(s, s, 3)``."""
    alike: tuple[Alike, ...]
    place: tuple[float, float] | None = None
    """On the latent map, shares of its width and height."""


@dataclass(frozen=True)
class ExplainedCase:
    """A query, and all that is shown of it."""

    name: str
    where: str
    vote: str
    """What its neighbours say, in a sentence."""
    truth: str
    """Its class, where it is known; empty where it is not."""
    pixels: NDArray[np.uint8]
    neighbours: tuple[ExplainedNeighbour, ...]
    place: tuple[float, float] | None = None


SHAPES = {
    "o": "M5 0A5 5 0 1 1 5 10A5 5 0 1 1 5 0Z",
    "^": "M5 0L10 10H0Z",
    "s": "M0 0H10V10H0Z",
    "D": "M5 0L10 5L5 10L0 5Z",
    "v": "M0 0H10L5 10Z",
    "P": "M3 0H7V3H10V7H7V10H3V7H0V3H3Z",
    "*": "M5 0L6.2 3.8H10L6.9 6.1L8.1 10L5 7.6L1.9 10L3.1 6.1L0 3.8H3.8Z",
    "X": "M2.5 0L5 2.5L7.5 0L10 2.5L7.5 5L10 7.5L7.5 10L5 7.5L2.5 10L0 7.5L2.5 5L0 2.5Z",
}
"""Matplotlib's markers of the map as outlines in a square of 10: of more classes than colours, shapes tell them."""


@dataclass(frozen=True)
class ExplainedMap:
    """The latent map of all patches, which lies behind the marks of each query."""

    png: bytes
    legend: Sequence[tuple[str, str, str]]
    """Class, colour, and one of `SHAPES`."""
    note: str


def render_explained(
    title: str,
    summary: Sequence[str],
    cases: Sequence[ExplainedCase],
    latent: ExplainedMap | None,
    figures: Sequence[Sequence[str]],
    details: Mapping[str, str],
    notes: Sequence[str] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    title
        What was asked of what.
    summary
        Sentences that stand first.
    cases
        Those that are shown.
    latent
        The latent map; None leaves it out.
    figures
        How often neighbours are right, a header and rows of text; empty where no query's class is known.
    details
        How this was made.
    notes
        What was left out, and why.
    """
    body = [
        STYLE,
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(one)}</p>" for one in summary),
        warnings_box(notes),
        _figures(figures),
        _latent(latent),
        *(_case(number, case, latent) for number, case in enumerate(cases, start=1)),
        "<h2>How this was made</h2>",
        details_table(details),
    ]
    return html_document(title, "\n".join(part for part in body if part))


def _figures(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    table = figures_table(rows, "How often neighbours are of the query's own class")
    return f'<div class="wide">{table}</div>'


def _latent(latent: ExplainedMap | None) -> str:
    """Return the map itself, which every query's own one shows again with its marks."""
    if latent is None:
        return ""
    keys = ", ".join(
        f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path d="{SHAPES[marker]}" fill="{colour}"/></svg> '
        f"{escape(name)}"
        for name, colour, marker in latent.legend
    )
    address = picture_address(latent.png, "png")
    return (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><symbol id="latent" '
        f'viewBox="0 0 600 600"><image width="600" height="600" href="{address}"/></symbol></defs></svg>\n'
        f"<p>Latent map: {keys}. In each query's own map a square marks it, and numbered rings "
        f"its neighbours. {escape(latent.note)}</p>"
    )


def _case(number: int, case: ExplainedCase, latent: ExplainedMap | None) -> str:
    truth = f"<p>Known class: {escape(case.truth)}</p>" if case.truth else ""
    alike = "\n".join(_neighbour(case, rank, one) for rank, one in enumerate(case.neighbours, start=1))
    return (
        f"<section><h2>Query {number}: {escape(case.name)}</h2>\n"
        f'<div class="query">{_figure(case.pixels, f"Query {case.name}", "The query")}'
        f'<div><p class="vote">{escape(case.vote)}</p>{truth}<p>{escape(case.where)}</p></div>'
        f"{_marked_map(case) if latent is not None and case.place is not None else ''}</div>\n{alike}</section>"
    )


def _neighbour(case: ExplainedCase, rank: int, one: ExplainedNeighbour) -> str:
    caption = f"<strong>{rank}. {escape(one.label)}</strong><br>distance {one.distance:.3g}<br>{escape(one.where)}"
    pairs = "".join(
        f'<figure class="pair"><span>{_embedded(_heated(case.pixels, maps.query), f"{maps.title}: in the query")}'
        f"{_embedded(_heated(one.pixels, maps.neighbour), f'{maps.title}: in neighbour {rank}')}</span>"
        f"<figcaption>{escape(maps.title)}: query, neighbour</figcaption></figure>"
        for maps in one.alike
    )
    return f'<div class="alike">{_figure(one.pixels, f"Neighbour {rank}, {one.label}", caption)}{pairs}</div>'


def _marked_map(case: ExplainedCase) -> str:
    """Return the latent map with a square on the query and numbered rings on its neighbours."""
    marks = []
    for rank, one in enumerate(case.neighbours, start=1):
        if one.place is not None:
            x, y = (600 * share for share in one.place)
            beside, above = min(x + 16, 575), max(y - 10, 30)
            marks.append(
                f'<circle cx="{x:.0f}" cy="{y:.0f}" r="14" fill="none" stroke="#000" stroke-width="4"/>'
                f'<text x="{beside:.0f}" y="{above:.0f}" font-size="30" stroke="#fff" stroke-width="6" '
                f'paint-order="stroke">{rank}</text>'
            )
    x, y = (600 * share for share in case.place or (0, 0))
    marks.append(
        f'<rect x="{x - 13:.0f}" y="{y - 13:.0f}" width="26" height="26" fill="none" stroke="#000" stroke-width="6"/>'
    )
    alt = f"Where {case.name} and its neighbours lie on the latent map"
    return (
        f'<svg viewBox="0 0 600 600" role="img" aria-label="{escape(alt)}"><use href="#latent"/>{"".join(marks)}</svg>'
    )


def _heated(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over a picture: red where it is high, blue where it is low."""
    picture = _fitted(pixels)
    levels = cv2.resize(heat, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * levels.clip(0, 1)).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    return np.asarray((1 - HEAT_SHARE) * picture + HEAT_SHARE * colours, np.uint8)


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    way = cv2.INTER_AREA if pixels.shape[0] > SIDE_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (SIDE_PX, SIDE_PX), interpolation=way), np.uint8)


def _embedded(pixels: NDArray[np.uint8], alt: str) -> str:
    bgr = cv2.cvtColor(_fitted(pixels), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return embedded_picture(jpeg.tobytes(), "jpeg", alt)


def _figure(pixels: NDArray[np.uint8], alt: str, caption: str) -> str:
    return f"<figure>{_embedded(pixels, alt)}<figcaption>{caption}</figcaption></figure>"
