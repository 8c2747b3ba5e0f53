"""Dask clusters: processes on this machine, or a scheduler that is there already."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from wsi_patches.errors import ClusterLost, UsageError

if TYPE_CHECKING:
    from distributed import Client, Nanny, SpecCluster

__all__ = ["MALLOC", "Cluster", "RunningScheduler", "WorkerProcesses", "dashboard_of", "dask_settings"]

CONNECT_TIMEOUT_S = 20
REPLACE_S, CLOSE_S = 10.0, 5.0
"""How long a worker process is dead before it is replaced, and how long its nanny may take to close, in seconds."""
STARTS = 3
"""How often worker processes are started if they end as they start."""
PATIENCE_S = 300.0
"""How long to wait while there is no worker, in seconds."""
MEMORY_KILL = 0.95
"""A worker above this share of its memory is killed; it holds no data of Dask's that could be spilled instead."""
MALLOC = dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), 128 * 1024**2)
"""Environment of a worker, in bytes: freed memory is kept for the next patch.

Dask's own setting has it given back at once, which tripled the processor time of ``infer``.
"""


class Cluster(Protocol):
    """Where workers come from."""

    @property
    def patience_s(self) -> float:
        """How long to wait while there is no worker."""

    @property
    def resources(self) -> frozenset[str]:
        """What workers are known to have before they are there."""

    def open(self, stack: ExitStack) -> Client:
        """Start it or connect to it; ``stack`` closes what was opened.

        Raises
        ------
        UsageError
            It cannot be had.
        """

    def watch(self) -> None:
        """Do what is to be done every few seconds."""

    def explain(self) -> str:
        """Say why there may be no worker."""


@dataclass
class WorkerProcesses:
    """Processes on this machine, the first of which have a GPU each where there are GPUs.

    Parameters
    ----------
    workers
        How many.
    memory_bytes
        What each may use before it is killed; an equal share of what there is, if not given.
    patience_s
        How long to wait while there is none.
    """

    workers: int
    memory_bytes: int | None = None
    patience_s: float = PATIENCE_S
    _cluster: SpecCluster | None = None
    _dead_since: dict[Hashable, float] = field(default_factory=dict)

    @property
    def resources(self) -> frozenset[str]:
        """They are all there from the start."""
        return frozenset()

    def open(self, stack: ExitStack) -> Client:
        """Start the processes, and a scheduler in this one.

        Raises
        ------
        ClusterLost
            The processes end as they start.
        """
        import dask
        from distributed import Client, Nanny, Scheduler, SpecCluster
        from distributed.system import MEMORY_LIMIT

        before_start = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()}
        stack.enter_context(dask.config.set(dask_settings() | before_start))
        gpus = visible_gpus()
        common = {
            "host": "127.0.0.1",
            "nthreads": 1,
            "memory_limit": self.memory_bytes or MEMORY_LIMIT // self.workers,
            "silence_logs": logging.CRITICAL,
        }
        workers = {
            number: {"cls": Nanny, "options": common | (_gpu_options(gpus[number]) if number < len(gpus) else {})}
            for number in range(self.workers)
        }
        scheduler = {
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard": has_bokeh(), "dashboard_address": "127.0.0.1:0"},
        }
        cluster = _started(lambda: SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL))
        client: Client = stack.enter_context(Client(stack.enter_context(cluster)))
        self._cluster = cluster
        stack.callback(self._forget)
        return client

    def watch(self) -> None:
        """Replace processes that stay dead.

        One that dies is started again by the one that looks after it (its nanny), but one that dies while it starts is
        given up.
        """
        if self._cluster is None:
            return
        nannies, now_s = dict(self._cluster.workers), time.monotonic()
        dead = [number for number in self._cluster.worker_spec if not _is_alive(nannies.get(number))]
        self._dead_since = {number: self._dead_since.get(number, now_s) for number in dead}
        overdue = [number for number, since_s in self._dead_since.items() if now_s - since_s > REPLACE_S]
        for number in overdue:
            del self._dead_since[number]
            if number in nannies:
                self._cluster.sync(self._cluster.workers.pop(number).close, timeout=CLOSE_S)
        if overdue:
            self._cluster.scale(self.workers)  # starts those that are missing

    def _forget(self) -> None:
        self._cluster = None

    def explain(self) -> str:
        """Say what may be wrong."""
        return "the worker processes end as soon as they start, which a full memory or disk may cause"


def _started(start: Callable[[], SpecCluster]) -> SpecCluster:
    """Start worker processes; what kills one of them as it starts may not kill the next.

    Raises
    ------
    ClusterLost
        They end as they start, time and again.
    """
    for _ in range(STARTS):
        try:
            return start()
        except RuntimeError as error:  # Dask's, for a process that ended or took too long
            told = error.__cause__ or error
    msg = f"worker processes ended as they started, {STARTS} times ({told}): see whether memory or disk is full"
    raise ClusterLost(msg)


def _is_alive(nanny: Nanny | None) -> bool:
    """Say whether a worker process runs; one whose nanny is gone does not."""
    return nanny is not None and nanny.process is not None and bool(nanny.process.is_alive())


@dataclass(frozen=True)
class RunningScheduler:
    """A scheduler that somebody started, by its address."""

    address: str
    patience_s: float = PATIENCE_S

    @property
    def resources(self) -> frozenset[str]:
        """Its workers tell when they are there."""
        return frozenset()

    def open(self, stack: ExitStack) -> Client:
        """Connect."""
        from distributed import Client

        try:
            client: Client = stack.enter_context(Client(self.address, timeout=CONNECT_TIMEOUT_S))
        except (OSError, ValueError) as error:
            msg = f"no Dask scheduler answers at {self.address} ({error}): start one, or leave --cluster out"
            raise UsageError(msg) from error
        return client

    def watch(self) -> None:
        """Do nothing: its workers are somebody else's."""

    def explain(self) -> str:
        """Say what may be wrong."""
        return f"start workers of the scheduler at {self.address}"


def dask_settings() -> dict[str, Any]:
    """Return how our own schedulers and workers differ from Dask's defaults."""
    return {
        "distributed.scheduler.allowed-failures": 0,  # each death is told; whether to try again is decided here
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,  # a worker that paused over its slides' cache would never go on
        "distributed.worker.memory.terminate": MEMORY_KILL,
    }


def dashboard_of(client: Client) -> str | None:
    """Return the address of a scheduler's dashboard, as seen from where it listens; None if it shows none."""
    info = client.scheduler_info()
    port = info.get("services", {}).get("dashboard")
    if not port or not has_bokeh():
        return None
    host = "127.0.0.1" if client.cluster is not None else urlsplit(info["address"]).hostname
    return f"http://{host}:{port}/status"


def has_bokeh() -> bool:
    """Say whether the library is installed that draws the dashboard."""
    from importlib.util import find_spec

    return find_spec("bokeh") is not None


def visible_gpus() -> list[str]:
    """Return the names of this machine's GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name.strip() not in ("", "-1")]
    return sorted(device.name.removeprefix("nvidia") for device in Path("/dev").glob("nvidia[0-9]*"))


def _gpu_options(gpu: str) -> dict[str, Any]:
    return {"resources": {"GPU": 1}, "env": {"CUDA_VISIBLE_DEVICES": gpu}}
