"""A slide in one picture, with its cells marked."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.geometry import Box
from wsi_patches.slide import Slide, level_for

__all__ = ["COLOURS", "draw_overlay", "overview"]

LONGEST_PX = 2400
READ_PX = 2048
"""Side of the blocks that a slide without a small level is read in."""
COLOURS = {"blast": (213, 94, 0), "other": (0, 114, 178), "white_cell": (0, 128, 96)}
"""Of the Okabe-Ito palette, which people with colour blindness can tell apart; blasts have a square besides."""
SMALLEST_RING_PX = 5


def overview(slide: Slide, longest_px: int = LONGEST_PX) -> tuple[NDArray[np.uint8], float]:
    """Return the whole slide as one picture, and how many level-0 pixels one of its pixels stands for.

    Parameters
    ----------
    slide
        Any slide; it is read in blocks, so that memory does not depend on its size.
    longest_px
        The longer side of the picture at the most; a smaller slide is given as it is.

    Returns
    -------
    uint8 RGB of shape ``(h, w, 3)`` and the downsample.

    Raises
    ------
    SlideError
        The slide cannot be read.
    """
    info = slide.info
    downsample = max(info.levels[0].downsample, max(info.size) / longest_px)
    width, height = (max(1, int(side / downsample)) for side in info.size)
    picture = np.full((height, width, 3), slide.background, np.uint8)
    finest = info.levels[level_for(info.levels, downsample)].downsample
    side = max(1, int(READ_PX * finest / downsample))
    for row in range(0, height, side):
        for column in range(0, width, side):
            rows, columns = min(side, height - row), min(side, width - column)
            x, y, right, bottom = (round(at * downsample) for at in (column, row, column + columns, row + rows))
            pixels = slide.read_scaled(Box(x, y, right - x, bottom - y), downsample)[:rows, :columns]
            picture[row : row + pixels.shape[0], column : column + pixels.shape[1]] = pixels
    return picture, downsample


def draw_overlay(picture: NDArray[np.uint8], downsample: float, cells: Cells) -> NDArray[np.uint8]:
    """Return a copy of an overview with a ring around each cell, and a legend with the counts below it."""
    drawn = picture.copy()
    thickness = max(1, round(max(picture.shape[:2]) / 1000))
    radii = np.nan_to_num(cells.attributes.get("radius_px", np.full(len(cells), 0.0)))  # a point has none
    for x, y, radius, index in zip(cells.x, cells.y, radii, cells.class_index, strict=True):
        name = cells.class_names[index]
        centre = (round(x / downsample), round(y / downsample))
        ring = max(SMALLEST_RING_PX, round(float(radius) * 1.25 / downsample))
        if name == "blast":
            corner, opposite = (centre[0] - ring, centre[1] - ring), (centre[0] + ring, centre[1] + ring)
            cv2.rectangle(drawn, corner, opposite, COLOURS[name], thickness + 1, cv2.LINE_AA)
        else:
            cv2.circle(drawn, centre, ring, COLOURS.get(name, (0, 0, 0)), thickness + 1, cv2.LINE_AA)
    return np.concatenate([drawn, _legend(drawn.shape[1], cells)])


def _legend(width: int, cells: Cells) -> NDArray[np.uint8]:
    """Return a white strip that says which mark is which and how many there are."""
    words = [(name, f"{name.replace('_', ' ')}: {cells.count(name)}") for name in cells.class_names]
    scale = min(1.4, width / 1400 + 0.2)
    strip = np.full((max(18, round(44 * scale)), width, 3), 255, np.uint8)
    left, middle = round(12 * scale), strip.shape[0] // 2
    for name, text in words:
        half = max(3, round(9 * scale))
        if name == "blast":
            cv2.rectangle(strip, (left, middle - half), (left + 2 * half, middle + half), COLOURS[name], 2, cv2.LINE_AA)
        else:
            cv2.circle(strip, (left + half, middle), half, COLOURS.get(name, (0, 0, 0)), 2, cv2.LINE_AA)
        left += 2 * half + round(10 * scale)
        size, _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        where = (left, middle + size[1] // 2)
        cv2.putText(strip, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)
        left += size[0] + round(28 * scale)
    return strip
