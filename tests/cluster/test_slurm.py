"""A real SLURM of two nodes: jobs that are lost come back, jobs leave before their walltime, refusals are sentences."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.conftest import squeue, wait_until
from wsi_patches.errors import ClusterLost, UsageError
from wsi_patches.executors import make_executor

pytestmark = [pytest.mark.cluster, pytest.mark.slurm]


def note(task):
    """Leave a line for each time that a task was begun, and one where it ended."""
    number, folder, seconds = task
    with (Path(folder) / f"{number}.begun").open("a") as stream:
        stream.write(f"{os.environ['SLURM_JOB_ID']}\n")
    time.sleep(seconds)
    return number, os.environ["SLURM_JOB_ID"], os.environ["SLURMD_NODENAME"], os.environ.get("CUDA_VISIBLE_DEVICES")


def tasks_in(folder, count, seconds):
    return [(number, str(folder), seconds) for number in range(count)]


def test_a_job_that_is_cancelled_comes_back_and_no_result_is_lost(empty_slurm, site, tmp_path):
    finished = []
    with make_executor(None, "slurm", site) as executor:
        for one in executor.map(note, tasks_in(tmp_path, 20, 2)):
            finished.append(one)
            if len(finished) == 5:
                subprocess.run(["scancel", one.result[1]], check=True)
    assert [one.error for one in finished] == [None] * 20
    assert sorted(one.result[0] for one in finished) == list(range(20))
    assert len({one.result[1] for one in finished}) == 3
    assert {one.result[2] for one in finished} == {"n1", "n2"}
    wait_until(lambda: not squeue(), 60, "the jobs end with the run")


def test_a_job_that_is_cancelled_while_it_waits_is_submitted_again(empty_slurm, site, tmp_path, monkeypatch):
    monkeypatch.setattr("wsi_patches.executors.slurm.LOOK_S", 3.0)
    subprocess.run(["scontrol", "update", "nodename=n2", "state=drain", "reason=test"], check=True)
    try:
        with make_executor(None, "slurm", site) as executor:
            finished = executor.map(note, tasks_in(tmp_path, 12, 2))
            next(finished)
            waiting = [job for job, state in squeue().items() if state == "PENDING"]
            assert len(waiting) == 1
            subprocess.run(["scancel", *waiting], check=True)
            rest = []
            for one in finished:
                rest.append(one)
                if len(rest) == 4:
                    assert [job for job, state in squeue().items() if state == "PENDING"] not in ([], waiting)
    finally:
        subprocess.run(["scontrol", "update", "nodename=n2", "state=resume"], check=True)
    assert len(rest) == 11


def test_workers_leave_before_the_walltime_and_no_task_is_begun_twice(empty_slurm, site, tmp_path):
    short = replace(site, jobs=2, walltime="00:01:20", drain_s=40)
    with make_executor(None, "slurm", short) as executor:
        finished = list(executor.map(note, tasks_in(tmp_path, 100, 1.0)))
    assert [one.error for one in finished] == [None] * 100
    assert len({one.result[1] for one in finished}) > 2
    begun = [len(path.read_text().split()) for path in tmp_path.glob("*.begun")]
    assert begun == [1] * 100


def needs_gpu(_task):
    return {"GPU": 1}


def test_jobs_with_a_gpu_are_given_one(empty_slurm, site, tmp_path):
    with make_executor(None, "slurm", replace(site, gpus=1)) as executor:
        finished = list(executor.map(note, tasks_in(tmp_path, 4, 0.2), needs_gpu))
    assert {one.result[3] for one in finished} == {"0"}


def test_what_the_site_refuses_is_told_in_its_words(slurm, site):
    for wrong, words in (({"queue": "nosuch"}, "invalid partition"), ({"memory": "900GB"}, "[Mm]emory")):
        with pytest.raises(UsageError, match=words), make_executor(None, "slurm", replace(site, **wrong)):
            pytest.fail("SLURM took it")


def test_jobs_that_end_at_once_are_told(empty_slurm, site, tmp_path):
    broken = replace(site, prologue=("exit 3",), wait_s=5)
    told = pytest.raises(ClusterLost, match=r"no worker has been there for 5 s.*site\.log_directory")
    with make_executor(None, "slurm", broken) as executor, told:
        list(executor.map(note, tasks_in(tmp_path, 1, 0)))


def test_jobs_that_wait_are_told(empty_slurm, site, tmp_path):
    subprocess.run(["scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test"], check=True)
    try:
        told = pytest.raises(ClusterLost, match=r"squeue says .*PENDING")
        with make_executor(None, "slurm", replace(site, wait_s=5)) as executor, told:
            list(executor.map(note, tasks_in(tmp_path, 1, 0)))
    finally:
        subprocess.run(["scontrol", "update", "nodename=n[1-2]", "state=resume"], check=True)


RUN = """
import sys
from tests.cluster.test_slurm import note, tasks_in
from wsi_patches.executors import Site, make_executor

with make_executor(None, "slurm", Site(cores=1, memory="1GB", walltime="00:10:00", jobs=2, interface="lo")) as executor:
    for one in executor.map(note, tasks_in(sys.argv[1], 100, 1)):
        print(one.task, flush=True)
"""


def test_when_the_run_is_killed_its_jobs_end_by_themselves(empty_slurm, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    assert squeue()
    wait_until(lambda: not squeue(), 180, "the workers have missed their scheduler for a minute")


def test_a_node_that_dies_takes_no_task_with_it(empty_slurm, site, tmp_path):
    """The worker, and the node's part of SLURM, are killed at once."""
    finished = []
    with make_executor(None, "slurm", site) as executor:
        for one in executor.map(note, tasks_in(tmp_path, 30, 1)):
            finished.append(one)
            if len(finished) == 6:
                _kill_node("n2", Path(empty_slurm["SLURM_CONF"]).parent)
    try:
        assert [one.error for one in finished] == [None] * 30
        assert sorted(one.result[0] for one in finished) == list(range(30))
    finally:
        subprocess.run(["slurmd", "-N", "n2", "-f", empty_slurm["SLURM_CONF"]], check=True)
        subprocess.run(["scontrol", "update", "nodename=n2", "state=resume"], check=False)


def _kill_node(name, folder):
    import psutil

    slurmd = int((folder / "run" / f"slurmd.{name}.pid").read_text())
    of_node = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURMD_NODENAME") == name:
                of_node.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    for process in [psutil.Process(slurmd), *of_node]:
        process.kill()
