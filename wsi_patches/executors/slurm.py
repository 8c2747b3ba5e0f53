"""SLURM: worker jobs that dask-jobqueue submits, and submits again when they are lost."""

from __future__ import annotations

import getpass
import logging
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from wsi_patches.errors import UsageError, needs_extra
from wsi_patches.executors.clusters import MALLOC, dask_settings, has_bokeh
from wsi_patches.executors.drain import DRAIN_S, ENDS_S
from wsi_patches.executors.site import Site, walltime_seconds

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["SlurmJobs"]

logger = logging.getLogger(__name__)

LOOK_S = 30.0
"""Between two looks at the queue: sites ask not to be asked often."""
COMMAND_TIMEOUT_S = 60
DEATH_TIMEOUT_S = 60
"""After so long without its scheduler a worker ends, and its job with it."""
LAST_WARNING_S = 30
"""SLURM's last signal before the walltime; a worker has drained long before."""


class SlurmJobs:
    """Jobs of a site, each with one worker or several.

    Parameters
    ----------
    site
        What to ask of a job.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.patience_s = site.wait_s
        self.resources = frozenset(site.resources)
        self._cluster: Any = None  # dask-jobqueue's SLURMCluster, while it is open
        self._looked_s = 0.0

    def open(self, stack: ExitStack) -> Client:
        """Start a scheduler in this process and submit the jobs.

        Raises
        ------
        UsageError
            There is no SLURM here, or it refuses the job.
        MissingExtra
            dask-jobqueue is not installed.
        """
        if shutil.which("sbatch") is None:
            msg = "--cluster slurm asks for SLURM, and there is no sbatch here: run this where jobs are submitted"
            raise UsageError(msg)
        import dask
        from distributed import Client

        with needs_extra("cluster", "--cluster slurm"):
            from dask_jobqueue.slurm import SLURMCluster
        stack.enter_context(dask.config.set(dask_settings()))
        cluster = stack.enter_context(SLURMCluster(**_job_settings(self.site)))
        _check_accepted(cluster.job_header)
        client: Client = stack.enter_context(Client(cluster))
        # `scale` would not bring a lost job back.
        cluster.adapt(minimum_jobs=self.site.least_jobs, maximum_jobs=self.site.jobs)
        self._cluster, self._looked_s = cluster, time.monotonic()
        stack.callback(self._forget)
        return client

    def watch(self) -> None:
        """Now and then give up jobs that the queue no longer knows, so that others are submitted.

        Dask sees workers come and go; it sees no job that is cancelled while it waits, nor one of several workers.
        """
        if self._cluster is None or time.monotonic() - self._looked_s < LOOK_S:
            return
        submitted = {name: job.job_id for name, job in list(self._cluster.workers.items()) if job.job_id}
        queue = _queue()
        self._looked_s = time.monotonic()
        gone = [] if queue is None else [name for name, job_id in submitted.items() if job_id not in queue]
        if gone:
            logger.warning("%d jobs are no longer in SLURM's queue: others are submitted", len(gone))
            self._cluster.sync(self._cluster.scale_down, gone)

    def explain(self) -> str:
        """Say what SLURM says of the jobs."""
        cluster = self._cluster
        ids = [] if cluster is None else [job.job_id for job in list(cluster.workers.values()) if job.job_id]
        queue = _queue()
        if queue is None:
            return "squeue does not answer"
        states = Counter(queue[job_id] for job_id in ids if job_id in queue)
        if not states:
            return "SLURM's queue holds no job of this run; site.log_directory keeps what jobs print as they end"
        return "squeue says " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))

    def _forget(self) -> None:
        self._cluster = None


def _job_settings(site: Site) -> dict[str, Any]:
    """Return a site's settings as dask-jobqueue takes them."""
    ends = f"$(($(date +%s) + {walltime_seconds(site.walltime)}))"
    resources = ["--resources", f"GPU={site.gpus}"] if site.gpus else []
    output = [] if site.log_directory else ["--output=/dev/null", "--error=/dev/null"]
    gpus = [f"--gres=gpu:{site.gpus}"] if site.gpus else []
    return {
        "queue": site.queue,
        "account": site.account,
        "cores": site.cores,
        "memory": site.memory,
        "processes": site.processes,
        "walltime": site.walltime,
        "interface": site.interface,
        "local_directory": site.local_directory,
        "log_directory": site.log_directory,
        "job_name": "wsi-patches",
        "silence_logs": logging.CRITICAL,  # what is given up is told by the task that is lost
        "death_timeout": DEATH_TIMEOUT_S,
        # In place of the shell, so that SLURM's signals reach the worker.
        "python": f"exec {shlex.quote(site.python or sys.executable)}",
        "worker_extra_args": ["--preload", "wsi_patches.executors.drain", *resources],
        "job_script_prologue": [
            *_settings_as_environment(),
            f"export {ENDS_S}={ends}",
            f"export {DRAIN_S}={site.drain_s}",
            *site.prologue,
        ],
        # A job that SLURM starts again would meet the one that was submitted in its place.
        "job_extra_directives": [
            *output,
            *gpus,
            "--no-requeue",
            f"--signal=B:TERM@{LAST_WARNING_S}",
            *site.directives,
        ],
        "scheduler_options": {
            "port": site.scheduler_port,
            "dashboard": has_bokeh(),
            "dashboard_address": f"127.0.0.1:{site.dashboard_port}",
        },
    }


def _settings_as_environment() -> list[str]:
    """Return shell lines that give the workers of a job the settings of our own processes."""
    of_dask = {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": v for name, v in dask_settings().items()}
    return [f"export {name}={value}" for name, value in (of_dask | MALLOC).items()]


def _check_accepted(header: str) -> None:
    """Submit a job that does nothing, and cancel it: only so does SLURM say whether it takes such jobs.

    ``sbatch --test-only`` also refuses what would wait for nodes that are down for a while, and ``--hold`` takes what
    would never start.
    """
    try:
        tried = _slurm_command(["sbatch", "--parsable"], f"#!/bin/sh\n{header}\ntrue\n")
    except subprocess.TimeoutExpired as error:
        msg = f"SLURM's controller did not answer sbatch within {COMMAND_TIMEOUT_S} s: see whether sinfo answers"
        raise UsageError(msg) from error
    if tried.returncode:
        msg = f"SLURM refuses the job ({' '.join(tried.stderr.split())}): change `site:` in the recipe"
        raise UsageError(msg)
    _slurm_command(["scancel", tried.stdout.split(";")[0].strip()])


def _queue() -> dict[str, str] | None:
    """Return the state, and the reason for it, of each of the user's jobs; None if SLURM does not answer."""
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%T|%r"]
    try:
        told = _slurm_command(command)
    except subprocess.TimeoutExpired:
        return None
    if told.returncode:
        return None
    rows = (line.split("|", 2) for line in told.stdout.splitlines() if line.count("|") >= 2)
    return {job_id: state if reason == "None" else f"{state} ({reason})" for job_id, state, reason in rows}


def _slurm_command(command: list[str], script: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
