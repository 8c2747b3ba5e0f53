"""What an executor is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from wsi_patches.errors import WsiPatchesError

__all__ = ["TASK_ERRORS", "Executor", "Finished", "Result", "Task"]

Task = TypeVar("Task")
Result = TypeVar("Result")

TASK_ERRORS = (WsiPatchesError, OSError, MemoryError)
"""What a task may fail with while the others go on; anything else is a defect of the program and is raised."""


@dataclass(frozen=True)
class Finished(Generic[Task, Result]):
    """A task that came to an end."""

    task: Task
    result: Result | None = None
    error: BaseException | None = None
    """Why there is no result."""


class Executor(Protocol):
    """Runs a function over tasks and yields each as it ends, in any order."""

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Finished[Any, Any]]:
        """Run ``function`` on each task; a task that fails is yielded with its error and stops no other."""
