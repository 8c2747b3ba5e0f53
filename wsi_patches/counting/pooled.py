"""Several slides of one patient, or fields of one slide, as one count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betaincinv

from wsi_patches.outcome import Interval

__all__ = ["pooled_count", "pooled_fraction"]

JEFFREYS = 0.5


def pooled_count(counts: Sequence[Interval]) -> Interval:
    """Return the sum of counts of different slides, with the interval that follows from each one's own.

    Slides are taken as independent. Each side's distances from the values add up as squares (MOVER), so intervals may
    be lopsided as those of counts are.

    Parameters
    ----------
    counts
        One a slide, with 95 % intervals.

    References
    ----------
    Zou and Donner, Construction of confidence limits about effect measures: a general approach, Statistics in Medicine
    27 (2008).
    """
    value, low, high = np.array([(one.value, one.low, one.high) for one in counts], np.float64).reshape(-1, 3).T
    below, above = np.sqrt(((value - low) ** 2).sum()), np.sqrt(((high - value) ** 2).sum())
    return Interval(float(value.sum()), float(value.sum() - below), float(value.sum() + above))


def pooled_fraction(blasts: Interval, white_cells: Interval, level: float = 0.95) -> Interval | None:
    """Return the share of blasts among white cells, with an interval for the blood; None where there is no cell.

    Jeffreys' interval of the fewest blasts that there may be below, and of the most above: at least as wide as need be.

    Parameters
    ----------
    blasts, white_cells
        Pooled, with their intervals.
    level
        Confidence, between 0 and 1.
    """
    if not white_cells.value:
        return None
    cells, tail = white_cells.value, (1 - level) / 2
    few, most = (min(max(count, 0.0), cells) for count in (blasts.low, blasts.high))
    low = float(betaincinv(few + JEFFREYS, cells - few + JEFFREYS, tail))
    high = float(betaincinv(most + JEFFREYS, cells - most + JEFFREYS, 1 - tail))
    share = blasts.value / cells
    return Interval(share, min(low, share), max(high, share))
