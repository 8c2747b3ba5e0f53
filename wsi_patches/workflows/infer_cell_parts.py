"""A large slide whose cells several workers find and tell: searched in windows, its cells told by hundreds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting import CellFinder
from wsi_patches.counting.centred import diameter_of
from wsi_patches.counting.windows import Prepared, cells_of, prepare
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer import DETECTED, ModelChoice
from wsi_patches.infer.classify import classify_cells
from wsi_patches.infer.count import Known
from wsi_patches.infer.detect import detected, search
from wsi_patches.infer.finder import load_finder
from wsi_patches.pipeline import Job
from wsi_patches.workflows.infer_parts import FoundPart, LargeSlide, PartTask, opened_slide

__all__ = ["LargeSlideOfCells"]

WINDOWS = 32
"""Of 1024 px in a part: some ten seconds of a core."""
CELLS = 512
"""Whose classes one task tells: the same."""


@dataclass
class LargeSlideOfCells(LargeSlide):
    """A large slide that is counted cell by cell, or box by box."""

    cells: Cells | None = None

    def begin(self) -> Job:
        """Return the job that calibrates the finder on the whole slide."""
        return self.job("prepare", prepare_slide, PartTask(self.task), self._prepared)

    def _prepared(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        known: Prepared = found.value
        shares = self.share_out(known.windows, WINDOWS)
        if not shares:
            return [self.finish(known=Known(cells_of(np.empty((0, 4)))))]
        tasks = (replace(task, given=known, rows=rows) for rows in shares)
        return [self.job("search", search_part, one, self._searched) for one in tasks]

    def _searched(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        tables = self.all_parts(task, found)
        if tables is None:
            return ()
        table, choice = np.concatenate(tables), self.task.models
        if choice.method == DETECTED:
            told = detected(_finder(replace(choice, device="cpu", precision="auto")), table)  # asks for its classes
            return [self.finish(known=Known(told[0], told))]
        cells = cells_of(table)
        if choice.model is None or not len(cells):
            return [self.finish(known=Known(cells))]
        self.cells = cells
        diameter_px = diameter_of(cells)
        shares = self.share_out(len(cells), CELLS)
        tasks = (PartTask(self.task, rows, (cells.take(np.asarray(rows)), diameter_px)) for rows in shares)
        return [self.job("classify", tell_part, one, self._told) for one in tasks]

    def _told(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        parts = self.all_parts(task, found)
        if parts is None or self.cells is None:
            return ()
        told, blast = zip(*parts, strict=True)
        return [self.finish(known=Known(self.cells, (Cells.concatenate(told), np.concatenate(blast))))]


def prepare_slide(task: PartTask) -> FoundPart:
    """Calibrate the finder on a slide; what a worker does."""
    with opened_slide(task) as slide:
        return FoundPart(prepare(slide, _finder(task.infer.models)), tuple(slide.holes))


def search_part(task: PartTask) -> FoundPart:
    """Search some windows of a slide; what a worker does."""
    with opened_slide(task) as slide:
        table: NDArray[np.float64] = search(slide, _finder(task.infer.models), task.given, task.rows)
        return FoundPart(table, tuple(slide.holes))


def tell_part(task: PartTask) -> FoundPart:
    """Tell the classes of some cells of a slide; what a worker does."""
    choice = task.infer.models
    sharpen = None if choice.sharpen is None else SharpenSettings(choice.sharpen)
    classifier = choice.committee()
    assert classifier is not None
    cells, diameter_px = task.given
    with opened_slide(task) as slide:
        told = classify_cells(slide, cells, classifier, diameter_px, sharpen=sharpen)
        return FoundPart(told, tuple(slide.holes))


def _finder(choice: ModelChoice) -> CellFinder[Any]:
    if choice.method == DETECTED:
        return choice.detector().detector
    return load_finder(choice.finder, choice.device, choice.precision).finder
