"""Where a slide is soft, and where it could not be read, from what its report says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Box
from wsi_patches.outcome import OUT_OF_FOCUS, SlideReport
from wsi_patches.report.focus import draw_focus

__all__ = ["focus_map"]

LONGEST_PX = 1000
HATCH_PX = 9
DARK, PALE = 60, 200
FRAME, FRAME_PX = (213, 94, 0), 3
"""Of the Okabe-Ito palette; seen in grey too."""


def focus_map(report: SlideReport, picture: NDArray[np.uint8], downsample: float) -> NDArray[np.uint8] | None:
    """Return an overview whose judged places are tinted by their focus, soft ones framed, unreadable ones hatched.

    Parameters
    ----------
    report
        Says what was judged (``focus_places``: centre and score of each) and what could not be read.
    picture, downsample
        The slide's overview, uint8 RGB ``(h, w, 3)``, as `overview` returns it.

    Returns
    -------
    uint8 RGB, None where the report says nothing of either.
    """
    places, holes = report.extra.get("focus_places", []), report.extra.get("unreadable_places", [])
    if not places and not holes:
        return None
    height, width = picture.shape[:2]
    scale = LONGEST_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
    for hole in holes:
        _hatch(fitted, Box(*hole), downsample / scale)
    # The softest come last, as places overlap and it is these that are looked for.
    judged = sorted(places, key=lambda place: place[2])
    boxes = [_around(x, y, int(report.extra["focus_patch_px"])) for x, y, _ in judged]
    scores = np.array([score for _, _, score in judged], np.float64)
    drawn = draw_focus(fitted, downsample / scale, boxes, scores, OUT_OF_FOCUS)
    for box in (box for box, score in zip(boxes, scores.tolist(), strict=True) if score > OUT_OF_FOCUS):
        left, top, right, bottom = (round(at * scale / downsample) for at in (box.x, box.y, box.right, box.bottom))
        corner = min(right, size[0]) - 1, min(bottom, size[1]) - 1
        cv2.rectangle(drawn, (left, top), corner, FRAME, FRAME_PX)
    return drawn


def _around(x: float, y: float, side: int) -> Box:
    """Return the box around a point, without what lies left of or above the slide."""
    left, top = max(0, round(x - side / 2)), max(0, round(y - side / 2))
    return Box(left, top, max(1, round(x + side / 2) - left), max(1, round(y + side / 2) - top))


def _hatch(picture: NDArray[np.uint8], hole: Box, downsample: float) -> None:
    """Draw slanted lines over a place, in the picture itself."""
    edges: Sequence[int] = [max(0, round(at / downsample)) for at in (hole.x, hole.y, hole.right, hole.bottom)]
    left, top, right, bottom = edges
    cut = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    rows, columns = np.indices(cut.shape[:2])
    cut[:] = np.where((rows + columns + left + top) % HATCH_PX < HATCH_PX // 3, DARK, PALE)[..., None]
