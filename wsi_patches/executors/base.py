"""What an executor is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from wsi_patches.errors import WsiPatchesError

__all__ = ["TASK_ERRORS", "Executor", "Finished", "InThisProcess", "Needs", "Result", "Task"]

Task = TypeVar("Task")
Result = TypeVar("Result")

TASK_ERRORS = (WsiPatchesError, OSError, MemoryError)
"""What a task may fail with while the others go on; anything else is a defect of the program and is raised."""

Needs = Callable[[Any], Mapping[str, float]]
"""What of a worker a task takes while it runs, beside a thread: ``{"GPU": 1}``, or nothing."""


@dataclass(frozen=True)
class Finished(Generic[Task, Result]):
    """A task that came to an end."""

    task: Task
    result: Result | None = None
    error: BaseException | None = None
    """Why there is no result."""


class Executor(Protocol):
    """Runs a function over tasks and yields each as it ends, in any order.

    As a context manager it keeps its cluster open over several calls of ``map``; outside of a ``with`` statement each
    call opens and closes its own.
    """

    def __enter__(self) -> Self:
        """Open the cluster."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the cluster."""

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""

    @property
    def dashboard(self) -> str | None:
        """Where a browser sees the cluster at work, while it is open."""

    def map(
        self, function: Callable[[Any], Any], tasks: Iterable[Any], needs: Needs | None = None
    ) -> Iterator[Finished[Any, Any]]:
        """Run ``function`` on each task; a task that fails is yielded with its error and stops no other.

        Parameters
        ----------
        function
            What is done; a cluster pickles it, so it stands at a module's top.
        tasks
            Asked for the next after every task that is yielded, even if there was none the last time: a task that ends
            may add others. The end is when nothing runs and there is no next.
        needs
            What of a worker each task takes; executors without workers of several kinds do not ask.
        """


class InThisProcess:
    """What executors share that have no cluster to open."""

    @property
    def dashboard(self) -> str | None:
        """There is none."""
        return None

    def __enter__(self) -> Self:
        """Open nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close nothing."""
