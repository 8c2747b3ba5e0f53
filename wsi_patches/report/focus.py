"""How sharp a slide is, in a picture for people and a line of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Box
from wsi_patches.report.overlay import overview
from wsi_patches.report.tint import colours_of_shares, tinted
from wsi_patches.stores import MosaicSlide, Store
from wsi_patches.stores.files import write_whole

__all__ = ["SlideFocus", "draw_focus", "write_focus"]

LONGEST_PX = 1400
SHARP, SOFT = 5.5, 11.0
"""Scores at the two ends of the colours; the same for all slides, so that pictures can be compared."""
VEIL = 0.45
"""How much of a patch's colour covers the slide."""
BINS = 45
PLOT_PX, MARGIN_PX = 170, 34
INK, LINE = (30, 30, 30), (213, 94, 0)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class SlideFocus:
    """The focus of one slide's patches; only those with cells or tissue are judged, since glass has no focus."""

    slide_id: str
    patches: int
    foreground: int
    out_of_focus: int
    median_score: float | None
    """FQPath, higher is blurrier; None without foreground."""

    @property
    def is_soft(self) -> bool:
        """Whether most of the slide is out of focus."""
        return self.out_of_focus > self.foreground / 2


def write_focus(folder: Path, store: Store, threshold: float) -> Iterator[SlideFocus]:
    """Write a picture for each slide and a table of all, and yield the table's rows.

    Parameters
    ----------
    folder
        Where they go.
    store
        Its derived ``focus`` and ``foreground`` must be complete.
    threshold
        The score above which a patch is out of focus.

    Raises
    ------
    StoreError
        They are not, or a patch cannot be read.
    """
    scores, kept = store.derived("focus", "score"), store.derived("foreground", "keep").astype(bool)
    rows: list[SlideFocus] = []
    for record in store.slides:
        mine = store.positions_of(record.id)
        mine_kept = mine[kept[mine]]
        judged = scores[mine_kept]
        median = float(np.median(judged)) if len(judged) else None
        rows.append(SlideFocus(record.id, len(mine), len(judged), int((judged > threshold).sum()), median))
        mosaic = MosaicSlide(store, record.id)
        picture, downsample = overview(mosaic, LONGEST_PX)
        side = store.place(int(mine[0])).box.width
        boxes = [Box(x, y, side, side) for x, y in store.xy[mine_kept].tolist()]
        drawn = draw_focus(picture, downsample, boxes, judged, threshold)
        _, png = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        write_whole(folder / f"{record.id}.png", png.tobytes(), durable=False)
    write_whole(folder / "focus.csv", _table(rows).encode(), durable=False)
    yield from rows


def _table(rows: list[SlideFocus]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [one.name for one in fields(SlideFocus)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def draw_focus(
    picture: NDArray[np.uint8], downsample: float, boxes: list[Box], scores: NDArray[np.floating], threshold: float
) -> NDArray[np.uint8]:
    """Return an overview with each judged patch tinted by its score, and the scores' histogram below.

    Parameters
    ----------
    picture
        The slide, uint8 RGB ``(h, w, 3)``.
    downsample
        Level-0 pixels for each pixel of the picture.
    boxes, scores
        The patches that are judged, level-0 pixels, and the score of each.
    threshold
        The score above which a patch is out of focus.
    """
    edges = [tuple(round(value / downsample) for value in (box.x, box.y, box.right, box.bottom)) for box in boxes]
    drawn = tinted(picture, edges, colours_of(scores), VEIL)
    return np.concatenate([drawn, _histogram(drawn.shape[1], scores, threshold)])


def colours_of(scores: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the RGB colour of each score, shape ``(n, 3)``: dark blue is sharp, yellow is soft."""
    return colours_of_shares((np.asarray(scores, float) - SHARP) / (SOFT - SHARP))


def _histogram(width: int, scores: NDArray[np.floating], threshold: float) -> NDArray[np.uint8]:
    """Return a white strip with a bar for each range of scores, the threshold, and a sentence."""
    strip = np.full((PLOT_PX + 2 * MARGIN_PX, width, 3), 255, np.uint8)
    edges = np.linspace(SHARP, SOFT, BINS + 1)
    counts, _ = np.histogram(np.clip(scores, SHARP, SOFT), edges)
    across, base = (width - 2 * MARGIN_PX) / BINS, MARGIN_PX + PLOT_PX
    for number, (count, colour) in enumerate(zip(counts, colours_of(edges[:-1]).tolist(), strict=True)):
        left, right = (round(MARGIN_PX + across * at) for at in (number, number + 1))
        top = base - round((PLOT_PX - 8) * count / max(1, counts.max()))
        cv2.rectangle(strip, (left, top), (max(left, right - 2), base), colour, cv2.FILLED)
    at = round(MARGIN_PX + across * BINS * np.clip((threshold - SHARP) / (SOFT - SHARP), 0, 1))
    cv2.line(strip, (at, MARGIN_PX - 6), (at, base), LINE, 2)
    cv2.line(strip, (MARGIN_PX, base), (width - MARGIN_PX, base), INK, 1)
    for score in range(int(np.ceil(SHARP)), int(SOFT) + 1):
        where = round(MARGIN_PX + across * BINS * (score - SHARP) / (SOFT - SHARP))
        label = f"{score}+" if score == int(SOFT) else str(score)
        cv2.putText(strip, label, (where - 5, base + 18), FONT, 0.45, INK, 1, cv2.LINE_AA)
    soft = int((np.asarray(scores) > threshold).sum())
    text = f"FQPath, higher is blurrier: {soft} of {len(scores)} patches above {threshold:g} are out of focus"
    cv2.putText(strip, text, (MARGIN_PX, MARGIN_PX - 12), FONT, min(0.5, width / 1400), INK, 1, cv2.LINE_AA)
    return strip
