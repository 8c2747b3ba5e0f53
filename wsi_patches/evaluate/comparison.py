"""A classifier beside simpler ones on the same patches: what it adds to what colour alone tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wsi_patches.evaluate.classification import ClassificationResult, paired_difference
from wsi_patches.evaluate.result import Metric
from wsi_patches.evaluate.tables import METRIC_COLUMNS, align, cells, figure, interval_text, label, write_table

__all__ = ["GAIN", "comparison_rows", "comparison_warnings", "format_comparison", "gain_over", "write_comparison"]

COMPARED = ("balanced_accuracy", "accuracy", "macro_f1", "macro_roc_auc")
GAIN = "balanced_accuracy_gain"
"""Balanced accuracy of the classifier less that of the baseline, draw by draw."""
OWN_NAME = "this classifier"

Baselines = Mapping[str, ClassificationResult]


def gain_over(result: ClassificationResult, baseline: ClassificationResult) -> Metric:
    """Return how much better the balanced accuracy is than a baseline's, by the same draws of groups.

    Raises
    ------
    UsageError
        They were not measured on the same patches with the same draws.
    """
    return paired_difference(result, baseline, "balanced_accuracy")


def comparison_rows(result: ClassificationResult, baselines: Baselines) -> list[list[str]]:
    """Return a table as rows of text for people: the classifier, then each baseline, the first row being the header.

    Columns are the compared figures with their intervals, and what the classifier gains over the row's baseline.
    """
    rows = [["", *map(label, COMPARED), "gain in balanced accuracy over it"]]
    rows.append([OWN_NAME, *(_with_interval(name, result.metrics[name]) for name in COMPARED), ""])
    for name, baseline in baselines.items():
        figures = (_with_interval(metric, baseline.metrics[metric]) for metric in COMPARED)
        rows.append([name, *figures, _with_interval(GAIN, gain_over(result, baseline))])
    return rows


def format_comparison(result: ClassificationResult, baselines: Baselines) -> list[str]:
    """Return the table as lines for a terminal."""
    return align(comparison_rows(result, baselines))


def write_comparison(path: Path, result: ClassificationResult, baselines: Baselines) -> None:
    """Write ``baselines.csv``: a row a figure of each classifier, and what the measured one gains over it."""
    measured = {OWN_NAME: result, **baselines}
    rows: list[list[object]] = []
    for name, one in measured.items():
        metrics = {metric: one.metrics[metric] for metric in COMPARED}
        if name != OWN_NAME:
            metrics[GAIN] = gain_over(result, one)
        rows += [[name, metric, *cells(value), value.n, value.groups] for metric, value in metrics.items()]
    write_table(path, ["classifier", *METRIC_COLUMNS], rows)


def comparison_warnings(result: ClassificationResult, baselines: Baselines) -> list[str]:
    """Return a sentence for each baseline that the classifier is not surely better than."""
    return [
        f"Not surely better than {name}: the 95 % interval of the gain in balanced accuracy, "
        f"{interval_text(gain)}, holds 0 or less."
        for name, gain in ((name, gain_over(result, baseline)) for name, baseline in baselines.items())
        if gain.has_interval and gain.interval.low <= 0
    ]


def _with_interval(name: str, metric: Metric) -> str:
    text = figure(name, metric)
    return f"{text} ({interval_text(metric)})" if metric.has_interval else text
