"""What of a slide is kept, in one picture for people: what is dropped is dark, what is no glass has an outline."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_kept"]

PREVIEW_PX = 1200
"""Longer side of the picture at the most."""
SMALLEST_PX = 600
"""A smaller one is enlarged, so that lines and words can be read."""
VEIL = np.array([38, 50, 74], np.float32)
VEILED = 0.6
"""Share of the veil in what was dropped."""
OUTLINE = (213, 94, 0)
"""An orange that no stain has."""
STRIP_PX = 34


def draw_kept(
    picture: NDArray[np.uint8],
    picture_downsample: float,
    mask: NDArray[np.bool_],
    boxes: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Draw a slide with its dropped places under a dark veil and the mask's outline.

    Parameters
    ----------
    picture
        The slide, uint8 RGB of shape ``(h, w, 3)``.
    picture_downsample
        Level-0 pixels for each pixel of the picture.
    mask
        Foreground, stretched over the same area as the picture.
    boxes
        All places, shape ``(n, 4)``: x, y, width and height in level-0 pixels.
    kept
        Which of them are kept, shape ``(n,)``.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)``, with a strip below that says how many places are kept.
    """
    longest = max(picture.shape[:2])
    zoom = min(1.0, PREVIEW_PX / longest) if longest > SMALLEST_PX else SMALLEST_PX / longest
    size = (max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom)))
    drawn = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR))
    corners = np.rint(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) * zoom / picture_downsample).astype(int)
    dropped = np.full(drawn.shape[:2], True)
    for left, top, right, bottom in np.maximum(corners[kept], 0).tolist():
        dropped[top:bottom, left:right] = False
    drawn[dropped] = ((1 - VEILED) * drawn[dropped] + VEILED * VEIL).astype(np.uint8)
    whole = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(whole, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(drawn, outlines, -1, OUTLINE, 1)
    words = f"kept {np.count_nonzero(kept)} of {len(kept)} patches; dropped ones are dark; outlined: what is not glass"
    return np.concatenate([drawn, _strip(drawn.shape[1], words)])


def _strip(width: int, words: str) -> NDArray[np.uint8]:
    """Return a white strip with a line of text that fits into it."""
    strip = np.full((STRIP_PX, width, 3), 255, np.uint8)
    (length, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.6, (width - 16) / length)
    cv2.putText(strip, words, (8, STRIP_PX * 2 // 3), cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)
    return strip
