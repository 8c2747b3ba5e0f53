"""A large slide that several workers count: searched in parts, its cells told in parts, and then put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.cells import Cells
from wsi_patches.counting import CellFinder
from wsi_patches.counting.centred import diameter_of
from wsi_patches.counting.windows import Prepared, cells_of, prepare
from wsi_patches.geometry import Box
from wsi_patches.imaging.sharpen import SharpenSettings
from wsi_patches.infer import DETECTED, ModelChoice
from wsi_patches.infer.classify import classify_cells
from wsi_patches.infer.count import Known
from wsi_patches.infer.detect import detected, search
from wsi_patches.infer.finder import load_finder
from wsi_patches.pipeline import Job, Stage
from wsi_patches.slides import ForgivingSlide
from wsi_patches.slides.pool import borrow_slide
from wsi_patches.workflows.infer_task import InferTask, needs_of

__all__ = ["LargeSlide", "PartTask"]

WINDOWS = 32
"""Of 1024 px in a part: some ten seconds of a core."""
CELLS = 512
"""Whose classes one task tells: the same."""


@dataclass(frozen=True)
class PartTask:
    """A part of a large slide's work."""

    infer: InferTask
    prepared: Prepared | None = None
    """What was learnt of the slide at first."""
    windows: range = range(0)
    """Which of its windows are to be searched."""
    cells: Cells | None = None
    """Which of its cells are to be told."""
    diameter_px: float = 0.0
    """Of its white cells."""
    first: int = 0
    """Which part it is."""


@dataclass(frozen=True)
class FoundPart:
    """What a part came to."""

    value: Any = None
    """What was learnt of the slide; or what windows answer for, a row each; or cells with classes and probabilities."""
    holes: tuple[Box, ...] = ()
    """What could not be read, level-0 pixels."""
    error: BaseException | None = None
    """Why there is nothing."""


@dataclass
class LargeSlide:
    """What is known of a large slide while its parts are at work; lives where the run is led.

    Parameters
    ----------
    task
        The slide.
    counted
        Makes the last job, of a task whose cells are known.
    failed
        Told why the slide cannot be counted, once.
    """

    task: InferTask
    counted: Callable[[InferTask], Job]
    failed: Callable[[InferTask, BaseException], None]
    parts: dict[int, Any] = field(default_factory=dict)
    waiting: int = 0
    holes: set[Box] = field(default_factory=set)
    cells: Cells | None = None
    is_lost: bool = False

    def begin(self) -> Job:
        """Return the job that looks at the whole slide."""
        return self._job("prepare", prepare_slide, PartTask(self.task), self._prepared)

    def _job(
        self,
        name: str,
        work: Callable[[PartTask], FoundPart],
        task: PartTask,
        then: Callable[[PartTask, FoundPart], Iterable[Job]],
    ) -> Job:
        def ended(task: PartTask, found: FoundPart) -> Iterable[Job]:
            if found.error is not None and not self.is_lost:
                self.is_lost = True
                self.failed(self.task, found.error)
            self.holes |= set(found.holes)
            return () if self.is_lost else then(task, found)

        stage: Stage[PartTask, FoundPart] = Stage(
            name, work, _lost, size=lambda _: 0, needs=lambda one: needs_of(one.infer), then=ended
        )
        return Job(stage, task)

    def _prepared(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        known: Prepared = found.value
        starts = range(0, known.windows, WINDOWS)
        self.waiting = len(starts)
        if not self.waiting:
            return [self._finish(Known(cells_of(np.empty((0, 4)))))]
        parts = (range(start, min(start + WINDOWS, known.windows)) for start in starts)
        tasks = (replace(task, prepared=known, windows=part, first=part.start) for part in parts)
        return [self._job("search", search_part, one, self._searched) for one in tasks]

    def _all_parts(self, task: PartTask, found: FoundPart) -> list[Any] | None:
        """Keep what a part came to; return all of them, in order, with the last."""
        self.parts[task.first] = found.value
        if len(self.parts) < self.waiting:
            return None
        parts = [self.parts[first] for first in sorted(self.parts)]
        self.parts.clear()
        return parts

    def _searched(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        tables = self._all_parts(task, found)
        if tables is None:
            return ()
        table, choice = np.concatenate(tables), self.task.models
        if choice.method == DETECTED:
            told = detected(_finder(replace(choice, device="cpu", precision="auto")), table)  # asks for its classes
            return [self._finish(Known(told[0], told))]
        cells = cells_of(table)
        if choice.model is None or not len(cells):
            return [self._finish(Known(cells))]
        self.cells = cells
        starts, diameter_px = range(0, len(cells), CELLS), diameter_of(cells)
        self.waiting = len(starts)
        rows = (np.arange(start, min(start + CELLS, len(cells))) for start in starts)
        tasks = (PartTask(self.task, cells=cells.take(some), diameter_px=diameter_px, first=some[0]) for some in rows)
        return [self._job("classify", tell_part, one, self._told) for one in tasks]

    def _told(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        parts = self._all_parts(task, found)
        if parts is None or self.cells is None:
            return ()
        told, blast = zip(*parts, strict=True)
        return [self._finish(Known(self.cells, (Cells.concatenate(told), np.concatenate(blast))))]

    def _finish(self, known: Known) -> Job:
        return self.counted(replace(self.task, known=known, holes=tuple(sorted(self.holes))))


def prepare_slide(task: PartTask) -> FoundPart:
    """Calibrate the finder on a slide; what a worker does."""
    with _opened(task) as slide:
        return FoundPart(prepare(slide, _finder(task.infer.models)), tuple(slide.holes))


def search_part(task: PartTask) -> FoundPart:
    """Search some windows of a slide; what a worker does."""
    with _opened(task) as slide:
        table: NDArray[np.float64] = search(slide, _finder(task.infer.models), task.prepared, task.windows)
        return FoundPart(table, tuple(slide.holes))


def tell_part(task: PartTask) -> FoundPart:
    """Tell the classes of some cells of a slide; what a worker does."""
    choice = task.infer.models
    sharpen = None if choice.sharpen is None else SharpenSettings(choice.sharpen)
    classifier = choice.committee()
    assert task.cells is not None
    assert classifier is not None
    with _opened(task) as slide:
        told = classify_cells(slide, task.cells, classifier, task.diameter_px, sharpen=sharpen)
        return FoundPart(told, tuple(slide.holes))


@contextmanager
def _opened(task: PartTask) -> Iterator[ForgivingSlide]:
    with borrow_slide(task.infer.path, task.infer.options) as slide:
        yield ForgivingSlide(slide)


def _finder(choice: ModelChoice) -> CellFinder[Any]:
    if choice.method == DETECTED:
        return choice.detector().detector
    return load_finder(choice.finder, choice.device, choice.precision).finder


def _lost(_task: PartTask, error: BaseException) -> FoundPart:
    return FoundPart(error=error)
