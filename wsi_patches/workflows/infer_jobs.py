"""How the slides of ``infer`` are dealt out: small ones together, large ones in parts, some ten seconds a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wsi_patches.infer import PATCHES
from wsi_patches.outcome import SlideReport
from wsi_patches.pipeline import Job, Stage
from wsi_patches.workflows.infer_cell_parts import LargeSlideOfCells
from wsi_patches.workflows.infer_parts import LargeSlide, PartTask
from wsi_patches.workflows.infer_patch_parts import LargeSlideOfPatches
from wsi_patches.workflows.infer_task import InferTask, infer_slides, lost_slide, needs_of

__all__ = ["infer_jobs", "slides_of"]

TOGETHER_PX, TOGETHER = 32_000_000, 64
"""Level-0 pixels, and slides, of one task."""
LARGE_PX = 128_000_000
"""A slide of more level-0 pixels is counted by several workers."""
TASKS_PER_WORKER = 4
"""At the least, where there is so much to do: or the last task keeps all others waiting."""


def _lost(tasks: tuple[InferTask, ...], error: BaseException) -> list[SlideReport]:
    return [lost_slide(task, error) for task in tasks]


def slides_of(task: object) -> list[str]:
    """Return the ids of the slides that a task of `infer_jobs` is about."""
    if isinstance(task, PartTask):
        return [task.infer.slide_id]
    return [one.slide_id for one in task] if isinstance(task, tuple) else []


INFER: Stage[tuple[InferTask, ...], list[SlideReport]] = Stage(
    "infer",
    infer_slides,
    _lost,
    size=len,
    needs=lambda tasks: needs_of(tasks[0]),
    split=lambda tasks: [(task,) for task in tasks],
)
"""Counts some slides and writes their reports."""


def infer_jobs(
    tasks: Sequence[InferTask], workers: int, told: Callable[[SlideReport], None], *, spread: bool
) -> list[Job]:
    """Return what is to be run.

    Parameters
    ----------
    tasks
        The slides.
    workers
        How many tasks run at a time.
    told
        Given the report of each slide as soon as there is one.
    spread
        Deal out to other processes: in this one, threads share a slide's work anyway, and each slide is told of as it
        ends.
    """

    def ended(_: tuple[InferTask, ...], reports: list[SlideReport]) -> tuple[Job, ...]:
        for report in reports:
            told(report)
        return ()

    stage = replace(INFER, then=ended)
    if not spread:
        return [Job(stage, (task,)) for task in tasks]
    large, small = ([task for task in tasks if _is_large(task) == wanted] for wanted in (True, False))
    parts: list[LargeSlide] = []
    for task in large:
        kind = LargeSlideOfPatches if task.models.method == PATCHES else LargeSlideOfCells
        parts.append(kind(task, lambda one: Job(stage, (one,)), lambda one, error: told(lost_slide(one, error))))
    return [*(one.begin() for one in parts), *(Job(stage, some) for some in _together(small, workers))]


def _is_large(task: InferTask) -> bool:
    """Tell whether a slide is worth dealing out; what a person marked, or a store holds, is not."""
    return task.pixels > LARGE_PX and not task.in_store and not task.marks


def _together(tasks: Sequence[InferTask], workers: int) -> Iterator[tuple[InferTask, ...]]:
    """Yield tasks that one worker does together."""
    most_px = min(TOGETHER_PX, sum(task.pixels for task in tasks) // (TASKS_PER_WORKER * max(1, workers)))
    some: list[InferTask] = []
    for task in tasks:
        full = len(some) == TOGETHER or sum(one.pixels for one in some) + task.pixels > most_px
        if some and (full or some[0].models != task.models):
            yield tuple(some)
            some = []
        some.append(task)
    if some:
        yield tuple(some)
