"""Jobs that bring forth others, on every executor that runs here."""

import pytest

from wsi_patches.errors import SlideError, WorkerLost
from wsi_patches.executors import Finished, SerialExecutor, ThreadExecutor
from wsi_patches.executors.base import InThisProcess
from wsi_patches.pipeline import Job, Stage, run, run_jobs

EXECUTORS = [SerialExecutor(), ThreadExecutor(3)]


def add_one(number):
    return number + 1


def times_ten(number):
    return number * 10


def fail(number):
    message = f"{number} cannot be read"
    raise SlideError(message)


def say(number, error):
    return f"{number}: {error}"


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda one: type(one).__name__)
def test_what_follows_is_done_too_and_only_the_stages_own_results_are_returned(executor):
    followed, told = [], []
    last = Stage("times", times_ten, say, then=lambda task, result: followed.append((task, result)) or ())
    first = Stage("add", add_one, say, then=lambda _, result: [Job(last, result)])
    assert run(first, [1, 2, 3, 4], executor, lambda done, total: told.append((done, total))) == [2, 3, 4, 5]
    assert sorted(followed) == [(2, 20), (3, 30), (4, 40), (5, 50)]
    assert told[-1] == (8, 8)


def test_a_part_goes_through_all_stages_before_the_next_is_begun():
    seen = []
    second = Stage("second", times_ten, say)
    first = Stage("first", add_one, say, then=lambda _, result: [Job(second, result)])
    run_jobs(
        [Job(first, 1), Job(first, 2)], SerialExecutor(), lambda job, result: seen.append((job.stage.name, result))
    )
    assert seen == [("first", 2), ("second", 20), ("first", 3), ("second", 30)]


def test_what_follows_from_a_failure_is_up_to_the_stage():
    again = Stage("again", add_one, say)
    first = Stage("first", fail, say, then=lambda task, result: [Job(again, task)] if "cannot" in result else ())
    ended = []
    run_jobs([Job(first, 7)], SerialExecutor(), lambda job, result: ended.append((job.stage.name, result)))
    assert ended == [("first", "7: 7 cannot be read"), ("again", 8)]


class DyingExecutor(InThisProcess):
    """Workers that die over every task that holds a certain number."""

    workers = 1

    def __init__(self, poison):
        self.poison, self.tried = poison, []

    def map(self, function, tasks, needs=None):
        for task in tasks:
            self.tried.append(task.task)
            if self.poison in task.task:
                yield Finished(task, error=WorkerLost("the workers died"))
            else:
                yield Finished(task, function(task))


def test_a_task_that_workers_die_over_is_tried_piece_by_piece_and_the_poison_is_named():
    executor, noted = DyingExecutor(poison=3), []
    stage = Stage("sum", sum, lambda task, error: f"{task}: {error}", split=lambda task: [(one,) for one in task])
    results = run(
        stage, [(1, 2), (3, 4, 5), (6,)], executor, split=lambda job, error: noted.append((job.task, str(error)))
    )
    assert results == [3, "(3,): the workers died", 4, 5, 6]
    assert noted == [((3, 4, 5), "the workers died")]
    assert executor.tried.count((3,)) == 1


def test_what_a_task_needs_reaches_the_executor():
    class Noting(SerialExecutor):
        def map(self, function, tasks, needs=None):
            for task in tasks:
                noted.append(dict(needs(task)))
                yield Finished(task, function(task))

    noted = []
    stage = Stage("add", add_one, say, needs=lambda number: {"GPU": 1} if number else {})
    assert run(stage, [0, 1], Noting()) == [1, 2]
    assert noted == [{}, {"GPU": 1}]
