"""Found points against annotated boxes or points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["assign_points_to_boxes", "assign_points_to_points", "match_points_to_boxes"]


def assign_points_to_boxes(points: ArrayLike, scores: ArrayLike, boxes: ArrayLike) -> NDArray[np.int64]:
    """Give each point the box that it found.

    Points are taken by falling score; each takes the free box that it lies in, the one with the nearest centre where
    it lies in several. What the best points took does not depend on the points that follow, so that one assignment
    serves every threshold of the score.

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
    int64 row in ``boxes`` of each point, shape ``(n,)``; -1 for a point without a free box.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = corners[:, :2], corners[:, 2:]

    def holds(point: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((low <= point).all(axis=1) & (point <= high).all(axis=1))

    return _assign(points, scores, (low + high) / 2, holds)


def assign_points_to_points(
    points: ArrayLike, scores: ArrayLike, truth: ArrayLike, radius_px: ArrayLike
) -> NDArray[np.int64]:
    """Give each point the annotated point that it found: the nearest free one within a radius, by falling score.

    Parameters
    ----------
    points
        Shape ``(n, 2)``, columns x and y.
    scores
        Shape ``(n,)``; equal scores keep the order given.
    truth
        Annotated points of shape ``(m, 2)`` in the same frame.
    radius_px
        How far from an annotated point still counts, the distance itself included; in the frame's pixels, one number
        or shape ``(m,)``.

    Returns
    -------
    int64 row in ``truth`` of each point, shape ``(n,)``; -1 for a point without a free one.
    """
    centres = np.asarray(truth, np.float64).reshape(-1, 2)
    radii = np.broadcast_to(np.asarray(radius_px, np.float64), len(centres))

    def reaches(point: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(np.hypot(*(centres - point).T) <= radii)

    return _assign(points, scores, centres, reaches)


def match_points_to_boxes(points: ArrayLike, scores: ArrayLike, boxes: ArrayLike) -> tuple[int, int, int]:
    """Count right points, wrong points and boxes without one.

    Parameters
    ----------
    points, scores, boxes
        As `assign_points_to_boxes` takes them.

    Returns
    -------
    True positives, false positives, misses.
    """
    assigned = assign_points_to_boxes(points, scores, boxes)
    right = int(np.count_nonzero(assigned >= 0))
    return right, len(assigned) - right, len(np.asarray(boxes, np.float64).reshape(-1, 4)) - right


def _assign(
    points: ArrayLike,
    scores: ArrayLike,
    centres: NDArray[np.float64],
    near: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> NDArray[np.int64]:
    """Let each point, best first, take the free one with the nearest centre among those that are ``near`` it."""
    xy = np.asarray(points, np.float64).reshape(-1, 2)
    free = np.ones(len(centres), bool)
    assigned = np.full(len(xy), -1, np.int64)
    for row in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        around = np.flatnonzero(free & near(xy[row]))
        if len(around):
            nearest = around[np.argmin(np.hypot(*(centres[around] - xy[row]).T))]
            assigned[row], free[nearest] = nearest, False
    return assigned
