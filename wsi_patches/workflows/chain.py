"""What follows from a part of a store that is written: its patches are preprocessed and its slides counted at once.

No stage waits for another to end. A slide that lies in several parts is the only thing that is waited for: its glass
is told from all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wsi_patches.extract import ExtractTask
from wsi_patches.grid import Kept
from wsi_patches.outcome import FAILED, Outcome
from wsi_patches.pipeline import Job, Stage
from wsi_patches.preprocess import PreprocessTask, preprocess_part
from wsi_patches.stores import open_store
from wsi_patches.workflows.extract_plan import ExtractPlan
from wsi_patches.workflows.leading import SlideTally
from wsi_patches.workflows.store_foreground import STORE_FOREGROUND, ForegroundOfSlides

__all__ = ["Chain"]


@dataclass(frozen=True)
class ChainedPart:
    """A part whose slides are all there, to be preprocessed."""

    asked: PreprocessTask
    """What is asked of every part."""
    part_id: str
    parts: tuple[str, ...]
    """All parts that hold patches of its slides."""
    masks: tuple[tuple[str, Kept], ...]
    """Of each of its slides, which patches hold cells or tissue, in the order of the parts' names."""


class Chain:
    """What is known of slides on their way through the stages; lives where the run is led.

    Parameters
    ----------
    preprocessing
        What is asked of every part; None where that cannot be known before all patches are there.
    count
        Returns the jobs that count some slides, by their ids.
    """

    def __init__(self, preprocessing: PreprocessTask | None, count: Callable[[Sequence[str]], Iterable[Job]]) -> None:
        self.preprocessing, self.count = preprocessing, count
        self.tally = SlideTally(())
        self.parts_of: dict[str, set[str]] = {}
        self.slides_in: dict[str, set[str]] = {}
        self.masks: dict[str, Kept] = {}

    def begin(self, plan: ExtractPlan) -> Callable[[ExtractTask, list[Outcome]], Iterable[Job]]:
        """Take what will be extracted, and return what is to be told of each part that is written."""
        self.tally = SlideTally(job.slide_id for task in plan.tasks for job in task.jobs)
        return self._written

    def _written(self, task: ExtractTask, outcomes: list[Outcome]) -> Iterable[Job]:
        written = {one.slide_id for one in outcomes if one.status != FAILED}
        self.slides_in.setdefault(task.part_id, set()).update(written)
        for slide_id in written:
            self.parts_of.setdefault(slide_id, set()).add(task.part_id)
        whole = [one.slide_id for one in self.tally.add(outcomes) if one.status != FAILED]
        if not whole:
            return []
        return [*self._preprocess(task.store, task.settings.foreground, whole), *self.count(whole)]

    def _preprocess(self, store: str, foreground: str, whole: Sequence[str]) -> Iterable[Job]:
        if self.preprocessing is None:
            return []
        parts = tuple(sorted({part for slide_id in whole for part in self.parts_of[slide_id]}))
        if foreground == "auto":  # the store holds nothing else
            return self._known(parts, dict.fromkeys(whole))
        stage = replace(STORE_FOREGROUND, lost=_none, then=lambda _, masks: self._known(parts, masks), size=lambda _: 0)
        return [Job(stage, ForegroundOfSlides(store, tuple(whole), parts))]

    def _known(self, parts: Sequence[str], masks: Mapping[str, Kept | None]) -> list[Job]:
        """Preprocess the parts of which every slide's foreground is known by now."""
        assert self.preprocessing is not None
        self.masks |= {slide_id: mask or EVERYTHING for slide_id, mask in masks.items()}
        ready = [part for part in parts if self.slides_in[part] <= self.masks.keys()]
        return [Job(CHAINED, self._chained(self.preprocessing, part)) for part in ready]

    def _chained(self, asked: PreprocessTask, part: str) -> ChainedPart:
        slides = sorted(self.slides_in[part])
        parts = {other for slide_id in slides for other in self.parts_of[slide_id]}
        return ChainedPart(asked, part, tuple(sorted(parts)), tuple((one, self.masks[one]) for one in slides))


EVERYTHING = Kept(b"", 0)
"""In place of a mask that would keep all patches of a slide."""


def preprocess_chained(task: ChainedPart) -> int:
    """Preprocess a part; what a worker does. Returns how many patches it has."""
    store = open_store(task.asked.store, parts=task.parts)
    kept = np.ones(len(store), bool)
    for slide_id, mask in task.masks:
        if mask != EVERYTHING:
            kept[store.positions_of(slide_id)] = mask.mask()
    row = [part.id for part in store.parts].index(task.part_id)
    mine = kept[store.offsets[row] : store.offsets[row + 1]]
    return preprocess_part(replace(task.asked, part_id=task.part_id, foreground=Kept.of(mine)))


def _none(_task: ForegroundOfSlides, _error: BaseException) -> dict[str, Kept]:
    """Leave it to the stage that comes at the end, which says what is wrong."""
    return {}


def _left(_task: ChainedPart, _error: BaseException) -> int:
    return 0


CHAINED: Stage[ChainedPart, int] = Stage("preprocess", preprocess_chained, _left, size=lambda _: 0)
"""Preprocesses a part that has just been written."""
