"""How well counts agree with true counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.evaluate.bootstrap import GroupBootstrap
from wsi_patches.evaluate.result import Metric

__all__ = ["count_agreement"]

LIMIT = 1.96
"""Standard deviations on each side of the bias that hold 95 % of normally distributed differences."""


def count_agreement(found: ArrayLike, true: ArrayLike, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    """Measure counts against true counts.

    Parameters
    ----------
    found, true
        Cells of each field or slide, shape ``(n,)``.
    bootstrap
        Of the same rows.

    Returns
    -------
    ``count_mae`` (mean absolute error), ``count_bias`` (mean of found - true), ``count_limit_low`` and
    ``count_limit_high``: the 95 % limits of agreement, bias -+ 1.96 standard deviations of the differences; undefined
    for one row. Rows of one group are taken as independent of each other in the limits, not in the intervals.

    References
    ----------
    Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement,
    Lancet 327 (1986).
    """
    difference = np.asarray(found, np.float64) - np.asarray(true, np.float64)
    columns = np.stack([np.ones_like(difference), np.abs(difference), difference, difference**2], axis=1)
    values = _agreement(columns.sum(axis=0))
    drawn = _agreement(bootstrap.totals(columns))
    names = ("count_mae", "count_bias", "count_limit_low", "count_limit_high")
    return {name: bootstrap.metric(float(values[i]), drawn[..., i]) for i, name in enumerate(names)}


def _agreement(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return error, bias and limits, shape ``(..., 4)``, from sums over rows of 1, |d|, d and d squared."""
    n, absolute, total, squares = np.moveaxis(sums, -1, 0)
    bias = total / n
    several = n > 1
    # Rounding may leave a hair below zero where all differences are alike.
    variance = np.maximum(squares - total * bias, 0) / np.where(several, n - 1, 1)
    half = np.where(several, LIMIT * np.sqrt(variance), np.nan)
    return np.stack([absolute / n, bias, bias - half, bias + half], axis=-1)
