"""From what a counter says to how many cells there are, and how far off that may be; learnt from other slides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from wsi_patches.errors import ModelError, UsageError
from wsi_patches.outcome import Interval

__all__ = ["CountCalibration"]

LINEAR, QUADRATIC = (1e-2, 1e2), (1e-3, 2.0)
"""Within which the two parts of the variance are sought."""


@dataclass(frozen=True, kw_only=True)
class CountCalibration:
    """How counts of slides relate to the truth: a factor, and a variance that grows with the count.

    Of a slide on which ``c`` cells are counted, once multiplied by the factor, the true number has the mean ``c`` and
    the variance ``linear * max(c, 1) + (quadratic * c)**2``: errors of single cells, and what is off on all of a slide.

    Raises
    ------
    ModelError
        A value is out of range.

    References
    ----------
    Ver Hoef, Boveng, Quasi-Poisson vs. negative binomial regression: how should we model overdispersed count data?
    Ecology 88 (2007): the two variances that are added here.
    """

    factor: float = 1.0
    """Cells for each that is counted."""
    linear: float = 1.0
    """Variance for each cell; chance alone (Poisson) has 1."""
    quadratic: float = 0.0
    """Standard deviation of what all counts of a slide are multiplied by."""
    groups: int = 0
    """How many patients or slides it was learnt from; 0 for none, when the variance is a guess."""

    def __post_init__(self) -> None:
        if not (self.factor > 0 and self.linear > 0 and self.quadratic >= 0 and self.groups >= 0):
            msg = f"a calibration of counts takes a factor and a variance above 0, got {self}"
            raise ModelError(msg)

    def interval(self, counted: float, level: float = 0.95) -> Interval:
        """Return the number of cells of a slide with a prediction interval: Student's, since groups are few.

        Parameters
        ----------
        counted
            As the counter says it, 0 or more.
        level
            Confidence, between 0 and 1.
        """
        value = self.factor * counted
        tail = (1 + level) / 2
        # Two numbers were learnt of the groups: the factor and, in the main, one part of the variance.
        reach = float(stdtrit(max(self.groups - 2, 1), tail) if self.groups else ndtri(tail))
        half = reach * float(np.sqrt(_variance(np.array(value), self.linear, self.quadratic)))
        return Interval(value, max(0.0, value - half), value + half)

    @classmethod
    def fit(cls, counted: ArrayLike, true: ArrayLike, groups: int, *, factor: float | None = None) -> CountCalibration:
        """Learn from slides that the counter was not trained on.

        The factor is the ratio of the sums; the variance is fitted to the residuals by pseudo-likelihood. A cell that
        is counted rightly is added to the sums, and one slide of the mean count that is off as the others are, or by a
        cell if that is more: a few slides without an error do not make a counter infinitely sure.

        Parameters
        ----------
        counted, true
            Cells of each slide, ``(slides,)``.
        groups
            How many patients, or else slides, they come from.
        factor
            Where it is known.

        Raises
        ------
        UsageError
            There is no slide, or the columns differ.

        References
        ----------
        Davidian, Carroll, Variance function estimation, JASA 82 (1987): pseudo-likelihood.
        """
        said, truth = np.asarray(counted, np.float64), np.asarray(true, np.float64)
        if not len(said) or said.shape != truth.shape or groups < 1:
            msg = f"counts are calibrated on counted slides, found {len(said)}, and truths of {len(truth)}"
            raise UsageError(msg)
        factor = float((truth.sum() + 1) / (said.sum() + 1)) if factor is None else factor
        count = np.append(factor * said, max(1.0, float(factor * said.mean())))
        # The factor was fitted to the same residuals, and errs itself on the next slide.
        predicted = (groups + 1) / max(groups - 1, 1)
        squares = predicted * (truth - factor * said) ** 2
        squares = np.append(squares, max(1.0, float(squares.mean())))

        def loss(place: NDArray[np.float64]) -> float:
            variance = _variance(count, *np.exp(place))
            return float((np.log(variance) + squares / variance).sum())

        # Only a training gets here: whoever counts does not wait for an optimiser to be loaded.
        from scipy.optimize import minimize

        bounds = [tuple(np.log(ends)) for ends in (LINEAR, QUADRATIC)]
        # From both sides, since the two parts can stand for each other where counts are alike.
        found = [minimize(loss, start, bounds=bounds, method="L-BFGS-B") for start in ((0.0, -5.0), (-2.0, -2.0))]
        linear, quadratic = np.exp(min(found, key=lambda one: float(one.fun)).x).tolist()
        return cls(factor=factor, linear=linear, quadratic=quadratic, groups=groups)


def _variance(count: NDArray[np.float64], linear: float, quadratic: float) -> NDArray[np.float64]:
    return np.asarray(linear * np.maximum(count, 1) + (quadratic * count) ** 2, np.float64)
