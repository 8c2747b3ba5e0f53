"""How well many labels of an image are told at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.datasets.multi_labels import label_agreement
from wsi_patches.errors import UsageError
from wsi_patches.evaluate import scores
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.classification import ClassResult
from wsi_patches.evaluate.result import Metric, Result, sampling_warnings

__all__ = ["LabelPredictions", "LabelsResult", "measure_labels"]


@dataclass(frozen=True)
class LabelPredictions:
    """What was said of images with many labels.

    Raises
    ------
    UsageError
        The columns are of different lengths.
    """

    names: tuple[str, ...]
    """The labels."""
    ids: NDArray[np.str_]
    """Of the images, shape ``(n,)``."""
    groups: NDArray[np.str_]
    """Slide or patient of each."""
    true: NDArray[np.uint8]
    """1 where an image bears a label, else 0; shape ``(n, labels)``."""
    probabilities: NDArray[np.float32]
    """Of each label by itself, shape ``(n, labels)``."""
    threshold: float = 0.5
    """Above it a label is said."""

    def __post_init__(self) -> None:
        shape = len(self.ids), len(self.names)
        if self.true.shape != shape or self.probabilities.shape != shape or len(self.groups) != shape[0]:
            found = f"{len(self.groups)} groups, labels {self.true.shape}, probabilities {self.probabilities.shape}"
            msg = f"{shape[0]} images with {shape[1]} labels are measured, found {found}"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class LabelsResult(Result):
    """Labels of images, many at once."""

    predictions: LabelPredictions
    classes: tuple[ClassResult, ...]
    """A label each; ``support`` is how many images bear it."""


def measure_labels(
    predictions: LabelPredictions, *, draws: int = DRAWS, seed: int = 0, group_kind: str = "slide"
) -> LabelsResult:
    """Measure said labels and their probabilities against the true ones.

    Means over labels are over those that an image bears; a draw in which one of them is absent is left out.

    Parameters
    ----------
    predictions
        Of images that the network was not fitted to.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`.
    group_kind
        What a group is, as the result will say it.

    Raises
    ------
    UsageError
        There are no images.
    MissingExtra
        scikit-learn is not installed.
    """
    bootstrap = GroupBootstrap.of(predictions.groups, draws, seed)
    by_name = {**_hard_scores(predictions, bootstrap), "average_precision": _average_precisions(predictions, bootstrap)}
    borne = predictions.true.sum(axis=0) > 0
    metrics = {
        **_agreement(predictions, bootstrap),
        **{f"macro_{name}": _mean(by_name[name], borne, bootstrap) for name in ("f1", "average_precision")},
    }
    sampling = bootstrap.sampling("image", group_kind)
    absent = [name for name, there in zip(predictions.names, borne.tolist(), strict=True) if not there]
    unsaid = [f"No image bears {', '.join(absent)}: left out of means over labels."] if absent else []
    return LabelsResult(
        metrics=metrics,
        sampling=sampling,
        warnings=(*sampling_warnings(sampling, metrics), *unsaid),
        predictions=predictions,
        classes=tuple(
            ClassResult(name, int(predictions.true[:, i].sum()), {key: found[i] for key, found in by_name.items()})
            for i, name in enumerate(predictions.names)
        ),
    )


def _agreement(predictions: LabelPredictions, bootstrap: GroupBootstrap) -> dict[str, Metric]:
    """Return 1 - Hamming loss and the mean Jaccard index of the images."""
    found = label_agreement(predictions.true, predictions.probabilities > predictions.threshold)
    rows = bootstrap.totals(np.ones(len(predictions.ids)))
    return {
        name: bootstrap.metric(float(values.mean()), bootstrap.totals(values) / rows)
        for name, values in (("one_minus_hamming", found.equal), ("jaccard", found.jaccard))
    }


def _hard_scores(predictions: LabelPredictions, bootstrap: GroupBootstrap) -> dict[str, list[Metric]]:
    """Return precision, recall and F1 of each label; undefined where nothing is said, borne, or either."""
    true, said = predictions.true.astype(bool), predictions.probabilities > predictions.threshold
    counts = [true & said, said, true]
    value = _ratios(*(one.sum(axis=0, dtype=np.float64) for one in counts))
    drawn = _ratios(*(bootstrap.totals(one) for one in counts))
    labels = range(len(predictions.names))
    return {name: [bootstrap.metric(float(value[name][i]), drawn[name][..., i]) for i in labels] for name in value}


def _ratios(
    both: NDArray[np.float64], said: NDArray[np.float64], true: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    parts = {"precision": (both, said), "recall": (both, true), "f1": (2 * both, said + true)}
    return {
        name: np.divide(top, below, out=np.full(top.shape, np.nan), where=below > 0)
        for name, (top, below) in parts.items()
    }


def _average_precisions(predictions: LabelPredictions, bootstrap: GroupBootstrap) -> list[Metric]:
    measured = []
    for index in range(len(predictions.names)):
        # Sorted once here, what scikit-learn sorts in each draw is sorted already, which is quicker.
        order = np.argsort(-predictions.probabilities[:, index], kind="stable")
        positive, score = predictions.true[order, index].astype(bool), predictions.probabilities[order, index]
        value = scores.average_precision(positive, score, np.ones(len(score)))
        drawn = [
            scores.average_precision(positive, score, bootstrap.weights(draw)[order]) for draw in bootstrap.rank_draws
        ]
        measured.append(bootstrap.metric(value, drawn))
    return measured


def _mean(columns: list[Metric], borne: NDArray[np.bool_], bootstrap: GroupBootstrap) -> Metric:
    """Return the mean over labels that an image bears."""
    present = [one for one, there in zip(columns, borne.tolist(), strict=True) if there]
    if not present:
        return bootstrap.metric(float("nan"), ())
    drawn = np.mean([one.draws for one in present], axis=0)
    return bootstrap.metric(float(np.mean([one.value for one in present])), drawn)
