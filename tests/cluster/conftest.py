"""A real SLURM and a real Dask scheduler on this machine."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsi_patches.executors import Site

SCRIPT = Path(__file__).with_name("slurm.sh")
COMMANDS = ("sbatch", "slurmctld", "slurmd", "munged")
STARTED_S = 60


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A SLURM of two nodes with one processor each; yields the environment in which its commands work.

    `SLURM_CONF` is set for this process too while it runs.
    """
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing or os.geteuid():
        pytest.skip(f"needs SLURM and root; {', '.join(missing) or 'root'} missing: make test-cluster installs SLURM")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        ports = {**os.environ, "SLURM_BASE_PORT": str(free_port())}
        command = [SCRIPT, "up", folder, "2", "1"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=120, env=ports)
        assert told.returncode == 0, told.stderr
        settings = told.stdout.strip().removeprefix("export SLURM_CONF=")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", settings)
            yield dict(os.environ)
    finally:
        subprocess.run([SCRIPT, "down", folder], timeout=120, check=True)


def free_port():
    """Return a port that is free, as those after it most likely are."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def empty_slurm(slurm):
    """The same with no job in it, before and after."""
    wait_until(lambda: not squeue(), 60, "the jobs of an earlier test are over")
    yield slurm
    subprocess.run(["scancel", "--user=root"], check=True, timeout=60)


@pytest.fixture
def site(tmp_path):
    """What the jobs of that SLURM ask for."""
    return Site(
        cores=1,
        memory="1GB",
        walltime="00:10:00",
        jobs=2,
        interface="lo",
        wait_s=120,
        drain_s=30,
        log_directory=str(tmp_path / "slurm-logs"),
    )


def squeue():
    """Return the jobs of the queue, each with its state."""
    told = subprocess.run(["squeue", "-h", "-o", "%i %T"], capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split() for line in told.stdout.splitlines())


def wait_until(holds, limit_s, what):
    """Wait for something that will come, and fail if it does not."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"not so after {limit_s} s: {what}"
        time.sleep(0.2)


class DaskProcesses:
    """A scheduler and workers, each a process of its own, as a user starts them by hand."""

    def __init__(self, folder):
        self.file = folder / "scheduler.json"
        self.scheduler = self.start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_until(self.file.exists, STARTED_S, "the scheduler has written its address")
        wait_until(self.file.read_text, STARTED_S, "the scheduler has written its address")
        self.address = json.loads(self.file.read_text())["address"]
        self.workers = []

    def start(self, program, *words):
        """Start a program of Dask's."""
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", str(self.file), *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_worker(self, *words):
        """Start a worker with one thread, and wait until the scheduler knows it."""
        from distributed import Client

        self.workers.append(self.start("dask_worker", "--nthreads", "1", "--no-nanny", *words))
        alive = sum(worker.poll() is None for worker in self.workers)
        with Client(self.address) as client:
            client.wait_for_workers(alive, timeout=STARTED_S)
        return self.workers[-1]

    def stop(self):
        """End all that runs."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def dask_processes(tmp_path):
    """A scheduler without workers."""
    processes = DaskProcesses(tmp_path)
    yield processes
    processes.stop()
