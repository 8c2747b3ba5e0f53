"""The door to scikit-learn and torchmetrics: every score of a classifier or finder is computed by them.

They are in the extra ``train``, so they are imported when a score is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import needs_extra

__all__ = [
    "CALIBRATION_BINS",
    "ClassScores",
    "Curve",
    "average_precision",
    "calibration_error",
    "class_scores",
    "f1_of",
    "log_loss",
    "precision_recall",
    "reliability",
    "roc",
    "roc_auc",
]

CALIBRATION_BINS = 15
WHAT = "evaluate"


class ClassScores(NamedTuple):
    """Scores of each class, float64 of shape ``(classes,)``; nan where undefined."""

    precision: NDArray[np.float64]
    """Undefined for a class that was never predicted."""
    recall: NDArray[np.float64]
    """Undefined for a class that is absent from the truth."""
    f1: NDArray[np.float64]
    """Undefined for a class that is neither true nor predicted."""


class Curve(NamedTuple):
    """Points of a curve, each of shape ``(points,)``."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    threshold: NDArray[np.float64]


def class_scores(confusion: NDArray[np.number]) -> ClassScores:
    """Return precision, recall and F1 of each class.

    Parameters
    ----------
    confusion
        How many rows (or what weight) have each truth (row) and prediction (column), shape ``(classes, classes)``; or
        several such matrices, shape ``(n, classes, classes)``, whose scores are ``(n, classes)``.
    """
    with needs_extra("train", WHAT):
        from sklearn.metrics import precision_recall_fscore_support
    *several, classes, _ = confusion.shape
    shape = (*several, classes)
    if not np.any(confusion):  # scikit-learn refuses weights that are all nought
        return ClassScores(*np.full((3, *shape), np.nan))
    # Each matrix has classes of its own, so that one call scores all of them.
    labels = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    truth, predicted = np.broadcast_arrays(labels[..., :, None], labels[..., None, :])
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth.ravel(),
        predicted.ravel(),
        labels=labels.ravel(),
        sample_weight=np.ravel(confusion),
        zero_division=np.nan,
    )
    return ClassScores(precision.reshape(shape), recall.reshape(shape), f1.reshape(shape))


def roc_auc(positive: NDArray[np.bool_], score: NDArray[np.floating], weight: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve of weighted rows; nan unless both kinds have weight."""
    with needs_extra("train", WHAT):
        from sklearn.metrics import roc_auc_score
    total, positives = weight.sum(), weight[positive].sum()
    if not 0 < positives < total:
        return float("nan")
    return float(roc_auc_score(positive, score, sample_weight=weight))


def average_precision(positive: NDArray[np.bool_], score: NDArray[np.floating], weight: NDArray[np.float64]) -> float:
    """Return the average precision of weighted rows; nan where no positive has weight."""
    with needs_extra("train", WHAT):
        from sklearn.metrics import average_precision_score
    if not weight[positive].sum() > 0:
        return float("nan")
    return float(average_precision_score(positive, score, sample_weight=weight))


def log_loss(truth: NDArray[np.integer], probabilities: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the mean negative log probability (natural) of the true class.

    Parameters
    ----------
    truth
        Class index, shape ``(n,)``.
    probabilities
        Shape ``(n, classes)``, rows summing to 1 within float64's accuracy.
    weight
        Of each row, shape ``(n,)``.
    """
    with needs_extra("train", WHAT):
        from sklearn.metrics import log_loss as sklearn_log_loss
    return float(sklearn_log_loss(truth, probabilities, labels=np.arange(probabilities.shape[1]), sample_weight=weight))


def calibration_error(truth: NDArray[np.integer], probabilities: NDArray[np.float64]) -> float:
    """Return the expected calibration error of the most probable class, in 15 bins of equal width.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    with needs_extra("train", WHAT):
        import torch
        from torchmetrics.functional.classification import multiclass_calibration_error
    classes = probabilities.shape[1]
    preds, target = torch.from_numpy(probabilities), torch.from_numpy(truth.astype(np.int64))
    return float(multiclass_calibration_error(preds, target, classes, n_bins=CALIBRATION_BINS, norm="l1"))


def roc(positive: NDArray[np.bool_], score: NDArray[np.floating]) -> Curve:
    """Return false positive rate (x) and true positive rate (y); both kinds must be there."""
    with needs_extra("train", WHAT):
        from sklearn.metrics import roc_curve
    return Curve(*roc_curve(positive, score))


def precision_recall(positive: NDArray[np.bool_], score: NDArray[np.floating]) -> Curve:
    """Return recall (x) and precision (y) at each threshold, rising; a positive must be there."""
    with needs_extra("train", WHAT):
        from sklearn.metrics import precision_recall_curve
    precision, recall, threshold = precision_recall_curve(positive, score)
    return Curve(recall[:-1], precision[:-1], threshold)


def f1_of(curve: Curve) -> NDArray[np.float64]:
    """Return F1 at each threshold of a `precision_recall` curve; 0 where nothing that was called so is."""
    total = curve.x + curve.y
    return 2 * curve.x * curve.y / np.where(total > 0, total, 1)


def reliability(right: NDArray[np.bool_], confidence: NDArray[np.floating]) -> tuple[NDArray[np.float64], ...]:
    """Return mean confidence and share of right rows in each of the 15 bins that holds a row."""
    with needs_extra("train", WHAT):
        from sklearn.calibration import calibration_curve
    share, mean = calibration_curve(right, np.clip(confidence, 0, 1), n_bins=CALIBRATION_BINS)
    return mean, share
