"""Counting the cells of a slide patch by patch: each patch says how many lie in its own core, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import ALL_IDB_CLASSES, WHITE_CELL, Cells
from wsi_patches.counting.cores import PatchCounts, patch_cores
from wsi_patches.geometry import Size
from wsi_patches.grid import PatchGrid
from wsi_patches.infer.count import NO_SCALE, with_focus
from wsi_patches.infer.counter_rows import count_rows, counter_patches, counter_scale
from wsi_patches.infer.finder import ChosenFinder
from wsi_patches.infer.slide_patches import PatchTable, SlidePatches
from wsi_patches.infer.unlike import with_likeness
from wsi_patches.outcome import DONE, Interval, SlideReport
from wsi_patches.slide import Slide

if TYPE_CHECKING:
    from wsi_patches.models.card import CounterCard
    from wsi_patches.models.counter import CellCounter

__all__ = ["PATCHES", "SlideFigures", "count_patches", "slide_figures"]

PATCHES = "patches"
"""The method: a count for each patch."""
NARROW_PX = 64
"""Patches that the network sees smaller than this hardly hold one white cell, which is 42 px wide."""
COARSE = 2.0
"""A slide that must be enlarged more than so many times is too coarse for the counter."""
HOLDS = 0.5
"""A patch with so many cells in its core is looked at for focus and likeness, where they are densest."""
CALIBRATED = (
    "Each patch answers for its own core. Intervals are for the cells of this slide: how far counts were off on "
    "{groups} patients or slides that the counter was not trained on."
)
UNCALIBRATED = (
    "Each patch answers for its own core. The counter was never calibrated: intervals are chance alone (Poisson)."
)
NO_BLASTS = "The counter counts white cells and cannot tell blasts: the blast columns stay empty."


@dataclass(frozen=True)
class SlideFigures:
    """What was counted on a whole slide, with intervals."""

    white_cells: Interval
    blasts: Interval | None = None
    """None where the counter cannot tell them."""
    blast_fraction: Interval | None = None
    """None where it cannot, or counted no cell."""


def count_patches(
    slide: Slide,
    slide_id: str,
    counter: CellCounter,
    overlap: float | None = None,
    *,
    finder: ChosenFinder | None = None,
    grid: PatchGrid | None = None,
    red_px: float | None = None,
    table: PatchTable | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SlideReport, PatchCounts]:
    """Count the cells of one slide, patch by patch.

    Parameters
    ----------
    slide
        The open slide, or a store's patches put together: a store is counted on its own patches.
    slide_id
        Its name in the output.
    counter
        Says how many cells of each class lie where in a patch.
    overlap
        Share of a patch that its right neighbour repeats; 0 if None. It changes the count by no more than the interval
        says, and cells that the border of one patch cuts are seen whole by another. Not for a store.
    finder
        Measures the cells of a slide that does not state its resolution; the shipped one if not given.
    grid
        Other patches than the counter's own, such as those that a store was cut with.
    red_px
        Diameter of a red cell, level-0 pixels, where it is known already.
    table
        What `count_rows` returned for all of its `counter_patches`, where that is known already.
    progress
        Told how many patches are done, and of how many.

    Returns
    -------
    The report, and what each patch counted in its core.

    Raises
    ------
    SlideError
        The slide cannot be read.
    UsageError
        The overlap is out of range or was asked of a store, or the finder cannot measure cells.
    """
    from wsi_patches.models.cell_scale import WHITE_OVER_RED

    began = time.monotonic()
    red_px = red_px if table is None else table.red_px
    red_px = counter_scale(slide, counter, finder) if red_px is None else red_px
    report = _report(slide, slide_id, counter)
    if red_px is None:
        return _nothing(report, counter.card, began)
    patches = counter_patches(slide, counter, red_px, overlap, grid)
    said = count_rows(patches, counter, red_px, progress=progress) if table is None else table.said
    counts, densest = said[:, :-2], said[:, -2:]
    counted = patches.counted(counter.card.classes, counts)
    extra = {
        "patch_px": patches.side_px,
        "patch_overlap": round(patches.overlap, 4),
        "patch_downsample": round(patches.downsample, 4),
        "red_cell_diameter_px": round(red_px, 2),
    }
    report = replace(
        _with_figures(report, counts.sum(axis=0), counter.card),
        patches=len(patches),
        coverage=patches.coverage,
        warnings=(*report.warnings, *_scale_warnings(patches, counter, red_px)),
        extra={**report.extra, **extra},
    )
    cells = Cells.at(densest[counts.sum(axis=1) >= HOLDS], (WHITE_CELL,))
    report = with_likeness(with_focus(report, slide, cells), slide, cells, counter.card, WHITE_OVER_RED * red_px)
    return replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), counted


def slide_figures(counted: NDArray[np.float64], card: CounterCard) -> SlideFigures:
    """Return what a counter says of a whole slide, with its calibrated intervals.

    The blast fraction lies between the lowest count of blasts against the highest of other cells and the reverse: both
    counts lie within their intervals, so the fraction's is rather too wide.

    Parameters
    ----------
    counted
        Of each class, as the network says it, ``(classes,)``.
    card
        The counter's.
    """
    from wsi_patches.models.count_calibration import CountCalibration

    of = {name: card.calibration.get(name, CountCalibration()) for name in (*card.classes, WHITE_CELL)}
    each = [of[name].interval(float(count)) for name, count in zip(card.classes, counted, strict=True)]
    if card.classes != ALL_IDB_CLASSES:
        return SlideFigures(each[0])
    blasts, others = each
    white = of[WHITE_CELL].interval(blasts.value + others.value)
    return SlideFigures(white, blasts, _fraction(blasts, others) if white.value > 0 else None)


def _report(slide: Slide, slide_id: str, counter: CellCounter) -> SlideReport:
    card, groups = counter.card, min((one.groups for one in counter.card.calibration.values()), default=0)
    limits = (f"model {card.name}: {card.limits}",) if card.limits else ()
    return SlideReport(
        slide_id=slide_id,
        path=slide.info.path,
        fingerprint=slide.info.fingerprint,
        status=DONE,
        method=PATCHES,
        model=card.name,
        weights_sha256=counter.sha256,
        interval_method=CALIBRATED.format(groups=groups) if groups else UNCALIBRATED,
        warnings=limits if card.classes == ALL_IDB_CLASSES else (*limits, NO_BLASTS),
        extra={"slide_mpp": slide.info.mpp, "slide_size_px": list(slide.info.size)},
    )


def _with_figures(report: SlideReport, counted: NDArray[np.float64], card: CounterCard) -> SlideReport:
    figures = slide_figures(counted, card)
    return replace(
        report, white_cells=figures.white_cells, blasts=figures.blasts, blast_fraction=figures.blast_fraction
    )


def _nothing(report: SlideReport, card: CounterCard, began: float) -> tuple[SlideReport, PatchCounts]:
    """Return the report of a slide on which no cell is seen at any scale."""
    nowhere = np.empty((0, 2), np.int64)
    none, cores = np.zeros((0, len(card.classes))), patch_cores(nowhere, 0, Size(0, 0))
    counted = PatchCounts(card.classes, nowhere, 0, none, cores)
    report = replace(_with_figures(report, np.zeros(len(card.classes)), card), warnings=(*report.warnings, NO_SCALE))
    return replace(report, extra={**report.extra, "seconds": round(time.monotonic() - began, 2)}), counted


def _fraction(blasts: Interval, others: Interval) -> Interval:
    low, high = _share(blasts.low, others.high), _share(blasts.high, others.low)
    return Interval(_share(blasts.value, others.value), low, high)


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0 else 0.0


def _scale_warnings(patches: SlidePatches, counter: CellCounter, red_px: float) -> tuple[str, ...]:
    warnings = []
    enlarged = counter.card.red_cell_px / red_px * patches.downsample
    if enlarged > COARSE:
        warnings.append(
            f"red cells are {red_px / patches.downsample:.1f} pixels wide here and {counter.card.red_cell_px:g} where "
            "the counter learnt: what it says of so coarse a slide was never measured"
        )
    seen_px = counter.input_px(patches.side_px, red_px / patches.downsample)
    if seen_px < NARROW_PX:
        warnings.append(f"patches of {patches.side_px} px hardly hold one white cell each: cut larger ones")
    return tuple(warnings)
