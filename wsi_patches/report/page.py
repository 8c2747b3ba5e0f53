"""``report.html``: one slide on one page that needs nothing beside itself."""

from __future__ import annotations

import base64
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.outcome import Interval, SlideReport

__all__ = ["render_page"]

JPEG_QUALITY = 85

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
p.path { color: #555; margin: 0 0 1.5rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0 0 1.5rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: anywhere; }
td.figure { font-variant-numeric: tabular-nums; font-weight: 600; }
img { max-width: 100%; height: auto; border: 1px solid #ddd; }
.warnings { border-left: .3rem solid #d55e00; padding: .1rem 0 .1rem 1rem; }
footer { color: #555; margin: 2rem 0; }
"""

RESEARCH_USE = "For research use only. These figures are no diagnosis and must not be used as one."


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
    encoded = base64.b64encode(jpeg.tobytes()).decode("ascii")
    title = escape(report.slide_id)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - wsi-patches</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
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
{_warnings(report.warnings)}
<p>{escape(report.interval_method)}</p>
<img src="data:image/jpeg;base64,{encoded}" alt="The slide with a mark on each cell that was counted">
<h2>How this was made</h2>
<table><tbody>
{_details(report)}
</tbody></table>
<footer>{RESEARCH_USE}</footer>
</body>
</html>
"""


def _figure_row(name: str, interval: Interval | None, absent: str, *, share: bool = False) -> str:
    if interval is None:
        return f'<tr><th scope="row">{name}</th><td colspan="2">{absent}</td></tr>'
    value, low, high = (f"{100 * one:.1f} %" if share else f"{one:.0f}" for one in _values(interval))
    return f'<tr><th scope="row">{name}</th><td class="figure">{value}</td><td>{low} to {high}</td></tr>'


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _warnings(warnings: tuple[str, ...]) -> str:
    if not warnings:
        return ""
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings"><h2>Warnings</h2><ul>{lines}</ul></div>'


def _details(report: SlideReport) -> str:
    rows = {
        "Method": report.method,
        "Model": report.model or "none",
        "Weights (SHA-256)": report.weights_sha256 or "none",
        "Share of the slide that was looked at": f"{100 * report.coverage:.1f} %",
        "Patches that were looked at": str(report.patches),
        "Patches that could not be read": str(report.patches_failed),
        **{name.replace("_", " ").capitalize(): str(value) for name, value in report.extra.items()},
    }
    lines = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items())
    return "\n".join(lines)
