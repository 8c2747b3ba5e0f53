"""A large slide whose patches several workers ask a model of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wsi_patches.infer import PatchTable, ask_patches, lay_patches
from wsi_patches.infer.slide_patches import BATCH
from wsi_patches.pipeline import Job
from wsi_patches.workflows.infer_parts import FoundPart, LargeSlide, PartTask, opened_slide

__all__ = ["LargeSlideOfPatches"]

PATCHES_TOGETHER = 32 * BATCH
"""In a part: some ten seconds of a core. Whole batches, so that a part computes just what the whole would."""


@dataclass
class LargeSlideOfPatches(LargeSlide):
    """A large slide that is counted patch by patch."""

    def begin(self) -> Job:
        """Return the job that learns how large the slide's cells are."""
        return self.job("prepare", measure_slide, PartTask(self.task), self._measured)

    def _measured(self, _task: PartTask, found: FoundPart) -> Iterable[Job]:
        if found.value is None:
            return [self.finish()]
        red_px, patches = found.value
        tasks = (PartTask(self.task, rows, red_px) for rows in self.share_out(patches, PATCHES_TOGETHER))
        return [self.job("patches", ask_part, one, self._asked) for one in tasks]

    def _asked(self, task: PartTask, found: FoundPart) -> Iterable[Job]:
        said = self.all_parts(task, found)
        return () if said is None else [self.finish(table=PatchTable(task.given, np.concatenate(said)))]


def measure_slide(task: PartTask) -> FoundPart:
    """Learn how large the cells of a slide are, and how many patches it has; what a worker does."""
    with opened_slide(task) as slide:
        return FoundPart(lay_patches(task.infer.models, slide), tuple(slide.holes))


def ask_part(task: PartTask) -> FoundPart:
    """Ask a model of some patches of a slide; what a worker does."""
    with opened_slide(task) as slide:
        return FoundPart(ask_patches(task.infer.models, slide, task.given, task.rows), tuple(slide.holes))
