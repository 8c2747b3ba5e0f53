"""Found points against annotated boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["match_points_to_boxes"]


def match_points_to_boxes(points: ArrayLike, scores: ArrayLike, boxes: ArrayLike) -> tuple[int, int, int]:
    """Count right points, wrong points and boxes without one.

    Points are taken by falling score; each takes the free box that it lies in, the one with the nearest centre where
    it lies in several. A point without a free box is wrong.

    Parameters
    ----------
    points
        Shape ``(n, 2)``, columns x and y.
    scores
        Shape ``(n,)``; equal scores keep the order given.
    boxes
        Shape ``(m, 4)``: left, top, right, bottom in the points' frame, borders included.

    Returns
    -------
    True positives, false positives, misses.
    """
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = corners[:, :2], corners[:, 2:]
    free = np.ones(len(corners), bool)
    for point in xy[np.argsort(-np.asarray(scores, np.float64), kind="stable")]:
        around = np.flatnonzero(free & (low <= point).all(axis=1) & (point <= high).all(axis=1))
        if len(around):
            nearest = np.argmin(np.hypot(*((low + high)[around] / 2 - point).T))
            free[around[nearest]] = False
    right = int(np.count_nonzero(~free))
    return right, len(xy) - right, len(corners) - right
