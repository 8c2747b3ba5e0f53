"""How well whole slides are counted and called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate import scores
from wsi_patches.evaluate.agreement import count_agreement
from wsi_patches.evaluate.bootstrap import DRAWS, GroupBootstrap
from wsi_patches.evaluate.result import Metric, Result, sampling_warnings

__all__ = ["SlideCounts", "SlidesResult", "measure_slides"]

CUTOFF = 0.5


@dataclass(frozen=True)
class SlideCounts:
    """What was found on slides and what is truly on them; every column of shape ``(n,)``.

    Raises
    ------
    UsageError
        Columns differ in length, a count or score is not a number, only one end of the intervals is given, or
        neither true counts nor the positive slides are known.
    """

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    """Patient, else slide."""
    predicted: NDArray[np.float64]
    """Counted cells; an expected count need not be whole."""
    true: NDArray[np.float64] | None = None
    """Annotated cells."""
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    """Ends of the 95 % intervals that came with the predicted counts; nan for a slide without one."""
    positive: NDArray[np.bool_] | None = None
    """Whether a slide is truly positive, such as leukemic."""
    score: NDArray[np.float64] | None = None
    """How sure it is that a slide is positive; the predicted count where this is None."""

    def __post_init__(self) -> None:
        for name in ("groups", "predicted", "true", "low", "high", "positive", "score"):
            column = getattr(self, name)
            if column is not None and column.shape != (len(self.ids),):
                msg = f"{len(self.ids)} slides were given with {name} of shape {column.shape}"
                raise UsageError(msg)
            if name in ("predicted", "true", "score") and column is not None and not np.isfinite(column).all():
                msg = f"slide {self.ids[~np.isfinite(column)][0]} has no number for {name}: leave it out, and say so"
                raise UsageError(msg)
        if (self.low is None) != (self.high is None):
            msg = "intervals need both ends: low and high"
            raise UsageError(msg)
        if self.true is None and self.positive is None:
            msg = "slides can be measured only against true counts, or against which of them are positive"
            raise UsageError(msg)


@dataclass(frozen=True, kw_only=True)
class SlidesResult(Result):
    """Counts and calls of slides."""

    counts: SlideCounts
    cutoff: float
    """Least score of a slide that is called positive."""


def measure_slides(
    counts: SlideCounts,
    cutoff: float = CUTOFF,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    group_kind: str = "group",
) -> SlidesResult:
    """Measure counted slides.

    Parameters
    ----------
    counts
        Slides that were not used to fit or tune anything.
    cutoff
        A slide is called positive from this score on; the default means half a cell where the score is the count, and
        an even chance where it is a probability.
    draws, seed
        Of the bootstrap over groups, see `GroupBootstrap`.
    group_kind
        What a group is, as the result will say it.

    Returns
    -------
    Where true counts are given: `count_agreement`, ``relative_error`` (mean of abs(found - true) / true over slides
    that have cells) and, with intervals, ``interval_coverage`` (share of slides whose true count lies in theirs).
    Where positives are given: ``sensitivity``, ``specificity``, ``balanced_accuracy``, ``roc_auc``.

    Raises
    ------
    UsageError
        There is no slide.
    MissingExtra
        scikit-learn is not installed.
    """
    bootstrap = GroupBootstrap.of(counts.groups, draws, seed)
    metrics: dict[str, Metric] = {}
    if counts.true is not None:
        metrics |= _counting(counts, counts.true, bootstrap)
    if counts.positive is not None:
        score = counts.predicted if counts.score is None else counts.score
        metrics |= _calling(counts.positive, score, cutoff, bootstrap)
    sampling = bootstrap.sampling("slide", group_kind)
    warnings = sampling_warnings(sampling, metrics)
    return SlidesResult(metrics=metrics, sampling=sampling, warnings=warnings, counts=counts, cutoff=cutoff)


def _counting(counts: SlideCounts, true: NDArray[np.float64], bootstrap: GroupBootstrap) -> dict[str, Metric]:
    error = np.abs(counts.predicted - true)
    has_cells = true > 0
    metrics = {
        **count_agreement(counts.predicted, true, bootstrap),
        "relative_error": _mean(error / np.where(has_cells, true, 1), has_cells, bootstrap),
    }
    if counts.low is not None and counts.high is not None:
        inside = (counts.low <= true) & (true <= counts.high)
        metrics["interval_coverage"] = _mean(inside, ~np.isnan(counts.low), bootstrap)
    return metrics


def _mean(values: NDArray[np.generic], kept: NDArray[np.bool_], bootstrap: GroupBootstrap) -> Metric:
    """Return the mean over some of the slides; undefined without one."""
    columns = np.stack([values * kept, kept], axis=1).astype(np.float64)
    sums = np.concatenate([columns.sum(axis=0)[None], bootstrap.totals(columns)])
    means = sums[:, 0] / np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
    return bootstrap.metric(float(means[0]), means[1:], kept)


def _calling(
    positive: NDArray[np.bool_], score: NDArray[np.float64], cutoff: float, bootstrap: GroupBootstrap
) -> dict[str, Metric]:
    pairs = 2 * positive.astype(np.int64) + (score >= cutoff)
    tallies = np.concatenate([np.bincount(pairs, minlength=4)[None], bootstrap.tallies(pairs, 4)])
    recalls = np.array([scores.class_scores(tally.reshape(2, 2)).recall for tally in tallies])
    figures = {"sensitivity": recalls[:, 1], "specificity": recalls[:, 0], "balanced_accuracy": recalls.mean(axis=1)}
    weights = [np.ones(len(score)), *map(bootstrap.weights, bootstrap.rank_draws)]
    areas = [scores.roc_auc(positive, score, weight) for weight in weights]
    return {
        name: bootstrap.metric(float(column[0]), column[1:])
        for name, column in {**figures, "roc_auc": np.array(areas)}.items()
    }
