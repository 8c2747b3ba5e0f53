"""A large slide that several workers count: what is asked of each of them, and what is put together again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from wsi_patches.geometry import Box
from wsi_patches.pipeline import Job, Stage
from wsi_patches.slides import ForgivingSlide
from wsi_patches.slides.pool import borrow_slide
from wsi_patches.workflows.infer_task import InferTask, needs_of

__all__ = ["FoundPart", "LargeSlide", "PartTask", "opened_slide"]


@dataclass(frozen=True)
class PartTask:
    """A part of a large slide's work."""

    infer: InferTask
    rows: range = range(0)
    """Which of its windows, cells or patches."""
    given: Any = None
    """What is known of the slide by now."""


@dataclass(frozen=True)
class FoundPart:
    """What a part came to."""

    value: Any = None
    """What was learnt of the slide; or of its windows, cells or patches."""
    holes: tuple[Box, ...] = ()
    """What could not be read, level-0 pixels."""
    error: BaseException | None = None
    """Why there is nothing."""


Work = Callable[[PartTask], FoundPart]
Then = Callable[[PartTask, FoundPart], Iterable[Job]]


@dataclass
class LargeSlide(ABC):
    """What is known of a large slide while its parts are at work; lives where the run is led.

    Parameters
    ----------
    task
        The slide.
    counted
        Makes the last job, of a task to which all is added that workers found out.
    failed
        Told why the slide cannot be counted, once.
    """

    task: InferTask
    counted: Callable[[InferTask], Job]
    failed: Callable[[InferTask, BaseException], None]
    parts: dict[int, Any] = field(default_factory=dict)
    waiting: int = 0
    holes: set[Box] = field(default_factory=set)
    is_lost: bool = False

    @abstractmethod
    def begin(self) -> Job:
        """Return the job that looks at the whole slide."""

    def job(self, name: str, work: Work, task: PartTask, then: Then) -> Job:
        """Return a job that is some of the slide's work; ``then`` is asked what follows, unless the slide is lost."""

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

    def share_out(self, count: int, most: int) -> list[range]:
        """Return rows, at most so many together, whose parts are waited for."""
        shares = [range(start, min(start + most, count)) for start in range(0, count, most)]
        self.waiting = len(shares)
        return shares

    def all_parts(self, task: PartTask, found: FoundPart) -> list[Any] | None:
        """Keep what a part came to; return all of them, in order, with the last."""
        self.parts[task.rows.start] = found.value
        if len(self.parts) < self.waiting:
            return None
        parts = [self.parts[first] for first in sorted(self.parts)]
        self.parts.clear()
        return parts

    def finish(self, **found: Any) -> Job:
        """Return the last job: the slide is counted from what was found out."""
        return self.counted(replace(self.task, holes=tuple(sorted(self.holes)), **found))


@contextmanager
def opened_slide(task: PartTask) -> Iterator[ForgivingSlide]:
    """Open a slide whose unreadable places are noted."""
    with borrow_slide(task.infer.path, task.infer.options) as slide:
        yield ForgivingSlide(slide)


def _lost(_task: PartTask, error: BaseException) -> FoundPart:
    return FoundPart(error=error)
