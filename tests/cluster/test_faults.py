"""Workers and schedulers that die in the middle: nothing is lost, nothing is done twice over, nothing hangs."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from itertools import count, islice, takewhile
from pathlib import Path

import pytest

from tests.cluster.conftest import wait_until
from tests.cluster.drills import Killer, worker_processes
from wsi_patches.errors import ClusterLost
from wsi_patches.executors import DaskExecutor, make_executor
from wsi_patches.executors.clusters import RunningScheduler

pytestmark = pytest.mark.cluster


def work(number):
    time.sleep(0.3)
    return number * number


def test_workers_killed_at_twenty_random_moments_lose_no_task():
    def tasks():
        """Yield tasks for as long as the killing goes on, and some more."""
        numbers = count()
        yield from takewhile(lambda _: killer.killed < killer.kills, numbers)
        yield from islice(numbers, 10)

    killer = Killer(partial(worker_processes, os.getpid()), kills=20, gap_s=1.5, seed=11)
    with make_executor(3, "local") as executor, killer:
        finished = list(executor.map(work, tasks()))
    assert killer.killed == 20
    assert [one for one in finished if one.error is not None] == []
    assert sorted(one.result for one in finished) == [number**2 for number in sorted(one.task for one in finished)]
    assert len({one.task for one in finished}) == len(finished)


def test_worker_processes_that_are_killed_while_they_start_are_replaced():
    killer = Killer(partial(worker_processes, os.getpid()), kills=40, gap_s=0.1, seed=3)
    with make_executor(2, "local") as executor:
        finished = executor.map(work, range(40))
        next(finished)
        with killer:
            wait_until(lambda: killer.killed == 40, 120, "there were forty to kill")
        time.sleep(30)  # those who look after them give up, and are given up
        rest = list(finished)
    assert [one.error for one in rest] == [None] * 39


def wait_for(path):
    deadline = time.monotonic() + 120
    Path(f"{path}.begun").touch()
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return os.getpid()


def test_a_scheduler_that_dies_ends_the_run_with_a_sentence(dask_processes, tmp_path):
    dask_processes.start_worker()
    tasks = [str(tmp_path / "first"), str(tmp_path / "never")]
    Path(tasks[0]).touch()
    with make_executor(None, dask_processes.address) as executor:
        finished = executor.map(wait_for, tasks)
        assert next(finished).task == tasks[0]
        dask_processes.scheduler.kill()
        with pytest.raises(ClusterLost, match=r"connection to the Dask scheduler was lost.*--resume"):
            next(finished)


def test_a_scheduler_that_stands_still_is_waited_for(dask_processes, tmp_path):
    dask_processes.start_worker()
    with make_executor(None, dask_processes.address) as executor:
        finished = executor.map(wait_for, [str(tmp_path / "one"), str(tmp_path / "two")])
        (tmp_path / "one").touch()
        next(finished)
        dask_processes.scheduler.send_signal(signal.SIGSTOP)
        (tmp_path / "two").touch()
        time.sleep(5)
        dask_processes.scheduler.send_signal(signal.SIGCONT)
        assert next(finished).error is None


@contextmanager
def once_begun(task, what):
    """Do something in another thread as soon as a task runs."""

    def wait_and_do():
        wait_until(Path(f"{task}.begun").exists, 60, "the task has begun")
        what()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    yield
    thread.join()


def test_when_no_worker_is_left_and_none_comes_that_is_said_and_the_run_ends(
    dask_processes, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("wsi_patches.executors.flight.REMIND_S", 1.0)
    worker, task = dask_processes.start_worker(), str(tmp_path / "never")
    executor = DaskExecutor(1, RunningScheduler(dask_processes.address, patience_s=3))
    told = pytest.raises(ClusterLost, match="no worker has been there for 3 s: start workers of the scheduler at")
    with once_begun(task, worker.kill), executor, told:
        next(executor.map(wait_for, [task]))
    reminders = [record.getMessage() for record in caplog.records if record.name.startswith("wsi_patches")]
    assert reminders
    assert all(one.startswith("no worker has been there for ") for one in reminders)


def test_a_worker_that_comes_late_does_the_work(dask_processes, tmp_path):
    worker, task = dask_processes.start_worker(), tmp_path / "one"

    def replace():
        worker.kill()
        worker.wait()
        dask_processes.start_worker()
        task.touch()

    with once_begun(task, replace), make_executor(None, dask_processes.address) as executor:
        one = next(executor.map(wait_for, [str(task)]))
    assert one.error is None
    assert one.result != worker.pid


def gpu(_task):
    return {"GPU": 1}


def test_needs_are_met_by_workers_that_say_what_they_have(dask_processes, tmp_path):
    dask_processes.start_worker()
    with_gpu = dask_processes.start_worker("--resources", "GPU=1")
    tasks = [str(tmp_path / name) for name in "abcde"]
    for task in tasks:
        Path(task).touch()
    with make_executor(None, dask_processes.address) as executor:
        finished = list(executor.map(wait_for, tasks, gpu))
    assert {one.result for one in finished} == {with_gpu.pid}
