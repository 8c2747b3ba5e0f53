"""Fuzzy c-means: of grey levels on their histogram, exact and as fast for a slide as for a patch; and of vectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["FuzzyClusters", "fuzzy_c_means", "memberships_of", "settled_centres"]

MOST_ROUNDS = 300
SETTLED = 1e-4
"""Grey levels that no centre moves any more."""


class FuzzyClusters(NamedTuple):
    """Clusters of grey levels, darkest first."""

    centres: NDArray[np.float64]
    """Grey levels, shape ``(clusters,)``."""
    membership: NDArray[np.float64]
    """How much each grey level belongs to each cluster, shape ``(256, clusters)``; rows sum to 1."""


def fuzzy_c_means(values: NDArray[np.uint8], clusters: int = 3, fuzziness: float = 2.0) -> FuzzyClusters:
    """Cluster grey levels (Bezdek, "Pattern Recognition with Fuzzy Objective Function Algorithms", 1981).

    Parameters
    ----------
    values
        uint8 of any shape; equal values always belong to the same clusters, so their histogram is enough.
    clusters
        How many, 2 or more. They start evenly spaced over the values, so that equal values give equal clusters.
    fuzziness
        Exponent of the memberships, greater than 1.

    Raises
    ------
    UsageError
        A value is out of range, or there are no values.
    """
    if values.dtype != np.uint8 or values.size == 0 or clusters < 2 or not fuzziness > 1:
        msg = (
            f"fuzzy c-means needs uint8 values, 2 clusters or more and fuzziness above 1, found {values.size} values "
            f"of {values.dtype}, {clusters} and {fuzziness}"
        )
        raise UsageError(msg)
    levels = np.arange(256.0)[:, None]
    count = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    start = np.linspace(values.min(), values.max(), clusters)[:, None]
    centres = np.sort(settled_centres(levels, start, fuzziness, count), axis=0)
    return FuzzyClusters(centres[:, 0], memberships_of(levels, centres, fuzziness))


def settled_centres(
    points: NDArray[np.float64],
    centres: NDArray[np.float64],
    fuzziness: float,
    weights: NDArray[np.float64] | None = None,
    settled: float = SETTLED,
) -> NDArray[np.float64]:
    """Move centres by Bezdek's two formulas in turn, until none moves.

    Parameters
    ----------
    points
        What is clustered, shape ``(n, d)``.
    centres
        Where they start, shape ``(clusters, d)``.
    fuzziness
        Exponent of the memberships, greater than 1.
    weights
        How often each point counts, shape ``(n,)``; once if None.
    settled
        What counts as no move, in the points' own unit.

    Returns
    -------
    float64 ``(clusters, d)``, in the order of those that they started as.
    """
    often = np.ones(len(points)) if weights is None else weights
    for _ in range(MOST_ROUNDS):
        weight = often[:, None] * memberships_of(points, centres, fuzziness) ** fuzziness
        sums = (weight[:, :, None] * points[:, None]).sum(axis=0)
        moved = sums / np.maximum(weight.sum(axis=0), 1e-300)[:, None]
        shift, centres = np.abs(moved - centres).max(), moved
        if shift < settled:
            break
    return centres


def memberships_of(points: NDArray[np.float64], centres: NDArray[np.float64], fuzziness: float) -> NDArray[np.float64]:
    """Return how much each point ``(n, d)`` belongs to each centre ``(clusters, d)``: rows that sum to 1."""
    # A point that is a centre belongs to it alone: the least distance stands for 0.
    distance = np.maximum(np.sqrt(((points[:, None] - centres) ** 2).sum(axis=2)), 1e-9)
    nearness = (distance / distance.min(axis=1, keepdims=True)) ** (-2 / (fuzziness - 1))
    return np.asarray(nearness / nearness.sum(axis=1, keepdims=True))
