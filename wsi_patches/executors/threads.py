"""Threads of this process: decoding and compression let go of Python's lock, so two threads keep two cores busy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from wsi_patches.executors.base import TASK_ERRORS, Finished, InThisProcess, Needs, Result, Task

__all__ = ["ThreadExecutor"]


@dataclass(frozen=True)
class ThreadExecutor(InThisProcess):
    """Runs tasks on ``workers`` threads."""

    workers: int

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        needs: Needs | None = None,  # noqa: ARG002 - all threads have what this machine has
    ) -> Iterator[Finished[Task, Result]]:
        """Run ``function`` on each task; no more tasks are taken than there are threads to run them.

        Whoever stops listening, an interrupted user above all, does not wait for tasks that are running.
        """
        waiting, running = iter(tasks), dict[Future[Result], Task]()
        pool, patient = ThreadPoolExecutor(self.workers), True
        try:
            while True:
                for task in islice(waiting, self.workers - len(running)):
                    running[pool.submit(function, task)] = task
                if not running:
                    return
                future = wait(running, return_when=FIRST_COMPLETED).done.pop()
                yield finished(running.pop(future), future)
        except (KeyboardInterrupt, GeneratorExit):
            patient = False
            raise
        finally:
            pool.shutdown(wait=patient, cancel_futures=True)


def finished(task: Task, future: Future[Result]) -> Finished[Task, Result]:
    """Turn a future that is done into what an executor yields; a defect of the program is raised."""
    error = future.exception()
    if error is None:
        return Finished(task, future.result())
    if isinstance(error, TASK_ERRORS):
        return Finished(task, error=error)
    raise error
