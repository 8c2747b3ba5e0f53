"""How well patches are classified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate import scores
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.predictions import Predictions
from wsi_patches.evaluate.result import Metric, Result, Sampling, plural, sampling_warnings

__all__ = ["ClassResult", "ClassificationResult", "measure_classes", "paired_difference"]

FEWEST_CLASSES = 2


@dataclass(frozen=True)
class ClassResult:
    """One class against the rest."""

    name: str
    support: int
    """How many patches are truly of it."""
    metrics: Mapping[str, Metric]
    """``precision``, ``recall``, ``f1``, ``roc_auc``, ``average_precision``."""


@dataclass(frozen=True, kw_only=True)
class ClassificationResult(Result):
    """Classification of patches."""

    predictions: Predictions
    classes: tuple[ClassResult, ...]
    """In the order of the class names, those without a patch too."""
    confusion: NDArray[np.int64]
    """Patches of each truth (row) and prediction (column), shape ``(classes, classes)``."""


def measure_classes(
    predictions: Predictions,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    group_kind: str = "group",
    unit: str = "patch",
) -> ClassificationResult:
    """Measure predicted classes and probabilities against the truth.

    Means over classes (balanced accuracy, macro F1, macro ROC-AUC) are over the classes that occur in the truth; a
    draw in which one of them is absent is left out of their intervals. Scores are scikit-learn's, the expected
    calibration error is torchmetrics'. Drawing groups makes samples of fewer distinct patches, which by itself raises
    the calibration error: its interval may lie above its value.

    Parameters
    ----------
    predictions
        Truth and probabilities of patches that the classifier was not fitted to.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`.
    group_kind, unit
        What a group and a row are, as the result will say it.

    Raises
    ------
    UsageError
        There are no patches or fewer than two classes.
    MissingExtra
        scikit-learn or torchmetrics is not installed.
    """
    if len(predictions.class_names) < FEWEST_CLASSES:
        msg = f"classification needs two or more classes, found {predictions.class_names}"
        raise UsageError(msg)
    bootstrap = GroupBootstrap.of(predictions.groups, draws, seed)
    by_name = {**_hard_scores(predictions, bootstrap), **_ranking_scores(predictions, bootstrap)}
    metrics = {
        **_accuracy(predictions, bootstrap),
        "balanced_accuracy": _macro(by_name["recall"], predictions, bootstrap),
        "macro_f1": _macro(by_name["f1"], predictions, bootstrap),
        "macro_roc_auc": _macro(by_name["roc_auc"], predictions, bootstrap),
        **_probability_scores(predictions, bootstrap),
    }
    sampling = bootstrap.sampling(unit, group_kind)
    confusion = _confusion(predictions)
    return ClassificationResult(
        metrics=metrics,
        sampling=sampling,
        warnings=(*sampling_warnings(sampling, metrics), *_class_warnings(predictions, sampling)),
        predictions=predictions,
        classes=tuple(
            ClassResult(name, int(confusion[i].sum()), {key: columns[i] for key, columns in by_name.items()})
            for i, name in enumerate(predictions.class_names)
        ),
        confusion=confusion,
    )


def paired_difference(one: ClassificationResult, other: ClassificationResult, metric: str) -> Metric:
    """Return how much better one classifier is than another on the same patches, with its interval.

    Both were measured with the same draws of groups, so the difference is taken draw by draw: what makes a draw hard
    for both cancels out.

    Raises
    ------
    UsageError
        They were not measured on the same patches with the same draws.
    """
    samples = [(r.sampling.draws, r.sampling.seed, sorted(_rows(r.predictions))) for r in (one, other)]
    if samples[0] != samples[1]:
        msg = "two classifiers can be compared draw by draw only on the same patches, groups, truth, draws and seed"
        raise UsageError(msg)
    first, second = one.metrics[metric], other.metrics[metric]
    bootstrap = GroupBootstrap.of(one.predictions.groups, 0)
    return bootstrap.metric(first.value - second.value, first.draws - second.draws)


def _rows(predictions: Predictions) -> list[tuple[str, str, str]]:
    names = np.array(predictions.class_names)[predictions.truth]
    return list(zip(predictions.ids.tolist(), predictions.groups.tolist(), names.tolist(), strict=True))


def _confusion(predictions: Predictions) -> NDArray[np.int64]:
    classes = len(predictions.class_names)
    return np.bincount(_pairs(predictions), minlength=classes**2).reshape(classes, classes)


def _pairs(predictions: Predictions) -> NDArray[np.int64]:
    """Return truth and prediction of each patch as one number, the position in the flattened confusion matrix."""
    return predictions.truth.astype(np.int64) * len(predictions.class_names) + predictions.predicted


def _accuracy(predictions: Predictions, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    right = predictions.truth == predictions.predicted
    drawn = bootstrap.tallies(right.astype(np.int64), 2)
    return {"accuracy": bootstrap.metric(float(right.mean()), drawn[:, 1] / drawn.sum(axis=1))}


def _hard_scores(predictions: Predictions, bootstrap: GroupBootstrap) -> dict[str, list[Metric]]:
    """Return precision, recall and F1 of each class."""
    classes = len(predictions.class_names)
    tallies = bootstrap.tallies(_pairs(predictions), classes**2).reshape(-1, classes, classes)
    value = scores.class_scores(_confusion(predictions))
    drawn = scores.class_scores(tallies)
    return {
        name: [bootstrap.metric(float(value[i][k]), drawn[i][:, k]) for k in range(classes)]
        for i, name in enumerate(("precision", "recall", "f1"))
    }


def _ranking_scores(predictions: Predictions, bootstrap: GroupBootstrap) -> dict[str, list[Metric]]:
    """Return ROC-AUC and average precision of each class against the rest."""
    measured: dict[str, list[Metric]] = {"roc_auc": [], "average_precision": []}
    for index in range(len(predictions.class_names)):
        # Sorted once here, what scikit-learn sorts in each draw is sorted already, which is quicker.
        order = np.argsort(-predictions.probabilities[:, index], kind="stable")
        positive, score = (predictions.truth == index)[order], predictions.probabilities[order, index]
        for name, function in (("roc_auc", scores.roc_auc), ("average_precision", scores.average_precision)):
            value = function(positive, score, np.ones(len(score)))
            drawn = [function(positive, score, bootstrap.weights(draw)[order]) for draw in bootstrap.rank_draws]
            measured[name].append(bootstrap.metric(value, drawn))
    return measured


def _probability_scores(predictions: Predictions, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    """Return log loss and expected calibration error."""
    truth = predictions.truth
    p = predictions.probabilities.astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    losses = [scores.log_loss(truth, p, bootstrap.weights(draw)) for draw in bootstrap.rank_draws]
    errors = [scores.calibration_error(truth[rows], p[rows]) for rows in map(bootstrap.rows, bootstrap.rank_draws)]
    return {
        "log_loss": bootstrap.metric(scores.log_loss(truth, p, np.ones(len(p))), losses),
        "calibration_error": bootstrap.metric(scores.calibration_error(truth, p), errors),
    }


def _macro(columns: list[Metric], predictions: Predictions, bootstrap: GroupBootstrap) -> Metric:
    """Return the mean over the classes that occur in the truth; undefined where one of them is."""
    present = np.unique(predictions.truth)
    drawn = np.mean([columns[index].draws for index in present], axis=0)
    return bootstrap.metric(float(np.mean([columns[index].value for index in present])), drawn)


def _class_warnings(predictions: Predictions, sampling: Sampling) -> list[str]:
    """Return sentences on classes that say nothing, or hang on one group."""
    warnings = []
    for index, name in enumerate(predictions.class_names):
        mine = predictions.truth == index
        if not mine.any():
            warnings.append(f"No {sampling.unit} is truly {name}: it has no recall, and is left out of means.")
        elif sampling.groups > 1 and len(np.unique(predictions.groups[mine])) == 1:
            count = plural(int(mine.sum()), sampling.unit)
            warnings.append(f"All of {name} ({count}) is of one {sampling.group_kind}: its figures are of that one.")
    if len(np.unique(predictions.truth)) == 1:
        warnings.append("Only one class occurs in the truth: ROC-AUC is undefined, balanced accuracy is its recall.")
    return warnings
