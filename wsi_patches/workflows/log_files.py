"""Files that grow by whole lines: local ones are appended to, objects are put whole now and then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol

__all__ = ["LogFile", "Ticker", "open_log_file"]

PUT_EVERY_S = 5.0
PUT_SHARE = 0.05
"""At most this share of the time goes into putting a log, however long it has grown."""


class LogFile(Protocol):
    """Something that lines are added to."""

    def append(self, line: bytes) -> None:
        """Add a line, its line feed included; a disk that is full keeps it waiting."""

    def close(self) -> None:
        """Write what is waiting.

        Raises
        ------
        OSError
            It cannot be written.
        """


def open_log_file(path: Path) -> LogFile:
    """Return a log that goes on where an earlier one ended; a torn last line is ended first.

    Parameters
    ----------
    path
        A path of this machine, or one in an object store, which is no `pathlib.Path`.
    """
    return AppendedFile(path) if isinstance(path, Path) else PutObject(path)


class AppendedFile:
    """A local file; each line is handed to the system at once and whole."""

    def __init__(self, path: Path) -> None:
        self._waiting = b"" if _ends_whole(path) else b"\n"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def append(self, line: bytes) -> None:
        """Add a line; while the disk is full it waits for the next one."""
        self._waiting += line
        try:
            self._flush()
        except OSError:
            return  # `close` tries again, and says so if it still cannot

    def close(self) -> None:
        """Write what is waiting, and raise OSError where that cannot be."""
        try:
            self._flush()
        finally:
            os.close(self._file)

    def _flush(self) -> None:
        while self._waiting:
            self._waiting = self._waiting[os.write(self._file, self._waiting) :]


def _ends_whole(path: Path) -> bool:
    """Say whether a file is absent, empty, or ends with a line feed."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 1))
            return stream.read() in (b"", b"\n")
    except FileNotFoundError:
        return True


class PutObject:
    """An object of a store such as S3: what was added is put whole every few seconds, and at the end."""

    def __init__(self, path: Path, every_s: float = PUT_EVERY_S) -> None:
        self._path, self._every_s, self._lock = path, every_s, Lock()
        try:
            self._data = bytearray(path.read_bytes())
        except FileNotFoundError:
            self._data = bytearray()
        if self._data and not self._data.endswith(b"\n"):
            self._data += b"\n"
        self._put_bytes, self._next = -1, 0.0
        self._ticker = Ticker(self._tick, every_s)

    def append(self, line: bytes) -> None:
        """Add a line, which is put with the next few seconds' others."""
        with self._lock:
            self._data += line

    def close(self) -> None:
        """Put the end; raise OSError where the store is away and stays away."""
        self._ticker.stop()
        self._put()

    def _tick(self) -> None:
        if time.monotonic() >= self._next:
            begun = time.monotonic()
            try:
                self._put()
            except OSError:
                return  # the store is away; the next tick tries again, and `close` says so if it never came back
            took = time.monotonic() - begun
            self._next = begun + max(self._every_s, took / PUT_SHARE)

    def _put(self) -> None:
        with self._lock:
            data = bytes(self._data)
        if len(data) != self._put_bytes:
            self._path.write_bytes(data)
            self._put_bytes = len(data)


class Ticker:
    """Calls a function every so many seconds, in a thread of its own, until it is stopped."""

    def __init__(self, call: Callable[[], None], every_s: float) -> None:
        self._call, self._every_s, self._stopped = call, every_s, Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the call that is going on, and make no other."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._call()
