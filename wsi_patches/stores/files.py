"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from wsi_patches.locations import is_remote, patiently
from wsi_patches.locations.remote import as_remote

__all__ = [
    "PARTIAL_SUFFIX",
    "WholeFile",
    "new_folder",
    "other_folders",
    "replacing",
    "sync_folder",
    "sync_names",
    "sync_tree",
    "write_json",
    "write_whole",
]

PARTIAL_SUFFIX = ".partial"
"""Of a file that is being written; a killed writer leaves it behind, and the next run sweeps it."""
SCRATCH = "wsi-patches-"
"""Begins the names of temporary files, on their way to an object store."""
BUFFER_BYTES = 1 << 20
"""A JPEG tile is some kilobytes, and a call of the system for each would cost more than the tile."""


class WholeFile:
    """A file that is written beside its place and renamed there when it is complete.

    For an object store it is written to local scratch, in a file without a name, of which a kill leaves nothing, and
    put when it is complete: a put is whole or not there.

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
        if is_remote(path):
            self._stream: IO[bytes] = tempfile.TemporaryFile("w+b", BUFFER_BYTES)  # noqa: SIM115 - closed by the caller
        else:
            self._stream = self._partial.open("wb", BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def commit(self) -> None:
        """Put the file in its place."""
        if is_remote(self.path):
            self._stream.seek(0)
            self.path.write_bytes(self._stream.read())
            self._stream.close()
            return
        self._stream.flush()
        if self.durable:
            os.fsync(self._stream.fileno())
        self._stream.close()
        self._partial.replace(self.path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        if not is_remote(self.path):
            self._partial.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a local path to write to; what is there takes the name ``path`` once it was written without an error."""
    remote = as_remote(path)
    if remote is not None:
        with tempfile.TemporaryDirectory(prefix=SCRATCH) as scratch:
            beside = Path(scratch, path.name)
            yield beside
            remote.upload(beside)
        return
    beside = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        yield beside
        if durable:
            _sync_file(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file that is whole or absent; tried again while its file server is gone."""
    patiently(partial(_write_whole, path, data, durable=durable))


def _write_whole(path: Path, data: bytes, *, durable: bool) -> None:
    if is_remote(path):
        path.write_bytes(data)
        return
    with replacing(path, durable=durable) as beside:
        beside.write_bytes(data)


def write_json(path: Path, values: dict[str, Any], *, durable: bool = True) -> None:
    """Write a JSON file, whole."""
    write_whole(path, json.dumps(values).encode(), durable=durable)


def new_folder(folder: Path) -> None:
    """Make a folder that one writer will fill.

    Raises
    ------
    FileExistsError
        It is there; of an object store, something lies below it.
    """
    if is_remote(folder) and folder.exists():
        raise FileExistsError(folder)
    folder.mkdir()


def other_folders(store: Path) -> list[Path]:
    """Return the folders of pictures and tables for people that lie beside a store's parts."""
    return [
        entry
        for entry in sorted(store.iterdir(), key=str)
        if entry.is_dir() and entry.name != "parts" and not entry.name.startswith(".")
    ]


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder; without this a renamed file may be lost with the power."""
    if os.name == "nt" or is_remote(folder):  # Windows knows no such thing and refuses to open folders
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has every file and every name below a folder."""
    if is_remote(folder):  # what was put is there
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _sync_file(path)
        else:
            sync_folder(path)
    sync_folder(folder)


def sync_names(folder: Path) -> None:
    """Wait until the disk knows the names in all folders below one; their files were waited for."""
    if is_remote(folder):
        return
    for below in (entry for entry in folder.rglob("*") if entry.is_dir()):
        sync_folder(below)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
