"""What tells a file from every other, wherever it was moved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from wsi_patches.errors import SlideError
from wsi_patches.locations import RemotePath
from wsi_patches.locations.remote import as_remote

__all__ = ["fingerprint"]

MIB = 1 << 20


def fingerprint(path: Path) -> str:
    """Return the byte size and a hash of the first and last MiB of a file.

    Of a folder the hash is that of every file's name and size and of the first MiB of its smallest files: metadata and
    coarse levels, which change with the pixels. Where it lies does not matter.

    Raises
    ------
    SlideError
        It cannot be read.
    """
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise SlideError(msg) from error


def _of_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=12)
    remote = as_remote(path)
    if remote is not None:
        total = remote.stat().st_size
        ends = [(0, min(MIB, total)), (max(MIB, total - MIB), total)]
        for content in remote.read_ranges([(start, stop) for start, stop in ends if start < stop]):
            digest.update(content)
        return f"{total}-{digest.hexdigest()}"
    with path.open("rb") as stream:
        total = stream.seek(0, 2)
        stream.seek(0)
        digest.update(stream.read(MIB))
        stream.seek(max(MIB, total - MIB))
        digest.update(stream.read(MIB))
    return f"{total}-{digest.hexdigest()}"


def _of_folder(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=12)
    sizes = dict(
        sorted(_remote_sizes(remote) if (remote := as_remote(folder)) is not None else _sizes(str(folder), ""))
    )
    digest.update("".join(f"{name}\0{size}\0" for name, size in sizes.items()).encode(errors="surrogateescape"))
    left = MIB
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        with (folder / name).open("rb") as stream:
            content = stream.read(left)
        digest.update(content)
        left -= len(content)
        if left <= 0:
            break
    return f"{sum(sizes.values())}-{digest.hexdigest()}"


def _remote_sizes(folder: RemotePath) -> list[tuple[str, int]]:
    return [(str(path.relative_to(folder)), size) for path, size in folder.sizes_below().items()]


def _sizes(folder: str, below: str) -> list[tuple[str, int]]:
    """Return name and byte size of every file below a folder, which may be hundreds of thousands."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found += _sizes(entry.path, f"{name}/")
            elif entry.is_file():
                found.append((name, entry.stat().st_size))
    return found
