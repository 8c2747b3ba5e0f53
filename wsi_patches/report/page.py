"""``report.html``: one slide on one page that needs nothing beside itself."""

from __future__ import annotations

from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.html_page import details_table, embedded_picture, html_document, warnings_box
from wsi_patches.outcome import Interval, SlideReport

__all__ = ["render_page"]

JPEG_QUALITY = 85


def render_page(report: SlideReport, picture: NDArray[np.uint8]) -> str:
    """Return the page of a slide.

    Parameters
    ----------
    report
        What the slide came to.
    picture
        The overlay, uint8 RGB of shape ``(h, w, 3)``; it is put into the page.
    """
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    title = escape(report.slide_id)
    body = f"""<h1>{title}</h1>
<p class="path">{escape(report.path)}</p>
<table>
<caption hidden>Counts of the slide with their 95 % intervals</caption>
<thead><tr><th scope="col">What</th><th scope="col">Count</th><th scope="col">95 % interval</th></tr></thead>
<tbody>
{_figure_row("Blasts", report.blasts, "no model was given that tells blasts")}
{_figure_row("White cells", report.white_cells, "")}
{_figure_row("Blasts among white cells", report.blast_fraction, "not known", share=True)}
</tbody>
</table>
{warnings_box(report.warnings)}
<p>{escape(report.interval_method)}</p>
{embedded_picture(jpeg.tobytes(), "jpeg", "The slide with a mark on each cell that was counted")}
<h2>How this was made</h2>
{details_table(_details(report))}"""
    return html_document(report.slide_id, body)


def _figure_row(name: str, interval: Interval | None, absent: str, *, share: bool = False) -> str:
    if interval is None:
        return f'<tr><th scope="row">{name}</th><td colspan="2">{absent}</td></tr>'
    value, low, high = (f"{100 * one:.1f} %" if share else f"{one:.0f}" for one in _values(interval))
    return f'<tr><th scope="row">{name}</th><td class="figure">{value}</td><td>{low} to {high}</td></tr>'


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _details(report: SlideReport) -> dict[str, str]:
    unlike = report.unlike_training
    likeness = {} if unlike is None else {"Unlike the model's training slides (1 is the limit)": f"{unlike:.2f}"}
    return {
        "Method": report.method,
        "Model": report.model or "none",
        "Weights (SHA-256)": report.weights_sha256 or "none",
        "Share of the slide that was looked at": f"{100 * report.coverage:.1f} %",
        "Patches that were looked at": str(report.patches),
        "Patches that could not be read": str(report.patches_failed),
        **likeness,
        **{name.replace("_", " ").capitalize(): str(value) for name, value in report.extra.items()},
    }
