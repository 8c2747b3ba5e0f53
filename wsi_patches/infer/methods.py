"""The ways of counting a slide: cell by cell, patch by patch, or by boxes; one result of all."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting.centred import diameter_of
from wsi_patches.counting.cores import PatchCounts
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer.choice import ModelChoice
from wsi_patches.infer.classify import FINDER_SCORE
from wsi_patches.infer.count import FOUND, Known, count_slide, started, with_focus
from wsi_patches.infer.counter_rows import count_rows, counter_patches, counter_scale
from wsi_patches.infer.detect import DETECTED, detect_cells
from wsi_patches.infer.finder import load_finder
from wsi_patches.infer.intervals import with_found
from wsi_patches.infer.patches import PATCHES, count_patches
from wsi_patches.infer.presence import (
    count_presence,
    presence_patches,
    presence_rows,
    presence_scale,
    read_presence_calibration,
)
from wsi_patches.infer.slide_patches import PatchTable
from wsi_patches.infer.types import with_types
from wsi_patches.infer.unlike import with_likeness
from wsi_patches.outcome import ATTRIBUTES, LEARNT_DOMAINS, SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models.detector_card import DetectorCard

__all__ = ["Counted", "ask_patches", "count_by", "lay_patches"]


@dataclass(frozen=True)
class Counted:
    """What one slide came to."""

    report: SlideReport
    cells: Cells
    """Level-0 pixels; none by ``patches``, which counts and does not find."""
    patches: PatchCounts | None = None
    """What each patch counted in its core, by ``patches``."""


def count_by(
    choice: ModelChoice,
    slide: Slide,
    slide_id: str,
    marked: Cells | None = None,
    known: Known | None = None,
    table: PatchTable | None = None,
) -> Counted:
    """Count one slide in the way that was chosen.

    Parameters
    ----------
    choice
        The way, and the models.
    slide
        The open slide, or a store's patches put together.
    slide_id
        Its name in the output.
    marked
        Cells that a person marked: they are counted, whatever the method.
    known
        The cells, if they were found already, and told where the method tells them.
    table
        By ``patches``: what the model says of all patches, if it was asked already.

    Raises
    ------
    SlideError
        The slide cannot be read.
    ModelError, UsageError
        The models cannot be used, or not on this slide.
    """
    if marked is not None or choice.method == FOUND:
        sharpen = None if choice.sharpen is None else SharpenSettings(choice.sharpen)
        finder = load_finder(choice.finder, choice.device, choice.precision)
        classifier = choice.committee() if choice.method == FOUND else None
        return Counted(*count_slide(slide, slide_id, classifier, sharpen, marked, finder, known))
    if choice.method == PATCHES:
        return _by_patches(choice, slide, slide_id, table)
    return _by_boxes(choice, slide, slide_id, known)


def _by_boxes(choice: ModelChoice, slide: Slide, slide_id: str, known: Known | None) -> Counted:
    began, chosen = time.monotonic(), choice.detector()
    told = known.told if known is not None else None
    cells, probabilities = told or detect_cells(slide, chosen.detector)
    report = with_focus(started(slide, slide_id, cells, DETECTED), slide, cells)
    if probabilities is None:
        report = replace(report, extra={**report.extra, "finder": chosen.name, "finder_sha256": chosen.sha256})
    if chosen.card is not None:
        report = with_likeness(report, slide, cells, chosen.card, diameter_of(cells))
    limits = "" if chosen.card is None else chosen.card.limits
    warnings = (*report.warnings, f"model {chosen.name}: {limits}") if limits else report.warnings
    report = replace(report, model=chosen.name, weights_sha256=chosen.sha256, warnings=warnings)
    scores = cells.attributes.get(FINDER_SCORE, cells.score)
    shift = 0.0 if chosen.card is None else chosen.card.slide_shift
    report = with_found(report, scores, probabilities, chosen.reliability, shift)
    if chosen.card is not None:
        report, cells = _with_morphology(report, cells, chosen.card)
    return Counted(replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), cells)


def _with_morphology(report: SlideReport, cells: Cells, card: DetectorCard) -> tuple[SlideReport, Cells]:
    """Say in a report what a detector tells of each cell besides its class, and where it learnt it."""
    if card.blasts is not None:
        report, cells = with_types(report, cells, card)
    told = {
        ATTRIBUTES: {name: list(values) for name, values in card.attributes.items()},
        LEARNT_DOMAINS: list(card.learnt_domains),
    }
    return replace(report, extra={**report.extra, **{name: names for name, names in told.items() if names}}), cells


def _by_patches(choice: ModelChoice, slide: Slide, slide_id: str, table: PatchTable | None) -> Counted:
    from wsi_patches.models.counter import CellCounter

    finder, model = load_finder(choice.finder, choice.device, choice.precision), choice.patch_model()
    if isinstance(model, CellCounter):
        report, counted = count_patches(slide, slide_id, model, choice.overlap, finder=finder, table=table)
    else:
        told = choice.patch_calibration
        report, counted = count_presence(
            slide,
            slide_id,
            model,
            choice.overlap,
            calibration=None if told is None else read_presence_calibration(told),
            finder=finder,
            batch_size=choice.batch_size,
            table=table,
        )
    extra = {"finder": finder.name, "finder_sha256": finder.sha256} if slide.info.mpp is None else {}
    report = replace(report, extra={**report.extra, **extra})
    return Counted(report, Cells.at(np.empty((0, 2)), counted.class_names), counted)


def lay_patches(choice: ModelChoice, slide: Slide) -> tuple[float, int] | None:
    """Return how large a red cell of a slide is, level-0 pixels, and how many patches there are to ask a model of.

    None where nothing tells how large cells are, and the slide is counted without asking.

    Raises
    ------
    SlideError, ModelError, UsageError
        As `count_by`.
    """
    from wsi_patches.models.counter import CellCounter

    finder, model = load_finder(choice.finder, choice.device, choice.precision), choice.patch_model()
    if not isinstance(model, CellCounter):
        red_px = presence_scale(slide, model, finder)
        return red_px, len(presence_patches(slide, model, red_px, choice.overlap))
    told = counter_scale(slide, model, finder)
    return None if told is None else (told, len(counter_patches(slide, model, told, choice.overlap)))


def ask_patches(choice: ModelChoice, slide: Slide, red_px: float, rows: range) -> NDArray[np.float64]:
    """Return what a model says of some patches of a slide, a row each, for a `PatchTable`.

    Parameters
    ----------
    choice
        The model; its method is ``patches``.
    slide
        The open slide.
    red_px
        As `lay_patches` returned it.
    rows
        Which patches.

    Raises
    ------
    SlideError, ModelError, UsageError
        As `count_by`.
    """
    from wsi_patches.models.counter import CellCounter

    model = choice.patch_model()
    if isinstance(model, CellCounter):
        return count_rows(counter_patches(slide, model, red_px, choice.overlap), model, red_px, rows)
    return presence_rows(presence_patches(slide, model, red_px, choice.overlap), model, rows, choice.batch_size)
