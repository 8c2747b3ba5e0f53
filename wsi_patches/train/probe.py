"""Probes: how far frozen features alone tell the classes apart, by a line, by nearest neighbours, or by HOSVD.

A probe predicts each fold from the other folds. Nothing that it learns, the scaling and the choice of its one parameter
included, sees the fold that is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.torch_data import PatchReader
from wsi_patches.train.features import colour_of
from wsi_patches.train.hosvd import RANKS, fit_hosvd

__all__ = ["C_GRID", "GRIDS", "K_GRID", "ProbeKind", "colour_baseline", "probe"]

ProbeKind = Literal["linear", "knn", "hosvd"]
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths of the linear probe's L2 penalty: scikit-learn's ``C``, on features of variance 1."""
K_GRID = (5,)
"""Numbers of neighbours that are tried."""
GRIDS: Mapping[str, Sequence[float]] = {"linear": C_GRID, "knn": K_GRID, "hosvd": RANKS}
MOST_ITERATIONS = 5000
TINY = 1e-6


def probe(
    features: NDArray[np.float32],
    truth: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    class_names: Sequence[str],
    kind: ProbeKind = "linear",
    grid: Sequence[float] | None = None,
    *,
    shape: Sequence[int] | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return the probability of each class for each patch, predicted from the other folds.

    ``linear`` is a logistic regression of equally weighted classes on features of mean 0 and variance 1. ``knn`` takes
    the votes of the nearest neighbours by the cosine of the same features, each weighing 1 / distance. ``hosvd`` asks
    which class's own basis leaves the least of the same features; see `wsi_patches.train.hosvd`.

    Parameters
    ----------
    features
        Float ``(n, dim)``.
    truth
        Index into ``class_names``, ``(n,)``.
    groups
        What must be kept together (patient, else slide), ``(n,)``.
    folds
        Fold of each patch, any whole numbers, ``(n,)``.
    class_names
        All classes.
    kind
        Which probe.
    grid
        What its parameter is chosen from, that of `GRIDS` if None: of several values the one that predicts each of the
        training folds best from the others, by the mean logarithm of the probability of the true class, classes
        weighing equally; a single one is taken as it is.
    shape
        Of the feature map that a row is, such as rows, columns and channels, for ``hosvd``; without, a row is a vector.
    kept
        Which features each fold is predicted by, ``(folds, dim)``, in the order of the folds' numbers: of
        `wsi_patches.train.selection.select_in_folds`; all if None.

    Returns
    -------
    float32 ``(n, classes)``
        Rows sum to 1.

    Raises
    ------
    UsageError
        Columns differ in length, a class has no name, a group lies in two folds, there are too few folds, a class is
        absent from all that a fold could be predicted from, or has fewer patches there than the one rank asked for.
    MissingExtra
        scikit-learn, or tensorly for ``hosvd``, is not installed.
    """
    truth, groups, folds = np.asarray(truth), np.asarray(groups), np.asarray(folds)
    values = GRIDS.get(kind, ()) if grid is None else tuple(grid)
    _check_columns(features, {"truth": truth, "groups": groups, "folds": folds}, len(class_names))
    _check_kind(kind, values, folds)
    _check_groups(groups, folds)
    _check_classes(truth, folds, class_names, chosen=len(values) > 1)
    out = np.empty((len(features), len(class_names)), np.float32)
    for row, fold in enumerate(np.unique(folds).tolist()):
        held_out = folds == fold
        seen = features if kept is None else features[:, kept[row]]
        learnt_from = seen[~held_out], truth[~held_out], folds[~held_out]
        with threadpool_limits(1):  # measured: threads of BLAS wait for each other far longer than they work here
            if kind == "hosvd":
                model: Any = fit_hosvd(*learnt_from, len(class_names), [int(value) for value in values], shape)
            else:
                model = _fitted(kind, values, *learnt_from)
            out[held_out] = model.predict_proba(seen[held_out])
    return out


def colour_baseline(
    source: PatchReader,
    truth: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    class_names: Sequence[str],
    kind: ProbeKind = "linear",
) -> NDArray[np.float32]:
    """Return what `probe` gives on the colour statistics of a source alone: the score that a classifier has to beat.

    Raises
    ------
    UsageError, MissingExtra
        As `probe`.
    SlideError, StoreError
        A patch cannot be read.
    """
    return probe(colour_of(source), truth, groups, folds, class_names, kind)


def _fitted(
    kind: ProbeKind, values: Sequence[float], features: NDArray[Any], truth: NDArray[Any], folds: NDArray[Any]
) -> Any:
    """Return the probe fitted to the training folds; its parameter is chosen by predicting each from the others."""
    with needs_extra("train", "probe"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, PredefinedSplit
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    if kind == "linear":
        classifier = LogisticRegression(C=values[0], class_weight="balanced", max_iter=MOST_ITERATIONS)
        name = "logisticregression__C"
    else:
        classifier = KNeighborsClassifier(int(values[0]), weights="distance", metric="cosine")
        name = "kneighborsclassifier__n_neighbors"
    model = make_pipeline(StandardScaler(), classifier)
    if len(values) > 1:
        numbered = np.unique(folds, return_inverse=True)[1]
        splits, grid = PredefinedSplit(numbered), {name: list(values)}
        model = GridSearchCV(model, grid, scoring=_log_likelihood, cv=splits, error_score="raise")
    return model.fit(features, truth)


def _log_likelihood(model: Any, features: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the mean log of the probability of the true class, the classes of ``truth`` weighing equally."""
    known = {one: column for column, one in enumerate(model.classes_.tolist())}
    rows = model.predict_proba(features)
    of_truth = [row[known[one]] if one in known else 0.0 for row, one in zip(rows, truth.tolist(), strict=True)]
    logs = np.log(np.maximum(of_truth, TINY))
    return float(np.mean([logs[truth == one].mean() for one in np.unique(truth)]))


def _check_columns(features: NDArray[Any], columns: Mapping[str, NDArray[Any]], classes: int) -> None:
    if not len(features):
        msg = "there is no patch to probe"
        raise UsageError(msg)
    for name, column in columns.items():
        if column.shape != (len(features),):
            msg = (
                f"a probe of {len(features)} patches was given {name} of shape {column.shape}: give one for each patch"
            )
            raise UsageError(msg)
    truth = columns["truth"]
    if not 0 <= truth.min() <= truth.max() < classes:
        msg = f"classes {truth.min()}..{truth.max()} were given to a probe of {classes} classes"
        raise UsageError(msg)


def _check_kind(kind: str, values: Sequence[float], folds: NDArray[Any]) -> None:
    """Refuse what is no probe, and one whose parameter cannot be chosen from what there is to learn from."""
    if kind not in get_args(ProbeKind):
        msg = f"no probe {kind!r}: choose from {', '.join(get_args(ProbeKind))}"
        raise UsageError(msg)
    if not values or min(values) <= 0:
        msg = f"a probe's grid is one or more numbers above 0, got {tuple(values)}"
        raise UsageError(msg)
    largest_first = np.sort(np.unique(folds, return_counts=True)[1])[::-1]
    left_out = 2 if len(values) > 1 else 1
    if len(largest_first) <= left_out:
        msg = f"choosing from {len(values)} values needs {left_out + 1} folds or more, found {len(largest_first)}"
        raise UsageError(msg)
    fewest = int(largest_first[left_out:].sum())
    if kind == "knn" and max(values) > fewest:
        msg = f"{max(values):g} neighbours were asked for where as few as {fewest} patches are learned from"
        raise UsageError(msg)


def _check_groups(groups: NDArray[Any], folds: NDArray[Any]) -> None:
    different, rows = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([rows, folds], axis=1), axis=0)
    for row in np.flatnonzero(np.bincount(pairs[:, 0]) > 1).tolist():
        within = pairs[pairs[:, 0] == row, 1].tolist()
        msg = f"group {different[row]} lies in folds {', '.join(map(str, within))}: make folds that keep groups whole"
        raise UsageError(msg)


def _check_classes(truth: NDArray[Any], folds: NDArray[Any], class_names: Sequence[str], *, chosen: bool) -> None:
    """Refuse folds without which a class is gone, and, where a parameter is ``chosen``, all classes but one."""
    numbers = np.unique(folds).tolist()
    held = np.stack([np.isin(np.arange(len(class_names)), truth[folds == fold]) for fold in numbers])
    for row, fold in enumerate(numbers):
        absent = np.flatnonzero(~np.delete(held, row, axis=0).any(axis=0)).tolist()
        if absent:
            names = ", ".join(class_names[one] for one in absent)
            msg = (
                f"fold {fold} cannot be predicted, no other fold holds {names}: leave that class out or cut other folds"
            )
            raise UsageError(msg)
    for pair in combinations(range(len(numbers)), 2) if chosen else ():
        if np.count_nonzero(np.delete(held, pair, axis=0).any(axis=0)) < 2:
            two = " and ".join(str(numbers[row]) for row in pair)
            msg = f"beside folds {two} there is one class alone, so no parameter can be chosen: cut other folds"
            raise UsageError(msg)
