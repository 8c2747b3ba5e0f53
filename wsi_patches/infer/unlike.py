"""Slides that a model was never shown the like of: said in the report, with the figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import centred_patch, patch_side
from wsi_patches.models.card import ModelCard
from wsi_patches.models.reference import patch_looks, slide_look
from wsi_patches.outcome import SlideReport
from wsi_patches.slide import Slide

__all__ = ["look_of_cells", "with_likeness"]

BEYOND = 1.001
"""How unlike a slide is at least whose pixel size was never seen."""
UNLIKE = "this slide is unlike those that model {} learnt from"
MEASURE = "What it says of blasts here is not to be believed before it was measured on such slides"
MOST_PATCHES = 64
"""Of a slide that are looked at, spread evenly in reading order."""


def look_of_cells(slide: Slide, cells: Cells, card: ModelCard, diameter_px: float) -> NDArray[np.float64]:
    """Return what a slide's cells look like to a model, ``(11,)``, as `slide_look` does; parameters as below."""
    side = patch_side(slide, card, diameter_px)
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), MOST_PATCHES)).astype(int))
    patches = [centred_patch(slide, cells.x[row], cells.y[row], side, card.input_px) for row in rows]
    return slide_look(patch_looks(np.stack(patches)))


def with_likeness(report: SlideReport, slide: Slide, cells: Cells, card: ModelCard, diameter_px: float) -> SlideReport:
    """Return a report that says how unlike the model's training slides this one is, and abstains where it is too much.

    Parameters
    ----------
    report
        Of the slide.
    slide, cells
        Where the cells lie that the model is asked of.
    card
        Of the model; one without a reference says nothing.
    diameter_px
        Typical diameter of a white cell on this slide, level-0 pixels.
    """
    reference = card.reference
    if reference is None or not len(cells):
        return report
    look = look_of_cells(slide, cells, card, diameter_px)
    (unlike, most), reasons = reference.unlike(look), []
    if unlike > 1:
        reasons.append(f"its cells lie {unlike:.1f} times as far from them as those ever do, most in {most}")
    if reference.mpp is not None and not reference.knows(slide.info.mpp):
        low, high = reference.mpp
        reasons.append(f"it has {slide.info.mpp:g} um per pixel and they {low:g} to {high:g}")
        unlike = max(unlike, BEYOND)
    warnings = [f"{UNLIKE.format(card.name)}: {reason}. {MEASURE}" for reason in reasons]
    return replace(report, unlike_training=round(unlike, 3), warnings=(*report.warnings, *warnings))
