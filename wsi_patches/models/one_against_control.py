"""Several models, each of one class against the same controls, as one decision between all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit, softmax

from wsi_patches.errors import UsageError

__all__ = ["combined"]

SURE = 1e-7
"""Least distance of a probability from 0 and from 1: a calibration may say either, whose odds are no number."""


def combined(against_control: ArrayLike) -> NDArray[np.float32]:
    """Return the probabilities of control and of each class, from those of each class against control.

    The odds of the classes, p / (1 - p), and of control, 1, are divided by their sum. Where each model's odds are those
    of its class and the same controls, this is Bayes' rule for all classes at once, with as many of each class, in
    proportion to the controls, as the models were calibrated on. So the decision is the class with the highest
    probability against control, or control where none is above a half.

    Parameters
    ----------
    against_control
        Calibrated probability of each class where it and control alone are possible, 0 to 1, ``(n, classes)``.

    Returns
    -------
    float32 ``(n, 1 + classes)``
        Control first; rows sum to 1.

    Raises
    ------
    UsageError
        The values have another shape, or are no probabilities.
    """
    told = np.asarray(against_control, np.float64)
    if told.ndim != 2 or not told.shape[1] or not np.all((told >= 0) & (told <= 1)):
        msg = f"probabilities of 0 to 1 are combined, a row a patch and a column a class, got shape {told.shape}"
        raise UsageError(msg)
    odds = logit(told.clip(SURE, 1 - SURE))
    return np.asarray(softmax(np.pad(odds, ((0, 0), (1, 0))), axis=1), np.float32)
