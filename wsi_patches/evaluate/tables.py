"""Measured figures as CSV for scripts and as text for a terminal."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.labels import LabelsResult
from wsi_patches.evaluate.report_table import report_rows
from wsi_patches.evaluate.result import Metric, Result
from wsi_patches.stores.files import replacing

__all__ = [
    "METRIC_COLUMNS",
    "WithClasses",
    "align",
    "cells",
    "class_rows",
    "figure",
    "format_metrics",
    "interval_text",
    "label",
    "metric_rows",
    "write_confusion",
    "write_label_predictions",
    "write_metrics",
    "write_per_class",
    "write_table",
]

METRIC_COLUMNS = ("metric", "value", "low", "high", "n", "groups")
"""Scripts rely on these names; columns are only ever added at the end."""
LABELS = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "rank_5": "rank-5",
    "roc_auc": "ROC-AUC",
    "macro_roc_auc": "macro ROC-AUC",
    "calibration_error": "expected calibration error",
    "one_minus_hamming": "1 - Hamming loss",
    "jaccard": "Jaccard index of an image's labels",
    "count_mae": "count: mean absolute error",
    "count_bias": "count: bias (found - true)",
    "count_limit_low": "count: lower limit of agreement",
    "count_limit_high": "count: upper limit of agreement",
    "relative_error": "count: mean relative error",
    "interval_coverage": "true count within the interval",
}
WithClasses = ClassificationResult | LabelsResult
"""Results that have figures of each class, or label."""
TOTALS = ("true_positives", "false_positives", "misses")
"""Plain counts, which get no interval."""


def write_metrics(path: Path, result: Result) -> None:
    """Write ``metrics.csv``: a row a figure; what is undefined, and intervals that were not made, are empty."""
    rows = ([name, *cells(metric), metric.n, metric.groups] for name, metric in result.metrics.items())
    write_table(path, METRIC_COLUMNS, rows)


def write_per_class(path: Path, result: WithClasses) -> None:
    """Write ``per_class.csv``: a row a class, each figure followed by the ends of its interval."""
    scores = _class_columns(result)
    columns = ["class", "support", *(f"{name}{end}" for name in scores for end in ("", "_low", "_high"))]
    rows = (
        [row.name, row.support, *(cell for name in scores for cell in cells(row.metrics[name]))]
        for row in result.classes
    )
    write_table(path, columns, rows)


def write_confusion(path: Path, result: ClassificationResult) -> None:
    """Write ``confusion.csv``: a row a true class, a column a predicted class."""
    names = result.predictions.class_names
    rows = ([name, *counts.tolist()] for name, counts in zip(names, result.confusion, strict=True))
    write_table(path, ["truth", *names], rows)


def write_label_predictions(path: Path, result: LabelsResult) -> None:
    """Write ``predictions.csv``: a row an image, each label followed by its probability."""
    said = result.predictions
    columns = ["id", "group", *(f"{name}{end}" for name in said.names for end in ("", "_probability"))]
    rows = (
        [one, group, *(cell for pair in zip(true, (f"{p:.6g}" for p in probable), strict=True) for cell in pair)]
        for one, group, true, probable in zip(
            said.ids.tolist(), said.groups.tolist(), said.true.tolist(), said.probabilities.tolist(), strict=True
        )
    )
    write_table(path, columns, rows)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, UTF-8; it replaces an earlier one only once it is whole."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)


def format_metrics(result: Result) -> list[str]:
    """Return the figures as lines for a terminal: of how many, a table, how it was measured, and the warnings."""
    lines = [str(result.sampling), "", *align(metric_rows(result))]
    if isinstance(result, WithClasses):
        lines += ["", *align(class_rows(result))]
    if isinstance(result, ClassificationResult):
        lines += ["", *align(report_rows(result))]
    return [*lines, "", result.sampling.sentence, *(f"warning: {warning}" for warning in result.warnings)]


def metric_rows(result: Result) -> list[list[str]]:
    """Return the figures as rows of text for people, the first row being the header."""
    rows = [["", "value", "95 % interval", "n", "groups"]]
    for name, metric in result.metrics.items():
        rows.append([label(name), figure(name, metric), interval_text(metric), str(metric.n), str(metric.groups)])
    return rows


def class_rows(result: WithClasses) -> list[list[str]]:
    """Return the figures of each class as rows of text for people, the first row being the header."""
    scores = _class_columns(result)
    rows = [["class", "support", *map(label, scores)]]
    for row in result.classes:
        rows.append([row.name, str(row.support), *(_in_short(name, row.metrics[name]) for name in scores)])
    return rows


def _class_columns(result: WithClasses) -> tuple[str, ...]:
    """Return the names of the figures that each class has."""
    return tuple(result.classes[0].metrics)


def label(name: str) -> str:
    """Return a metric's name for people."""
    return LABELS.get(name, name.replace("_", " "))


def figure(name: str, metric: Metric) -> str:
    """Return a figure for people: a total as a whole number, everything else with three decimals."""
    if math.isnan(metric.value):
        return "undefined"
    return f"{metric.value:.0f}" if name in TOTALS else f"{metric.value:.3f}"


def interval_text(metric: Metric) -> str:
    """Return an interval for people, empty where there is none."""
    return f"{metric.interval.low:.3f} to {metric.interval.high:.3f}" if metric.has_interval else ""


def cells(metric: Metric) -> list[str]:
    """Return value, low and high for a CSV file; what is undefined is empty."""
    numbers = (metric.interval.value, metric.interval.low, metric.interval.high)
    return ["" if math.isnan(number) else f"{number:.6g}" for number in numbers]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines whose columns start at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _in_short(name: str, metric: Metric) -> str:
    """Return a figure and its interval as ``0.91 [0.85, 0.95]``, since five of them must fit a line."""
    if math.isnan(metric.value):
        return "undefined"
    if not metric.has_interval:
        return figure(name, metric)
    return f"{metric.value:.2f} [{metric.interval.low:.2f}, {metric.interval.high:.2f}]"
