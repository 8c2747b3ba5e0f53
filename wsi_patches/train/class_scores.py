"""How good the probabilities of a test split are, as a model's card keeps it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import needs_extra
from wsi_patches.train.calibrate import calibration_error
from wsi_patches.train.patch_task import balanced_accuracy

__all__ = ["class_scores"]


def class_scores(
    class_names: tuple[str, ...], probabilities: NDArray[np.float32], truth: NDArray[np.int32]
) -> dict[str, float]:
    """Return how good probabilities ``(n, classes)`` are on a test split, for the card.

    Raises
    ------
    MissingExtra
        scikit-learn is not installed.
    """
    with needs_extra("train", "train"):
        from sklearn.metrics import f1_score, roc_auc_score

    predicted = probabilities.argmax(axis=1)
    f1 = f1_score(truth, predicted, labels=range(len(class_names)), average=None, zero_division=0.0).tolist()
    auc = [roc_auc_score(truth == index, probabilities[:, index]) for index in range(len(class_names))]
    return {
        "test_balanced_accuracy": balanced_accuracy(predicted, truth),
        "test_roc_auc": float(np.mean(auc)),
        **{f"test_f1_{name}": value for name, value in zip(class_names, f1, strict=True)},
        "test_calibration_error": calibration_error(probabilities, truth),
    }
