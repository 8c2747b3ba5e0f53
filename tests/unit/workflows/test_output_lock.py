"""Two runs on one output: the second is refused, shards go side by side, and no crash leaves a lock behind."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import zarr

from wsi_patches.cells import ALL_IDB_RULE
from wsi_patches.errors import OutputBusy, UsageError
from wsi_patches.grid import PatchSpec
from wsi_patches.report import remove_slide_reports
from wsi_patches.stores import StoreSettings, create_store, open_store, sweep_unfinished, verify_store
from wsi_patches.workflows import locks, output_lock
from wsi_patches.workflows.locks import FileLock
from wsi_patches.workflows.output import Existing, check_output, clear_output
from wsi_patches.workflows.output_lock import find_holders, lock_output
from wsi_patches.workflows.run_log import RunLog
from wsi_patches.workflows.shards import Shard

HOLD = """
import sys
from pathlib import Path
from wsi_patches.workflows.output_lock import lock_output
with lock_output(Path(sys.argv[1]), "infer", {"tta": 1}):
    print("held", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Settings:
    tta: int = 1
    workers: int = 1


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(output_lock, "PATIENCE_S", 0.0)
    monkeypatch.setattr(output_lock, "SHARDS_PATIENCE_S", 0.0)


def locked(out, shard=None, settings=None):
    return lock_output(out, "infer", settings or Settings(), None if shard is None else Shard.parse(shard))


@pytest.fixture
def other_process(tmp_path):
    """A process that holds an output."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "out"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_told_who_runs_where_and_since_when(tmp_path, other_process):
    with pytest.raises(OutputBusy, match=rf"wsi-patches infer on .* \(process {other_process.pid}, since 2.*Z\)"):
        locked(tmp_path / "out").__enter__()
    assert find_holders(tmp_path / "out")[0].pid == other_process.pid


def test_a_holder_that_is_killed_leaves_the_output_free(tmp_path, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert find_holders(tmp_path / "out") == []
    with locked(tmp_path / "out"):
        assert find_holders(tmp_path / "out")[0].pid == os.getpid()


def test_a_run_that_ends_leaves_no_lock_and_no_empty_folder(tmp_path):
    out = tmp_path / "new" / "out"
    with locked(out):
        assert out.is_dir()
    assert not (tmp_path / "new").exists()
    with locked(out):
        (out / "counts.csv").write_text("")
    assert [entry.name for entry in out.iterdir()] == ["counts.csv"]


def test_a_refused_run_leaves_the_folder_that_was_there(tmp_path):
    with locked(tmp_path), pytest.raises(OutputBusy):
        locked(tmp_path).__enter__()
    assert tmp_path.is_dir()


def test_a_path_that_cannot_be_made_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        locked(tmp_path / "file" / "out").__enter__()
    assert (tmp_path / "file").read_text() == ""


def test_a_file_system_without_locks_is_said_so(tmp_path, monkeypatch):
    def unknown(_file, *, shared):
        raise OSError(errno.ENOLCK, f"No locks available, {shared=}")

    monkeypatch.setattr(locks, "_try_lock", unknown)
    with pytest.raises(UsageError, match=r"cannot be locked \(No locks available.*flock"):
        locked(tmp_path / "out").__enter__()


def test_shards_of_one_array_go_side_by_side_each_once(tmp_path):
    with locked(tmp_path, "1/3"), locked(tmp_path, "3/3", Settings(workers=8)):
        assert sorted(holder.shard for holder in find_holders(tmp_path)) == ["1/3", "3/3"]
        with pytest.raises(OutputBusy, match="--shard 3/3"):
            locked(tmp_path, "3/3").__enter__()
        with locked(tmp_path, "2/3"):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second", "settings", "why"),
    [
        (None, "1/2", Settings(), "wsi-patches infer on"),
        ("1/2", None, Settings(), "wsi-patches infer --shard 1/2 on"),
        ("1/2", "2/3", Settings(), "into other shares or has other settings"),
        ("1/2", "2/2", Settings(tta=4), "into other shares or has other settings"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(tmp_path, first, second, settings, why):
    with locked(tmp_path, first), pytest.raises(OutputBusy, match=why):
        locked(tmp_path, second, settings).__enter__()
    with locked(tmp_path, second, settings):
        pass  # once the first has gone


def count_up(out, number, times):
    shard = Shard(number, 4)
    with lock_output(out, "infer", Settings(), shard) as lock:
        for _ in range(times):
            with lock.alone():
                value = int((out / "count").read_text())
                (out / "count").write_text(str(value + 1))


def test_what_shards_do_alone_nobody_else_does_meanwhile(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "count").write_text("0")
    with ThreadPoolExecutor(4) as pool:  # each opens the lock's file for itself, as a process would
        list(pool.map(lambda number: count_up(tmp_path, number, 20), (1, 2, 3, 4)))
    assert (tmp_path / "count").read_text() == "80"


def test_the_lock_and_the_log_are_no_output(tmp_path):
    for name in (".lock", ".lock.3-of-16", "run.jsonl", "run.3-of-16.jsonl"):
        (tmp_path / name).write_text("")
    assert not check_output(tmp_path, Existing(), ours=False, what="counts")
    (tmp_path / "running.jsonl").write_text("")
    with pytest.raises(UsageError, match="something else than counts"):
        check_output(tmp_path, Existing(), ours=False, what="counts")


def test_an_output_is_cleared_under_its_lock(tmp_path):
    (tmp_path / "parts" / "a").mkdir(parents=True)
    (tmp_path / "zarr.json").write_text("")
    with locked(tmp_path):
        clear_output(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_a_store_is_read_checked_and_swept_as_ever_beside_lock_and_log(tmp_path):
    out = tmp_path / "store.zarr"
    with lock_output(out, "extract", Settings()):
        create_store(out, StoreSettings(PatchSpec(16), ALL_IDB_RULE))
        with RunLog.open(out, "extract", Settings(), slides=0, tasks=0):
            sweep_unfinished(out, [])
            assert verify_store(out) == []
            assert "parts" in zarr.open_group(out, mode="r")
            assert len(open_store(out)) == 0
        assert {entry.name for entry in out.iterdir()} == {".lock", "parts", "run.jsonl", "zarr.json"}


def test_slides_of_an_earlier_run_are_removed_and_lock_and_log_stay(tmp_path):
    with locked(tmp_path), RunLog.open(tmp_path, "infer", Settings(), slides=1, tasks=1):
        (tmp_path / "slide").mkdir()
        (tmp_path / "slide" / "report.json").write_text("{}")
        remove_slide_reports(tmp_path)
        assert {entry.name for entry in tmp_path.iterdir()} == {".lock", "run.jsonl"}


def test_a_lock_whose_file_its_last_holder_has_just_removed_is_taken_anew(tmp_path, monkeypatch):
    path, try_lock = tmp_path / ".lock", locks._try_lock

    def once_removed(file, *, shared):
        monkeypatch.setattr(locks, "_try_lock", try_lock)
        path.unlink()  # between the opening and the locking
        return try_lock(file, shared=shared)

    monkeypatch.setattr(locks, "_try_lock", once_removed)
    one = FileLock(path)
    assert one.take("one")
    assert not FileLock(path).take("other")
    one.release()
