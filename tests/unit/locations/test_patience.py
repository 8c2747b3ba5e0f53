"""Waiting for what is gone for a while, and only for that."""

import errno
import os
import threading
from itertools import pairwise

import pytest

from wsi_patches.locations import is_passing, open_ranges, patience, patiently


@pytest.fixture
def pauses(monkeypatch):
    """How long was waited, each time; the clock runs on by that and no time passes."""
    told, now = [], [0.0]

    def sleep(seconds):
        told.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(patience.time, "sleep", sleep)
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    return told


def failing(number, times):
    """Return a call that fails so many times, and the list of its calls."""
    calls = []

    def act():
        calls.append(None)
        if len(calls) <= times:
            raise OSError(number, os.strerror(number))
        return "done"

    return act, calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNREFUSED])
def test_a_file_server_that_comes_back_is_waited_for(pauses, number):
    act, calls = failing(number, 6)
    assert patiently(act) == "done"
    assert len(calls) == 7
    assert all(later > 0.5 * earlier for earlier, later in pairwise(pauses))
    assert max(pauses) <= patience.LONGEST_PAUSE_S


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_waiting_does_not_mend_is_told_at_once(pauses, number):
    act, calls = failing(number, 6)
    with pytest.raises(OSError, match=os.strerror(number)):
        patiently(act)
    assert (len(calls), pauses) == (1, [])


def test_patience_ends(pauses):
    act, _ = failing(errno.EIO, 10**6)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught:
        patiently(act)
    assert patience.PATIENCE_S / 2 < sum(pauses) <= patience.PATIENCE_S
    assert not is_passing(caught.value)


def test_waiting_is_told_and_not_for_every_try(pauses, caplog, monkeypatch):
    monkeypatch.setattr(patience, "_told", [])
    act, calls = failing(errno.EIO, 10**6)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        patiently(act)
    assert os.strerror(errno.EIO) in caplog.messages[0]
    assert 1 < len(caplog.messages) <= patience.PATIENCE_S / patience.TELL_EVERY_S + 1
    assert len(calls) > len(caplog.messages)


def test_nobody_is_patient_twice(pauses):
    act, calls = failing(errno.EIO, 10**6)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        patiently(lambda: patiently(act))
    assert sum(pauses) <= patience.PATIENCE_S
    assert len(calls) == len(pauses) + 1


def test_a_local_file_is_read_again_through_its_name(pauses, tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"0123456789")
    file, real, failures = open_ranges(tmp_path / "f"), os.pread, [errno.ESTALE, errno.EIO, errno.ENOTCONN]

    def pread(number, count, offset):
        if failures:
            raise OSError(failures.pop(), "gone")
        return real(number, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert file.read(2, 3) == b"234"
    file.close()


def test_a_bad_sector_is_waited_for_once(pauses, tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"0123456789")
    file = open_ranges(tmp_path / "f")

    def pread(number, count, offset):
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(os, "pread", pread)
    for _ in range(3):
        with pytest.raises(OSError, match="bad sector"):
            file.read(0, 5)
    assert sum(pauses) <= patience.PATIENCE_S
    file.close()


def test_an_object_store_that_is_down_for_a_while_is_waited_for(s3_bucket, s3_proxy):
    path = s3_bucket / "f"
    path.write_bytes(b"before")
    s3_proxy.down()
    threading.Timer(2.0, s3_proxy.up).start()
    assert path.read_bytes() == b"before"
    s3_proxy.down()
    threading.Timer(2.0, s3_proxy.up).start()
    path.write_bytes(b"after")
    assert path.read_bytes() == b"after"
    assert s3_proxy.passed > 0


def test_an_object_store_that_stays_down_is_named(s3_bucket, s3_proxy, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
    s3_proxy.down()
    with pytest.raises(OSError, match=f"{s3_bucket}/f: the object store does not answer.*AWS_ENDPOINT_URL") as caught:
        (s3_bucket / "f").read_bytes()
    assert not is_passing(caught.value)
    s3_proxy.up()
    (s3_bucket / "f").write_bytes(b"")
