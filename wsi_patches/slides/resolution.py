"""What a file says of its pixel size: taken where it is plausible, never guessed."""

from __future__ import annotations

import math

__all__ = ["mean_mpp", "number", "plausible_mpp"]

PLAUSIBLE_MPP = (0.05, 20.0)
"""um; general resolution tags outside of this are a printer's (72 dpi is 353 um, 300 dpi is 85 um)."""
AGREEMENT = 0.05
"""Largest relative difference of x and y for which their mean is used."""


def number(text: str | None) -> float | None:
    """Return a finite number above 0, or None where the text holds none."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def mean_mpp(x_mpp: float | None, y_mpp: float | None) -> float | None:
    """Return the pixel size of square pixels, or None where either is unknown or they differ by over 5 %."""
    if x_mpp is None or y_mpp is None:
        return None
    mean = (x_mpp + y_mpp) / 2
    return mean if abs(x_mpp - y_mpp) <= AGREEMENT * mean else None


def plausible_mpp(mpp: float | None) -> float | None:
    """Return ``mpp`` where a microscope may have made it, else None."""
    lowest, highest = PLAUSIBLE_MPP
    return mpp if mpp is not None and lowest <= mpp <= highest else None
