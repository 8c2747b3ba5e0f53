"""Dask on real worker processes: clusters stay open, tasks with needs find their workers, faults end well."""

import os
import time
from collections import deque
from pathlib import Path

import pytest

from wsi_patches.errors import SlideError, WorkerLost
from wsi_patches.executors import DaskExecutor, SerialExecutor, ThreadExecutor, make_executor
from wsi_patches.executors.clusters import WorkerProcesses

EXECUTORS = [SerialExecutor(), ThreadExecutor(2), pytest.param(DaskExecutor(2), marks=pytest.mark.slow)]


class Growing:
    """Tasks that others bring forth; empty for a while in between."""

    def __init__(self, first):
        self.waiting = deque(first)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.waiting:
            raise StopIteration
        return self.waiting.popleft()


def negative(number):
    return -number


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda one: type(one).__name__)
def test_a_task_that_ends_may_bring_forth_others(executor):
    tasks, results = Growing([4, 2]), []
    for finished in executor.map(negative, tasks):
        results.append(finished.result)
        if finished.task:
            tasks.waiting.append(finished.task - 1)
    assert sorted(results) == [-4, -3, -2, -2, -1, -1, 0, 0]


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda one: type(one).__name__)
def test_an_executor_is_used_more_than_once_inside_and_outside_of_with(executor):
    with executor as opened:
        assert opened is executor
        for _ in range(2):
            assert sorted(one.result for one in executor.map(negative, [1, 2])) == [-2, -1]
    assert executor.dashboard is None
    assert [one.result for one in executor.map(negative, [5])] == [-5]


def process(_number):
    time.sleep(0.05)
    return os.getpid()


@pytest.mark.slow
def test_the_workers_stay_the_same_while_the_cluster_is_open():
    with make_executor(2, "local") as executor:
        assert executor.dashboard.startswith("http://127.0.0.1:")
        first, second = ({one.result for one in executor.map(process, range(8))} for _ in range(2))
    assert first == second
    assert len(first) == 2
    assert os.getpid() not in first


def wait_for_plain_tasks(task):
    """A plain task leaves a mark; one for a GPU ends when half of the marks are there."""
    kind, number, folder = task
    if kind == "plain":
        time.sleep(0.1)
        (Path(folder) / str(number)).touch()
    deadline = time.monotonic() + 60
    while kind == "gpu" and len(list(Path(folder).iterdir())) < 6:
        if time.monotonic() > deadline:
            message = "no plain task was run meanwhile"
            raise SlideError(message)
        time.sleep(0.05)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


def needs_gpu(task):
    return {"GPU": 1} if task[0] == "gpu" else {}


@pytest.mark.slow
def test_tasks_for_a_gpu_run_where_one_is_and_keep_no_other_from_running(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    tasks = [("gpu", number, str(tmp_path)) for number in range(20)]
    tasks += [("plain", number, str(tmp_path)) for number in range(12)]
    finished = list(DaskExecutor(2).map(wait_for_plain_tasks, tasks, needs_gpu))
    assert [one.error for one in finished] == [None] * 32
    assert sorted(one.task for one in finished) == sorted(tasks)
    assert len({one.result for one in finished if one.task[0] == "gpu"}) == 1
    assert len({one.result for one in finished}) == 2


@pytest.mark.slow
def test_where_no_worker_has_a_gpu_tasks_run_anyhow_and_it_is_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    caplog.set_level("INFO", logger="wsi_patches.executors")
    for number in range(6):
        (tmp_path / str(number)).touch()
    tasks = [("gpu", number, str(tmp_path)) for number in range(5)]
    finished = list(DaskExecutor(2).map(wait_for_plain_tasks, tasks, needs_gpu))
    assert [one.error for one in finished] == [None] * 5
    assert [record.getMessage() for record in caplog.records if "GPU" in record.getMessage()] == [
        "no worker of the cluster has a GPU: tasks that would use one run on any worker"
    ]


def note_and_kill_if_poison(task):
    import signal

    number, folder = task
    with (Path(folder) / str(number)).open("a") as stream:
        stream.write("tried\n")
    time.sleep(0.05)
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.slow
def test_poison_is_tried_three_times_and_what_waited_beside_it_is_done(tmp_path):
    tasks = [(number, str(tmp_path)) for number in range(8)]
    finished = {one.task[0]: one for one in DaskExecutor(2).map(note_and_kill_if_poison, tasks)}
    assert isinstance(finished[2].error, WorkerLost)
    assert "3 workers died over this task, the last while it ran alone" in str(finished[2].error)
    assert [finished[number].result for number in range(8) if number != 2] == [0, 1, 3, 4, 5, 6, 7]
    assert (tmp_path / "2").read_text().count("tried") == 3


def lose_a_result(task):
    """One dies when its result is computed again; another stops, and then kills, the worker that has the result."""
    import signal

    name, folder = task
    lost, stopped = Path(folder) / "lost", Path(folder) / "stopped"
    if name.isdigit():
        time.sleep(0.5)
    elif name == "lost":
        with lost.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        if len(lost.read_text().split()) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)  # so that the other runs elsewhere
    elif not stopped.exists():
        wait_for(lost.exists)
        time.sleep(2)  # until it is over
        holder = int(lost.read_text())
        os.kill(holder, signal.SIGSTOP)
        stopped.touch()
        time.sleep(2)  # while the result is being fetched
        os.kill(holder, signal.SIGKILL)
    return name


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_result_that_dies_with_its_worker_is_computed_again_though_that_kills_another(tmp_path):
    names = [*map(str, range(8)), "lost", "kills"]
    results = DaskExecutor(2).map(lose_a_result, [(name, str(tmp_path)) for name in names])
    done = [next(results) for _ in range(7)]  # by then all are with Dask, and the last of the first eight is at work
    wait_for((tmp_path / "stopped").exists)
    done += list(results)
    assert {one.task[0]: (one.result, one.error) for one in done} == {name: (name, None) for name in names}
    assert len((tmp_path / "lost").read_text().split()) == 3


def eat(number):
    if number == 1:
        hog = [bytearray(os.urandom(1 << 20)) for _ in range(2000)]
        time.sleep(5)
        return len(hog)
    return number


@pytest.mark.slow
def test_a_task_that_eats_its_workers_memory_is_given_up():
    executor = DaskExecutor(2, WorkerProcesses(2, memory_bytes=500_000_000))
    finished = {one.task: one for one in executor.map(eat, [0, 1, 2, 3])}
    assert isinstance(finished[1].error, WorkerLost)
    assert [finished[number].result for number in (0, 2, 3)] == [0, 2, 3]
