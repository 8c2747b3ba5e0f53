"""Whole folders: removed, copied, and their small files read, on this machine and in an object store alike."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from wsi_patches.locations.object_store import AddressError, ask
from wsi_patches.locations.patience import patiently
from wsi_patches.locations.remote import RemotePath, as_remote

__all__ = ["AT_ONCE", "copy_tree", "read_all", "remove_tree"]

AT_ONCE = 16
"""Requests to an object store at a time: each waits some milliseconds for its answer."""
MOST_KEYS = 1000
"""That one request removes."""
FIRST = "zarr.json"
"""Removed before the rest, so that a kill in the middle of a removal leaves nothing that counts."""


def remove_tree(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder and all below it.

    Raises
    ------
    OSError
        It is not there, or may not be removed.
    """
    remote = as_remote(folder)
    if remote is None:
        shutil.rmtree(folder, ignore_errors=ignore_errors)
        return
    try:
        _remove_keys(remote)
    except OSError:
        if not ignore_errors:
            raise


def _remove_keys(folder: RemotePath) -> None:
    keys = [name.removeprefix(f"{folder.bucket}/") for name in folder.listed_below()]
    keys.sort(key=lambda key: (not key.endswith(f"/{FIRST}"), key))
    for start in range(0, len(keys), MOST_KEYS):
        some = [{"Key": key} for key in keys[start : start + MOST_KEYS]]
        request = {"Bucket": folder.bucket, "Delete": {"Objects": some, "Quiet": True}}
        answer = ask(str(folder), partial(_delete, request=request))
        if answer.get("Errors"):
            codes = ", ".join(sorted({one.get("Code", "") for one in answer["Errors"]}))
            msg = f"{folder} cannot be removed ({codes}): check the rights of your credentials"
            raise AddressError(errno.EACCES, msg)


def _delete(store: Any, request: Mapping[str, Any]) -> Any:
    # fsspec's own way takes [ and * in a name for a pattern, and does not look at what the store could not remove.
    return store.call_s3("delete_objects", **request)


def copy_tree(source: Path, target: Path) -> None:
    """Copy all files below a folder to below another; files that are there are replaced."""
    if as_remote(source) is None and as_remote(target) is None:
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    files = _files_below(source)

    def copy(file: Path) -> None:
        there = target.joinpath(*file.relative_to(source).parts)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(file.read_bytes())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, files))


def _files_below(folder: Path) -> list[Path]:
    remote = as_remote(folder)
    if remote is None:
        return [file for file in folder.rglob("*") if file.is_file()]
    return [cast(Path, file) for file in remote.sizes_below()]


def read_all(files: Sequence[Path]) -> list[bytes | None]:
    """Return the contents of some small files, None for one that is not there; of an object store many at a time."""
    if all(as_remote(file) is None for file in files):
        return [_read(file) for file in files]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(_read, files))


def _read(file: Path) -> bytes | None:
    try:
        return patiently(file.read_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None
