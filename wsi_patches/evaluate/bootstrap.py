"""Intervals by drawing groups with replacement: patients (or slides) are the independent samples, not patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.result import Metric, Sampling
from wsi_patches.outcome import Interval

__all__ = ["DRAWS", "RANK_DRAWS", "GroupBootstrap", "group_draws", "percentile_interval"]

DRAWS = 1000
RANK_DRAWS = 200
"""For figures that need all rows sorted again in each draw: ROC-AUC, average precision, log loss, calibration error."""
FEWEST_GROUPS = 2
PERCENTILES = (2.5, 97.5)


def group_draws(groups: ArrayLike, draws: int = DRAWS, seed: int = 0) -> NDArray[np.uint16]:
    """Draw as many groups as there are, with replacement, again and again.

    Parameters
    ----------
    groups
        Name of the group of each row, shape ``(n,)``.
    draws
        How often, 0 or more. The first draws of a longer run are those of a shorter one.
    seed
        Equal seeds and equal sets of names give equal draws, whatever the order of the rows.

    Returns
    -------
    How often each distinct group (in sorted order) was drawn, shape ``(draws, groups)``; no draws where there are
    fewer than two groups, since one group says nothing of how groups differ.
    """
    count = len(np.unique(np.asarray(groups)))
    generator = np.random.default_rng(seed)
    shape = (draws if count >= FEWEST_GROUPS else 0, count)
    drawn = np.empty(shape, np.uint16)
    for row in drawn:
        row[:] = np.bincount(generator.integers(count, size=count), minlength=count)
    return drawn


def percentile_interval(value: float, drawn: NDArray[np.float64]) -> Interval:
    """Return a figure with the 2.5th and 97.5th percentile of its draws.

    Parameters
    ----------
    value
        Of the sample itself.
    drawn
        Of each draw, shape ``(draws,)``; nan where the figure is undefined. These are left out.

    Returns
    -------
    The interval; its ends are nan where no draw is defined.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(defined):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.percentile(defined, PERCENTILES)
    return Interval(float(value), float(low), float(high))


@dataclass(frozen=True)
class GroupBootstrap:
    """Draws of the groups that rows belong to.

    A draw is a number for each group: how often it was drawn. It is the weight of the group's rows, so that sums over
    a draw are sums over groups, made once, and no row is ever copied.
    """

    counts: NDArray[np.uint16]
    """Shape ``(draws, groups)``."""
    group_of_row: NDArray[np.intp]
    """Shape ``(n,)``."""
    seed: int

    @classmethod
    def of(cls, groups: ArrayLike, draws: int = DRAWS, seed: int = 0) -> GroupBootstrap:
        """Draw the groups of rows.

        Raises
        ------
        UsageError
            There is no row, or ``draws`` is negative.
        """
        names, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
        if not len(names):
            msg = "there is nothing to measure: no patch, field or slide was given"
            raise UsageError(msg)
        if draws < 0:
            msg = f"the number of draws must be 0 or more, found {draws}"
            raise UsageError(msg)
        return cls(group_draws(names, draws, seed), group_of_row, seed)

    @property
    def groups(self) -> int:
        """How many distinct groups there are."""
        return int(self.counts.shape[1])

    @property
    def rank_draws(self) -> range:
        """The draws that figures which need sorting use."""
        return range(min(len(self.counts), RANK_DRAWS))

    def weights(self, draw: int) -> NDArray[np.float64]:
        """Return the weight of each row in a draw, shape ``(n,)``."""
        return np.asarray(self.counts[draw][self.group_of_row], np.float64)

    def rows(self, draw: int) -> NDArray[np.intp]:
        """Return the rows of a draw, each as often as it was drawn: for scores that take no weights."""
        return np.repeat(np.arange(len(self.group_of_row)), self.counts[draw][self.group_of_row])

    def totals(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the sum over the rows of each draw, shape ``(draws, ...)``, of values of shape ``(n, ...)``."""
        rows = np.asarray(values, np.float64)
        sums = np.zeros((self.groups, *rows.shape[1:]))
        np.add.at(sums, self.group_of_row, rows)
        return self._weigh(sums)

    def tallies(self, labels: NDArray[np.integer], kinds: int) -> NDArray[np.float64]:
        """Return how many rows of each draw have each label 0 .. kinds - 1, shape ``(draws, kinds)``."""
        pairs = self.group_of_row * kinds + labels
        return self._weigh(np.bincount(pairs, minlength=self.groups * kinds).reshape(self.groups, kinds))

    def metric(self, value: float, drawn: ArrayLike, rows: NDArray[np.bool_] | None = None) -> Metric:
        """Return a figure with its interval.

        Parameters
        ----------
        value
            Of the sample itself.
        drawn
            Of each draw, shape ``(draws,)``, nan where undefined; empty for a figure that gets no interval.
        rows
            Which rows the figure is of, shape ``(n,)``; None for all.
        """
        drawn = np.asarray(drawn, np.float64)
        group_of_row = self.group_of_row if rows is None else self.group_of_row[rows]
        return Metric(percentile_interval(value, drawn), len(group_of_row), len(np.unique(group_of_row)), drawn)

    def sampling(self, unit: str, group_kind: str) -> Sampling:
        """Say how many of what there are, and how intervals are made."""
        draws, rank_draws = len(self.counts), len(self.rank_draws)
        return Sampling(len(self.group_of_row), unit, self.groups, group_kind, draws, rank_draws, self.seed)

    def _weigh(self, sums: NDArray[np.float64] | NDArray[np.intp]) -> NDArray[np.float64]:
        """Sum over groups draw by draw: the draws of many groups, all as floats, would be gigabytes."""
        weighed = np.empty((len(self.counts), *sums.shape[1:]))
        for draw, counts in enumerate(self.counts):
            weighed[draw] = np.tensordot(counts.astype(np.float64), sums, 1)
        return weighed
