"""What a model of slide bags went by, on the overview of a slide."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.geometry import Box
from wsi_patches.report.tint import colours_of_shares, tinted

__all__ = ["draw_attention"]

SMALLEST_PX = 600
"""A smaller overview is enlarged, so that its legend can be read."""
VEIL = 0.5
"""How much of a patch's colour covers the slide."""
STRIP_PX, BAR_PX, MARGIN_PX = 58, 14, 10
FONT, INK = cv2.FONT_HERSHEY_SIMPLEX, (30, 30, 30)


def draw_attention(
    picture: NDArray[np.uint8], downsample: float, boxes: Sequence[Box], attention: NDArray[np.floating], highest: float
) -> NDArray[np.uint8]:
    """Return an overview with each patch tinted by its attention, and a legend below.

    Parameters
    ----------
    picture
        The slide, uint8 RGB ``(h, w, 3)``.
    downsample
        Level-0 pixels for each pixel of the picture.
    boxes, attention
        The patches, level-0 pixels, and the attention of each, in even shares of its bag: 1 is what each patch has
        where all weigh the same.
    highest
        What the brightest colour stands for; the same for all slides of a bag, so that these can be compared.
    """
    zoom = max(1.0, SMALLEST_PX / max(picture.shape[:2]))
    size = (round(picture.shape[1] * zoom), round(picture.shape[0] * zoom))
    shown = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    scale = zoom / downsample
    # The highest come last, as patches may overlap and it is these that are looked for.
    order = np.argsort(attention, kind="stable")
    placed = [boxes[row] for row in order.tolist()]
    edges = [tuple(round(value * scale) for value in (box.x, box.y, box.right, box.bottom)) for box in placed]
    drawn = tinted(shown, edges, colours_of_shares(attention[order] / highest), VEIL)
    return np.concatenate([drawn, _legend(size[0], highest)])


def _legend(width: int, highest: float) -> NDArray[np.uint8]:
    strip = np.full((STRIP_PX, width, 3), 255, np.uint8)
    inner = width - 2 * MARGIN_PX
    bar = colours_of_shares(np.linspace(0, 1, inner))
    strip[MARGIN_PX : MARGIN_PX + BAR_PX, MARGIN_PX : MARGIN_PX + inner] = bar[None]
    text = f"attention, from 0 to {highest:.3g} times an even share"
    (length, _), _ = cv2.getTextSize(text, FONT, 1.0, 1)
    scale = min(0.5, inner / length)
    cv2.putText(strip, text, (MARGIN_PX, STRIP_PX - MARGIN_PX), FONT, scale, INK, 1, cv2.LINE_AA)
    return strip
