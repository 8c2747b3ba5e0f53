"""One run at a time on an output; the shards of one job array are one run and go side by side."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from wsi_patches.errors import OutputBusy, UsageError
from wsi_patches.locations import is_remote
from wsi_patches.workflows.lease import Lease
from wsi_patches.workflows.locks import FileLock, lock_at
from wsi_patches.workflows.output import make_folder
from wsi_patches.workflows.run_log import now
from wsi_patches.workflows.shards import Shard

__all__ = ["Holder", "OutputLock", "find_holders", "lock_output"]

Lock = FileLock | Lease
LOCK = ".lock"
OF_SHARD = re.compile(r"\.lock\.(\d+)-of-(\d+)")
HOW_ONLY = {"workers", "cluster", "site", "device", "fsync", "resume", "overwrite", "shard"}
"""Settings of how and where the work runs: shards may differ in them."""
PATIENCE_S = 1.0
"""How long a run that was there first may take to go: `status` looks at locks for a moment, and so do shards."""
SHARDS_PATIENCE_S = 120.0
"""How long a shard waits for the others to start: a thousand may start at once."""


@dataclass(frozen=True)
class Holder:
    """Who holds an output."""

    command: str
    host: str
    pid: int
    since: str
    """UTC, ISO 8601."""
    shard: str = ""
    settings: str = ""
    """A digest of the settings that shape the work."""

    def __str__(self) -> str:
        part = f" --shard {self.shard}" if self.shard else ""
        return f"wsi-patches {self.command}{part} on {self.host} (process {self.pid}, since {self.since})"

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Read what a holder wrote; None where it has not written yet."""
        try:
            values = json.loads(text)
            return cls(**{one.name: values[one.name] for one in fields(cls)})
        except (ValueError, KeyError, TypeError):
            return None


class OutputLock:
    """An output that this process holds.

    Parameters
    ----------
    out
        The output.
    shard
        Which share of the work this run is; None is all of it.
    """

    def __init__(self, out: Path, shard: Shard | None, lock: Lock) -> None:
        self.out, self.shard, self._lock = out, shard, lock

    def check(self) -> None:
        """Make sure that it is still held: an object store that was away for long may have let others take it.

        Raises
        ------
        OutputBusy
            Another run has taken it.
        """
        if self._lock.lost:
            raise _busy(self.out, _read(self._lock))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the other shards off for a moment, for what all of them would write; a plain run is alone anyway.

        Raises
        ------
        OutputBusy
            Another shard does not let go.
        """
        if self.shard is None:
            yield
            return
        with _door(self.out, "", SHARDS_PATIENCE_S):
            yield


@contextmanager
def lock_output(out: Path, command: str, settings: Any, shard: Shard | None = None) -> Iterator[OutputLock]:
    """Hold an output while a run writes it; the folder is made, and is gone again if nothing was written to it.

    Parameters
    ----------
    out
        The output's folder.
    command, settings
        What was asked: a dataclass or a mapping.
    shard
        Which share of the work this run is. Shards with the same settings and as many shares go side by side.

    Raises
    ------
    OutputBusy
        Another run holds it; the sentence says which, where and since when.
    UsageError
        The folder cannot be made or locked.
    """
    holder = Holder(command, socket.gethostname(), os.getpid(), now(), str(shard or ""), digest_of(settings))
    made = _absent_folders(out)
    make_folder(out)
    try:
        if shard is None:
            with _door(out, _text(holder), PATIENCE_S) as door:
                _refuse_beside(out, holder)
                yield OutputLock(out, shard, door)
        else:
            own = lock_at(out / f"{LOCK}.{shard.name}")
            with _door(out, "", SHARDS_PATIENCE_S):
                _refuse_beside(out, holder)
                _wait_for(own, _text(holder), PATIENCE_S)
            try:
                yield OutputLock(out, shard, own)
            finally:
                own.release()
    finally:
        for folder in made:
            with suppress(OSError):  # it holds what the run wrote
                folder.rmdir()


def find_holders(out: Path) -> list[Holder | None]:
    """Return who holds an output right now; None stands for one that has not written its name yet."""
    locks = [lock_at(out / LOCK), *_shard_locks(out)]
    holders = ((_read(lock), lock.is_held()) for lock in locks)
    return [holder for holder, held in holders if held]


def digest_of(settings: Any) -> str:
    """Return a short hash of the settings that shape the work, not of how and where it runs."""
    values = settings if isinstance(settings, Mapping) else vars(settings)
    shaping = sorted((name, repr(value)) for name, value in values.items() if name not in HOW_ONLY)
    return sha256(repr(shaping).encode()).hexdigest()[:16]


@contextmanager
def _door(out: Path, text: str, patience_s: float) -> Iterator[Lock]:
    """Hold the lock that a plain run keeps while it runs, and a shard only while it starts.

    A shard writes nothing into it, so that whoever waits knows whether waiting will help.
    """
    lock = lock_at(out / LOCK)
    _wait_for(lock, text, patience_s)
    try:
        yield lock
    finally:
        lock.release()


def _wait_for(lock: Lock, text: str, patience_s: float) -> None:
    """Take a lock, waiting for those who hold it for a moment only."""
    begun, named_since = time.monotonic(), None
    while not _taken(lock, text):
        holder = _read(lock)
        named_since = None if holder is None else named_since or time.monotonic()
        waited, allowed = (begun, patience_s) if named_since is None else (named_since, PATIENCE_S)
        if time.monotonic() - waited > allowed:
            raise _busy(lock.path.parent, holder)
        time.sleep(random.uniform(0.01, 0.1))  # those who wait do not all knock at once


def _taken(lock: Lock, text: str) -> bool:
    try:
        return lock.take(text)
    except OSError as error:
        msg = (
            f"-o {lock.path.parent} cannot be locked ({error.strerror or error}): give a path that can be written, "
            "on a file system that knows flock"
        )
        raise UsageError(msg) from error


def _refuse_beside(out: Path, asked: Holder) -> None:
    """Refuse a plain run beside shards, and a shard beside those of another array; all that run agree already."""
    for lock in _shard_locks(out):
        if not lock.is_held():
            continue
        holder = _read(lock)
        if holder is None or not asked.shard:
            raise _busy(out, holder)
        shares = (Shard.parse(one.shard).of for one in (holder, asked))
        if len(set(shares)) == 1 and holder.settings == asked.settings:
            return
        msg = (
            f"{out} is being written by {holder}, which cuts the work into other shares or has other settings: "
            "give all shards of a job array the same N and the same options, or wait for those that run"
        )
        raise OutputBusy(msg)


def _busy(out: Path, holder: Holder | None) -> OutputBusy:
    who = "another run" if holder is None else str(holder)
    return OutputBusy(f"{out} is being written by {who}: wait for it, stop it, or give another -o")


def _shard_locks(out: Path) -> list[Lock]:
    try:
        return [lock_at(entry) for entry in out.iterdir() if OF_SHARD.fullmatch(entry.name)]
    except FileNotFoundError:  # an object store has no empty folders
        return []


def _read(lock: Lock) -> Holder | None:
    return Holder.parse(lock.read())


def _text(holder: Holder) -> str:
    return json.dumps(asdict(holder)) + "\n"


def _absent_folders(out: Path) -> list[Path]:
    """Return the folders that will have to be made, the innermost first; an object store needs none."""
    if is_remote(out):
        return []
    return [folder for folder in (out, *out.parents) if not folder.exists()]
