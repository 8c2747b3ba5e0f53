"""One task after the other, in this thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wsi_patches.executors.base import TASK_ERRORS, Finished, InThisProcess, Needs, Result, Task

__all__ = ["SerialExecutor"]


@dataclass(frozen=True)
class SerialExecutor(InThisProcess):
    """Runs tasks one after the other."""

    workers: int = 1

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        needs: Needs | None = None,  # noqa: ARG002 - there is one worker, and it has what there is
    ) -> Iterator[Finished[Task, Result]]:
        """Run ``function`` on each task, in order."""
        for task in tasks:
            try:
                result = function(task)
            except TASK_ERRORS as error:
                yield Finished(task, error=error)
            else:
                yield Finished(task, result)
