"""What tells a file from every other, wherever it was moved."""

from __future__ import annotations

import hashlib
from pathlib import Path

from wsi_patches.errors import SlideError

__all__ = ["fingerprint"]

MIB = 1 << 20


def fingerprint(path: Path) -> str:
    """Return the byte size and a hash of the first and last MiB of a file, or of a folder's sorted listing."""
    digest = hashlib.blake2b(digest_size=12)
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            total = sum(file.stat().st_size for file in files)
            for file in files:
                digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
            return f"{total}-{digest.hexdigest()}"
        with path.open("rb") as stream:
            total = stream.seek(0, 2)
            stream.seek(0)
            digest.update(stream.read(MIB))
            stream.seek(max(MIB, total - MIB))
            digest.update(stream.read(MIB))
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise SlideError(msg) from error
    return f"{total}-{digest.hexdigest()}"
