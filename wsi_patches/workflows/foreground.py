"""Which places of each slide hold cells or tissue, found before the work is cut into parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsi_patches.errors import NoPatches
from wsi_patches.executors import Executor
from wsi_patches.extract import grid_for
from wsi_patches.grid import Kept, PatchSpec
from wsi_patches.locations import path_of
from wsi_patches.pipeline import Progress, Stage, run
from wsi_patches.slide import ReadOptions
from wsi_patches.slides.pool import borrow_slide
from wsi_patches.stores.files import write_whole
from wsi_patches.workflows.look import Looked

__all__ = ["FOREGROUNDS", "keep_foreground"]

FOREGROUNDS = ("none", "auto")


@dataclass(frozen=True)
class ForegroundTask:
    """One slide to look at."""

    path: str
    slide_id: str
    spec: PatchSpec
    options: ReadOptions
    preview: str | None = None
    """The PNG that shows what was kept, or None for no picture."""


@dataclass(frozen=True)
class FoundForeground:
    """What is kept of a slide, or why nothing is."""

    kept: Kept | None = None
    notes: tuple[str, ...] = ()
    error: BaseException | None = None


def keep_foreground(
    looked: Sequence[Looked],
    spec: PatchSpec,
    options: ReadOptions,
    executor: Executor,
    previews: Path | None = None,
    progress: Progress | None = None,
) -> list[Looked]:
    """Return the slides with the places that are kept; one that holds nothing but glass gets an error.

    Parameters
    ----------
    looked
        Slides that can be opened.
    spec, options
        How they are cut and opened.
    executor
        What the work runs on.
    previews
        A folder for one PNG a slide; none are written if not given.
    progress
        Told how many slides are done.
    """
    tasks = [
        ForegroundTask(
            one.item.path,
            one.slide_id,
            spec,
            options,
            None if previews is None else str(previews / f"{one.slide_id}.png"),
        )
        for one in looked
    ]
    found = run(Stage("foreground", find_kept, _lost), tasks, executor, progress)
    return [
        replace(one, kept=of_one.kept, error=of_one.error, notes=of_one.notes)
        for one, of_one in zip(looked, found, strict=True)
    ]


def find_kept(task: ForegroundTask) -> FoundForeground:
    """Look at one slide; what a worker does.

    Raises
    ------
    NoPatches
        No place holds foreground.
    SlideError
        The slide cannot be read.
    """
    # cv2's 16 MB are for those who ask for a foreground.
    import cv2

    from wsi_patches.imaging.foreground import find_foreground

    with borrow_slide(task.path, task.options) as slide:
        grid = grid_for(slide.info, task.spec)
        foreground = find_foreground(slide)
        mask = foreground.keep(grid)
        if task.preview is not None:
            _, png = cv2.imencode(".png", cv2.cvtColor(foreground.preview(grid), cv2.COLOR_RGB2BGR))
            write_whole(path_of(task.preview), png.tobytes(), durable=False)
    if not mask.any():
        msg = (
            f"{task.path} holds no foreground: every one of its {len(mask)} patches looks like bare glass; "
            "to have them all, use --foreground none"
        )
        raise NoPatches(msg)
    return FoundForeground(Kept.of(mask), foreground.notes)


def _lost(_task: ForegroundTask, error: BaseException) -> FoundForeground:
    return FoundForeground(error=error)
