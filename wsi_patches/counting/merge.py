"""One cell found several times becomes one cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

__all__ = ["REACH", "keep_best", "merge_points"]

REACH = 0.5
"""Two centres that lie nearer than so many radii are those of one cell: cells that touch lie two radii apart."""


def merge_points(
    x: ArrayLike, y: ArrayLike, score: ArrayLike, radius: ArrayLike, reach: float = REACH
) -> NDArray[np.int64]:
    """Keep the best of points that lie too close together to be two cells.

    Points are taken by falling score; a point goes if one that was kept lies nearer than ``reach`` times the larger
    of the two radii. Equal scores are taken by x, then y, so the order of the input does not matter.

    Parameters
    ----------
    x, y
        Centres of shape ``(n,)``, any one frame.
    score
        Shape ``(n,)``.
    radius
        Radii of the cells in the same unit as ``x`` and ``y``, shape ``(n,)`` or a single number.
    reach
        Share of a radius within which two points are one cell.

    Returns
    -------
    int64 indices of the kept points, ascending.
    """
    points = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)
    if len(points) == 0:
        return np.empty(0, np.int64)
    limit = reach * np.broadcast_to(np.asarray(radius, np.float64), len(points))
    pairs = cKDTree(points).query_pairs(float(limit.max()), output_type="ndarray")
    gaps = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    pairs = pairs[gaps < np.maximum(limit[pairs[:, 0]], limit[pairs[:, 1]])]
    return keep_best(pairs, points, score)


def keep_best(pairs: NDArray[np.intp], points: NDArray[np.float64], score: ArrayLike) -> NDArray[np.int64]:
    """Keep the best of things of which some are the same, taken by falling score, then by x, then y.

    Parameters
    ----------
    pairs
        Rows of two that are the same, ``(m, 2)``: the one that is taken first keeps the other out, unless it was kept
        out itself.
    points
        Columns x and y, ``(n, 2)``.
    score
        Shape ``(n,)``.

    Returns
    -------
    int64 indices of what is kept, ascending.
    """
    order = np.lexsort((points[:, 1], points[:, 0], -np.asarray(score, np.float64)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    swap = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    better = np.where(swap, pairs[:, 1], pairs[:, 0])
    worse = np.where(swap, pairs[:, 0], pairs[:, 1])
    kept = np.ones(len(order), bool)
    for index in np.argsort(rank[better], kind="stable"):
        if kept[better[index]]:
            kept[worse[index]] = False
    return np.flatnonzero(kept).astype(np.int64)
