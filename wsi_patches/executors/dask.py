"""Dask: the same function and tasks on the workers of a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wsi_patches.executors.base import Finished, Needs, Result, Task
from wsi_patches.executors.clusters import Cluster, WorkerProcesses, dashboard_of
from wsi_patches.executors.flight import Flight

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskExecutor"]

logger = logging.getLogger(__name__)


class DaskExecutor:
    """Runs tasks on Dask workers.

    Parameters
    ----------
    workers
        How many tasks run at a time.
    cluster
        Where the workers come from; ``workers`` processes on this machine if not given.
    """

    def __init__(self, workers: int, cluster: Cluster | None = None) -> None:
        self.workers = workers
        self._cluster = cluster or WorkerProcesses(workers)
        self._stack = ExitStack()
        self._client: Client | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        """Open the cluster.

        Raises
        ------
        UsageError
            It cannot be had: no scheduler answers, or the batch system refuses the job.
        """
        with ExitStack() as stack:
            self._client = self._cluster.open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the cluster, or the connection to one that is not ours."""
        self._client = None
        self._stack.close()

    @property
    def dashboard(self) -> str | None:
        """Where a browser sees the cluster at work, while it is open; None without bokeh."""
        return None if self._client is None else dashboard_of(self._client)

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], needs: Needs | None = None
    ) -> Iterator[Finished[Task, Result]]:
        """Run ``function`` on each task, which must both be picklable.

        Tasks that need what no worker has, such as a GPU, run on any, which is logged once. While workers of one
        kind are busy, tasks for them are put aside here and the others go on.

        Raises
        ------
        UsageError
            The cluster cannot be had.
        ClusterLost
            Its scheduler is gone, or no worker came for a long time.
        """
        if self._client is None:
            with self:
                yield from self.map(function, tasks, needs)
            return
        flight = Flight(
            self._client,
            function,
            needs,
            promised=self._cluster.resources,
            patience_s=self._cluster.patience_s,
            watch=self._cluster.watch,
            explain=self._cluster.explain,
            unmet=self._unmet,
        )
        yield from flight.run(iter(tasks))

    def _unmet(self, resource: str) -> None:
        if resource not in self._told:
            self._told.add(resource)
            logger.info("no worker of the cluster has a %s: tasks that would use one run on any worker", resource)
