"""What is told of a run: from its log what became of the slides, from its lock whether it still runs."""

import json
import os
import subprocess
import sys
from itertools import count

import pytest

from wsi_patches.errors import StoreError, UsageError
from wsi_patches.outcome import DONE, PARTIAL, Outcome
from wsi_patches.workflows import run_log
from wsi_patches.workflows.output_lock import lock_output
from wsi_patches.workflows.run_log import RunLog, log_path
from wsi_patches.workflows.shards import Shard
from wsi_patches.workflows.status import read_status


def begun(out, shard=None, **more):
    asked = {"slides": 4, "tasks": 4, **more}
    return RunLog.open(out, "infer", {}, shard=None if shard is None else Shard.parse(shard), **asked)


def killed(log):
    log._file.close()


def status(out):
    (one,) = read_status(out)
    return one


@pytest.fixture
def minutes(monkeypatch):
    """Every event is a minute after the one before."""
    minute = count()
    monkeypatch.setattr(run_log, "now", lambda: f"2026-11-21T22:{next(minute):02d}:00.000Z")


def test_a_run_that_goes_on(tmp_path):
    with lock_output(tmp_path, "infer", {}):
        assert [status(tmp_path).state, status(tmp_path).runs[0].pid] == ["starting", os.getpid()]
        with begun(tmp_path, kept=1) as log:
            log.slide(Outcome("a", "a", DONE), kept=True)
            log.slide(Outcome("b", "b", PARTIAL))
            log.slide(Outcome.failed("c", "c", "torn"))
            one = status(tmp_path)
            assert one.state == "running"
            assert one.slides == {"total": 4, "done": 1, "partial": 1, "failed": 1, "kept": 1, "left": 1}
            assert one.runs[0].failures == (("c", "torn"),)
            assert one.slides_per_s > 0
            assert one.seconds_left == pytest.approx(one.slides["left"] / one.slides_per_s, rel=0.5)
    one = status(tmp_path)
    assert (one.state, one.slides_per_s, one.seconds_left) == ("finished", 0, None)


def test_a_run_that_was_stopped_and_one_that_was_killed(tmp_path):
    with pytest.raises(StoreError), begun(tmp_path):
        raise StoreError("gone")
    assert [status(tmp_path).state, status(tmp_path).runs[0].error] == ["stopped", "gone"]
    killed(begun(tmp_path))
    assert status(tmp_path).state == "died"


def test_a_killed_run_is_not_taken_for_the_one_that_came_after(tmp_path):
    log = begun(tmp_path)
    killed(log)
    text = log_path(tmp_path).read_text()
    log_path(tmp_path).write_text(text.replace(f'"pid": {os.getpid()}', '"pid": 1'))
    with lock_output(tmp_path, "infer", {}):
        assert status(tmp_path).state == "starting"
    assert status(tmp_path).state == "died"


def test_kept_slides_may_be_told_of_by_their_number_alone(tmp_path):
    killed(begun(tmp_path, kept=3))
    assert status(tmp_path).slides == {"total": 4, "done": 3, "partial": 0, "failed": 0, "kept": 3, "left": 1}


def test_what_was_lost(tmp_path):
    with begun(tmp_path) as log:
        log.lost("part 7", ["a", "b"], "worker died", again=True)
        log.lost("a", ["a"], "worker died", attempt=2)
        log.worker_lost("tcp://node:1")
        log.worker_lost("tcp://node:2")
    run = status(tmp_path).runs[0]
    assert (run.retried, run.given_up, run.workers_lost) == (1, 1, 2)


def test_a_slide_that_failed_and_was_done_after_all_is_done(tmp_path):
    with begun(tmp_path, slides=1) as log:
        log.slide(Outcome.failed("a", "a", "worker died"))
        log.slide(Outcome("a", "a", DONE))
    assert status(tmp_path).slides == {"total": 1, "done": 1, "partial": 0, "failed": 0, "kept": 0, "left": 0}
    assert status(tmp_path).runs[0].failures == ()


def test_a_torn_log(tmp_path):
    killed(begun(tmp_path))
    with log_path(tmp_path).open("a") as stream:
        stream.write('{"time": "2026')
    assert status(tmp_path).state == "died"
    log_path(tmp_path).write_text('{"time": "2026')
    with pytest.raises(UsageError, match="no log of a run"):
        read_status(tmp_path)


def test_the_shards_of_an_array(tmp_path, minutes):
    with begun(tmp_path, slides=10):
        pass  # an earlier run of all of the work, which says nothing of this one
    with begun(tmp_path, "1/3", slides=2, slides_in_all=5) as log:
        log.slide(Outcome("a", "a", DONE))
        log.slide(Outcome("b", "b", DONE))
    one = status(tmp_path)
    assert (one.state, one.not_begun, one.slides["left"]) == ("waiting", 2, 3)
    killed(begun(tmp_path, "3/3", slides=1, slides_in_all=5))
    assert [(run.shard, run.state) for run in status(tmp_path).runs] == [("1/3", "finished"), ("3/3", "died")]
    assert status(tmp_path).state == "died"
    with lock_output(tmp_path, "infer", {}, Shard(2, 3)):
        assert [run.state for run in status(tmp_path).runs] == ["finished", "starting", "died"]
        assert status(tmp_path).state == "starting"
        with begun(tmp_path, "2/3", slides=2, slides_in_all=5):
            assert status(tmp_path).state == "running"
    with begun(tmp_path, "3/3", slides=1, slides_in_all=5):
        pass
    assert (status(tmp_path).state, status(tmp_path).not_begun) == ("finished", 0)
    with begun(tmp_path, slides=5):
        pass
    assert [run.shard for run in status(tmp_path).runs] == [""]


def test_looking_changes_nothing(tmp_path):
    with lock_output(tmp_path, "infer", {}, Shard(1, 2)), begun(tmp_path, "1/2"):
        before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
        read_status(tmp_path)
        assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_a_folder_of_outputs_and_what_is_none(tmp_path):
    for name in ("a.zarr", "counts", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps({"attributes": {"format": "wsi-patches"}}))
    with begun(tmp_path / "counts"):
        pass
    assert [(one.out.name, one.state) for one in read_status(tmp_path)] == [("a.zarr", ""), ("counts", "finished")]
    for path, why in (
        ("other", "no store, no counts"),
        ("absent", "does not exist"),
        ("counts/run.jsonl", "is a file"),
    ):
        with pytest.raises(UsageError, match=why):
            read_status(tmp_path / path)


def test_looking_is_quick_to_start():
    heavy = "sorted({'torch', 'distributed', 'zarr'} & set(sys.modules))"
    command = [sys.executable, "-c", f"import sys, wsi_patches.workflows.status; print({heavy})"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
