"""``report.html``: one slide on one page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.html_page import details_table, embedded_picture, figures_table, html_document, warnings_box
from wsi_patches.outcome import DONE, OUT_OF_FOCUS, Interval, SlideReport
from wsi_patches.report.album import Crop, Gallery
from wsi_patches.report.types import IN_REPORT as TYPES

__all__ = ["render_page"]

JPEG_QUALITY = 85
LONGEST_PX = 1600
"""Of the picture of the cells in the page, so that the page stays small; ``overlay.png`` is the picture in full."""
OF_QUALITY = ("focus_places", "focus_patch_px", "focus_patches", "median_focus_score", "unreadable_places")
"""What of a report's extra figures is told under Quality."""
NAMES = {
    "finder_sha256": "Finder's weights (SHA-256)",
    "median_cell_diameter_px": "Median cell diameter (level-0 px)",
    "slide_mpp": "Pixel size (um)",
    "slide_mpp_stated_by_user": "Pixel size stated by the user",
    "group_kind": "Kind of group",
    "slide_size_px": "Slide size (level-0 px)",
    "seconds": "Time (s)",
    "tta": "Views of each cell",
}
"""What further figures are called; others by their own names."""
HOLES_NAMED = 20
BY_MODEL = "A model told this of single cells; it describes what they look like and says nothing of a patient."


def render_page(
    report: SlideReport,
    picture: NDArray[np.uint8],
    focus: NDArray[np.uint8] | None = None,
    galleries: Sequence[Gallery] = (),
    words: str = "",
) -> str:
    """Return the page of a slide.

    With all pictures it is rarely larger than 1 MB, and no more than 4 MB: pictures are shrunk, galleries are short.

    Parameters
    ----------
    report
        What the slide came to.
    picture
        The overlay, uint8 RGB of shape ``(h, w, 3)``; it is put into the page.
    focus
        The focus map, as `focus_map` returns it.
    galleries
        Crops of the slide, as `cut_galleries` returns them.
    words
        How often its cells look like what, a sentence; empty where no model told it.
    """
    body = [
        f"<h1>{escape(report.slide_id)}</h1>",
        f'<p class="path">{escape(report.path)}</p>',
        _counts(report),
        f"<p>{escape(report.interval_method)}</p>" if report.interval_method else "",
        _types(report),
        warnings_box(report.warnings),
        f"<h2>Morphology</h2>\n<p>{escape(words)} {BY_MODEL}</p>" if words else "",
        "<h2>Overview</h2>",
        _figure(
            _shrunk(picture),
            _seen(report),
            "Every mark is a cell or patch that was counted. Full size: "
            '<a href="overlay.png">overlay.png</a>, beside this page.',
        ),
        *(_gallery(one) for one in galleries),
        "<h2>Quality</h2>",
        details_table(_quality(report)),
        _focus_figure(report, focus),
        "<h2>How this was made</h2>",
        details_table(_details(report)),
    ]
    return html_document(report.slide_id, "\n".join(part for part in body if part))


def _counts(report: SlideReport) -> str:
    return f"""<h2>Counts</h2>
<table>
<caption>Counts of the slide with their 95 % intervals</caption>
<thead><tr><th scope="col">What</th><th scope="col">Count</th><th scope="col">95 % interval</th></tr></thead>
<tbody>
{_figure_row("Blasts", report.blasts, "no model was given that tells blasts")}
{_figure_row("White cells", report.white_cells, "not known")}
{_figure_row("Blasts among white cells", report.blast_fraction, "not known", share=True)}
</tbody>
</table>"""


def _figure_row(name: str, interval: Interval | None, absent: str, *, share: bool = False) -> str:
    if interval is None:
        return f'<tr><th scope="row">{name}</th><td colspan="2">{absent}</td></tr>'
    value, low, high = (f"{100 * one:.1f} %" if share else f"{one:.0f}" for one in _values(interval))
    return f'<tr><th scope="row">{name}</th><td class="figure">{value}</td><td>{low} to {high}</td></tr>'


def _values(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _types(report: SlideReport) -> str:
    """Return a table of the types of cells that occur, the most frequent first; nothing where none was told."""
    told = report.extra.get(TYPES)
    if told is None or not any(told["counts"]):
        return ""
    every = sorted(zip(told["counts"], told["names"], told["expected"], strict=True), key=lambda one: -one[0])
    cells = sum(told["counts"])
    rows = [["Type", "Cells", "Share", "Expected", "Counts as"]]
    for count, name, expected in every:
        if count:
            kind = "blast" if name in told["blasts"] else "other"
            rows.append([name.replace("_", " "), str(count), f"{100 * count / cells:.1f} %", f"{expected:.1f}", kind])
    none = ", ".join(name.replace("_", " ") for count, name, _ in every if not count)
    table = figures_table(rows, "Cells by their most probable type; expected is the sum of their probabilities of it")
    absent = f"<p>No cell is most probably: {escape(none)}.</p>" if none else ""
    return f'<h3>Types</h3>\n<div class="wide">{table}</div>\n{absent}'


def _seen(report: SlideReport) -> str:
    """Say what the overview shows."""
    white = "" if report.white_cells is None else f": {report.white_cells.value:.0f} white cells"
    blasts = "" if report.blasts is None else f", {report.blasts.value:.0f} of them blasts"
    return f"The slide with a mark on what was counted{white}{blasts}"


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = LONGEST_PX / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _embedded(pixels: NDArray[np.uint8], alt: str) -> str:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return embedded_picture(jpeg.tobytes(), "jpeg", alt)


def _figure(pixels: NDArray[np.uint8], alt: str, caption: str) -> str:
    """Return a picture with a caption, which is HTML."""
    return f"<figure>{_embedded(pixels, alt)}<figcaption>{caption}</figcaption></figure>"


def _gallery(gallery: Gallery) -> str:
    items = "\n".join(f"<li>{_crop(crop)}</li>" for crop in gallery.crops)
    return f'<h2>{escape(gallery.title)}</h2>\n<p>{escape(gallery.note)}</p>\n<ul class="gallery">\n{items}\n</ul>'


def _crop(crop: Crop) -> str:
    return _figure(crop.pixels, crop.alt, escape(crop.caption))


def _quality(report: SlideReport) -> dict[str, str]:
    extra, soft, unlike = report.extra, report.patches_out_of_focus, report.unlike_training
    holes = extra.get("unreadable_places", [])
    told = {
        "Status": "done" if report.status == DONE else f"{report.status}: what could not be read is not counted",
        "Share of the slide that was looked at": f"{100 * report.coverage:.1f} %",
        "Places that were looked at": str(report.patches),
        "Places that could not be read": str(report.patches_failed),
    }
    if holes:
        more = f", and {len(holes) - HOLES_NAMED} more" if len(holes) > HOLES_NAMED else ""
        told["Where (x, y, width, height)"] = "; ".join(str(tuple(hole)) for hole in holes[:HOLES_NAMED]) + more
    if soft is not None:
        judged = extra.get("focus_patches", report.patches)
        told["Out of focus"] = f"{soft} of {judged} patches around cells have a score above {OUT_OF_FOCUS:g}"
    if "median_focus_score" in extra:
        told["Median focus score (FQPath, higher is blurrier)"] = str(extra["median_focus_score"])
    if unlike is not None:
        verdict = "its blasts are not to be believed" if report.abstains else "within what is usual"
        told["Unlike the model's training slides (1 is the limit)"] = f"{unlike:.2f}: {verdict}"
    return told


def _focus_figure(report: SlideReport, focus: NDArray[np.uint8] | None) -> str:
    if focus is None:
        return "<p>No focus map: there was no cell around which focus could be judged.</p>"
    soft, judged = report.patches_out_of_focus or 0, report.extra.get("focus_patches", 0)
    holes = len(report.extra.get("unreadable_places", []))
    alt = f"Focus map: {soft} of {judged} judged places are out of focus, {holes} could not be read"
    caption = (
        "Framed places are out of focus. The darker (bluer) a tint, the sharper; the paler (yellower), the softer. "
        "Hatched places could not be read. Below: how many places have which score."
    )
    return "<h3>Focus map</h3>\n" + _figure(focus, alt, caption)


def _details(report: SlideReport) -> dict[str, str]:
    more = {name: value for name, value in report.extra.items() if name not in (*OF_QUALITY, TYPES)}
    return {
        "Method": report.method,
        "Model": report.model or "none",
        "Weights (SHA-256)": report.weights_sha256 or "none",
        **{NAMES.get(name, name.replace("_", " ").capitalize()): _plain(value) for name, value in more.items()},
    }


def _plain(value: object) -> str:
    """Return a figure as people read it."""
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{str(name).replace('_', ' ')}: {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return (" x " if all(isinstance(one, int) for one in value) else ", ").join(str(one) for one in value)
    return str(value)
