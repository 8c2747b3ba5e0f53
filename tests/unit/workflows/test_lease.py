"""A run's lock and log in an object store, on a real S3 server of this machine."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from wsi_patches.errors import OutputBusy
from wsi_patches.locations import path_of
from wsi_patches.outcome import DONE, Outcome
from wsi_patches.workflows import lease, output_lock
from wsi_patches.workflows.lease import Lease
from wsi_patches.workflows.locks import lock_at
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import find_holders, lock_output
from wsi_patches.workflows.run_log import RunLog
from wsi_patches.workflows.shards import Shard
from wsi_patches.workflows.status import read_status


@pytest.fixture
def path(s3_bucket):
    return s3_bucket / "out" / ".lock"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(output_lock, "PATIENCE_S", 0.0)


@pytest.fixture
def much_later(monkeypatch):
    """Let two minutes pass for whoever looks at a lease."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=2)

    def pass_by():
        monkeypatch.setattr(lease, "datetime", Later)

    return pass_by


def test_one_of_two_gets_it_and_gives_it_back(path):
    one, other = lock_at(path), lock_at(path)
    assert isinstance(one, Lease)
    assert one.take("one")
    assert not other.take("other")
    assert (other.read(), other.is_held()) == ("one", True)
    other.release()
    assert one.is_held()
    one.release()
    assert not path.exists()
    assert other.take("other")
    other.release()


def test_of_many_at_a_time_one_gets_it(path):
    leases = [Lease(path) for _ in range(6)]
    threads, taken = [], []
    for number, one in enumerate(leases):
        threads.append(threading.Thread(target=lambda one=one, name=str(number): taken.append(one.take(name))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 5 + [True]
    for one in leases:
        one.release()
    assert not path.exists()


def test_one_that_was_left_behind_is_free_after_a_while_and_its_holder_learns_it(path, much_later):
    dead, next_one = Lease(path), Lease(path)
    assert dead.take("dead")
    dead._ticker.stop()
    much_later()
    assert not next_one.is_held()
    assert next_one.take("next")
    dead._renew()
    assert dead.lost
    dead.release()
    assert next_one.read() == "next"
    next_one.release()


def test_one_that_is_renewed_stays(path, monkeypatch, much_later):
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    one = Lease(path)
    assert one.take("one")
    much_later()
    renewed = path.read_bytes()
    assert any(path.read_bytes() != renewed for _ in range(10_000)), "it was never written anew"
    assert Lease(path).is_held()
    assert not one.lost
    one.release()


def test_what_lies_there_and_is_no_lease_is_replaced(path):
    path.write_bytes(b"torn")
    assert not Lease(path).is_held()
    one = Lease(path)
    assert one.take("one")
    one.release()


class Old:
    """An object store that knows no conditions, and perhaps somebody else who writes at the same moment."""

    def __init__(self, other):
        self.data, self.other = None, other

    def info(self, _path):
        if self.data is None:
            raise FileNotFoundError
        return {"ETag": str(hash(self.data))}

    def cat_file(self, _path):
        return self.data

    def pipe_file(self, path, data, **conditions):
        if conditions:
            unknown = OSError("A header you provided implies functionality that is not implemented")
            unknown.__cause__ = RuntimeError()
            unknown.__cause__.response = {"Error": {"Code": "NotImplemented"}}
            raise unknown
        self.data = data
        return self.info(path)


@pytest.mark.parametrize("other", [None, b"{}"])
def test_a_store_without_conditions_is_looked_at_again(path, monkeypatch, other):
    store = Old(other)
    monkeypatch.setattr(lease, "ask", lambda _address, act: act(store))
    monkeypatch.setattr(lease.time, "sleep", lambda _: setattr(store, "data", store.other or store.data))
    one = Lease(path)
    assert one.take("one") == (other is None)
    if one._ticker is not None:
        one._ticker.stop()


def test_a_run_in_an_object_store_from_start_to_end(s3_bucket):
    out = s3_bucket / "counts"
    with lock_output(out, "infer", {}) as lock:
        assert not check_output(out, Existing(), ours=False, what="counts")
        with pytest.raises(OutputBusy, match="wsi-patches infer on"):
            lock_output(out, "infer", {}).__enter__()
        (out / "counts.csv").write_text("old")
        (out / "a" / "report.json").write_text("old")
        clear_output(out)
        assert [entry.name for entry in out.iterdir()] == [".lock"]
        with RunLog.open(out, "infer", {"out": out}, slides=1, tasks=1) as log:
            assert read_status(out)[0].state in ("starting", "running")
            log.slide(Outcome("a", "s3://bucket/a.tif", DONE))
        lock.check()
    assert [entry.name for entry in out.iterdir()] == ["run.jsonl"]
    (status,) = read_status(path_of(str(out)))
    assert (status.state, status.slides["done"]) == ("finished", 1)
    assert find_holders(out) == []


def test_shards_in_an_object_store_go_side_by_side(s3_bucket):
    out = s3_bucket / "counts"
    with lock_output(out, "infer", {}, Shard(1, 2)), lock_output(out, "infer", {}, Shard(2, 2)) as second:
        with second.alone():
            assert sorted(holder.shard for holder in find_holders(out) if holder is not None) == ["1/2", "2/2"]
        with pytest.raises(OutputBusy, match="--shard"):
            lock_output(out, "infer", {}).__enter__()
    assert not out.exists()


def test_times_are_utc(path):
    one = Lease(path)
    assert one.take("")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(one._found()[0].renewed)) < timedelta(minutes=1)
    one.release()
