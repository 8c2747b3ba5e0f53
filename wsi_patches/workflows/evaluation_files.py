"""What an evaluation leaves behind: tables, pictures and one page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.evaluate.album import Picture, draw_pictures
from wsi_patches.evaluate.attributes import AttributesResult, attribute_rows
from wsi_patches.evaluate.classification import ClassificationResult
from wsi_patches.evaluate.comparison import write_comparison
from wsi_patches.evaluate.labels import LabelsResult
from wsi_patches.evaluate.page import NO_BASELINES, NO_TABLES, NOTHING, render_evaluation
from wsi_patches.evaluate.pictures import draw_risk_coverage
from wsi_patches.evaluate.predictions_file import NO_MORE, write_predictions
from wsi_patches.evaluate.report_table import report_rows
from wsi_patches.evaluate.result import Result
from wsi_patches.evaluate.risk_coverage import RiskRow, risk_of, write_risk_coverage
from wsi_patches.evaluate.tables import align, write_confusion, write_label_predictions, write_metrics, write_per_class
from wsi_patches.stores.files import write_whole
from wsi_patches.workflows.output import make_folder

__all__ = ["PAGE", "write_evaluation"]

PAGE = "evaluation.html"
"""Written last: a folder counts as an evaluation when it is there."""
BASELINES, ERRORS, REPORT = "baselines.csv", "errors.png", "report.txt"


def write_evaluation(
    folder: Path,
    title: str,
    result: Result,
    errors: NDArray[np.uint8] | None = None,
    *,
    baselines: Mapping[str, ClassificationResult] = NO_BASELINES,
    details: Mapping[str, str] = NOTHING,
    more: Sequence[Picture] = (),
    doubts: Mapping[str, NDArray[np.float64]] = NO_MORE,
    tables: Mapping[str, Sequence[Sequence[str]]] = NO_TABLES,
) -> Path:
    """Write ``metrics.csv``, more tables for classes, the pictures and, last, ``evaluation.html``; return its path.

    Parameters
    ----------
    folder
        Made if it is not there.
    title
        What was evaluated on what.
    result
        Of detection, classes, labels or slides.
    errors
        Gallery of what went wrong, uint8 RGB; None where nothing did, or nothing can be shown.
    baselines
        Simpler classifiers by name, on the same patches with the same draws.
    details
        More on how it was measured.
    more
        Pictures that were written already, for the page's end.
    doubts
        Of classes: how unsure the classifier is of each patch, ``(n,)``, by name; the entropy of its probabilities if
        nothing else is known.
    tables
        Further figures for the page by their title: rows of text, the first being the header.
    """
    make_folder(folder)
    for name in (BASELINES, ERRORS):  # an earlier evaluation may have had what this one has not
        (folder / name).unlink(missing_ok=True)
    write_metrics(folder / "metrics.csv", result)
    if isinstance(result, ClassificationResult):
        risks = _write_classes(folder, result, baselines, doubts)
    elif isinstance(result, LabelsResult):
        write_per_class(folder / "per_label.csv", result)
        write_label_predictions(folder / "predictions.csv", result)
    pictures = draw_pictures(folder, result)
    if isinstance(result, ClassificationResult):
        pictures.append(_risk_picture(folder, result, risks))
    if errors is not None:
        pictures.append(_gallery(folder, errors))
    if isinstance(result, AttributesResult):
        tables = {"Each attribute": attribute_rows(result), **tables}
    page = render_evaluation(
        title, result, [*pictures, *more], baselines=baselines, details=details, doubts=doubts, tables=tables
    )
    write_whole(folder / PAGE, page.encode(), durable=False)
    return folder / PAGE


def _write_classes(
    folder: Path,
    result: ClassificationResult,
    baselines: Mapping[str, ClassificationResult],
    doubts: Mapping[str, NDArray[np.float64]],
) -> tuple[RiskRow, ...]:
    """Write the tables that only classes have; return what is in the last, ``risk_coverage.csv``."""
    write_per_class(folder / "per_class.csv", result)
    write_confusion(folder / "confusion.csv", result)
    write_whole(folder / REPORT, ("\n".join(align(report_rows(result))) + "\n").encode(), durable=False)
    write_predictions(folder / "predictions.csv", result.predictions, doubts)
    if baselines:
        write_comparison(folder / BASELINES, result, baselines)
    risks = risk_of(result, doubts)
    write_risk_coverage(folder / "risk_coverage.csv", risks)
    return risks


def _risk_picture(folder: Path, result: ClassificationResult, risks: Sequence[RiskRow]) -> Picture:
    path = folder / "risk_coverage.png"
    draw_risk_coverage(path, result, risks)
    return Picture(path, "Doubt", "Accuracy of the patches that are kept, by the share of the most uncertain put aside")


def _gallery(folder: Path, errors: NDArray[np.uint8]) -> Picture:
    path = folder / ERRORS
    _, png = cv2.imencode(".png", cv2.cvtColor(errors, cv2.COLOR_RGB2BGR))
    write_whole(path, png.tobytes(), durable=False)
    return Picture(path, "Errors", "The worst errors, each with what it is labelled and what it was taken for")
