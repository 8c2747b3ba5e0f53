"""What is done to masks: largest piece, holes, opening and closing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["closed_and_opened", "disk", "filled", "largest", "opened", "touching"]

Mask = NDArray[np.bool_]


def disk(radius_px: int) -> NDArray[np.uint8]:
    """Return a disc as structuring element, uint8 ``(2 r + 1, 2 r + 1)``."""
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return np.asarray(x * x + y * y <= radius_px * radius_px, np.uint8)


def filled(mask: Mask) -> Mask:
    """Return the mask without holes."""
    return np.asarray(ndimage.binary_fill_holes(mask), bool)


def largest(mask: Mask) -> Mask:
    """Return the largest 8-connected piece; an empty mask stays empty."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def opened(mask: Mask, radius_px: int) -> Mask:
    """Return the mask without what a disc does not fit into."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disk(radius_px)).astype(bool)


def closed_and_opened(mask: Mask, radius_px: int) -> Mask:
    """Return the mask closed, then opened, by a disc; what lies outside the image counts as not in the mask."""
    padded = np.pad(mask.astype(np.uint8), 2 * radius_px)
    both = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disk(radius_px))
    both = cv2.morphologyEx(both, cv2.MORPH_OPEN, disk(radius_px)).astype(bool)
    inner = slice(2 * radius_px, -2 * radius_px or None)
    return np.asarray(both[inner, inner])


def touching(mask: Mask, seeds: Mask) -> Mask:
    """Return the 8-connected pieces of a mask that hold a pixel of ``seeds``."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(np.isin(labels, np.unique(labels[seeds & mask])) & mask)
