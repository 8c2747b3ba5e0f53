"""Counting the cells of a slide into a report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import WHITE_CELL, Cells
from wsi_patches.counting import find_cells
from wsi_patches.counting.centred import centred_patch, diameter_of
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.classify import classify_cells
from wsi_patches.infer.finder import ChosenFinder, load_finder
from wsi_patches.infer.intervals import with_found, with_marks
from wsi_patches.infer.marked import classify_marked
from wsi_patches.infer.masked import with_blanks
from wsi_patches.infer.types import with_types
from wsi_patches.infer.unlike import with_likeness
from wsi_patches.outcome import DONE, OUT_OF_FOCUS, SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier
    from wsi_patches.models.committee import Committee

__all__ = ["FOUND", "MARKED", "Known", "count_slide", "started", "with_focus"]

FOUND, MARKED = "cells", "marked"
"""The methods: cells that were found, and cells that a person marked or corrected."""
FOCUS_CELLS, FOCUS_PX = 128, 256
"""How many cells' surroundings are scored for focus, and how wide each is."""
NO_SCALE = (
    "no white cell was found, and the file does not state its resolution, so that the size of cells had to be told "
    "from the picture: if there are white cells, say the resolution with --slide-mpp"
)


@dataclass(frozen=True)
class Known:
    """What several workers found out of one slide."""

    cells: Cells
    """As they were found, level-0 pixels."""
    told: tuple[Cells, NDArray[np.float64] | None] | None = None
    """The cells with their classes, and the probability of being a blast for each; None where nothing told."""


def count_slide(
    slide: Slide,
    slide_id: str,
    classifier: CellClassifier | Committee | None = None,
    sharpen: SharpenSettings | None = None,
    marked: Cells | None = None,
    finder: ChosenFinder | None = None,
    known: Known | None = None,
) -> tuple[SlideReport, Cells]:
    """Count the white cells of one slide and, with a classifier, its blasts.

    Parameters
    ----------
    slide
        The open slide, or a store's patches put together.
    slide_id
        Its name in the output.
    classifier
        Tells blasts from other white cells; without one the report's blasts are None.
    sharpen
        Sharpen the patches that the classifier sees, where they are soft.
    marked
        Cells that a person marked, of the classes `MARKED_CLASSES`: counted instead of what a finder finds.
    finder
        Finds the cells; the shipped one if not given.
    known
        The cells, and their classes where there is a classifier, if they were found and told already.

    Returns
    -------
    The report, and the cells in level-0 pixels: of the class ``white_cell``, or ``blast`` and ``other``, or of all
    three where a person left cells without a class and there is no classifier.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ResolutionUnknown
        The classifier's patches have a size in um, and the slide does not state its resolution.
    """
    began, finder = time.monotonic(), finder or load_finder()
    cells = _cells(slide, finder, known) if marked is None else marked
    diameter_px = diameter_of(cells)
    report = started(slide, slide_id, cells, FOUND if marked is None else MARKED)
    if marked is None:
        report = replace(report, extra={"finder": finder.name, "finder_sha256": finder.sha256, **report.extra})
    report = with_focus(report, slide, cells)
    if marked is not None:
        report, cells = _with_marked(report, slide, marked, classifier, finder, sharpen)
    elif classifier is not None:
        scores = cells.score
        report = with_likeness(report, slide, cells, classifier.card, diameter_px)
        told = known.told if known is not None else None
        cells, probabilities = told or classify_cells(slide, cells, classifier, diameter_px, sharpen=sharpen)
        report = with_found(
            _with_model(report, classifier), scores, probabilities, finder.reliability, classifier.card.slide_shift
        )
        report, cells = with_types(with_blanks(report, cells, classifier), cells, classifier.card)
    else:
        report = with_found(report, cells.score, None, finder.reliability)
    return replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), cells


def _cells(slide: Slide, finder: ChosenFinder, known: Known | None) -> Cells:
    return find_cells(slide, finder.finder) if known is None else known.cells


def started(slide: Slide, slide_id: str, cells: Cells, method: str) -> SlideReport:
    """Return the report of a slide whose cells are known, before they are counted."""
    untold = method != MARKED and not len(cells) and slide.info.mpp is None
    return SlideReport(
        slide_id=slide_id,
        path=slide.info.path,
        fingerprint=slide.info.fingerprint,
        status=DONE,
        patches=len(cells),
        method=method,
        warnings=(NO_SCALE,) if untold else (),
        extra={
            "median_cell_diameter_px": round(diameter_of(cells), 1),
            "slide_mpp": slide.info.mpp,
            "slide_size_px": list(slide.info.size),
        },
    )


def focus_of_cells(slide: Slide, cells: Cells) -> NDArray[np.float64]:
    """Return centre and focus score (FQPath, higher is blurrier) of patches around some of the cells, ``(n, 3)``.

    Patches are 256 level-0 pixels wide, as those that the score was published for; none is glass alone, which has no
    focus. At most `FOCUS_CELLS` cells are looked at, evenly spread in reading order.
    """
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), FOCUS_CELLS)).astype(int))
    side, some = FOCUS_PX * slide.info.levels[0].downsample, cells.xy[rows]
    scores = [fqpath(centred_patch(slide, x, y, side, FOCUS_PX)) for x, y in some]
    return np.column_stack([some, np.array(scores, np.float64)])


def with_focus(report: SlideReport, slide: Slide, cells: Cells) -> SlideReport:
    """Say in a report how many of the patches around a slide's cells are soft, and warn if most are."""
    places = focus_of_cells(slide, cells)
    scores = places[:, 2]
    if not len(scores):
        return report
    soft = int((scores > OUT_OF_FOCUS).sum())
    extra = {
        **report.extra,
        "focus_patches": len(scores),
        "median_focus_score": round(float(np.median(scores)), 2),
        "focus_patch_px": round(FOCUS_PX * slide.info.levels[0].downsample),
        "focus_places": np.round(places, 2).tolist(),
    }
    warnings = report.warnings
    if soft > len(scores) / 2:
        told = (
            f"{soft} of {len(scores)} patches around its white cells are out of focus (FQPath above {OUT_OF_FOCUS:g})"
        )
        warnings = (*warnings, f"{told}: cells may be missed or taken for others")
    return replace(report, patches_out_of_focus=soft, extra=extra, warnings=warnings)


def _with_marked(
    report: SlideReport,
    slide: Slide,
    marked: Cells,
    classifier: CellClassifier | Committee | None,
    finder: ChosenFinder,
    sharpen: SharpenSettings | None,
) -> tuple[SlideReport, Cells]:
    """Count the blasts among marked cells, if every cell has a class or a model can tell it."""
    untold, shift = marked.count(WHITE_CELL), 0.0
    report, cells, probabilities = classify_marked(report, slide, marked, classifier, finder.finder, sharpen)
    if probabilities is None:
        warning = f"{untold} of {len(marked)} marked cells have no class, so blasts cannot be told: give a --model"
        report = replace(report, warnings=(*report.warnings, warning))
    elif untold and classifier is not None:
        report, shift = _with_model(report, classifier), classifier.card.slide_shift
    return with_marks(report, len(cells), probabilities, shift), cells


def _with_model(report: SlideReport, classifier: CellClassifier | Committee) -> SlideReport:
    card = classifier.card
    limits = f"model {card.name}: {card.limits}" if card.limits else ""
    views = getattr(classifier, "views", 1)
    return replace(
        report,
        model=card.name,
        weights_sha256=classifier.sha256,
        warnings=(*report.warnings, limits) if limits else report.warnings,
        extra={**report.extra, **({"tta": views} if views > 1 else {})},
    )
