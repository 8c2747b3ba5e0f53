"""How well cells are found and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate import scores
from wsi_patches.evaluate.agreement import count_agreement
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.result import Metric, Result, sampling_warnings

__all__ = ["DetectionResult", "FieldDetections", "ThresholdCurve", "measure_detection"]


@dataclass(frozen=True)
class FieldDetections:
    """Found and annotated cells of one field or slide, in level-0 pixels.

    Raises
    ------
    UsageError
        Columns differ in length, a score is not a number, or two points were given the same annotated cell.
    """

    slide_id: str
    group: str
    """Patient, else slide."""
    points: NDArray[np.float64]
    """Centres of the found cells, shape ``(n, 2)``, columns x and y."""
    scores: NDArray[np.float64]
    """Shape ``(n,)``; higher is surer."""
    assigned: NDArray[np.int64]
    """Row in ``truth`` that each point took, -1 for none, shape ``(n,)``: from `assign_points_to_boxes` or
    `assign_points_to_points`, which both hold at every threshold."""
    truth: NDArray[np.float64]
    """Annotated cells: points ``(m, 2)`` or boxes ``(m, 4)`` as left, top, right, bottom."""

    def __post_init__(self) -> None:
        n, m = len(self.scores), len(self.truth)
        if self.points.shape != (n, 2) or self.assigned.shape != (n,):
            msg = f"{self.slide_id}: {n} scores, points of {self.points.shape}, assigned of {self.assigned.shape}"
            raise UsageError(msg)
        if not np.isfinite(self.scores).all():
            msg = f"{self.slide_id}: every found cell needs a score that is a number"
            raise UsageError(msg)
        taken = self.assigned[self.assigned >= 0]
        if len(np.unique(taken)) != len(taken) or (taken >= m).any():
            msg = f"{self.slide_id}: points must be assigned to different ones of the {m} annotated cells"
            raise UsageError(msg)

    @property
    def truth_count(self) -> int:
        """How many cells are annotated."""
        return len(self.truth)

    def above(self, threshold: float | None) -> FieldDetections:
        """Return the points whose score is at least the threshold; all where it is None."""
        if threshold is None:
            return self
        kept = self.scores >= threshold
        return FieldDetections(
            self.slide_id, self.group, self.points[kept], self.scores[kept], self.assigned[kept], self.truth
        )

    @property
    def missed(self) -> NDArray[np.int64]:
        """Rows of ``truth`` that no point took, ascending."""
        return np.setdiff1d(np.arange(self.truth_count), self.assigned)


class ThresholdCurve(NamedTuple):
    """Precision, recall and F1 if only points of at least a threshold are kept; each float64, shape ``(points,)``."""

    threshold: NDArray[np.float64]
    """Rising; one for each distinct score."""
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DetectionResult(Result):
    """Detection and counting over fields."""

    threshold: float | None
    """Least score of a point that counts; None where all given points do."""
    curve: ThresholdCurve
    """Over all given points, whatever the threshold; empty without points or annotated cells."""
    found: NDArray[np.int64]
    """Cells found in each field, shape ``(fields,)``."""
    true: NDArray[np.int64]
    """Cells annotated in each field, shape ``(fields,)``."""


def measure_detection(
    fields: Sequence[FieldDetections],
    threshold: float | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    group_kind: str = "group",
    unit: str = "field",
) -> DetectionResult:
    """Measure found cells against annotated ones.

    Precision, recall, F1 and the counts (``true_positives``, ``false_positives`` and ``misses`` have no intervals) are
    at the threshold; ``average_precision`` and the curve are over all given points: scikit-learn's average precision
    of the points times the share of annotated cells that all points together find, which is the area under precision
    over recall of the cells.

    Parameters
    ----------
    fields
        One for each field or slide, also where nothing was found or nothing is annotated.
    threshold
        Least score that counts; None counts all given points.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`.
    group_kind, unit
        What a group and a field are, as the result will say it.

    Raises
    ------
    UsageError
        There is no field, or the threshold is not a number.
    MissingExtra
        scikit-learn is not installed.
    """
    if threshold is not None and not np.isfinite(threshold):
        msg = f"the threshold must be a number, found {threshold}"
        raise UsageError(msg)
    bootstrap = GroupBootstrap.of([field.group for field in fields], draws, seed)
    kept = [field.above(threshold) for field in fields]
    found = np.array([len(field.scores) for field in kept])
    true = np.array([field.truth_count for field in kept])
    right = np.array([np.count_nonzero(field.assigned >= 0) for field in kept])
    totals = {"true_positives": right, "false_positives": found - right, "misses": true - right}
    metrics = {
        **{name: bootstrap.metric(float(column.sum()), []) for name, column in totals.items()},
        **_detection(right, found, true, bootstrap),
        "average_precision": _average_precision(fields, bootstrap),
        **count_agreement(found, true, bootstrap),
    }
    sampling = bootstrap.sampling(unit, group_kind)
    return DetectionResult(
        metrics=metrics,
        sampling=sampling,
        warnings=sampling_warnings(sampling, metrics),
        threshold=threshold,
        curve=_threshold_curve(fields),
        found=found,
        true=true,
    )


def _detection(
    right: NDArray[np.int64], found: NDArray[np.int64], true: NDArray[np.int64], bootstrap: GroupBootstrap
) -> dict[str, Metric]:
    """Return precision, recall and F1, pooled over all fields."""
    # Rows are the truth (no cell, cell), columns what was found; there is no such thing as a true negative.
    confusion = np.stack([np.zeros_like(right), found - right, true - right, right], axis=1)
    value = _cell_scores(confusion.sum(axis=0))
    drawn = np.array([_cell_scores(total) for total in bootstrap.totals(confusion)]).reshape(-1, 3)
    names = ("precision", "recall", "f1")
    return {name: bootstrap.metric(float(value[i]), drawn[:, i]) for i, name in enumerate(names)}


def _cell_scores(confusion: NDArray[np.number]) -> NDArray[np.float64]:
    return np.array(scores.class_scores(confusion.reshape(2, 2)))[:, 1]


def _average_precision(fields: Sequence[FieldDetections], bootstrap: GroupBootstrap) -> Metric:
    score, right, field_of_point = _points(fields)
    true = np.array([field.truth_count for field in fields], np.float64)

    def value(weight: NDArray[np.float64]) -> float:
        annotated, of_point = float(weight @ true), weight[field_of_point]
        reached = float(of_point[right].sum())
        if not annotated:
            return float("nan")
        return reached / annotated * scores.average_precision(right, score, of_point) if reached else 0.0

    drawn = [value(bootstrap.weights(draw)) for draw in bootstrap.rank_draws]
    return bootstrap.metric(value(np.ones(len(fields))), drawn)


def _threshold_curve(fields: Sequence[FieldDetections]) -> ThresholdCurve:
    score, right, _ = _points(fields)
    annotated = sum(field.truth_count for field in fields)
    if not annotated or not len(score):
        return ThresholdCurve(*np.empty((4, 0)))
    if not right.any():
        thresholds = np.unique(score)
        return ThresholdCurve(thresholds, *np.zeros((3, len(thresholds))))
    recall, precision, threshold = scores.precision_recall(right, score)
    recall = recall * np.count_nonzero(right) / annotated
    total = precision + recall
    f1 = 2 * precision * recall / np.where(total > 0, total, 1)
    return ThresholdCurve(threshold, precision, recall, f1)


def _points(fields: Sequence[FieldDetections]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Return score, rightness and field of all points."""
    field_of_point = np.repeat(np.arange(len(fields)), [len(field.scores) for field in fields])
    score = np.concatenate([field.scores for field in fields])
    return score, np.concatenate([field.assigned for field in fields]) >= 0, field_of_point
