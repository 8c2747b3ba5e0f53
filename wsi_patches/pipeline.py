"""One loop for every stage: tasks in, results out, on any executor. It knows nothing of slides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, cast

from wsi_patches.errors import WorkerLost
from wsi_patches.executors.base import Executor, Result, Task

__all__ = ["Job", "Progress", "Stage", "run", "run_jobs"]

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""
Place = tuple[int, ...]
"""Where a job's result lies among those of a stage: the number of its task, then that of the piece of a task."""
FOLLOWS: Place = ()
"""Of a job that another one brought forth."""


def _nothing(_task: Any) -> Mapping[str, float]:
    return {}


def _whole(task: Any) -> Sequence[Any]:
    return (task,)


def _none(_task: Any, _result: Any) -> Iterable[Job]:
    return ()


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
    needs: Callable[[Task], Mapping[str, float]] = _nothing
    """What a worker must have for a task, such as ``{"GPU": 1}``."""
    split: Callable[[Task], Sequence[Task]] = _whole
    """What a task is cut into when the workers died over it, so that the one slide that kills them is found."""
    then: Callable[[Task, Result], Iterable[Job]] = _none
    """What is to be done next, now that a task has ended; called here, never on a worker. So a part goes from stage to
    stage without waiting for the others."""


@dataclass(frozen=True, eq=False)
class Job:
    """A task of a stage."""

    stage: Stage[Any, Any]
    task: Any


def run(
    stage: Stage[Task, Result],
    tasks: Sequence[Task],
    executor: Executor,
    progress: Progress | None = None,
    finished: Callable[[Result], None] | None = None,
    split: Callable[[Job, BaseException], None] | None = None,
) -> list[Result]:
    """Run a stage, and what follows from it, over tasks; return the stage's results in the order of the tasks.

    Parameters
    ----------
    stage, tasks, executor
        What is done, with what, and where.
    progress
        Told how much is done.
    finished
        Given each result of the stage as soon as it is there, in no certain order.
    split
        Told of a task that workers died over before its pieces are tried, each by itself.
    """
    jobs = [Job(stage, task) for task in tasks]
    results: dict[Place, Result] = {}

    def ended(_job: Job, place: Place, result: Any) -> None:
        if place:
            results[place] = result
            if finished is not None:
                finished(result)

    _Run(executor, ended, progress, split)(jobs)
    return [results[place] for place in sorted(results)]


def run_jobs(
    jobs: Iterable[Job],
    executor: Executor,
    ended: Callable[[Job, Any], None] | None = None,
    progress: Progress | None = None,
    split: Callable[[Job, BaseException], None] | None = None,
) -> None:
    """Run jobs of several stages, and what follows from them; ``ended`` is given each with its result."""

    def tell(job: Job, _: Place, result: Any) -> None:
        if ended is not None:
            ended(job, result)

    _Run(executor, tell, progress, split)(jobs)


@dataclass(frozen=True)
class _Sent:
    """What an executor runs: the work of a job, and which job it is."""

    number: int
    work: Callable[[Any], Any]
    task: Any
    needs: Mapping[str, float]


def _do(sent: _Sent) -> Any:
    return sent.work(sent.task)


def _needs(sent: _Sent) -> Mapping[str, float]:
    return sent.needs


class _Run:
    """The jobs that wait and run; each is numbered, since tasks may be equal and end in any order."""

    def __init__(
        self,
        executor: Executor,
        ended: Callable[[Job, Place, Any], None],
        progress: Progress | None,
        split: Callable[[Job, BaseException], None] | None,
    ) -> None:
        self.executor, self.ended, self.progress, self.split = executor, ended, progress, split
        self.next: deque[tuple[Job, Place]] = deque()
        """What follows from jobs that have ended, each with its place: done before anything new is begun, so
        that parts are finished one by one."""
        self.first: deque[tuple[Job, Place]] = deque()
        self.running: dict[int, tuple[Job, Place]] = {}
        self.count = self.done = self.total = 0

    def __call__(self, jobs: Iterable[Job]) -> None:
        self.first = deque((job, (number,)) for number, job in enumerate(jobs))
        self.total = sum(job.stage.size(job.task) for job, _ in self.first)
        for ended in self.executor.map(_do, _Waiting(self), _needs):
            job, place = self.running.pop(ended.task.number)
            if not self._was_split(job, place, ended.error):
                self._end(job, place, ended.result, ended.error)

    def take(self) -> _Sent | None:
        """Return what is to run next; None where nothing waits now."""
        if self.next:
            job, place = self.next.popleft()
        elif self.first:
            job, place = self.first.popleft()
        else:
            return None
        self.count += 1
        self.running[self.count] = job, place
        return _Sent(self.count, job.stage.work, job.task, job.stage.needs(job.task))

    def _was_split(self, job: Job, place: Place, error: BaseException | None) -> bool:
        pieces = job.stage.split(job.task) if isinstance(error, WorkerLost) else ()
        if len(pieces) < 2:
            return False
        if self.split is not None:
            self.split(job, cast(BaseException, error))
        self.next.extend((Job(job.stage, piece), (*place, row)) for row, piece in enumerate(pieces))
        return True

    def _end(self, job: Job, place: Place, result: Any, error: BaseException | None) -> None:
        if error is not None:
            result = job.stage.lost(job.task, error)
        self.ended(job, place, result)
        follow = [(one, FOLLOWS) for one in job.stage.then(job.task, result)]
        self.next.extend(follow)
        self.total += sum(one.stage.size(one.task) for one, _ in follow)
        self.done += job.stage.size(job.task)
        if self.progress is not None:
            self.progress(self.done, self.total)


class _Waiting(Iterator[_Sent]):
    """The jobs as an executor takes them; after it was empty there may be more, once another job has ended."""

    def __init__(self, run: _Run) -> None:
        self.run = run

    def __next__(self) -> _Sent:
        sent = self.run.take()
        if sent is None:
            raise StopIteration
        return sent
