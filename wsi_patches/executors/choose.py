"""From the command line's words to an executor."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from urllib.parse import urlsplit

from wsi_patches.errors import UsageError
from wsi_patches.executors.base import Executor
from wsi_patches.executors.clusters import RunningScheduler
from wsi_patches.executors.dask import DaskExecutor
from wsi_patches.executors.serial import SerialExecutor
from wsi_patches.executors.site import Site
from wsi_patches.executors.slurm import SlurmJobs
from wsi_patches.executors.threads import ThreadExecutor

__all__ = ["available_cpus", "make_executor"]


ANSWER_TIMEOUT_S = 10


def available_cpus() -> int:
    """Return how many processors this process may use, which a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(
    workers: int | None = None,
    cluster: str | None = None,
    site: Site | None = None,
) -> Executor:
    """Return the executor for a number of workers and a cluster.

    Parameters
    ----------
    workers
        How many at a time; all processors that this process may use if not given.
    cluster
        None for this process's threads, ``local`` for Dask processes on this machine, ``slurm`` for jobs that this
        machine can submit, or a Dask scheduler's address.
    site
        For ``slurm``, what to ask of a job; ``workers`` is then how many jobs are kept at work.

    Raises
    ------
    UsageError
        The number is below 1, the cluster is of no known kind, or nothing answers at the address.
    """
    if workers is not None and workers < 1:
        msg = f"--workers must be 1 or more, found {workers}"
        raise UsageError(msg)
    count = workers or available_cpus()
    if cluster is None:
        return SerialExecutor() if count == 1 else ThreadExecutor(count)
    if cluster == "local":
        return DaskExecutor(count)
    if cluster == "slurm":
        return _slurm(workers, site or Site())
    if "://" in cluster:
        _check_answers(cluster)
        return DaskExecutor(count, RunningScheduler(cluster))
    msg = f"--cluster must be local, slurm or a scheduler's address such as tcp://host:8786, found {cluster!r}"
    raise UsageError(msg)


def _slurm(workers: int | None, site: Site) -> DaskExecutor:
    if workers is not None:
        site = replace(site, jobs=workers, minimum_jobs=min(site.minimum_jobs or workers, workers))
    return DaskExecutor(site.jobs * site.cores, SlurmJobs(site))


def _check_answers(address: str) -> None:
    """Find out that nobody listens before anything is written."""
    where = urlsplit(address)
    try:
        if where.scheme in ("tcp", "tls"):
            socket.create_connection((where.hostname, where.port), ANSWER_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        msg = f"no Dask scheduler answers at {address} ({error}): start one, or leave --cluster out"
        raise UsageError(msg) from error
