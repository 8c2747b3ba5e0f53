"""Dask: worker processes on this machine, or a cluster's scheduler by its address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from wsi_patches.errors import UsageError, WorkerLost
from wsi_patches.executors.base import TASK_ERRORS, Finished, Result, Task

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["DaskExecutor"]

IN_FLIGHT_PER_WORKER = 2
"""One task running and one waiting, so that no worker idles and the scheduler holds few."""
ALLOWED_FAILURES = 2
CONNECT_TIMEOUT_S = 20


@dataclass(frozen=True)
class DaskExecutor:
    """Runs tasks on Dask workers.

    Parameters
    ----------
    workers
        How many processes to start on this machine; not used with an address.
    address
        A scheduler's address such as ``tcp://host:8786``, or None to start processes here.
    """

    workers: int
    address: str | None = None

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Finished[Task, Result]]:
        """Run ``function`` on each task, which must both be picklable.

        Raises
        ------
        UsageError
            No scheduler answers at the address.
        """
        from distributed import as_completed

        waiting = iter(tasks)
        with ExitStack() as stack:
            client = self._client(stack)
            width = IN_FLIGHT_PER_WORKER * max(1, sum(client.nthreads().values()))
            running: dict[Any, Task] = {}
            queue = as_completed()
            _submit(client, function, islice(waiting, width), running, queue)
            while running:
                future = next(queue)
                task = running.pop(future)
                yield _finished(task, future)
                _submit(client, function, islice(waiting, 1), running, queue)

    def _client(self, stack: ExitStack) -> Client:
        import dask
        from distributed import Client, LocalCluster

        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}))
        if self.address is None:
            cluster = LocalCluster(
                n_workers=self.workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
            )
            client: Client = stack.enter_context(Client(stack.enter_context(cluster)))
            return client
        try:
            client = stack.enter_context(Client(self.address, timeout=CONNECT_TIMEOUT_S))
        except (OSError, ValueError) as error:
            msg = f"no Dask scheduler answers at {self.address} ({error}): start one, or leave --cluster out"
            raise UsageError(msg) from error
        return client


def _submit(client: Client, function: Any, tasks: Iterable[Any], running: dict[Any, Any], queue: Any) -> None:
    for task in tasks:
        future = client.submit(function, task, pure=False)
        running[future] = task
        queue.add(future)


def _finished(task: Task, future: Future[Any]) -> Finished[Task, Any]:
    from distributed import KilledWorker

    error = future.exception()
    if error is None:
        return Finished(task, future.result())
    if isinstance(error, KilledWorker):
        msg = f"the worker died {ALLOWED_FAILURES + 1} times over this task: it may need more memory than there is"
        return Finished(task, error=WorkerLost(msg))
    if isinstance(error, TASK_ERRORS):
        return Finished(task, error=error)
    raise error
