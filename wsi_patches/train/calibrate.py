"""Calibration: probabilities that are right as often as they say, fitted on patients that nothing was learnt from."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, logsumexp, softmax

from wsi_patches.errors import UsageError, needs_extra

__all__ = ["Calibration", "calibration_error", "fit_isotonic", "fit_slide_shift", "fit_temperature", "tempered"]

Calibration = Literal["temperature", "isotonic", "none"]
"""``temperature`` divides the logits by one number (Guo et al., ICML 2017); ``isotonic`` bends the probability of the
first of two classes by a rising line besides (Zadrozny and Elkan, KDD 2002)."""
LOWEST, HIGHEST = 0.05, 20.0
MOST_SHIFT = 5.0
QUADRATURE = 21
BINS = 15


def tempered(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities float32 ``(n, classes)`` of logits ``(n, classes)`` divided by a temperature."""
    return np.asarray(softmax(logits.astype(np.float64) / temperature, axis=1), np.float32)


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int32]) -> float:
    """Return the temperature by which logits predict best.

    Of ``n`` patches the truth counts as ``(n + 1) / (n + classes)`` sure, the rest going to the other classes (after
    Platt, 1999): a small set that is told apart without an error does not make the model infinitely sure.

    Parameters
    ----------
    logits
        Of held-out patches, ``(n, classes)``.
    truth
        Index of the class of each, ``(n,)``.

    Raises
    ------
    UsageError
        There is no patch.
    """
    if not len(truth):
        msg = "a temperature needs patches to be fitted on, found none: give validation a larger share"
        raise UsageError(msg)
    targets = _softened(truth, logits.shape[1])

    def loss(log_temperature: float) -> float:
        return -float((targets * log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)).sum())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def fit_isotonic(probability: NDArray[np.float32], positive: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Return points (said, meant) between which a probability is read off, both rising.

    Nothing is made surer than ``(n + 1) / (n + 2)``, ``n`` being the patches of its class.

    Parameters
    ----------
    probability
        Of the first of two classes, held-out patches, ``(n,)``.
    positive
        Whether each is of it, ``(n,)``.

    Raises
    ------
    UsageError
        One of the classes is absent.
    MissingExtra
        scikit-learn is not installed.
    """
    with needs_extra("train", "isotonic calibration"):
        from sklearn.isotonic import IsotonicRegression

    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        msg = f"isotonic calibration needs both classes, found {positives} and {negatives}: use temperature"
        raise UsageError(msg)
    bounds = {"y_min": 1 / (negatives + 2), "y_max": (positives + 1) / (positives + 2)}
    line = IsotonicRegression(**bounds, out_of_bounds="clip").fit(probability.astype(np.float64), positive)
    points = dict(zip(line.X_thresholds_.tolist(), line.y_thresholds_.tolist(), strict=True))
    return tuple(points.items())


def fit_slide_shift(probability: NDArray[np.float32], positive: NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """Return the standard deviation, over slides, of a common shift of all logits of a slide, by maximum likelihood.

    What a slide's stain, focus or patient does to a classifier, it does to all cells of that slide: their errors come
    together. The shift of each slide is a normal random intercept, integrated out by Gauss-Hermite quadrature.

    Parameters
    ----------
    probability
        Calibrated, of the first of two classes, held-out patches, ``(n,)``.
    positive
        Whether each is of it, ``(n,)``.
    groups
        The slide, or patient, of each, ``(n,)``.

    References
    ----------
    Breslow and Clayton, Approximate inference in generalized linear mixed models, JASA 88 (1993).
    """
    said = logit(np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6))
    sign, of_slide = np.where(positive, 1.0, -1.0), np.unique(groups, return_inverse=True)[1]
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE)

    def loss(shift: float) -> float:
        each = np.log(np.maximum(expit(sign[:, None] * (said[:, None] + shift * nodes)), 1e-300))
        slides = np.stack([np.bincount(of_slide, column) for column in each.T], axis=1)
        return -float(logsumexp(slides, axis=1, b=weights).sum())

    return float(minimize_scalar(loss, bounds=(0.0, MOST_SHIFT), method="bounded").x)


def calibration_error(probabilities: NDArray[np.float32], truth: NDArray[np.int32]) -> float:
    """Return the expected calibration error: how far confidence and accuracy lie apart, over 15 bins of confidence.

    Parameters
    ----------
    probabilities
        ``(n, classes)``.
    truth
        Index of the class of each, ``(n,)``.
    """
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == truth
    of_bin = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(of_bin, right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def _softened(truth: NDArray[np.int32], classes: int) -> NDArray[np.float64]:
    """Return targets ``(n, classes)``, rows summing to 1."""
    targets = np.full((len(truth), classes), 1 / (len(truth) + classes))
    targets[np.arange(len(truth)), truth] = (len(truth) + 1) / (len(truth) + classes)
    return targets
