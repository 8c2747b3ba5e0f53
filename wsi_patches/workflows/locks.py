"""A lock that lies in a file, and that the death of its holder opens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from wsi_patches.locations import is_remote
from wsi_patches.workflows.lease import Lease

__all__ = ["FileLock", "lock_at"]

if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30
    """The byte that is locked on Windows, far behind the text, since nobody else can read a locked byte there."""

    def _try_lock(file: int, *, shared: bool) -> bool:  # noqa: ARG001 - Windows knows exclusive locks only
        os.lseek(file, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FileLock:
    """An exclusive lock on a file (flock), which the system gives back when the process dies, however that happens.

    It holds between the nodes of a cluster on NFS 4 and on Lustre mounted with ``flock``.

    Parameters
    ----------
    path
        The file; made if it is not there, and removed when the lock is given back.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lost = path, False
        self._file: int | None = None

    def take(self, text: str) -> bool:
        """Try to take the lock and write who holds it; return whether that succeeded.

        Raises
        ------
        OSError
            The folder cannot be written, or its file system knows no locks.
        """
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                taken = _try_lock(file, shared=False)
                if taken and self._is_still(file):
                    os.ftruncate(file, 0)
                    os.lseek(file, 0, os.SEEK_SET)
                    os.write(file, text.encode())
                    self._file, file = file, -1
                    return True
                if not taken:
                    return False
            finally:
                if file >= 0:
                    os.close(file)

    def release(self) -> None:
        """Give the lock back and leave no file; a lock that is not held is left alone."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if sys.platform != "win32":  # which cannot remove an open file
            self.path.unlink(missing_ok=True)
        os.close(file)

    def read(self) -> str:
        """Return who holds it, or held it last; empty where nobody says."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def is_held(self) -> bool:
        """Say whether anybody holds it; for a moment, that keeps others from taking it."""
        try:
            file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(file, shared=True)
        finally:
            os.close(file)

    def _is_still(self, file: int) -> bool:
        """Say whether the file that was locked is the one of that name: its last holder may just have removed it."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), there)


def lock_at(path: Path) -> FileLock | Lease:
    """Return the lock that lies in a file of this machine, or in an object."""
    return Lease(path) if is_remote(path) else FileLock(path)
