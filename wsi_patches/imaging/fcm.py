"""Fuzzy c-means of grey levels, on their histogram: exact, and as fast for a slide as for a patch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["FuzzyClusters", "fuzzy_c_means"]

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
    levels = np.arange(256.0)
    count = np.bincount(values.ravel(), minlength=256)
    centres = np.linspace(values.min(), values.max(), clusters)
    for _ in range(MOST_ROUNDS):
        weight = count[:, None] * _membership(levels, centres, fuzziness) ** fuzziness
        moved = (weight * levels[:, None]).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
        shift, centres = np.abs(moved - centres).max(), moved
        if shift < SETTLED:
            break
    centres = np.sort(centres)
    return FuzzyClusters(centres, _membership(levels, centres, fuzziness))


def _membership(levels: NDArray[np.float64], centres: NDArray[np.float64], fuzziness: float) -> NDArray[np.float64]:
    # A level that is a centre belongs to it alone: the least distance stands for 0.
    distance = np.maximum(np.abs(levels[:, None] - centres), 1e-9)
    nearness = (distance / distance.min(axis=1, keepdims=True)) ** (-2 / (fuzziness - 1))
    return np.asarray(nearness / nearness.sum(axis=1, keepdims=True))
