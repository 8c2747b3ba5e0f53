"""``evaluation.html``: what was measured, on one page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import UsageError
from wsi_patches.evaluate.album import Picture
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.comparison import comparison_rows, comparison_warnings
from wsi_patches.evaluate.labels import LabelsResult
from wsi_patches.evaluate.predictions_file import NO_MORE
from wsi_patches.evaluate.report_table import report_rows
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.risk_coverage import risk_of, risk_rows
from wsi_patches.evaluate.tables import class_rows, metric_rows
from wsi_patches.html_page import details_table, embedded_picture, figures_table, html_document, warnings_box

__all__ = ["NOTHING", "NO_BASELINES", "NO_TABLES", "render_evaluation"]

NOTHING: Mapping[str, str] = MappingProxyType({})
ASIDE = "Accuracy of what is kept when the patches that the classifier is most unsure of are put aside"
NO_TABLES: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({})
NO_BASELINES: Mapping[str, ClassificationResult] = MappingProxyType({})


def render_evaluation(
    title: str,
    result: Result,
    pictures: Sequence[Picture] = (),
    *,
    baselines: Mapping[str, ClassificationResult] = NO_BASELINES,
    details: Mapping[str, str] = NOTHING,
    doubts: Mapping[str, NDArray[np.float64]] = NO_MORE,
    tables: Mapping[str, Sequence[Sequence[str]]] = NO_TABLES,
) -> str:
    """Return the page of a result.

    Parameters
    ----------
    title
        What was evaluated on what.
    result
        Of detection, classification, labels or slides.
    pictures
        PNG files; they are put into the page.
    baselines
        Simpler classifiers, by name, measured on the same patches with the same draws.
    details
        More on how it was measured: the model, the split, the files.
    doubts
        Of classification: how unsure the classifier is of each patch, by name.
    tables
        Further figures by their title: rows of text, the first being the header.

    Raises
    ------
    UsageError
        Baselines were given for a result that is no classification, or measured on something else.
    OSError
        A picture is not there.
    """
    if baselines and not isinstance(result, ClassificationResult):
        msg = "only a classifier can be set beside baselines, and this result is of something else"
        raise UsageError(msg)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="path">{escape(str(result.sampling))}</p>',
        warnings_box(result.warnings),
        figures_table(metric_rows(result), "Figures"),
    ]
    if isinstance(result, ClassificationResult):
        parts += _class_tables(result, baselines)
        parts.append(figures_table(risk_rows(risk_of(result, doubts)), ASIDE, figures=3))
    elif isinstance(result, LabelsResult):
        parts.append(figures_table(class_rows(result), "Each label"))
    parts += [figures_table(rows, name) for name, rows in tables.items()]
    parts += [_figure(picture) for picture in pictures]
    how = {"Sample": str(result.sampling), "Intervals": result.sampling.sentence, **details}
    return html_document(title, "\n".join([*parts, "<h2>How this was measured</h2>", details_table(how)]))


def _class_tables(result: ClassificationResult, baselines: Mapping[str, ClassificationResult]) -> list[str]:
    tables = [
        figures_table(class_rows(result), "Each class against the rest"),
        figures_table(report_rows(result), "The same as papers print it, without intervals"),
    ]
    if baselines:
        beside = "Beside simpler classifiers, on the same patches"
        tables.append(figures_table(comparison_rows(result, baselines), beside))
        tables += [f"<p><strong>{escape(warning)}</strong></p>" for warning in comparison_warnings(result, baselines)]
    return tables


def _figure(picture: Picture) -> str:
    title = f"<figcaption><h2>{escape(picture.title)}</h2></figcaption>"
    return f"<figure>{title}{embedded_picture(picture.path.read_bytes(), 'png', picture.alt)}</figure>"
