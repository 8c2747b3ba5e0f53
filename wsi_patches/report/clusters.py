"""``clusters.html``: a picture of a stream that moves with a slider, the clusters with patches, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.html_page import (
    LINE_COLOURS,
    details_table,
    embedded_picture,
    figures_table,
    html_document,
    warnings_box,
)

__all__ = ["ClusterShown", "Frame", "StreamPicture", "render_clusters"]

WIDTH, HEIGHT, BORDER = 720, 480, 24
SIDE_PX = 96
OUTLINES = ("M-3-3H3V3H-3Z", "M0-4L4 0L0 4L-4 0Z", "M0-4L4 3H-4Z", "M-3 0A3 3 0 1 1 3 0A3 3 0 1 1-3 0Z")
"""Shapes of points, so that more clusters than colours are told apart, and in grey."""
STYLE = """<style>
.stream svg { width: 100%; border: 1px solid #ddd; }
.stream label { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.stream input { flex: 1; }
.stream output { flex: 0 1 18rem; font-variant-numeric: tabular-nums; }
.stream .controls { display: none; }
.stream.alive .controls { display: block; }
.stream text { font: 600 14px system-ui, sans-serif; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
</style>"""
SCRIPT = """
for (const figure of document.querySelectorAll(".stream")) {
  const slider = figure.querySelector("input"), told = figure.querySelector("output");
  const points = figure.querySelectorAll("[data-since]"), frames = [...figure.querySelectorAll("[data-frame]")];
  const play = figure.querySelector("button");
  let timer = 0;
  const show = () => {
    const now = Number(slider.value);
    points.forEach(one => one.setAttribute("display", Number(one.dataset.since) <= now ? "inline" : "none"));
    frames.forEach(one => one.setAttribute("display", Number(one.dataset.frame) === now ? "inline" : "none"));
    told.textContent = frames[now].dataset.told;
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const step = () => { if (Number(slider.value) < Number(slider.max)) { slider.value++; show(); } else { stop(); } };
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (slider.value === slider.max) { slider.value = 0; show(); }
    timer = setInterval(step, 250);
    play.textContent = "Stop";
  });
  slider.addEventListener("input", show);
  figure.classList.add("alive");
  show();
}
"""
RELOAD = "setTimeout(() => location.reload(), 5000);"
"""Of a page that is written anew while the run goes on."""


@dataclass(frozen=True)
class Frame:
    """The clusters at one moment."""

    arrived: int
    centres: tuple[tuple[int, float, float, float], ...]
    """Number, place, and share of all weight of each that lived."""
    fuzziness: float


@dataclass(frozen=True)
class StreamPicture:
    """What the moving picture shows."""

    points: NDArray[np.float64]
    """Places of some patches, shape ``(n, 2)``."""
    since: NDArray[np.int64]
    """How many patches had arrived with each, shape ``(n,)``."""
    clusters: NDArray[np.integer[Any]]
    """Number of each one's cluster; 0 where it is not known yet."""
    frames: Sequence[Frame]
    """In the order of time, one or more."""


@dataclass(frozen=True)
class ClusterShown:
    """A cluster with the patches nearest to its centre."""

    title: str
    note: str
    pictures: Sequence[NDArray[np.uint8]]
    """RGB ``(h, w, 3)`` each."""
    names: Sequence[str]


def render_clusters(
    title: str,
    summary: Sequence[str],
    picture: StreamPicture,
    figures: Sequence[Sequence[str]] = (),
    clusters: Sequence[ClusterShown] = (),
    details: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    *,
    goes_on: bool = False,
) -> str:
    """Return the page; it needs nothing beside itself, and shows the last moment where scripts do not run.

    Parameters
    ----------
    title, summary
        What was clustered, and what came of it.
    picture
        The stream.
    figures
        A header and rows of text; none while the run goes on.
    clusters
        With their patches.
    details
        How this was made.
    warnings
        What a reader must know.
    goes_on
        Whether it will be written anew: it then loads itself again every few seconds.
    """
    body = [
        STYLE,
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(one)}</p>" for one in summary),
        warnings_box(warnings),
        _stream(picture),
        _figures(figures) if figures else "",
        *(_cluster(one) for one in clusters),
        "<h2>How this was made</h2>" if details else "",
        details_table(details) if details else "",
    ]
    script = f"{SCRIPT}{RELOAD}" if goes_on else SCRIPT
    return html_document(title, "\n".join(part for part in body if part), script)


def _figures(rows: Sequence[Sequence[str]]) -> str:
    table = figures_table(rows, "Figures of the hard assignment", figures=len(rows[0]) - 1)
    return f'<div class="wide">{table}</div>'


def _stream(picture: StreamPicture) -> str:
    frames, last = picture.frames, len(picture.frames) - 1
    low, scale = _window(picture)
    ends = np.array([frame.arrived for frame in frames])
    first_shown = np.searchsorted(ends, picture.since).clip(0, last)
    places = BORDER + (picture.points - low) * scale
    points = "".join(
        f'<path d="{OUTLINES[cluster % len(OUTLINES)]}" transform="translate({x:.1f} {y:.1f})" data-since="{since}" '
        f'fill="{_colour(cluster)}" fill-opacity=".55"/>'
        for (x, y), since, cluster in zip(places.tolist(), first_shown.tolist(), picture.clusters.tolist(), strict=True)
    )
    moments = "".join(_moment(number, frame, low, scale, last) for number, frame in enumerate(frames))
    return (
        '<figure class="stream"><div class="controls"><label><button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="How far the stream has come"/>'
        f"<output>{escape(_told(frames[-1]))}</output></label></div>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Patches as they arrive, and the clusters then">'
        f"{points}{moments}</svg><figcaption>Patches in the first two principal components, as they arrive; their "
        "colour and shape is the cluster that they end in. Rings with numbers are the clusters of the moment, larger "
        "where they weigh more. Distances in the other components are not seen here.</figcaption></figure>"
    )


def _window(picture: StreamPicture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the place at the picture's corner, and pixels for each unit."""
    centres = [(x, y) for frame in picture.frames for _, x, y, _ in frame.centres]
    shown = np.concatenate([picture.points.reshape(-1, 2), np.array(centres, np.float64).reshape(-1, 2)])
    low, high = (shown.min(axis=0), shown.max(axis=0)) if len(shown) else (np.zeros(2), np.ones(2))
    return low, (np.array([WIDTH, HEIGHT]) - 2 * BORDER) / np.maximum(high - low, 1e-12)


def _moment(number: int, frame: Frame, low: NDArray[np.float64], scale: NDArray[np.float64], last: int) -> str:
    rings = []
    for cluster, x, y, share in frame.centres:
        left, top = (BORDER + (np.array([x, y]) - low) * scale).tolist()
        rings.append(
            f'<circle cx="{left:.1f}" cy="{top:.1f}" r="{8 + 22 * share**0.5:.1f}" fill="none" stroke="#fff" '
            f'stroke-width="6"/><circle cx="{left:.1f}" cy="{top:.1f}" r="{8 + 22 * share**0.5:.1f}" fill="none" '
            f'stroke="{_colour(cluster)}" stroke-width="3"/>'
            f'<text x="{left:.1f}" y="{top + 5:.1f}" text-anchor="middle">{cluster}</text>'
        )
    hidden = "" if number == last else ' display="none"'
    return f'<g data-frame="{number}" data-told="{escape(_told(frame))}"{hidden}>{"".join(rings)}</g>'


def _told(frame: Frame) -> str:
    return f"{frame.arrived} patches, {len(frame.centres)} clusters, fuzziness {frame.fuzziness:.2f}"


def _colour(cluster: int) -> str:
    return "#777777" if cluster < 1 else LINE_COLOURS[1:][(cluster - 1) % (len(LINE_COLOURS) - 1)]


def _cluster(shown: ClusterShown) -> str:
    items = "".join(
        f"<li><figure>{_embedded(pixels, f'Patch {name}')}<figcaption>{escape(name)}</figcaption></figure></li>"
        for pixels, name in zip(shown.pictures, shown.names, strict=True)
    )
    return f'<h2>{escape(shown.title)}</h2><p>{escape(shown.note)}</p><ul class="gallery">{items}</ul>'


def _embedded(pixels: NDArray[np.uint8], alt: str) -> str:
    way = cv2.INTER_AREA if pixels.shape[0] > SIDE_PX else cv2.INTER_CUBIC
    small = cv2.resize(pixels, (SIDE_PX, SIDE_PX), interpolation=way)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return embedded_picture(jpeg.tobytes(), "jpeg", alt)
