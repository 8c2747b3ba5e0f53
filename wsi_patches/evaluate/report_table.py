"""Precision, recall, F1 and support of each class and on average, to two digits, as papers print them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wsi_patches.evaluate.classification import ClassificationResult

__all__ = ["report_rows"]

SCORES = ("precision", "recall", "f1")
HEADER = ["", "precision", "recall", "F1", "support"]


def report_rows(result: ClassificationResult) -> list[list[str]]:
    """Return the figures without intervals, a row a class, then accuracy and the means over classes.

    They are laid out as scikit-learn's ``classification_report``, which counts a figure that is undefined (the
    precision of a class that is never predicted, say) as 0, where this program else leaves it out.

    Parameters
    ----------
    result
        Of a classifier.

    Returns
    -------
    Rows of text, the first being the header: ``macro average`` is the plain mean over all classes, ``weighted average``
    that by support.
    """
    support = np.array([row.support for row in result.classes], np.float64)
    table = np.array([[row.metrics[name].value for name in SCORES] for row in result.classes], np.float64)
    table = np.nan_to_num(table, nan=0.0)
    total = str(int(support.sum()))
    rows = [HEADER]
    rows += [[row.name, *_two(line), str(row.support)] for row, line in zip(result.classes, table, strict=True)]
    rows.append(["accuracy", "", "", *_two([result.metrics["accuracy"].value]), total])
    rows.append(["macro average", *_two(table.mean(axis=0)), total])
    rows.append(["weighted average", *_two(support @ table / support.sum()), total])
    return rows


def _two(values: Sequence[float] | np.ndarray) -> list[str]:
    return [f"{value:.2f}" for value in values]
