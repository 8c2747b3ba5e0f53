"""Kills worker processes of a run at random moments."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import psutil

__all__ = ["Killer", "worker_processes"]


def worker_processes(pid: int) -> list[psutil.Process]:
    """Return the Dask workers that a process has started on this machine, newest last."""
    try:
        family = psutil.Process(pid).children(recursive=True)
        return [one for one in family if "spawn_main" in " ".join(one.cmdline())]
    except psutil.NoSuchProcess:
        return []


class Killer(threading.Thread):
    """Sends SIGKILL to a worker, chosen by chance, time and again.

    Parameters
    ----------
    workers
        Which there are now.
    kills
        How many workers to kill.
    gap_s
        Mean time between two kills, in seconds; each is drawn from an exponential distribution.
    seed
        Of the random numbers.
    """

    def __init__(self, workers: Callable[[], list[psutil.Process]], kills: int, gap_s: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.workers, self.kills, self.gap_s = workers, kills, gap_s
        self.killed = 0
        self._draw, self._over = np.random.default_rng(seed), threading.Event()

    def run(self) -> None:
        """Kill until enough are killed or the run is over."""
        while self.killed < self.kills and not self._over.wait(self._draw.exponential(self.gap_s)):
            alive = [one for one in self.workers() if one.is_running()]
            if alive:
                alive[self._draw.integers(len(alive))].kill()
                self.killed += 1

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join()
