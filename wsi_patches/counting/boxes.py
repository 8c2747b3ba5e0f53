"""Boxes of cells in slide coordinates: one cell that several windows boxed gets one box.

Boxes name their first and last pixel, both inclusive, as annotations do: a width is ``right - left + 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from wsi_patches.counting.merge import REACH, keep_best
from wsi_patches.counting.windows import Calibration, CellFinder, Window, windows_of
from wsi_patches.slide import Slide

__all__ = [
    "AS_LINES",
    "BoxFinder",
    "SlideBoxes",
    "TypeFinder",
    "boxes_of",
    "columns_of",
    "edges_on_slide",
    "find_boxes",
    "merge_boxes",
    "square_edges",
    "table_of",
]

AS_LINES = np.array([0.0, 0.0, 1.0, 1.0])
"""What makes first and last pixels the lines around them, which lie where a scale puts them."""
OVERLAP = 0.5
"""Intersection over union from which two boxes are those of one cell. Of circles that touch it is 0.05 at the most."""
C = TypeVar("C", bound=Calibration)


@runtime_checkable
class BoxFinder(CellFinder[C], Protocol[C]):
    """A finder whose cells have boxes and classes: what it finds has ``edges`` and ``probabilities`` besides.

    ``edges`` are left, top, right and bottom in the image's pixels, ``(n, 4)``, ``probabilities`` those of each class
    for what is a cell, ``(n, classes)``.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""


@runtime_checkable
class TypeFinder(BoxFinder[C], Protocol[C]):
    """A `BoxFinder` whose classes may be types of white cells, and which may tell attributes of each cell.

    What it finds has ``attributes`` besides, the probabilities of all their values, ``(n, values)``.
    """

    @property
    def blast_names(self) -> tuple[str, ...] | None:
        """Which of the types are blasts; None where its classes are blast and other, or white_cell."""

    @property
    def attribute_values(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each attribute, in the order of their probabilities; empty where none is told."""


class SlideBoxes(NamedTuple):
    """Cells of a slide with their boxes, level-0 pixels."""

    edges: NDArray[np.float64]
    """Left, top, right and bottom, ``(n, 4)``."""
    score: NDArray[np.float64]
    """That there is a cell, ``(n,)``."""
    probabilities: NDArray[np.float64]
    """Of each class if there is one, ``(n, classes)``."""
    attributes: NDArray[np.float64]
    """Of the values of each attribute, one attribute after the other, ``(n, values)``."""


def find_boxes(
    slide: Slide,
    finder: BoxFinder[Any],
    downsample: float | None = None,
    window_px: int = 1024,
    on_progress: Callable[[int, int], None] | None = None,
) -> SlideBoxes:
    """Box the cells of a slide window by window, each cell once.

    Parameters and errors are those of `wsi_patches.counting.find_cells`.
    """
    table = table_of(windows_of(slide, finder, downsample, window_px, on_progress), columns_of(finder))
    return boxes_of(table, len(finder.class_names))


def columns_of(finder: BoxFinder[Any]) -> int:
    """Return how many probabilities a finder gives of each cell: of its classes, and of its attributes' values."""
    values = finder.attribute_values.values() if isinstance(finder, TypeFinder) else ()
    return len(finder.class_names) + sum(map(len, values))


def table_of(windows: Iterable[Window], columns: int) -> NDArray[np.float64]:
    """Return what windows answer for as rows of edges (level-0 pixels), score and probabilities, ``(n, 5 + c)``."""
    return np.concatenate([np.empty((0, 5 + columns)), *map(_rows_of, windows)])


def _rows_of(window: Window) -> NDArray[np.float64]:
    found, rows = window.found, window.rows
    said = [found.probabilities[rows]]
    if getattr(found, "attributes", None) is not None:
        said.append(found.attributes[rows])
    return np.column_stack([edges_on_slide(window), found.score[rows], *said])


def boxes_of(table: NDArray[np.float64], classes: int) -> SlideBoxes:
    """Return the boxes of a slide from what all its windows answer for, as `table_of` returns it."""
    table = table[merge_boxes(table[:, :4], table[:, 4])]
    return SlideBoxes(table[:, :4], table[:, 4], table[:, 5 : 5 + classes], table[:, 5 + classes :])


def square_edges(x: ArrayLike, y: ArrayLike, radius: ArrayLike) -> NDArray[np.float64]:
    """Return left, top, right and bottom of the squares around circles, ``(n, 4)``, all in one frame."""
    across, down, reach = (np.asarray(one, np.float64) for one in (x, y, radius))
    half = reach - 0.5
    return np.stack([across - half, down - half, across + half, down + half], axis=1)


def edges_on_slide(window: Window) -> NDArray[np.float64]:
    """Return the boxes that a window answers for, in level-0 pixels, ``(n, 4)``; see `BoxFinder`."""
    edges: NDArray[Any] = window.found.edges[window.rows]
    step, corner = (np.array([*pair, *pair]) for pair in ((window.step_x, window.step_y), (window.left, window.top)))
    return np.asarray((edges + AS_LINES) * step + corner - AS_LINES, np.float64)


def merge_boxes(
    edges: ArrayLike, score: ArrayLike, overlap: float = OVERLAP, reach: float = REACH
) -> NDArray[np.int64]:
    """Keep the best of boxes that are one cell's, whatever their class.

    Boxes are taken by falling score; one goes if it overlaps one that was kept, or if their centres lie nearer than a
    share of the larger radius. Equal scores are taken by the centre's x, then y, so the order of the input does not
    matter.

    Parameters
    ----------
    edges
        Left, top, right and bottom of shape ``(n, 4)``, any one frame.
    score
        Shape ``(n,)``.
    overlap
        Intersection over union from which two boxes are one cell's.
    reach
        Share of a radius, half the root of a box's area, within which two centres are one cell's.

    Returns
    -------
    int64 indices of the kept boxes, ascending.
    """
    boxes = np.asarray(edges, np.float64).reshape(-1, 4)
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    low, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1
    centres, area = (boxes[:, :2] + boxes[:, 2:]) / 2, size.prod(axis=1)
    one, other = cKDTree(centres).query_pairs(float(np.hypot(*size.T).max()), output_type="ndarray").T
    shared = np.minimum(low[one] + size[one], low[other] + size[other]) - np.maximum(low[one], low[other])
    common = np.maximum(shared, 0).prod(axis=1)
    near = np.hypot(*(centres[one] - centres[other]).T) < reach * np.sqrt(np.maximum(area[one], area[other])) / 2
    same = near | (common >= overlap * (area[one] + area[other] - common))
    return keep_best(np.stack([one, other], axis=1)[same], centres, score)
