"""Patches of an overview, tinted by what was said of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["colours_of_shares", "tinted"]


def colours_of_shares(shares: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the RGB colour of each share, shape ``(n, 3)``: dark blue at 0 and below, yellow at 1 and above."""
    if not len(shares):
        return np.empty((0, 3), np.uint8)
    steps = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8).reshape(-1, 1)
    return np.asarray(cv2.applyColorMap(steps, cv2.COLORMAP_CIVIDIS).reshape(-1, 3)[:, ::-1])


def tinted(
    picture: NDArray[np.uint8], edges: Sequence[Sequence[int]], colours: NDArray[np.uint8], veil: float
) -> NDArray[np.uint8]:
    """Return a copy of a picture with coloured rectangles; where they overlap, the last one is seen.

    Parameters
    ----------
    picture
        uint8 RGB ``(h, w, 3)``.
    edges
        Left, top, right and bottom of each in pixels of the picture, which they may reach beyond.
    colours
        RGB of each, uint8 ``(n, 3)``.
    veil
        How much of its colour covers the picture, 0 to 1.
    """
    drawn = picture.copy()
    for (left, top, right, bottom), colour in zip(edges, colours, strict=True):
        cut = np.s_[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        drawn[cut] = (picture[cut] * (1 - veil) + colour * veil).astype(np.uint8)
    return drawn
