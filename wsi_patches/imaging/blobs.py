"""From a mask of nuclei to one blob for each cell: lobes of one nucleus joined, touching cells apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Blobs", "nuclear_blobs"]

TRACE = 0.05
"""A peak of the smoothed mask lower than this share of a filled neighbourhood is a speck."""


@dataclass(frozen=True)
class Blobs:
    """What is gathered of each nucleus; columns of shape ``(n,)`` in the mask's own pixels."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area_px: NDArray[np.float64]
    """Area of the nucleus, all lobes together, square pixels."""
    spread_px: NDArray[np.float64]
    """Radius of the disc that has the same second moment: it reaches over gaps between lobes."""
    mean: NDArray[np.float64]
    """Mean value of the signal over the nucleus."""


def nuclear_blobs(
    mask: NDArray[np.uint8], signal: NDArray[np.float32], split_px: float, reach_px: float, whole_area_px: float
) -> Blobs:
    """Gather the pixels of a mask into nuclei.

    Parameters
    ----------
    mask
        uint8 of shape ``(h, w)``, not 0 on nuclei.
    signal
        float32 of the same shape, averaged over each nucleus.
    split_px
        Two centres closer than this are never told apart.
    reach_px
        How far from its centre a cell's nucleus may lie.
    whole_area_px
        Pieces within reach that together are no larger than this are lobes of one nucleus.

    Returns
    -------
    The nuclei, in no particular order.
    """
    seeds = _peaks(mask, split_px)
    # Where each pixel is nearest to one seed; a distance map wants seeds to be 0.
    distance, nearest = cv2.distanceTransformWithLabels(
        np.where(seeds, 0, 255).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    y, x = np.nonzero((mask > 0) & (distance <= reach_px)) if seeds.any() else (np.empty(0, np.intp),) * 2
    piece = nearest[y, x]
    moments = _moments(piece, x.astype(np.float64), y.astype(np.float64), signal[y, x])
    group = _joined(moments, reach_px, whole_area_px)
    return _described(np.stack([np.bincount(group, row) for row in moments]) if len(group) else moments)


def _peaks(mask: NDArray[np.uint8], split_px: float) -> NDArray[np.bool_]:
    """Return local maxima of the mask smoothed so that two discs ``split_px`` apart keep a valley between them."""
    smooth = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), split_px / 2)
    radius = max(1, round(split_px / 2))
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray((smooth >= cv2.dilate(smooth, window)) & (smooth > TRACE))


def _moments(
    piece: NDArray[Any], x: NDArray[np.float64], y: NDArray[np.float64], signal: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return sums over each piece, shape ``(5, n)``: area, x, y, squared distance from the origin, signal."""
    piece = np.unique(piece, return_inverse=True)[1]
    columns = (np.ones_like(x), x, y, x * x + y * y, signal)
    return np.stack([np.bincount(piece, column) for column in columns]).astype(np.float64)


def _joined(moments: NDArray[np.float64], reach_px: float, whole_area_px: float) -> NDArray[np.intp]:
    """Return a group for each piece: nearest pairs first, pieces join while they are no more than one nucleus."""
    group = np.arange(moments.shape[1])
    if len(group) < 2:
        return group
    points = (moments[1:3] / moments[0]).T
    pairs = cKDTree(points).query_pairs(reach_px, output_type="ndarray")
    gaps = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    total = moments.copy()
    for one, other in pairs[np.argsort(gaps, kind="stable")]:
        kept, left = group[one], group[other]
        if kept == left or total[0, kept] + total[0, left] > whole_area_px:
            continue
        middles = total[1:3, [kept, left]] / total[0, [kept, left]]
        if np.hypot(*(middles[:, 0] - middles[:, 1])) <= reach_px:
            total[:, kept] += total[:, left]
            group[group == left] = kept
    return np.unique(group, return_inverse=True)[1]


def _described(moments: NDArray[np.float64]) -> Blobs:
    area, x, y, square, signal = moments
    x, y = x / area, y / area
    # A disc of radius r has the mean squared distance r^2 / 2 from its centre; a pixel alone adds 1/6.
    spread = np.sqrt(2 * np.maximum(square / area - x * x - y * y + 1 / 6, 0))
    return Blobs(x, y, area, spread, signal / area)
