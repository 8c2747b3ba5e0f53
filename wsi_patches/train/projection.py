"""Principal components that are fitted once, to the first patches of a stream, and then only applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["Projection"]


@dataclass(frozen=True)
class Projection:
    """A mean, and directions at right angles to each other."""

    mean: NDArray[np.float64]
    """Shape ``(dim,)``."""
    axes: NDArray[np.float64]
    """Of length 1, that of the most variance first, shape ``(dims, dim)``."""

    @classmethod
    def fitted(cls, features: NDArray[np.floating], dims: int) -> Projection:
        """Fit at most ``dims`` components to features ``(n, dim)``; equal features give equal signs.

        Raises
        ------
        UsageError
            All features are equal.
        """
        values = np.asarray(features, np.float64)
        mean = values.mean(axis=0)
        _, sizes, axes = np.linalg.svd(values - mean, full_matrices=False)
        kept = int(np.count_nonzero(sizes[:dims] > 1e-9 * max(float(np.abs(values).max()), 1e-300)))
        if not kept:
            msg = f"the first {len(values)} patches are all alike, so nothing tells clusters apart: start with more"
            raise UsageError(msg)
        first = axes[:kept]
        signs = np.sign(first[np.arange(kept), np.abs(first).argmax(axis=1)])
        return cls(mean, first * signs[:, None])

    def of(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return features ``(n, dim)`` in the components, ``(n, dims)``."""
        return (np.asarray(features, np.float64) - self.mean) @ self.axes.T

    def outside(self, features: NDArray[np.floating], points: NDArray[np.float64]) -> float:
        """Return the share of the features' scatter about the mean that their ``points`` do not show, 0 to 1."""
        whole = float(((np.asarray(features, np.float64) - self.mean) ** 2).sum())
        return max(0.0, 1 - float((points**2).sum()) / whole) if whole > 0 else 0.0
