"""Nearest neighbours by the Euclidean distance, in memory that does not grow with the number of queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from wsi_patches.errors import UsageError

__all__ = ["nearest"]

QUERIES_AT_ONCE = 256


def nearest(gallery: NDArray[np.float32], queries: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Return the rows of a gallery that are nearest to each query, the nearest first; of equal ones the first.

    Parameters
    ----------
    gallery, queries
        Features, ``(n, dim)`` and ``(m, dim)``.
    most
        How many neighbours.

    Returns
    -------
    int64 ``(m, min(most, n))``

    Raises
    ------
    UsageError
        The gallery is empty.
    """
    if not len(gallery):
        msg = "nearest neighbours were asked of an empty gallery: give it patches to learn from"
        raise UsageError(msg)
    found = np.empty((len(queries), min(most, len(gallery))), np.int64)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        distances = cdist(queries[start : start + QUERIES_AT_ONCE], gallery)
        found[start : start + len(distances)] = np.argsort(distances, axis=1, kind="stable")[:, : found.shape[1]]
    return found
