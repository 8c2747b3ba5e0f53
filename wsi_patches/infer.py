"""Finding the white cells of a slide and classifying them, into a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, Cells
from wsi_patches.counting import blast_interval, find_cells, fraction_interval, poisson_interval
from wsi_patches.errors import ModelError, ResolutionUnknown
from wsi_patches.geometry import Box
from wsi_patches.imaging import WhiteCellFinder
from wsi_patches.imaging.focus import fqpath
from wsi_patches.imaging.sharpen import SharpenSettings, sharpen_adaptively
from wsi_patches.outcome import DONE, OUT_OF_FOCUS, Interval, SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models import CellClassifier

__all__ = ["classify_cells", "count_slide", "load_classifier"]

CELLS_AT_ONCE = 256
FOCUS_CELLS, FOCUS_PX = 128, 256
"""How many cells' surroundings are scored for focus, and how wide each is."""
UNCALIBRATED = (
    "Intervals: Poisson for the number of cells, and the classifier's own probabilities for blasts; what the finder "
    "misses or finds too much is not in them."
)


def count_slide(
    slide: Slide, slide_id: str, classifier: CellClassifier | None = None, sharpen: SharpenSettings | None = None
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

    Returns
    -------
    The report, and the cells in level-0 pixels: of the class ``white_cell``, or ``blast`` and ``other``.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ResolutionUnknown
        The classifier's patches have a size in um, and the slide does not state its resolution.
    """
    began = time.monotonic()
    cells = find_cells(slide, WhiteCellFinder())
    diameter_px = _diameter_px(cells)
    report = SlideReport(
        slide_id=slide_id,
        path=slide.info.path,
        fingerprint=slide.info.fingerprint,
        status=DONE,
        white_cells=poisson_interval(len(cells)),
        patches=len(cells),
        interval_method=UNCALIBRATED,
        extra={"median_cell_diameter_px": round(diameter_px, 1), "slide_mpp": slide.info.mpp},
    )
    report = _with_focus(report, focus_of_cells(slide, cells))
    if classifier is not None:
        cells, probabilities = classify_cells(slide, cells, classifier, diameter_px, sharpen=sharpen)
        report = _with_blasts(report, classifier, probabilities)
    return replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), cells


@lru_cache(maxsize=2)
def load_classifier(model: str, device: str) -> CellClassifier:
    """Return a cell classifier; each process loads it once.

    Raises
    ------
    ModelError
        There is no such model, or it does not tell blasts from other white cells.
    """
    from wsi_patches.models import CellClassifier

    classifier = CellClassifier.load(model, device)
    if tuple(classifier.card.classes) != ALL_IDB_CLASSES:
        found = ", ".join(classifier.card.classes)
        msg = f"model {model} tells {found}; counting blasts needs one that tells {', '.join(ALL_IDB_CLASSES)}"
        raise ModelError(msg)
    return classifier


def classify_cells(
    slide: Slide,
    cells: Cells,
    classifier: CellClassifier,
    diameter_px: float,
    progress: Callable[[int, int], None] | None = None,
    sharpen: SharpenSettings | None = None,
) -> tuple[Cells, NDArray[np.float64]]:
    """Classify one centred patch for each cell.

    Parameters
    ----------
    slide
        Where the cells were found.
    cells
        Their centres, level-0 pixels.
    classifier
        Its card says how large a patch is: in um where the slide states its resolution, else in cell diameters.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.
    progress
        Told how many cells are done.
    sharpen
        Sharpen soft patches first.

    Returns
    -------
    The cells with the classes ``blast`` and ``other`` and the probability of their class as score, and the
    probability of being a blast for each.
    """
    card, side = classifier.card, _patch_side(classifier, slide, diameter_px)
    blast = np.empty(len(cells), np.float64)
    for start in range(0, len(cells), CELLS_AT_ONCE):
        rows = range(start, min(start + CELLS_AT_ONCE, len(cells)))
        patches = np.stack([_centred(slide, cells.x[row], cells.y[row], side, card.input_px) for row in rows])
        if sharpen is not None:
            patches = sharpen_adaptively(patches, sharpen).images
        blast[start : rows.stop] = classifier.probabilities(patches)[:, ALL_IDB_CLASSES.index("blast")]
        if progress is not None:
            progress(rows.stop, len(cells))
    is_other = (blast < 0.5).astype(np.int32)
    score = np.where(is_other, 1 - blast, blast).astype(np.float32)
    return replace(cells, class_index=is_other, score=score, class_names=ALL_IDB_CLASSES), blast


def focus_of_cells(slide: Slide, cells: Cells) -> NDArray[np.float64]:
    """Return the focus score (FQPath, higher is blurrier) of patches around some of the cells.

    Patches are 256 level-0 pixels wide, as those that the score was published for; none is glass alone, which has no
    focus. At most `FOCUS_CELLS` cells are looked at, evenly spread in reading order.
    """
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), FOCUS_CELLS)).astype(int))
    side = FOCUS_PX * slide.info.levels[0].downsample
    scores = [fqpath(_centred(slide, cells.x[row], cells.y[row], side, FOCUS_PX)) for row in rows]
    return np.array(scores, np.float64)


def _with_focus(report: SlideReport, scores: NDArray[np.float64]) -> SlideReport:
    """Say in a report how many of the patches that were scored are soft, and warn if most are."""
    if not len(scores):
        return report
    soft = int((scores > OUT_OF_FOCUS).sum())
    extra = {**report.extra, "focus_patches": len(scores), "median_focus_score": round(float(np.median(scores)), 2)}
    warnings = report.warnings
    if soft > len(scores) / 2:
        told = (
            f"{soft} of {len(scores)} patches around its white cells are out of focus (FQPath above {OUT_OF_FOCUS:g})"
        )
        warnings = (*warnings, f"{told}: cells may be missed or taken for others")
    return replace(report, patches_out_of_focus=soft, extra=extra, warnings=warnings)


def _patch_side(classifier: CellClassifier, slide: Slide, diameter_px: float) -> float:
    """Return how many level-0 pixels a model's patch is wide on this slide."""
    card, mpp = classifier.card, slide.info.mpp
    if card.patch_um is not None and mpp is not None:
        return card.patch_um / mpp
    if card.patch_cell_diameters is None:
        msg = (
            f"model {card.name} takes patches of {card.patch_um} um, and {slide.info.path} does not state its "
            "resolution: state it with --slide-mpp"
        )
        raise ResolutionUnknown(msg)
    return card.patch_cell_diameters * diameter_px


def _centred(slide: Slide, x: float, y: float, side: float, input_px: int) -> NDArray[np.uint8]:
    """Return the patch around a level-0 point, ``side`` level-0 pixels wide, at the size that the model takes."""
    whole = max(1, round(side))
    box = Box(round(x - whole / 2), round(y - whole / 2), whole, whole)
    patch = slide.read_scaled(box, max(whole / input_px, slide.info.levels[0].downsample))
    if patch.shape[:2] != (input_px, input_px):
        patch = np.asarray(cv2.resize(patch, (input_px, input_px), interpolation=cv2.INTER_LINEAR), np.uint8)
    return patch


def _diameter_px(cells: Cells) -> float:
    return 2 * float(np.median(cells.attributes["radius_px"])) if len(cells) else 0.0


def _with_blasts(report: SlideReport, classifier: CellClassifier, probabilities: NDArray[np.float64]) -> SlideReport:
    blasts = int(np.count_nonzero(probabilities >= 0.5))
    limits = f"model {classifier.card.name}: {classifier.card.limits}" if classifier.card.limits else ""
    return replace(
        report,
        blasts=_with_value(blast_interval(probabilities), blasts),
        blast_fraction=fraction_interval(blasts, len(probabilities)) if len(probabilities) else None,
        model=classifier.card.name,
        weights_sha256=classifier.sha256,
        warnings=(*report.warnings, limits) if limits else report.warnings,
    )


def _with_value(interval: Interval, value: int) -> Interval:
    """Return an interval around the number of cells that are shown as blasts, so that all outputs say the same."""
    return Interval(value, min(interval.low, value), max(interval.high, value))
