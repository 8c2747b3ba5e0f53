"""Slides that a model was never shown the like of: said in the report, with the figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import patch_side
from wsi_patches.infer.classify import CellPatches
from wsi_patches.models.card import CounterCard, ModelCard
from wsi_patches.models.detector_card import DetectorCard
from wsi_patches.models.reference import SIDE_PX, look_of
from wsi_patches.outcome import SlideReport
from wsi_patches.slide import Slide

__all__ = ["look_of_cells", "with_likeness", "with_look"]

BEYOND = 1.001
"""How unlike a slide is at least whose pixel size was never seen."""
CELL_DIAMETERS = 1.75
"""Side of what is looked at around a cell, in diameters of a white cell, for models that see more than one."""
UNLIKE = "this slide is unlike those that model {} learnt from"
MEASURE = "What it says of {} here is not to be believed before it was measured on such slides"

CellCard = ModelCard | CounterCard | DetectorCard


def look_of_cells(slide: Slide, cells: Cells, card: CellCard, diameter_px: float) -> NDArray[np.float64]:
    """Return what a slide looks like around its cells, ``(11,)``, as `look_of` does; parameters as below."""
    if isinstance(card, ModelCard):
        patches = CellPatches(slide, cells, patch_side(slide, card, diameter_px), card.input_px)
    else:
        patches = CellPatches(slide, cells, CELL_DIAMETERS * diameter_px, SIDE_PX)
    return look_of(range(len(cells)), patches.read)


def with_likeness(report: SlideReport, slide: Slide, cells: Cells, card: CellCard, diameter_px: float) -> SlideReport:
    """Return a report that says how unlike the model's training slides this one is, and abstains where it is too much.

    Parameters
    ----------
    report
        Of the slide.
    slide, cells
        Where the cells lie that the model is asked of, or finds.
    card
        Of the model; one without a reference says nothing.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.
    """
    if card.reference is None or not len(cells):
        return report
    return with_look(report, slide, look_of_cells(slide, cells, card, diameter_px), card)


def with_look(report: SlideReport, slide: Slide, look: NDArray[np.float64], card: CellCard) -> SlideReport:
    """Return what `with_likeness` does of a slide whose look ``(11,)`` is known."""
    reference = card.reference
    if reference is None:
        return report
    (unlike, most), reasons = reference.unlike(look), []
    if unlike > 1:
        reasons.append(f"it lies {unlike:.1f} times as far from them as those ever do, most in {most}")
    if reference.mpp is not None and not reference.knows(slide.info.mpp):
        low, high = reference.mpp
        reasons.append(f"it has {slide.info.mpp:g} um per pixel and they {low:g} to {high:g}")
        unlike = max(unlike, BEYOND)
    measure = MEASURE.format("blasts" if isinstance(card, ModelCard) else "cells")
    warnings = [f"{UNLIKE.format(card.name)}: {reason}. {measure}" for reason in reasons]
    return replace(report, unlike_training=round(unlike, 3), warnings=(*report.warnings, *warnings))
