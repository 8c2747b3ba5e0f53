"""One loop for every stage: tasks in, results out, on any executor. It knows nothing of slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, cast

from wsi_patches.executors.base import Executor, Result, Task

__all__ = ["Progress", "Stage", "run"]

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""


@dataclass(frozen=True)
class Stage(Generic[Task, Result]):
    """A step that can run on a cluster."""

    name: str
    work: Callable[[Task], Result]
    """What is done with a task: a module-level function, since a cluster pickles it."""
    lost: Callable[[Task, BaseException], Result]
    """What a task counts as when it could not be done."""
    size: Callable[[Task], int] = lambda _: 1
    """How much of the progress bar a task is."""


def run(
    stage: Stage[Task, Result],
    tasks: Sequence[Task],
    executor: Executor,
    progress: Progress | None = None,
    finished: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run a stage over its tasks and return a result for each, in the order of the tasks.

    Parameters
    ----------
    stage, tasks, executor
        What is done, with what, and where.
    progress
        Told how much is done.
    finished
        Given each result as soon as it is there, in no certain order.
    """
    results: dict[int, Result] = {}
    total, done = sum(stage.size(task) for task in tasks), 0
    for ended in executor.map(_Numbered(stage.work), enumerate(tasks)):
        position, task = ended.task
        error = ended.error
        results[position] = cast(Result, ended.result) if error is None else stage.lost(task, error)
        if finished is not None:
            finished(results[position])
        done += stage.size(task)
        if progress is not None:
            progress(done, total)
    return [results[position] for position in sorted(results)]


@dataclass(frozen=True)
class _Numbered(Generic[Task, Result]):
    """Work on a task that carries its position, since tasks may be equal and end in any order."""

    work: Callable[[Task], Result]

    def __call__(self, numbered: tuple[int, Task]) -> Result:
        return self.work(numbered[1])
