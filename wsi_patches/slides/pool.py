"""Open slides that the tasks of one process share: opening costs as much as reading dozens of patches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wsi_patches.locations import path_of
from wsi_patches.slide import ReadOptions, SlideBase
from wsi_patches.slides.opening import open_as

__all__ = ["borrow_slide", "close_idle_slides"]

Key = tuple[str, int, int, ReadOptions]


@dataclass
class _Shared:
    """A slide, open or about to be opened, and how many use it."""

    users: int = 0
    slide: SlideBase | None = None
    opening: threading.Lock = field(default_factory=threading.Lock)


_lock = threading.Lock()
_shared: dict[Key, _Shared] = {}


@contextmanager
def borrow_slide(path: Path | str, options: ReadOptions) -> Iterator[SlideBase]:
    """Yield an open slide that others of this process may be reading too; do not close it.

    The slide that was used last stays open for the next task, which is mostly of the same slide.

    Raises
    ------
    SlideError
        It cannot be opened.
    """
    key = _key(path_of(path), options)
    with _lock:
        shared = _shared.setdefault(key, _Shared())
        shared.users += 1
    try:
        with shared.opening:
            if shared.slide is None:
                shared.slide = open_as(path, options)
        yield shared.slide
    finally:
        with _lock:
            shared.users -= 1
            # A slide that could not be opened is forgotten: it may be mended by the time of the next try.
            if shared.slide is None and not shared.users:
                _shared.pop(key, None)
            idle = [one for one, other in _shared.items() if not other.users and one != key]
            closing = [_shared.pop(one).slide for one in idle]
        _close(closing)


def close_idle_slides() -> None:
    """Close what nobody uses any more."""
    with _lock:
        closing = [_shared.pop(key).slide for key, shared in list(_shared.items()) if not shared.users]
    _close(closing)


def _close(slides: list[SlideBase | None]) -> None:
    for slide in slides:
        if slide is not None:
            slide.close()


def _key(path: Path, options: ReadOptions) -> Key:
    """Tell a file from one that took its place."""
    try:
        state = path.stat()
    except OSError:
        return str(path), 0, 0, options  # opening it will say what is wrong
    return str(path), state.st_mtime_ns, state.st_size, options
