"""From a finder's maps to points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsi_patches.models.finder_network import RED_CELL_PX, STRIDE, FinderMaps

__all__ = ["FoundPoints", "decode"]

FLAT = 1e-6
"""Curvature below which a peak has no place finer than its own."""


@dataclass(frozen=True)
class FoundPoints:
    """Cells of one image, in its own pixels, 0-based; columns of shape ``(n,)``, best first."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    score: NDArray[np.float32]
    """Of the heat map, 0..1."""
    class_index: NDArray[np.int64]
    """Into `FINDER_CLASSES`."""

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> FoundPoints:
        """Return the cells at ``rows``, indices or one truth value a cell."""
        return FoundPoints(self.x[rows], self.y[rows], self.radius_px[rows], self.score[rows], self.class_index[rows])

    def __len__(self) -> int:
        return len(self.x)


def decode(maps: FinderMaps, threshold: float, apart: float) -> FoundPoints:
    """Return the cells of one image: peaks of the heat maps that no better peak of their class lies too near to.

    Parameters
    ----------
    maps
        Of one image, ``(1, classes, h, w)`` and ``(1, h, w)``.
    threshold
        Least height of a peak, 0..1.
    apart
        Least distance of two cells of one class, in radii of the larger.
    """
    heat = maps.heat[0].float().sigmoid()
    highest = nn.functional.max_pool2d(heat[None], 3, stride=1, padding=1)[0]
    peaks = torch.nonzero((heat == highest) & (heat >= threshold)).cpu().numpy()
    # Logits, since the log of a Gaussian bump is a parabola, whose vertex three of its points give.
    logits, log_radius = maps.heat[0].float().cpu().numpy(), maps.log_radius[0].float().cpu().numpy()
    kind, row, column = peaks.T
    found = FoundPoints(
        x=_pixel(column + _vertex(logits, kind, row, column, (0, 1))),
        y=_pixel(row + _vertex(logits, kind, row, column, (1, 0))),
        radius_px=RED_CELL_PX / 2 * np.exp(log_radius[row, column].astype(np.float64)),
        score=heat.cpu().numpy()[kind, row, column].astype(np.float32),
        class_index=kind.astype(np.int64),
    )
    best_first = found.take(np.argsort(-found.score, kind="stable"))
    return best_first.take(_apart(best_first, apart))


def _pixel(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where in the image a place of the map lies; its middle is that of `STRIDE` pixels."""
    return np.asarray((place + 0.5) * STRIDE - 0.5, np.float64)


def _vertex(
    logits: NDArray[np.float32],
    kind: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    step: tuple[int, int],
) -> NDArray[np.float64]:
    """Return how far from a peak, along one axis, the vertex of a parabola through it and its neighbours lies."""
    down, along = step
    before = logits[kind, np.maximum(row - down, 0), np.maximum(column - along, 0)].astype(np.float64)
    after = logits[
        kind, np.minimum(row + down, logits.shape[1] - 1), np.minimum(column + along, logits.shape[2] - 1)
    ].astype(np.float64)
    curvature = 2 * logits[kind, row, column].astype(np.float64) - before - after
    return np.asarray(np.clip((after - before) / 2 / np.maximum(curvature, FLAT), -0.5, 0.5), np.float64)


def _apart(found: FoundPoints, apart: float) -> NDArray[np.int64]:
    """Return the rows of points, best first, that are kept."""
    kept: list[int] = []
    for row in range(len(found)):
        rows = np.array(kept, np.int64)
        rows = rows[found.class_index[rows] == found.class_index[row]]
        away = np.hypot(found.x[rows] - found.x[row], found.y[rows] - found.y[row])
        if np.all(away >= apart * np.maximum(found.radius_px[rows], found.radius_px[row])):
            kept.append(row)
    return np.array(kept, np.int64)
