"""How far a finder can be believed on a slide that nobody has marked, learnt from slides that somebody has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.detection import FieldDetections

__all__ = ["fit_recall", "found_scores"]

LEAST_SPREAD, MOST_SPREAD = 20.0, 1000.0
"""Of a + b: few slides can tell neither that all are alike nor, where next to nothing is missed, how they differ."""


def found_scores(fields: Sequence[FieldDetections], threshold: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the scores of all that was found at a threshold, ``(n,)``, and whether each is a cell, ``(n,)``."""
    scores, assigned = (np.concatenate([getattr(one, name) for one in fields]) for name in ("scores", "assigned"))
    return scores[scores >= threshold], assigned[scores >= threshold] >= 0


def fit_recall(found: ArrayLike, marked: ArrayLike) -> tuple[float, float]:
    """Fit the beta distribution, over slides, of the share of cells that are found, by maximum likelihood.

    Half a cell found and half a cell missed are added (Jeffreys' prior of the mean), so that no finder is taken to
    miss nothing ever.

    Parameters
    ----------
    found, marked
        How many of each slide's marked cells were found, and how many are marked, ``(slides,)``.

    Returns
    -------
    The parameters a and b.

    Raises
    ------
    UsageError
        No cell is marked, or more were found than are marked.

    References
    ----------
    Griffiths, Maximum likelihood estimation for the beta-binomial distribution, Biometrics 29 (1973).
    """
    k, n = np.asarray(found, np.float64), np.asarray(marked, np.float64)
    if not n.sum() > 0 or (k > n).any() or (k < 0).any():
        msg = f"recall is learnt from marked cells, and no more are found than marked: got {k.sum():g} of {n.sum():g}"
        raise UsageError(msg)

    def loss(place: NDArray[np.float64]) -> float:
        mean, spread = expit(place[0]), np.exp(place[1])
        a, b = mean * spread, (1 - mean) * spread
        return -float((betaln(k + a, n - k + b) - betaln(a, b)).sum() + 0.5 * np.log(mean) + 0.5 * np.log1p(-mean))

    bounds = [(-6.0, 9.0), (np.log(LEAST_SPREAD), np.log(MOST_SPREAD))]
    best = minimize(loss, np.array([2.0, 3.0]), bounds=bounds, method="L-BFGS-B").x
    mean, spread = float(expit(best[0])), float(np.exp(best[1]))
    return mean * spread, (1 - mean) * spread
