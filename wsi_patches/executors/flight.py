"""Which tasks a Dask cluster has in hand, and which are given to it next."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsi_patches.errors import ClusterLost, WorkerLost
from wsi_patches.executors.base import TASK_ERRORS, Finished, Needs

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Flight", "Kind"]

logger = logging.getLogger(__name__)

Kind = tuple[tuple[str, float], ...]
"""What of a worker a task takes beside a thread, in order of the names."""
PLAIN: Kind = ()

IN_FLIGHT_PER_SLOT = 2
"""One task running and one waiting, so that no worker idles and the scheduler holds few."""
LOOK_AHEAD = 1000
"""Plain tasks that are passed over in search of one for a GPU that idles."""
TRIES_AMONG_OTHERS = 2
"""A task on a worker that died may have been beside the one that killed it; then it is tried alone, once."""
REFRESH_S, TICK_S, REMIND_S = 2.0, 1.0, 60.0


@dataclass
class Trial:
    """A task that is under way."""

    task: Any
    kind: Kind
    deaths: int = 0
    """How many workers died with it."""
    alone: bool = False


@dataclass(frozen=True)
class Capacity:
    """What the workers have that take tasks now."""

    threads: int
    resources: dict[str, float]

    def slots(self, kind: Kind) -> int:
        """Return how many tasks of a kind run at a time."""
        return min([self.threads, *(math.floor(self.resources.get(name, 0) / amount) for name, amount in kind)])


class Flight:
    """One call of ``map``.

    Parameters
    ----------
    client
        Connected to the cluster.
    function
        What is done with a task.
    needs
        What of a worker each task takes.
    promised
        Resources that workers will have, though none may be there yet; others are not waited for.
    patience_s
        How long to wait while no worker can do what there is to do.
    watch
        Called every few seconds; may raise.
    explain
        Says why there may be no worker.
    unmet
        Called with a resource, once, where no worker has it and tasks that ask for it run anywhere.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Any], Any],
        needs: Needs | None,
        *,
        promised: frozenset[str],
        patience_s: float,
        watch: Callable[[], None],
        explain: Callable[[], str],
        unmet: Callable[[str], None],
    ) -> None:
        self._client, self._function, self._needs = client, function, needs
        self._promised, self._patience_s = promised, patience_s
        self._watch, self._explain, self._unmet = watch, explain, unmet
        self._running: dict[Future[Any], Trial] = {}
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._held: defaultdict[Kind, deque[Trial]] = defaultdict(deque)
        self._suspects: deque[Trial] = deque()
        self._in_flight: Counter[Kind] = Counter({PLAIN: 0})
        self._capacity, self._refreshed_s = Capacity(0, {}), -math.inf
        self._able_s = self._reminded_s = time.monotonic()

    def run(self, tasks: Iterator[Any]) -> Iterator[Finished[Any, Any]]:
        """Yield each task as it ends; ``tasks`` is asked again after each."""
        try:
            while True:
                self._fill(tasks)
                if not self._running:
                    if not self._suspects:
                        return
                    self._submit(self._suspects.popleft())
                finished = self._next()
                if finished is not None:
                    yield finished
        finally:
            if self._running and self._client.status == "running":
                self._client.cancel(list(self._running))

    def _fill(self, tasks: Iterator[Any]) -> None:
        """Submit what there is room for: first what was put aside, then new tasks."""
        if any(trial.alone for trial in self._running.values()):
            return
        self._refresh()
        for kind, held in self._held.items():
            while held and self._room(kind):
                self._submit(held.popleft())
        while self._room(PLAIN) or self._idle_elsewhere():
            for task in tasks:
                trial = Trial(task, self._kind(task))
                break
            else:
                return
            if self._room(trial.kind):
                self._submit(trial)
            else:
                self._held[trial.kind].append(trial)

    def _room(self, kind: Kind) -> bool:
        """Say whether a task of a kind may be submitted; where no worker is yet, one shows what is waited for."""
        return self._in_flight[kind] < max(1, IN_FLIGHT_PER_SLOT * self._capacity.slots(kind))

    def _idle_elsewhere(self) -> bool:
        """Say whether workers of another kind idle; then some plain tasks are put aside to find one for them."""
        if len(self._held[PLAIN]) >= LOOK_AHEAD:
            return False
        return any(kind != PLAIN and self._room(kind) and self._capacity.slots(kind) for kind in self._in_flight)

    def _kind(self, task: Any) -> Kind:
        needs = {} if self._needs is None else self._needs(task)
        return tuple(sorted((name, float(amount)) for name, amount in needs.items() if amount and self._is_there(name)))

    def _is_there(self, name: str) -> bool:
        there = name in self._promised or bool(self._capacity.resources.get(name))
        if not there and self._capacity.threads:  # with no worker yet, nothing is known
            self._unmet(name)
        return there

    def _submit(self, trial: Trial) -> None:
        future = self._client.submit(self._function, trial.task, pure=False, resources=dict(trial.kind) or None)
        self._running[future] = trial
        self._in_flight[trial.kind] += 1
        future.add_done_callback(self._ended.put)

    def _next(self) -> Finished[Any, Any] | None:
        """Wait for a task; None if it is not over with it yet."""
        while True:
            try:
                future = self._ended.get(timeout=TICK_S)
            except queue.Empty:
                self._check()
                continue
            self._able_s = time.monotonic()
            trial = self._running.pop(future)
            self._in_flight[trial.kind] -= 1
            return self._judge(trial, future)

    def _judge(self, trial: Trial, future: Future[Any]) -> Finished[Any, Any] | None:
        from distributed import KilledWorker

        try:
            return Finished(trial.task, future.result())
        except (asyncio.CancelledError, CancelledError):  # Dask raises one or the other
            raise self._gone() from None
        except KilledWorker as error:
            # Over the task; or over its result: where a worker dies before that is fetched, it is computed again.
            return self._killed(trial, error.allowed_failures + 1)
        except TASK_ERRORS as error:
            if future.status != "error":  # not the task's, but of the way to its result
                raise self._gone() from error
            return Finished(trial.task, error=error)

    def _killed(self, trial: Trial, deaths: int) -> Finished[Any, Any] | None:
        """Try again a task whose worker died, in the end alone, so that no other is blamed for what it did."""
        trial.deaths += deaths
        if trial.alone:
            msg = (
                f"{trial.deaths} workers died over this task, the last while it ran alone: it may need more memory "
                "than a worker has, or a library crashes on it"
            )
            return Finished(trial.task, error=WorkerLost(msg))
        if trial.deaths < TRIES_AMONG_OTHERS:
            self._held[trial.kind].append(trial)
        else:
            trial.alone = True
            self._suspects.append(trial)
        return None

    def _refresh(self) -> None:
        """Ask the scheduler what its workers have, though not for every task."""
        now_s = time.monotonic()
        if now_s - self._refreshed_s < REFRESH_S:
            return
        self._watch()
        try:
            threads, resources = self._client.run_on_scheduler(_capacity)
        except (OSError, ValueError, asyncio.CancelledError):
            raise self._gone() from None
        self._capacity, self._refreshed_s = Capacity(threads, resources), now_s

    def _check(self) -> None:
        """While nothing ends, find out whether anything still can."""
        if self._client.status != "running":
            raise self._gone()
        self._refresh()
        waiting = [kind for kind, count in self._in_flight.items() if count]
        now_s = time.monotonic()
        if any(self._capacity.slots(kind) for kind in waiting):
            self._able_s = self._reminded_s = now_s
        elif now_s - self._able_s > self._patience_s:
            msg = f"{self._nobody(waiting, self._patience_s)}; what is complete stays, go on with --resume"
            raise ClusterLost(msg)
        elif now_s - self._reminded_s > REMIND_S:
            self._reminded_s = now_s
            logger.warning("%s", self._nobody(waiting, now_s - self._able_s))

    def _nobody(self, waiting: list[Kind], since_s: float) -> str:
        names = sorted({name for kind in waiting for name, _ in kind}) if self._capacity.threads else []
        with_what = f" with {' and '.join(names)}" if names else ""
        return f"no worker{with_what} has been there for {since_s:.0f} s: {self._explain()}"

    def _gone(self) -> ClusterLost:
        msg = (
            "the connection to the Dask scheduler was lost, and with it what ran: see why it ended; what is complete "
            "stays, go on with --resume"
        )
        return ClusterLost(msg)


def _capacity(dask_scheduler: Any = None) -> tuple[int, dict[str, float]]:
    """Run on the scheduler: threads, and the sums of resources, of the workers that take tasks."""
    threads, resources = 0, Counter[str]()
    for worker in dask_scheduler.running:
        threads += worker.nthreads
        resources.update(worker.resources)
    return threads, dict(resources)
