"""How good some features are: the balanced accuracy of a quick probe that predicts each fold from the others.

The probes are those of `wsi_patches.train.probe` made quick, since they are asked some hundred times: the neighbours
are the same, the line is a ridge regression (Hoerl and Kennard, Technometrics 1970) of equally weighted classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError

__all__ = ["NEIGHBOURS", "JudgedBy", "fitness_of"]

JudgedBy = Literal["linear", "knn"]
NEIGHBOURS, RIDGE, TINY = 5, 1.0, 1e-6
"""Neighbours that vote; the ridge on products of features of variance 1, averaged over features."""
Judge = Callable[[NDArray[np.bool_]], float]


def fitness_of(features: NDArray[Any], truth: NDArray[Any], folds: NDArray[Any], kind: JudgedBy) -> Judge:
    """Return what tells the balanced accuracy of a mask of features, ``(dim,)``, 0 to 1.

    Parameters
    ----------
    features
        Float ``(n, dim)``; scaled to mean 0 and variance 1 over all of them.
    truth
        Class of each, ``(n,)``.
    folds
        Fold of each, ``(n,)``.
    kind
        Which probe.

    Raises
    ------
    UsageError
        There is no such probe, or a fold leaves fewer patches to learn from than neighbours are asked.
    """
    if kind not in get_args(JudgedBy):
        msg = f"features are selected for the classifiers {' and '.join(get_args(JudgedBy))}, not for {kind!r}"
        raise UsageError(msg)
    fewest = len(folds) - int(np.unique(folds, return_counts=True)[1].max())
    if fewest < NEIGHBOURS:
        msg = f"features are selected from {NEIGHBOURS} patches or more beside each fold, found {fewest}: label more"
        raise UsageError(msg)
    std = features.std(axis=0)
    scaled = ((features - features.mean(axis=0)) / np.where(std > TINY, std, 1)).astype(np.float32)
    names, classes = np.unique(truth, return_inverse=True)
    predict = _by_neighbours if kind == "knn" else _by_line

    def judge(mask: NDArray[np.bool_]) -> float:
        some = scaled[:, mask]
        predicted = predict(some @ some.T, classes, folds)
        return float(np.mean([(predicted == one)[classes == one].mean() for one in range(len(names))]))

    return judge


def _by_neighbours(products: NDArray[np.float32], classes: NDArray[Any], folds: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class that the nearest patches of other folds vote for, by the cosine, each weighing 1 / distance."""
    lengths = np.sqrt(np.maximum(np.diagonal(products), TINY))
    distances = 1 - products / (lengths[:, None] * lengths)
    distances[folds[:, None] == folds] = np.inf
    nearest = np.argpartition(distances, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    weights = 1 / np.maximum(np.take_along_axis(distances, nearest, axis=1), TINY)
    votes = [np.where(classes[nearest] == one, weights, 0).sum(axis=1) for one in range(int(classes.max()) + 1)]
    predicted: NDArray[np.int64] = np.argmax(votes, axis=0)
    return predicted


def _by_line(products: NDArray[np.float32], classes: NDArray[Any], folds: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of the highest ridge regression, in its dual form: there are more features than patches."""
    count = int(classes.max()) + 1
    predicted = np.empty(len(classes), np.int64)
    scale = max(float(np.diagonal(products).mean()), TINY)
    for fold in np.unique(folds).tolist():
        seen = np.flatnonzero(folds != fold)
        patches = np.bincount(classes[seen], minlength=count)
        weights = len(seen) / (np.count_nonzero(patches) * patches[classes[seen]])
        wanted = np.eye(count)[classes[seen]]
        wanted = wanted - np.average(wanted, axis=0, weights=weights)
        dual = products[np.ix_(seen, seen)].astype(np.float64) / scale + np.diag(RIDGE / weights)
        solved = np.linalg.solve(dual, wanted)
        held_out = folds == fold
        said = products[np.ix_(held_out, seen)] / scale @ solved
        predicted[held_out] = np.argmax(np.where(patches > 0, said, -np.inf), axis=1)
    return predicted
