"""Intervals for counts: what chance alone does to them, not what a finder or a classifier gets wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincinv, ndtr, ndtri

from wsi_patches.errors import UsageError
from wsi_patches.outcome import Interval

__all__ = ["blast_interval", "fraction_interval", "poisson_interval"]

EXACT_UP_TO = 1000
"""Cells up to which the Poisson-binomial distribution is computed exactly, then by its normal limit."""


def poisson_interval(count: int, level: float = 0.95) -> Interval:
    """Return a count with the exact interval of its Poisson mean.

    Parameters
    ----------
    count
        How many were counted, 0 or more.
    level
        Confidence, between 0 and 1.

    Raises
    ------
    UsageError
        A value is out of range.

    References
    ----------
    Garwood, Fiducial limits for the Poisson distribution, Biometrika 28 (1936).
    """
    _check(level)
    if count < 0:
        msg = f"a count must be 0 or more, found {count}"
        raise UsageError(msg)
    tail = (1 - level) / 2
    low = float(gammaincinv(count, tail)) if count else 0.0
    return Interval(float(count), low, float(gammaincinv(count + 1, 1 - tail)))


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


def blast_interval(probabilities: ArrayLike, level: float = 0.95) -> Interval:
    """Return the expected number of blasts with an interval for two chances together.

    Which cells are blasts is uncertain by the classifier's own probabilities (a Poisson-binomial count K); and the
    slide is one sample of the blood (K is Poisson about its mean). The interval is Garwood's with K spread over its
    distribution, so with probabilities of 0 and 1 only it is `poisson_interval` itself. It is not an interval for the
    classifier's error: it takes the probabilities as calibrated and the cells as independent, and knows nothing of
    cells that the finder missed or made up.

    Parameters
    ----------
    probabilities
        Probability of being a blast for each cell, shape ``(n,)``.
    level
        Confidence, between 0 and 1.

    Raises
    ------
    UsageError
        A value is out of range.
    """
    _check(level)
    p = np.asarray(probabilities, np.float64).ravel()
    if len(p) and not (p.min() >= 0 and p.max() <= 1):
        msg = f"probabilities must be between 0 and 1, found {p.min():g} to {p.max():g}"
        raise UsageError(msg)
    counts, weights = _poisson_binomial(p)
    tail = (1 - level) / 2
    value, top = float(p.sum()), float(counts[-1])
    upper = float(gammaincinv(top + 1, 1 - tail / 2))

    def below_low(mean: float) -> float:
        return float(weights @ np.where(counts > 0, gammainc(np.maximum(counts, 1e-9), mean), 1.0))

    def below_high(mean: float) -> float:
        return float(weights @ gammainc(counts + 1, mean))

    low = _root(below_low, tail, upper) if below_low(0.0) < tail else 0.0
    return Interval(value, min(low, value), max(_root(below_high, 1 - tail, upper), value))


def _poisson_binomial(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the possible counts and how likely each is."""
    if len(p) <= EXACT_UP_TO:
        weights = np.ones(1)
        for one in p:
            weights = np.convolve(weights, [1 - one, one])
        return np.arange(len(weights), dtype=np.float64), weights
    mean, deviation = p.sum(), max(float(np.sqrt((p * (1 - p)).sum())), 1e-6)
    counts = np.arange(max(0, np.floor(mean - 8 * deviation)), min(len(p), np.ceil(mean + 8 * deviation)) + 1)
    weights = ndtr((counts + 0.5 - mean) / deviation) - ndtr((counts - 0.5 - mean) / deviation)
    return counts, weights / weights.sum()


def _root(rising: Callable[[float], float], target: float, upper: float) -> float:
    """Return where a rising function of a mean between 0 and ``upper`` reaches ``target``, by bisection."""
    low, high = 0.0, upper
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return high


def _check(level: float) -> None:
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1, found {level}"
        raise UsageError(msg)
