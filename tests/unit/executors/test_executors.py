"""One suite over all executors: the same function and tasks give the same results."""

import pytest

from wsi_patches.errors import SlideError, UsageError
from wsi_patches.executors import DaskExecutor, SerialExecutor, ThreadExecutor, make_executor
from wsi_patches.executors.clusters import RunningScheduler
from wsi_patches.pipeline import Stage, run

EXECUTORS = [SerialExecutor(), ThreadExecutor(2), pytest.param(DaskExecutor(2), marks=pytest.mark.slow)]


def square_or_fail(number):
    if number == 3:
        message = "number three cannot be read"
        raise SlideError(message)
    return number * number


def defect(number):
    return number / 0


def give_up(number, error):
    return f"{number}: {error}"


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda one: type(one).__name__)
def test_results_come_in_task_order_and_a_failure_stops_no_other(executor):
    seen = []
    stage = Stage("square", square_or_fail, give_up)
    results = run(stage, list(range(7)), executor, lambda done, total: seen.append((done, total)))
    assert results == [0, 1, 4, "3: number three cannot be read", 16, 25, 36]
    assert seen == [(done, 7) for done in range(1, 8)]


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda one: type(one).__name__)
def test_a_defect_of_the_program_is_not_taken_for_a_failed_slide(executor):
    with pytest.raises(ZeroDivisionError):
        run(Stage("divide", defect, give_up), [1, 2], executor)


def test_equal_tasks_are_kept_apart():
    assert run(Stage("square", square_or_fail, give_up), [2, 2, 2], ThreadExecutor(2)) == [4, 4, 4]


def test_no_more_tasks_are_taken_than_there_are_threads():
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield number

    finished = ThreadExecutor(2).map(square_or_fail, tasks())
    next(finished)
    assert len(taken) <= 4
    finished.close()


@pytest.mark.parametrize(
    ("workers", "cluster", "kind"),
    [
        (1, None, SerialExecutor),
        (3, None, ThreadExecutor),
        (2, "local", DaskExecutor),
        (None, "inproc://here", DaskExecutor),
    ],
)
def test_words_of_the_command_line(workers, cluster, kind):
    assert isinstance(make_executor(workers, cluster), kind)


def test_wrong_words_are_refused():
    with pytest.raises(UsageError, match="found 0"):
        make_executor(0)
    with pytest.raises(UsageError, match="'kubernetes'"):
        make_executor(1, "kubernetes")


@pytest.mark.slow
def test_a_scheduler_is_reached_by_its_address():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        executor = make_executor(None, cluster.scheduler_address)
        assert run(Stage("square", square_or_fail, give_up), [1, 2], executor) == [1, 4]


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_wrong_usage(monkeypatch):
    monkeypatch.setattr("wsi_patches.executors.clusters.CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(UsageError, match="no Dask scheduler answers at tcp://127"):
        run(Stage("square", square_or_fail, give_up), [1], DaskExecutor(1, RunningScheduler("tcp://127.0.0.1:9")))


def test_nothing_is_begun_where_no_scheduler_answers():
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        make_executor(1, "tcp://127.0.0.1:9")
