"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PARTIAL_SUFFIX", "WholeFile", "replacing", "sync_folder", "sync_tree", "write_json", "write_whole"]

PARTIAL_SUFFIX = ".partial"
"""Of a file that is being written; a killed writer leaves it behind, and the next run sweeps it."""
BUFFER_BYTES = 1 << 20
"""A JPEG tile is some kilobytes, and a call of the system for each would cost more than the tile."""


class WholeFile:
    """A file that is written beside its place and renamed there when it is complete.

    Parameters
    ----------
    path
        Where it will be; its folder must be there.
    durable
        Wait until the disk has it (fsync), so that it outlives a power cut and not only a kill.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path, self.durable = path, durable
        self._partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self._stream = self._partial.open("wb", BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def commit(self) -> None:
        """Put the file in its place."""
        self._stream.flush()
        if self.durable:
            os.fsync(self._stream.fileno())
        self._stream.close()
        self._partial.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        self._partial.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the name once it was written without an error."""
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        yield partial
        if durable:
            _sync_file(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file that is whole or absent."""
    with replacing(path, durable=durable) as partial:
        partial.write_bytes(data)


def write_json(path: Path, values: dict[str, Any], *, durable: bool = True) -> None:
    """Write a JSON file, whole."""
    write_whole(path, json.dumps(values).encode(), durable=durable)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder; without this a renamed file may be lost with the power."""
    if os.name == "nt":  # Windows knows no such thing and refuses to open folders
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has every file and every name below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _sync_file(path)
        else:
            sync_folder(path)
    sync_folder(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
