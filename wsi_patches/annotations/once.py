"""Files that speak of many slides are parsed once a process, not once a slide."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from threading import Lock
from typing import TypeVar

from wsi_patches.errors import AnnotationError

__all__ = ["parsed_once"]

Parsed = TypeVar("Parsed")
FILES_KEPT = 8


def parsed_once(parse: Callable[[Path], Parsed]) -> Callable[[Path], Parsed]:
    """Keep what a parser made of the last few files, by path, time of change and size.

    Threads that ask for the same file wait for the one that parses it.
    """
    lock = Lock()

    @lru_cache(FILES_KEPT)
    def parse_version(path: Path, _modified_ns: int, _bytes: int) -> Parsed:
        return parse(path)

    @wraps(parse)
    def parsed(path: Path) -> Parsed:
        try:
            status = path.stat()
        except OSError as error:
            msg = f"{path} cannot be read as an annotation file: {error}"
            raise AnnotationError(msg) from error
        with lock:
            return parse_version(path, status.st_mtime_ns, status.st_size)

    return parsed
