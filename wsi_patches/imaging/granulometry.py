"""How large the things in a field are, without telling one from the other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["foreground_mask", "typical_diameter"]

PALLOR_ROUNDNESS = 0.75
"""The pale middle of a red cell fills this share of its convex hull, and the hull is round to this degree; gaps between
cells are concave or have corners (an equilateral triangle has 0.6, a square 0.79)."""


def foreground_mask(absorbance: NDArray[np.float32], floor: float) -> NDArray[np.uint8]:
    """Return where anything lies on the glass: Otsu's threshold, at least ``floor``, and red cells' pallor filled.

    Parameters
    ----------
    absorbance
        Natural-log absorbance over the glass, float32 of shape ``(h, w)``.
    floor
        The least absorbance that counts.

    Returns
    -------
    uint8 of shape ``(h, w)``, 0 or 255.
    """
    above = absorbance[absorbance > floor]
    if len(above) == 0:
        return np.zeros(absorbance.shape, np.uint8)
    # Clipped, so that the threshold parts pale cells from glass and not dark nuclei from pale cells.
    steps = 127 / float(np.median(above))
    grey = np.clip(absorbance * steps, 0, 254).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = np.where(grey > max(otsu, floor * steps), 255, 0).astype(np.uint8)
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    holes = [line for line, node in zip(outlines, tree[0], strict=True) if node[3] >= 0] if outlines else []
    pallor = [line for line in holes if _is_round(line)]
    return np.asarray(cv2.drawContours(mask, pallor, -1, 255, cv2.FILLED), np.uint8)


def _is_round(outline: NDArray[Any]) -> bool:
    """Say whether a hole is round; its hull is judged, since noise makes any outline long. Specks are round."""
    hull = cv2.convexHull(outline)
    area, perimeter = cv2.contourArea(hull), cv2.arcLength(hull, closed=True)
    if area < 5:
        return True
    return bool(min(cv2.contourArea(outline) / area, 4 * np.pi * area / perimeter**2) > PALLOR_ROUNDNESS)


def typical_diameter(
    masks: list[NDArray[np.uint8]], diameters_px: NDArray[np.float64], lost: float = 0.5
) -> float | None:
    """Return the diameter of disc at which a share of the masks' area is lost by a morphological opening.

    A quantile of the granulometric size distribution (Matheron 1975; Serra 1982), weighted by area: cells that overlap
    hardly change it, since not much larger discs fit into their union.

    Parameters
    ----------
    masks
        uint8 of shape ``(h, w)``, not 0 where something lies.
    diameters_px
        Diameters to try, ascending.
    lost
        Share of the area that the opening takes away.

    Returns
    -------
    The diameter in pixels, or None where the smallest disc fits nowhere.
    """
    area = np.zeros(len(diameters_px))
    for mask in masks:
        area += _opened_areas(mask, diameters_px / 2)
    if area[0] == 0:
        return None
    left = area[0] * (1 - lost)
    below = int(np.argmax(area < left)) or len(area)
    if below == len(area):
        return float(diameters_px[-1])
    share = (area[below - 1] - left) / (area[below - 1] - area[below])
    return float(diameters_px[below - 1] * (diameters_px[below] / diameters_px[below - 1]) ** share)


def _opened_areas(mask: NDArray[np.uint8], radii_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area left of a mask by openings with discs, through distance maps."""
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    areas = np.zeros(len(radii_px))
    for index, radius in enumerate(radii_px):
        outside = np.where(depth < radius, 255, 0).astype(np.uint8)
        if outside.all():
            break
        areas[index] = np.count_nonzero(cv2.distanceTransform(outside, cv2.DIST_L2, 5) < radius)
    return areas
