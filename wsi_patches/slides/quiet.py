"""Keeps what tifffile and Pillow log of a file out of every log: they quote its tags, which may name a patient."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quietly"]

LOGGERS = ("tifffile", "PIL.TiffImagePlugin", "PIL.PngImagePlugin")
"""A logger's filter is not asked for what loggers below it say, so each is named."""
_here = threading.local()


def _is_anothers(record: logging.LogRecord) -> bool:  # noqa: ARG001 - the signature of a logging filter
    return not getattr(_here, "reading", False)


# While we read, each of their findings either does not matter or becomes a SlideError; what others do with these
# libraries, in other threads or calls, is logged as ever.
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_is_anothers)


@contextmanager
def quietly() -> Iterator[None]:
    """Log nothing that tifffile and Pillow have to say in this thread."""
    outer = getattr(_here, "reading", False)
    _here.reading = True
    try:
        yield
    finally:
        _here.reading = outer
