"""Cells that a person marked or corrected: their classes stand, and a model is asked for those without one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.counting import CellFinder, find_cells
from wsi_patches.counting.centred import diameter_of
from wsi_patches.errors import ResolutionUnknown
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.classify import classify_cells
from wsi_patches.infer.masked import with_blanks
from wsi_patches.infer.unlike import with_likeness
from wsi_patches.outcome import SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.committee import Committee

__all__ = ["MARKED_CLASSES", "classify_marked"]

MARKED_CLASSES = (*ALL_IDB_CLASSES, WHITE_CELL)
"""The classes that marked cells have: blast, other, or a white cell that nobody has told apart."""
BLAST, UNTOLD = MARKED_CLASSES.index("blast"), MARKED_CLASSES.index(WHITE_CELL)


def classify_marked(
    report: SlideReport,
    slide: Slide,
    cells: Cells,
    classifier: CellClassifier | Committee | None,
    finder: CellFinder[Any],
    sharpen: SharpenSettings | None = None,
) -> tuple[SlideReport, Cells, NDArray[np.float64] | None]:
    """Return marked cells with every class that is known, and the probability of being a blast for each.

    Parameters
    ----------
    report
        Of the slide.
    slide
        Where they lie.
    cells
        Of the classes `MARKED_CLASSES`, level-0 pixels.
    classifier
        Asked for the cells of the class ``white_cell``, and for no other.
    finder
        Measures cells where marks are points.
    sharpen
        Sharpen soft patches before they are classified.

    Returns
    -------
    The report, which says how unlike the model's training slides this one is where the model was asked; the cells; and
    the probabilities of shape ``(n,)``: 1 and 0 where a person said so. None where some cells have no class and there
    is no model to ask.

    Raises
    ------
    ResolutionUnknown
        Nothing says how large a cell is.
    """
    untold = cells.class_index == UNTOLD
    if untold.any() and classifier is None:
        return report, cells, None
    blast, score = (cells.class_index == BLAST).astype(np.float64), cells.score.copy()
    class_index = np.where(blast > 0, 0, 1).astype(np.int32)
    if untold.any() and classifier is not None:
        asked = cells.take(untold)
        diameter_px = _typical_diameter(slide, cells, finder)
        report = with_likeness(report, slide, asked, classifier.card, diameter_px)
        told, blast[untold] = classify_cells(slide, asked, classifier, diameter_px, sharpen=sharpen)
        class_index[untold], score[untold] = told.class_index, told.score
        report = with_blanks(report, told, classifier)
    return report, replace(cells, class_index=class_index, score=score, class_names=ALL_IDB_CLASSES), blast


def _typical_diameter(slide: Slide, marked: Cells, finder: CellFinder[Any]) -> float:
    """Return the diameter of a white cell: of those marked, or else of those that are found on the slide."""
    diameter_px = diameter_of(marked) or diameter_of(find_cells(slide, finder))
    if not diameter_px:
        msg = (
            f"the marks on {slide.info.path} are points, and no white cell was found to measure: a model cannot be "
            "asked for their class. Mark outlines, or give every cell a class"
        )
        raise ResolutionUnknown(msg)
    return diameter_px
