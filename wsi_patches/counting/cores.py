"""Which part of a slide each of its patches answers for, so that nothing is counted twice however far they overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.geometry import Size

__all__ = ["Cores", "PatchCounts", "core_counts", "densest_place", "patch_cores"]


@dataclass(frozen=True)
class Cores:
    """A partition of all that some patches cover: every pixel lies in just one core, and a core in its own patch."""

    boxes: NDArray[np.int64]
    """Left, top, right and bottom, the last two not included, ``(m, 4)``. One box a patch, and more for one that
    answers for a part of a place that was lost."""
    patch: NDArray[np.int64]
    """Row of the patch that answers for each box, ``(m,)``, ascending."""

    def of(self, patch: int) -> NDArray[np.int64]:
        """Return the boxes of one patch, ``(k, 4)``; none for a patch that lies outside of the slide."""
        first, last = np.searchsorted(self.patch, [patch, patch + 1])
        return self.boxes[first:last]

    def areas(self, patches: int) -> NDArray[np.int64]:
        """Return the area of the core of each of so many patches, pixels, ``(patches,)``."""
        left, top, right, bottom = self.boxes.T
        areas = np.zeros(patches, np.int64)
        np.add.at(areas, self.patch, (right - left) * (bottom - top))
        return areas

    def scaled(self, downsample: float) -> Cores:
        """Return the cores in pixels ``downsample`` times smaller, rounded, halves up; a partition too."""
        return Cores(np.floor(self.boxes * downsample + 0.5).astype(np.int64), self.patch)


@dataclass(frozen=True)
class PatchCounts:
    """What was counted in the core of each patch of a slide; level-0 pixels."""

    class_names: tuple[str, ...]
    xy: NDArray[np.int64]
    """Top left corners of the patches, ``(n, 2)``."""
    side: int
    """Of a patch."""
    counts: NDArray[np.float64]
    """Of each class in each core, as the model says it, ``(n, classes)``."""
    cores: Cores


def patch_cores(xy_px: ArrayLike, side_px: int, size_px: Size) -> Cores:
    """Divide what patches cover among them.

    Where two patches overlap, each answers for the half that lies deeper inside of it. What a lost place would have
    answered for goes to the patch with the nearest centre among those that show it.

    Parameters
    ----------
    xy_px
        Top left corners of the patches, ``(n, 2)``, whole pixels: places of a grid, some of which may be lacking.
    side_px
        Of a patch.
    size_px
        Of the slide in the same pixels; what lies outside of it belongs to no core.
    """
    corners = np.asarray(xy_px, np.int64).reshape(-1, 2)
    if not len(corners):
        return Cores(np.empty((0, 4), np.int64), np.empty(0, np.int64))
    (columns, column_of), (rows, row_of) = (np.unique(axis, return_inverse=True) for axis in corners.T)
    x, y = _spans(columns, side_px, size_px.width), _spans(rows, side_px, size_px.height)
    lost = len(corners)
    held = np.full((len(rows), len(columns)), lost, np.int64)
    np.minimum.at(held, (row_of, column_of), np.arange(len(corners)))  # the first of equal ones
    row, column = np.nonzero(held < lost)
    boxes = [np.stack([x[column, 0], y[row, 0], x[column, 1], y[row, 1]], axis=1)]
    owners = [held[row, column]]
    for row, column in np.argwhere(held == lost):
        box = np.array([x[column, 0], y[row, 0], x[column, 1], y[row, 1]])
        near = held[_near(rows, side_px, *y[row]), _near(columns, side_px, *x[column])]
        near = np.sort(near[near < lost])
        if len(near):
            pieces, owner = _shared_out(box, corners[near], side_px)
            boxes.append(pieces)
            owners.append(near[owner])
    return _sorted(np.concatenate(boxes), np.concatenate(owners))


def core_counts(density: NDArray[np.floating], boxes: NDArray[np.int64], step_px: float) -> NDArray[np.float64]:
    """Return how many cells of each class lie in a core, ``(classes,)``.

    Parameters
    ----------
    density
        Cells in each place of a patch, ``(classes, h, w)``; a place is ``step_px`` wide and high.
    boxes
        The core, ``(k, 4)``, in pixels of the patch. A place that it cuts is counted by the share that lies inside.
    step_px
        Pixels of the patch for each place.
    """
    total = np.zeros(len(density), np.float64)
    for left, top, right, bottom in boxes:
        across = _shares(density.shape[2], left, right, step_px)
        down = _shares(density.shape[1], top, bottom, step_px)
        total += np.einsum("h,chw,w->c", down, density, across)
    return total


def densest_place(density: NDArray[np.floating], boxes: NDArray[np.int64], step_px: float) -> NDArray[np.float64]:
    """Return where in a core the density of all classes is highest, ``(x, y)`` in pixels of the patch.

    Parameters are those of `core_counts`; of a core without any place, it is the first place of the patch.
    """
    total = density.sum(axis=0)
    middle = [(np.arange(places) + 0.5) * step_px - 0.5 for places in total.shape]
    inside = np.zeros(total.shape, bool)
    for left, top, right, bottom in boxes - 0.5:
        across, down = (middle[1] >= left) & (middle[1] < right), (middle[0] >= top) & (middle[0] < bottom)
        inside |= down[:, None] & across
    row, column = np.unravel_index(np.where(inside, total, -np.inf).argmax(), total.shape)
    return np.array([middle[1][column], middle[0][row]])


def _spans(at: NDArray[np.int64], side: int, length: int) -> NDArray[np.int64]:
    """Return where along an axis the cores of patches that begin ``at`` begin and end, ``(n, 2)``."""
    middle = (at[:-1] + at[1:] + side) // 2  # of the overlap of neighbours, or of the gap between them
    first = np.maximum(at, np.append(at[:1], middle))
    last = np.minimum(at + side, np.append(middle, at[-1] + side))
    return np.stack([first, last], axis=1).clip(0, length)


def _near(at: NDArray[np.int64], side: int, first: int, last: int) -> slice:
    """Return which of the patches that begin ``at`` reach into a span."""
    return slice(int(np.searchsorted(at, first - side, "right")), int(np.searchsorted(at, last, "left")))


def _shared_out(
    box: NDArray[np.int64], corners: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a box at the borders of the patches around it; return the pieces that are seen, and by whom each is taken."""
    x, y = (
        np.unique(np.concatenate([box[axis::2], corners[:, axis], corners[:, axis] + side]).clip(*box[axis::2]))
        for axis in (0, 1)
    )
    left, top = (grid.ravel() for grid in np.meshgrid(x[:-1], y[:-1]))
    right, bottom = (grid.ravel() for grid in np.meshgrid(x[1:], y[1:]))
    pieces = np.stack([left, top, right, bottom], axis=1)
    low, high = pieces[:, None, :2], pieces[:, None, 2:]
    sees = np.asarray(((corners <= low) & (high <= corners + side)).all(axis=2))
    away = ((low + high - 2 * corners - side) ** 2).sum(axis=2)
    owner = np.where(sees, away, np.iinfo(np.int64).max).argmin(axis=1)
    seen = np.flatnonzero(sees.any(axis=1))
    return pieces[seen], owner[seen]


def _sorted(boxes: NDArray[np.int64], owners: NDArray[np.int64]) -> Cores:
    """Return cores patch by patch, without boxes of no area."""
    there = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    order = np.argsort(owners[there], kind="stable")
    return Cores(boxes[there][order], owners[there][order])


def _shares(places: int, first: float, last: float, step: float) -> NDArray[np.float64]:
    """Return which share of each place along an axis lies between two pixels, ``(places,)``."""
    begin = np.arange(places) * step
    return np.asarray((np.minimum(begin + step, last) - np.maximum(begin, first)).clip(0, step) / step, np.float64)
