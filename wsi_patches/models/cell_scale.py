"""How large the cells of a field are, by the cells that a finder sees at each of a few scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.models.finder_network import FINDER_CLASSES, RED_CELL_PX
from wsi_patches.models.heat_map import FoundPoints

__all__ = ["WHITE_OVER_RED", "red_cell_px", "resized"]

WHITE_OVER_RED = 1.6
"""A white cell's usual diameter over a red cell's."""
TRIED_PX = np.geomspace(13.0, 230.0, 10)
"""Diameters of red cells to try, in pixels of the samples: from pixels of 0.6 um to those of an immersion objective."""
AGREES = 1.25
"""A cell counts for a scale if it comes out at most so many times larger or smaller than the scale says."""
LEAST_COVERED = 5e-4
"""Share of a field that its cells cover at least: below it lies the noise of empty glass. One white cell covers as much
of a thousand times its own area."""
ALL_CUT = 0.01
"""Weight of a scale at which the border cuts every cell: it is taken for want of another only."""
LEAST_RED_CELLS = 3
REFINEMENTS, SETTLED = 6, 0.04
"""How often the scale is measured anew, and the change of its logarithm that is none. A finder that looks from too far
away takes cells for larger than they are, but never for as large as they should be: each step leads nearer."""
MOST_PX = 700_000
"""Pixels that are looked at for each scale, at that scale."""

Find = Callable[[NDArray[np.uint8]], FoundPoints]
"""Finds the cells of a uint8 RGB image in which red cells measure `RED_CELL_PX`, or thereabouts."""


def red_cell_px(find: Find, samples: Sequence[NDArray[np.uint8]]) -> float | None:
    """Return the diameter of a red cell in pixels of the samples, or None where next to no cell is seen at any scale.

    At the right scale the cells that are seen, each of about the size that the scale says, cover most of the field:
    at any other they are missed, or come out too large or too small. There, red cells are measured.

    Parameters
    ----------
    find
        The finder, at its own scale.
    samples
        uint8 RGB images of one scale.
    """
    covered = np.array([_coverage(find, samples, tried) for tried in TRIED_PX])
    if covered.max() < LEAST_COVERED:
        return None
    diameter = _peak(covered)
    for _ in range(REFINEMENTS):
        measured = _measured(find, samples, diameter)
        before, diameter = diameter, diameter if measured is None else measured
        if abs(np.log(diameter / before)) < SETTLED:
            break
    return diameter


def resized(image: NDArray[np.uint8], shrink: float) -> NDArray[np.uint8]:
    """Return an image with sides ``shrink`` times smaller (larger below 1), a whole number of pixels each."""
    height, width = image.shape[:2]
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    how = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _peak(covered: NDArray[np.float64]) -> float:
    """Return the diameter of most coverage: the vertex of a parabola through the best scale and its neighbours."""
    best = int(covered.argmax())
    before, after = covered[max(best - 1, 0)], covered[min(best + 1, len(covered) - 1)]
    aside = (after - before) / 2 / (2 * covered[best] - before - after) if before + after < 2 * covered[best] else 0.0
    return float(TRIED_PX[best] * (TRIED_PX[1] / TRIED_PX[0]) ** aside)


def _coverage(find: Find, samples: Sequence[NDArray[np.uint8]], tried_px: float) -> float:
    """Return the share of the field that cells cover which agree with a scale, sure ones before others."""
    total, looked_at, whole = 0.0, 0, 0
    for piece in _pieces(samples, tried_px):
        image = resized(piece, tried_px / RED_CELL_PX)
        seen = find(image)
        agrees = np.abs(np.log(_as_red(seen) / RED_CELL_PX)) <= np.log(AGREES)
        cells = seen.take(agrees & (seen.class_index != FINDER_CLASSES.index("platelet")))
        total += float(np.pi * ((cells.score * cells.radius_px) ** 2).sum())
        looked_at += piece.shape[0] * piece.shape[1]
        whole += len(_whole(cells, image.shape))
    return total / looked_at * (tried_px / RED_CELL_PX) ** 2 * (1.0 if whole else ALL_CUT)


def _measured(find: Find, samples: Sequence[NDArray[np.uint8]], red_px: float) -> float | None:
    """Return the median diameter of the red cells that are seen whole at a scale, in pixels of the samples.

    Where there are hardly any, white cells are measured as if they were red; None where there is neither.
    """
    diameters: dict[str, list[float]] = {"red_cell": [], "white_cell": []}
    for piece in _pieces(samples, red_px):
        image = resized(piece, red_px / RED_CELL_PX)
        seen = _whole(find(image), image.shape)
        for name, found in diameters.items():
            found += _as_red(seen.take(seen.class_index == FINDER_CLASSES.index(name))).tolist()
    red, white = diameters["red_cell"], diameters["white_cell"]
    usable = red if len(red) >= LEAST_RED_CELLS or not white else white
    return float(np.median(usable)) * red_px / RED_CELL_PX if usable else None


def _whole(seen: FoundPoints, shape: tuple[int, ...]) -> FoundPoints:
    """Return the cells that no border cuts."""
    inside = [np.minimum(at, length - 1 - at) for at, length in ((seen.x, shape[1]), (seen.y, shape[0]))]
    return seen.take(np.minimum(*inside) >= seen.radius_px)


def _as_red(cells: FoundPoints) -> NDArray[np.float64]:
    """Return the diameter that a red cell has beside each of these."""
    white = cells.class_index == FINDER_CLASSES.index("white_cell")
    return np.asarray(2 * cells.radius_px / np.where(white, WHITE_OVER_RED, 1), np.float64)


def _pieces(samples: Sequence[NDArray[np.uint8]], red_px: float) -> list[NDArray[np.uint8]]:
    """Return the middle of each sample, as large as `MOST_PX` of all of them allow at a scale."""
    side = int(np.sqrt(MOST_PX / len(samples)) * red_px / RED_CELL_PX)
    return [_middle(sample, side) for sample in samples]


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]
