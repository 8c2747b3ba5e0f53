"""What a detector says of one image, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["AS_LINES", "FoundBoxes"]

AS_LINES = np.array([0.0, 0.0, 1.0, 1.0])
"""What makes first and last pixels the lines around them, which lie where a scale puts them."""


@dataclass(frozen=True)
class FoundBoxes:
    """Cells of one image with their boxes, in its own pixels, 0-based; columns of length ``n``, best first."""

    edges: NDArray[np.float64]
    """Left, top, right and bottom, ``(n, 4)``: first and last pixel, both inclusive."""
    score: NDArray[np.float32]
    """How sure it is that there is a cell, 0..1."""
    probabilities: NDArray[np.float64]
    """Of each class if there is one, ``(n, classes)``; rows sum to 1."""
    attributes: NDArray[np.float64] | None = None
    """Of the values of each attribute, one attribute after the other, ``(n, values)``; None where none is told."""

    @classmethod
    def none(cls, classes: int, values: int = 0) -> FoundBoxes:
        """Return no cells of so many classes, and so many values of attributes."""
        attributes = np.empty((0, values)) if values else None
        return cls(np.empty((0, 4)), np.empty(0, np.float32), np.empty((0, classes)), attributes)

    @property
    def x(self) -> NDArray[np.float64]:
        """Centres across."""
        return np.asarray((self.edges[:, 0] + self.edges[:, 2]) / 2, np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """Centres down."""
        return np.asarray((self.edges[:, 1] + self.edges[:, 3]) / 2, np.float64)

    @property
    def radius_px(self) -> NDArray[np.float64]:
        """Half of the root of a box's area."""
        return np.asarray(np.sqrt(np.prod(self.edges[:, 2:] - self.edges[:, :2] + 1, axis=1)) / 2, np.float64)

    def scaled(self, step_x: float, step_y: float) -> FoundBoxes:
        """Return the same in an image that is so many times wider and higher."""
        edges = (self.edges + AS_LINES) * np.array([step_x, step_y] * 2) - AS_LINES
        return replace(self, edges=np.asarray(edges, np.float64))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> FoundBoxes:
        """Return the cells at ``rows``, indices or one truth value a cell."""
        attributes = None if self.attributes is None else self.attributes[rows]
        return FoundBoxes(self.edges[rows], self.score[rows], self.probabilities[rows], attributes)

    def __len__(self) -> int:
        return len(self.score)
