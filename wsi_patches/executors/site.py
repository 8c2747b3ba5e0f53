"""What a SLURM site asks of a job: a recipe's ``site:``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsi_patches.errors import UsageError

__all__ = ["Site", "walltime_seconds"]

MEMORY = re.compile(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B", re.IGNORECASE)
DAYS = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d\d){0,2})")
AT_LEAST_ONE = ("cores", "jobs", "processes")


@dataclass(frozen=True)
class Site:
    """Settings of the jobs that ``--cluster slurm`` submits; all jobs of a run are alike.

    Parameters
    ----------
    queue, account
        Partition and account; the site's own defaults if not given.
    cores
        Processors of a job, so many tasks at a time.
    memory
        Of a job, such as ``16GB``. A worker that goes over it is killed, and its task is tried again.
    walltime
        Of a job, as SLURM writes it: ``HH:MM:SS`` or ``D-HH:MM:SS``. A run may last longer: jobs are replaced.
    gpus
        Of a job. Tasks that need one are given to workers that have one.
    jobs
        How many jobs are kept at work.
    minimum_jobs
        Fewer where there is less to do; as many as ``jobs`` if not given.
    processes
        Worker processes in a job that share its cores and memory, for nodes with many cores.
    prologue
        Lines of shell that run in a job before its worker, such as ``module load cuda``.
    directives
        More options of sbatch, such as ``--exclusive``.
    interface
        Network interface that workers and scheduler talk over, such as ``ib0``.
    scheduler_port, dashboard_port
        Fixed where a firewall asks for it; 0 takes any that is free. The dashboard listens on this machine alone.
    local_directory
        Fast local storage of a node; the node's temporary folder if not given.
    log_directory
        Where jobs write what they print, on a file system that all nodes share; nowhere if not given.
    python
        The Python of the nodes; the one that runs this if not given.
    wait_s
        How long to wait for workers, in seconds, while there is none.
    drain_s
        How long before its walltime a worker takes no new task, in seconds; longer than a task takes.
    """

    queue: str | None = None
    account: str | None = None
    cores: int = 4
    memory: str = "16GB"
    walltime: str = "04:00:00"
    gpus: int = 0
    jobs: int = 4
    minimum_jobs: int | None = None
    processes: int = 1
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    interface: str | None = None
    scheduler_port: int = 0
    dashboard_port: int = 0
    local_directory: str | None = None
    log_directory: str | None = None
    python: str | None = None
    wait_s: float = 3600.0
    drain_s: float = 180.0

    def __post_init__(self) -> None:
        for name in AT_LEAST_ONE:
            _check(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        _check(self.gpus >= 0, "gpus", "0 or more", self.gpus)
        _check(MEMORY.fullmatch(self.memory) is not None, "memory", "a size such as 16GB", self.memory)
        _check(self.cores % self.processes == 0, "processes", f"a divisor of cores ({self.cores})", self.processes)
        _check(not self.gpus or self.processes == 1, "processes", "1 where a job has GPUs", self.processes)
        least = self.least_jobs
        _check(1 <= least <= self.jobs, "minimum_jobs", f"between 1 and jobs ({self.jobs})", self.minimum_jobs)
        alone = least == self.jobs or self.processes == 1
        _check(alone, "minimum_jobs", f"left out where a job has {self.processes} processes", self.minimum_jobs)
        for name in ("scheduler_port", "dashboard_port"):
            _check(0 <= getattr(self, name) < 2**16, name, "a port, or 0 for any", getattr(self, name))
        _check(self.wait_s > 0, "wait_s", "above 0", self.wait_s)
        wall_s = walltime_seconds(self.walltime)
        _check(0 <= self.drain_s < wall_s, "drain_s", f"0 or more and below the walltime ({wall_s} s)", self.drain_s)

    @property
    def least_jobs(self) -> int:
        """How many jobs are kept however little there is to do."""
        return self.jobs if self.minimum_jobs is None else self.minimum_jobs

    @property
    def resources(self) -> dict[str, float]:
        """What each worker has beside threads."""
        return {"GPU": float(self.gpus)} if self.gpus else {}


def walltime_seconds(walltime: str) -> int:
    """Return a walltime as SLURM writes it in seconds: ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` or ``D-H:M:S``.

    Raises
    ------
    UsageError
        It is written in another way, or is nothing.
    """
    match = DAYS.fullmatch(walltime)
    _check(match is not None, "walltime", "as HH:MM:SS or D-HH:MM:SS", walltime)
    days, clock = (match["days"], [int(part) for part in match["clock"].split(":")]) if match else (None, [0])
    if days is None and len(clock) < 3:
        clock = [0, *clock]  # minutes come first where neither days nor hours are given
    hours, minutes, seconds = (*clock, 0, 0)[:3]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    _check(total > 0, "walltime", "above 0", walltime)
    return total


def _check(holds: bool, name: str, must: str, found: object) -> None:
    if not holds:
        msg = f"site.{name} must be {must}, found {found!r}"
        raise UsageError(msg)
