"""How many white cells and blasts a slide holds, with intervals for what finder and classifier may have got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from wsi_patches.errors import UsageError
from wsi_patches.outcome import Interval

__all__ = ["FinderReliability", "SlideCounts", "count_intervals"]

DRAWS = 4000
CELLS_AT_ONCE = 256
SEED = 0
"""So that the same cells always give the same interval."""
JEFFREYS = 0.5
SURE = 1e-9
"""Probabilities nearer to 0 and 1 than this are that, whatever the slide: a person said so."""


@dataclass(frozen=True)
class FinderReliability:
    """How far a finder can be believed, as measured on slides that it was not trained on.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    recall: tuple[float, float]
    """Parameters a and b of the beta distribution, over slides, of the share of cells that it finds."""
    precision: tuple[tuple[float, float], ...] = ()
    """Rising points (score, share of the found cells of such a score that are cells); all are where there is none."""

    def __post_init__(self) -> None:
        scores, shares = [one for one, _ in self.precision], [two for _, two in self.precision]
        rising = scores == sorted(set(scores)) and shares == sorted(shares)
        if not min(self.recall) > 0 or not rising or not all(0 <= one <= 1 for one in (*scores, *shares)):
            msg = f"a finder's recall takes two numbers above 0 and its precision rising points within 0..1, got {self}"
            raise UsageError(msg)

    def are_cells(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that each found cell is one, ``(n,)``, from the finder's scores ``(n,)``."""
        asked = np.asarray(scores, np.float64)
        return np.interp(asked, *np.array(self.precision).T) if self.precision else np.ones(len(asked))


@dataclass(frozen=True)
class SlideCounts:
    """What `count_intervals` returns; each value is the mean of its distribution."""

    white_cells: Interval
    blasts: Interval
    blast_fraction: Interval | None
    """None where no cell was found."""


def count_intervals(
    is_cell: ArrayLike,
    is_blast: ArrayLike,
    recall: tuple[float, float] | None = None,
    shift: float = 0.0,
    level: float = 0.95,
) -> SlideCounts:
    """Return how many cells and blasts lie on a slide, with intervals, from what is thought of each found cell.

    The intervals of the counts are about this slide: how many are on it, not how many another drop of the same blood
    would have. Each found cell is a cell, and a blast, with its own probability (a Poisson-binomial count); all
    probabilities of a slide may be off together, by a normal shift of their logits; and of the cells, found by a share
    that has a beta distribution over slides, those that were missed follow as a negative binomial, which is the
    posterior under Jeffreys' prior for a Poisson number of cells. The interval of the blast fraction is about the
    blood: it has the chance of the sample in it besides (Jeffreys' interval). All are quantiles of 4000 drawn slides.

    Parameters
    ----------
    is_cell
        Probability that each found cell is one, ``(n,)``.
    is_blast
        Probability that each is a blast if it is a cell, ``(n,)``.
    recall
        Parameters of the beta distribution of the share of cells that are found; None if none is missed.
    shift
        Standard deviation, over slides, of the common shift of the logits of ``is_blast``.
    level
        Confidence, between 0 and 1.

    Raises
    ------
    UsageError
        A value is out of range.

    References
    ----------
    Brown, Cai, DasGupta, Interval estimation for a binomial proportion, Statistical Science 16 (2001): Jeffreys'.
    """
    cell, blast = np.asarray(is_cell, np.float64).ravel(), np.asarray(is_blast, np.float64).ravel()
    _check(cell, blast, shift, level)
    rng = np.random.default_rng(SEED)
    found, found_blasts = _drawn(cell, blast, shift * rng.standard_normal(DRAWS), rng)
    missed = np.zeros(DRAWS, np.int64)
    if recall is not None:
        missed = rng.negative_binomial(found + JEFFREYS, rng.beta(*recall, DRAWS).clip(1e-6, 1))
    share = rng.beta(found_blasts + JEFFREYS, found - found_blasts + JEFFREYS)
    cells, blasts = found + missed, found_blasts + rng.binomial(missed, share)
    blood = rng.beta(blasts + JEFFREYS, cells - blasts + JEFFREYS)
    fraction = float((cell * blast).sum() / cell.sum()) if cell.sum() > 0 else None
    return SlideCounts(
        _interval(float(cell.sum()), cells, level),
        _interval(float((cell * blast).sum()), blasts, level),
        None if fraction is None else _interval(fraction, blood, level),
    )


def _drawn(
    cell: NDArray[np.float64], blast: NDArray[np.float64], shifts: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many of the found are cells, and blasts, on each drawn slide."""
    cells, blasts = np.zeros((2, len(shifts)), np.int64)
    for start in range(0, len(cell), CELLS_AT_ONCE):
        rows = slice(start, start + CELLS_AT_ONCE)
        said = blast[rows]
        moved = np.where((said < SURE) | (said > 1 - SURE), said, expit(logit(said) + shifts[:, None]))
        real = rng.random(moved.shape) < cell[rows]
        cells += real.sum(axis=1)
        blasts += (real & (rng.random(moved.shape) < moved)).sum(axis=1)
    return cells, blasts


def _interval(value: float, drawn: NDArray[np.int64] | NDArray[np.float64], level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _check(cell: NDArray[np.float64], blast: NDArray[np.float64], shift: float, level: float) -> None:
    both = np.concatenate([cell, blast])
    if len(cell) != len(blast) or (len(both) and not (both.min() >= 0 and both.max() <= 1)):
        msg = f"each found cell takes two probabilities within 0..1, found {len(cell)} and {len(blast)}"
        raise UsageError(msg + (f", from {both.min():g} to {both.max():g}" if len(both) else ""))
    if not (shift >= 0 and 0 < level < 1):
        msg = f"a shift is 0 or more and a level between 0 and 1, found {shift:g} and {level:g}"
        raise UsageError(msg)
