"""Otsu's thresholds ("A threshold selection method from gray-level histograms", 1979), by scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu, threshold_otsu

__all__ = ["otsu_threshold", "otsu_thresholds"]

BINS = 256


def otsu_threshold(values: NDArray[Any]) -> float:
    """Return the threshold that splits values into two classes; their own value where they are all alike."""
    return float(threshold_otsu(values, nbins=BINS))  # type: ignore[no-untyped-call] # scikit-image has no types


def otsu_thresholds(values: NDArray[np.uint8], classes: int = 3) -> tuple[float, ...] | None:
    """Return the thresholds that split grey levels into ``classes``, lowest first; None where levels are too few."""
    if len(np.unique(values)) < classes:
        return None
    found = threshold_multiotsu(values, classes, nbins=BINS)  # type: ignore[no-untyped-call]
    return tuple(float(threshold) for threshold in found)
