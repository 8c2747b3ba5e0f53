"""What an evaluation came to, for a terminal and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsi_patches.evaluate.classification import ClassificationResult
    from wsi_patches.evaluate.result import Metric, Result

__all__ = ["as_json_text", "told"]


def told(
    results: Mapping[str, Result],
    baselines: Mapping[str, ClassificationResult],
    pages: Mapping[str, Path],
    notes: Sequence[str],
) -> Iterator[str]:
    """Yield lines for a terminal: each result's table, then the page."""
    from wsi_patches.evaluate.classification import ClassificationResult
    from wsi_patches.evaluate.comparison import comparison_warnings, format_comparison
    from wsi_patches.evaluate.tables import format_metrics

    for name, result in results.items():
        yield f"{name.replace('_', ' ').upper()}"
        yield from format_metrics(result)
        if isinstance(result, ClassificationResult) and baselines:
            yield from ("", *format_comparison(result, baselines))
            yield from (f"warning: {warning}" for warning in comparison_warnings(result, baselines))
        yield f"page: {pages[name]}"
        yield ""
    yield from (f"note: {note}" for note in notes)


def as_json_text(
    results: Mapping[str, Result],
    baselines: Mapping[str, ClassificationResult],
    pages: Mapping[str, Path],
    notes: Sequence[str],
) -> str:
    """Return a summary; a figure or end of an interval that is not defined is null."""
    evaluated = {
        name: {"page": str(pages[name]), "metrics": _metrics(result), "warnings": list(result.warnings)}
        for name, result in results.items()
    }
    simpler = {name: _metrics(result) for name, result in baselines.items()}
    return json.dumps({"results": evaluated, "baselines": simpler, "notes": list(notes)}, indent=1)


def _metrics(result: Result) -> dict[str, dict[str, float | None]]:
    return {name: _figures(metric) for name, metric in result.metrics.items()}


def _figures(metric: Metric) -> dict[str, float | None]:
    return {**metric.interval.plain, "n": metric.n, "groups": metric.groups}
