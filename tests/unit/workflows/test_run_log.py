"""The run's log: every line whole, no secrets, an end unless the run was killed, nothing lost to a full disk."""

import errno
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest

from wsi_patches.errors import StoreError
from wsi_patches.outcome import DONE, PARTIAL, Outcome, SlideReport
from wsi_patches.workflows import log_files
from wsi_patches.workflows.log_files import PutObject
from wsi_patches.workflows.run_log import LISTED, RunLog, log_path, plain_values, read_events
from wsi_patches.workflows.shards import Shard


@dataclass(frozen=True)
class Settings:
    inputs: tuple[Path, ...] = (Path("slides"),)
    tta: int = 4
    s3: dict[str, str] = field(default_factory=lambda: {"secret": "hush", "endpoint": "https://me:hush@host/b"})


def opened(out, **more):
    return RunLog.open(out, "infer", Settings(), slides=3, tasks=2, **more)


def events(out, shard=None):
    return list(read_events(log_path(out, shard)))


def test_a_run_from_start_to_end(tmp_path):
    with opened(tmp_path, kept=1, cluster="local") as log:
        log.slide(Outcome("a", "slides/a.tif", DONE), kept=True)
        log.slide(Outcome("b", "slides/b.tif", PARTIAL), seconds=1.23456)
        log.slide(SlideReport("c", "slides/c.tif", "failed", group="P1", error="torn", extra={"group_kind": "patient"}))
        log.lost("infer b", ["b"], StoreError("gone"), attempt=1, again=True)
        log.worker_lost("tcp://node7:1", "no heartbeat")
    started, kept, done, failed, task, worker, finished = events(tmp_path)
    assert [started[name] for name in ("event", "command", "slides", "slides_in_all", "tasks", "kept", "cluster")] == [
        "started",
        "infer",
        3,
        3,
        2,
        1,
        "local",
    ]
    assert (started["pid"], started["settings"]["inputs"]) == (os.getpid(), ["slides"])
    assert (kept["slide"], kept["kept"], done["seconds"], "kept" in done) == ("a", True, 1.235, False)
    assert (failed["error"], failed["group"], failed["group_kind"]) == ("torn", "P1", "patient")
    assert (task["status"], task["try"], task["slides"], task["error"]) == ("retried", 1, ["b"], "gone")
    assert (worker["event"], worker["worker"]) == ("worker lost", "tcp://node7:1")
    ended = {name: finished[name] for name in ("event", "kept", "partial", "failed", "retried", "workers lost")}
    assert ended == {"event": "finished", "kept": 1, "partial": 1, "failed": 1, "retried": 1, "workers lost": 1}
    assert len({event["run"] for event in events(tmp_path)}) == 1
    assert all(event["time"].endswith("Z") for event in events(tmp_path))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("the store is\ngone"), "the store is gone"),
        (KeyboardInterrupt(), "stopped from the keyboard"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left to write"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_a_run_that_is_stopped_says_why(tmp_path, error, told):
    with pytest.raises(type(error)), opened(tmp_path):
        raise error
    assert events(tmp_path)[-1]["event"] == "stopped"
    assert told in events(tmp_path)[-1]["error"]


def test_a_finish_is_written_once(tmp_path):
    with opened(tmp_path) as log:
        log.finished()
    assert [event["event"] for event in events(tmp_path)] == ["started", "finished"]


def test_runs_follow_each_other_and_a_torn_line_costs_only_itself(tmp_path):
    with opened(tmp_path):
        pass
    path = log_path(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])  # what a power cut leaves
    with opened(tmp_path):
        pass
    assert [event["event"] for event in events(tmp_path)] == ["started", "started", "finished"]


def test_each_shard_has_a_log_of_its_own(tmp_path):
    with opened(tmp_path, shard=Shard(2, 3), slides_in_all=9):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.2-of-3.jsonl"]
    assert [events(tmp_path, Shard(2, 3))[0][name] for name in ("shard", "slides", "slides_in_all")] == ["2/3", 3, 9]


def test_no_secret_is_written(tmp_path):
    with opened(tmp_path) as log:
        log.slide(Outcome.failed("a", "s3://key:hush@bucket/a.tif", "https://host/a?X-Signature=hush refused"))
        log.lost("t", ["a"], "AWS_SECRET_ACCESS_KEY=hush python")
        log.note("prologue", lines=["export MY_TOKEN=hush"])
    text = log_path(tmp_path).read_text()
    assert "hush" not in text
    assert text.count("***") == 6


def test_settings_of_a_million_inputs_are_told_shortly():
    told = plain_values({"inputs": tuple(Path(str(number)) for number in range(1000)), "kinds": {"b", "a"}})
    assert told["inputs"][-1] == f"and {1000 - LISTED} more"
    assert len(told["inputs"]) == LISTED + 1
    assert told["kinds"] == ["a", "b"]
    assert json.dumps(told)


class FullDisk:
    """`os.write` on a disk that is full from the second line on, in the middle of a line, until it is not."""

    def __init__(self, monkeypatch):
        self.full, self.lines, self.write = True, 0, os.write
        monkeypatch.setattr(log_files.os, "write", self)

    def __call__(self, file, data):
        self.lines += 1
        if self.lines == 2:
            return self.write(file, data[:7])
        if self.full and self.lines > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.write(file, data)


def test_a_disk_that_is_full_for_a_while_costs_no_line(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    with opened(tmp_path) as log:
        log.slide(Outcome("a", "a", DONE))
        log.slide(Outcome("b", "b", DONE))
        assert [event["event"] for event in events(tmp_path)] == ["started"]
        disk.full = False
        log.slide(Outcome("c", "c", DONE))
    assert [event.get("slide") for event in events(tmp_path)] == [None, "a", "b", "c", None]


def test_a_disk_that_stays_full_is_an_error_at_the_end(tmp_path, monkeypatch):
    FullDisk(monkeypatch)
    with pytest.raises(OSError, match="No space left"), opened(tmp_path) as log:
        log.slide(Outcome("a", "a", DONE))


class Bucket:
    """An object that is away when told so."""

    def __init__(self, data=None):
        self.data, self.away, self.put = data, False, Event()

    def read_bytes(self):
        if self.data is None:
            raise FileNotFoundError
        return self.data

    def write_bytes(self, data):
        if self.away:
            raise ConnectionError
        self.data = bytes(data)
        if b"second" in data:
            self.put.set()


def test_an_object_is_put_whole_while_the_run_goes_on_and_at_its_end():
    bucket = Bucket(b"first\ntorn")
    log = PutObject(bucket, every_s=0.001)
    bucket.away = True
    log.append(b"second\n")
    bucket.away = False
    assert bucket.put.wait(10)
    assert bucket.data == b"first\ntorn\nsecond\n"
    log.append(b"third\n")
    log.close()
    assert bucket.data == b"first\ntorn\nsecond\nthird\n"


def test_an_object_that_cannot_be_put_is_an_error_at_the_end():
    bucket = Bucket()
    bucket.away = True
    log = PutObject(bucket)
    log.append(b"line\n")
    with pytest.raises(ConnectionError):
        log.close()
