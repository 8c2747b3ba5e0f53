"""The interval of a share: what chance alone does to it."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from wsi_patches.errors import UsageError
from wsi_patches.outcome import Interval

__all__ = ["fraction_interval"]


def fraction_interval(count: int, total: int, level: float = 0.95) -> Interval:
    """Return a share with its Wilson score interval.

    Parameters
    ----------
    count, total
        How many of how many; ``total`` is 1 or more.
    level
        Confidence, between 0 and 1.

    Raises
    ------
    UsageError
        A value is out of range.

    References
    ----------
    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    _check(level)
    if not 0 <= count <= total or total < 1:
        msg = f"a share needs a count between 0 and a total of 1 or more, found {count} of {total}"
        raise UsageError(msg)
    z2 = float(ndtri(1 - (1 - level) / 2)) ** 2
    share = count / total
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = np.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    # At 0 and at 1 rounding may leave the bound a hair on the wrong side of the value.
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def _check(level: float) -> None:
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1, found {level}"
        raise UsageError(msg)
