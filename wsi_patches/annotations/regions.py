"""Where marks say that nobody knows: boxes to be ignored, and areas outside of which nobody looked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.annotations.marks import BOX_COLUMNS, boxes_of
from wsi_patches.annotations.words import ANNOTATED_AREA, IGNORE, our_class
from wsi_patches.cells import Cells
from wsi_patches.errors import AnnotationError

__all__ = ["Regions", "regions_of"]

AS_LINES = np.array([0.0, 0.0, 1.0, 1.0])
NONE = np.empty((0, 4))


@dataclass(frozen=True)
class Regions:
    """What is known of a slide's places; boxes as left, top, right and bottom, first and last pixel, one frame."""

    ignored: NDArray[np.float64]
    """Nothing is known in them, ``(k, 4)``."""
    areas: NDArray[np.float64]
    """Nothing is known outside of all of them, ``(m, 4)``; where there is none, the whole slide was looked at."""

    @classmethod
    def none(cls) -> Regions:
        """Return what is known of a slide on which everything is marked: all."""
        return cls(NONE, NONE)

    def unknown(self, xy: ArrayLike) -> NDArray[np.bool_]:
        """Return at which points ``(n, 2)`` nothing is known, ``(n,)``."""
        points = np.asarray(xy, np.float64).reshape(-1, 2)
        outside = ~_within(points, self.areas) if len(self.areas) else np.zeros(len(points), bool)
        return np.asarray(outside | _within(points, self.ignored), np.bool_)

    def scaled(self, step_x: float, step_y: float) -> Regions:
        """Return the same in an image that is so many times wider and higher."""
        step = np.array([step_x, step_y] * 2)
        return Regions(*((boxes + AS_LINES) * step - AS_LINES for boxes in (self.ignored, self.areas)))


def regions_of(marked: Cells, path: str | Path = "") -> Regions:
    """Return the regions among marks: those of the classes ``ignore`` and ``annotated_area``.

    Parameters
    ----------
    marked
        With boxes, or with ``radius_px`` for circles to be ignored; an outline counts as the box around it.
    path
        Of their file, for messages.

    Raises
    ------
    AnnotationError
        A region is a point: nothing says how large it is.
    """
    words = [our_class(name) for name in marked.class_names]
    ignored, areas = (marked.take(_of(marked, words, word)) for word in (IGNORE, ANNOTATED_AREA))
    return Regions(_boxes(ignored, path, IGNORE), _boxes(areas, path, ANNOTATED_AREA))


def _of(marked: Cells, words: list[str], word: str) -> NDArray[np.bool_]:
    return np.array([one == word for one in words], bool)[marked.class_index]


def _boxes(marked: Cells, path: str | Path, word: str) -> NDArray[np.float64]:
    if not len(marked):
        return NONE
    if all(name in marked.attributes for name in BOX_COLUMNS):
        return boxes_of(marked)
    radius = np.asarray(marked.attributes.get("radius_px", np.full(len(marked), np.nan)), np.float64)
    if word == ANNOTATED_AREA or not np.isfinite(radius).all():
        msg = f"{path}: a mark of class {word} needs a box, and so do all cells that are marked beside it"
        raise AnnotationError(msg)
    half = (radius - 0.5)[:, None]
    return np.hstack([marked.xy - half, marked.xy + half])


def _within(points: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    within = np.zeros(len(points), np.bool_)
    for left, top, right, bottom in boxes.tolist():
        # A pixel reaches half a pixel to each side of its middle.
        across = (left - 0.5 <= points[:, 0]) & (points[:, 0] < right + 0.5)
        within |= across & (top - 0.5 <= points[:, 1]) & (points[:, 1] < bottom + 0.5)
    return within
