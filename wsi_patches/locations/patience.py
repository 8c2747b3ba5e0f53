"""Waiting for a store that is gone for a while: a file server that restarts, an object store that is overloaded."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE_S", "is_passing", "patiently", "was_waited_for"]

Result = TypeVar("Result")

PATIENCE_S = 120.0
"""How long one operation is tried again, in seconds, before its error stands."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EREMOTEIO", "ENOTCONN", "ESHUTDOWN", "EHOSTDOWN", "EHOSTUNREACH"),
        *("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ENETDOWN", "ENETUNREACH", "ENETRESET"),
    )
    if hasattr(errno, name)
)
"""What the system says of a network file system, and we of an object store, that does not answer."""
WAITED = "waited"
TELL_EVERY_S = 30.0
logger = logging.getLogger("wsi_patches")
_told: list[float] = []
"""When it was told last that somebody waits."""


def is_passing(error: BaseException) -> bool:
    """Say whether an error, or the one that it was made of, may pass by itself and was not waited for already."""
    if was_waited_for(error):
        return False
    if isinstance(error, OSError) and error.errno in PASSING:
        return True
    return error.__cause__ is not None and is_passing(error.__cause__)


def was_waited_for(error: BaseException) -> bool:
    """Say whether an error stands after it was waited for: then nobody knows what is there and what is not."""
    return WAITED in vars(error)


def patiently(act: Callable[[], Result]) -> Result:
    """Return what a call returns, called again after longer and longer pauses while its error may pass by itself.

    Parameters
    ----------
    act
        What is done: a whole operation, which may be done twice without harm.

    Raises
    ------
    OSError
        The store was gone for `PATIENCE_S`, or the error is of another kind.
    """
    end, pause_s = 0.0, FIRST_PAUSE_S
    while True:
        try:
            return act()
        except OSError as error:
            if not is_passing(error):
                raise
            end = end or time.monotonic() + PATIENCE_S
            _tell(error)
            if time.monotonic() + pause_s > end:
                vars(error)[WAITED] = True  # so that whoever called patiently is not patient once more
                raise
        time.sleep(pause_s * random.uniform(0.5, 1))  # so that a thousand workers do not return at once
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _tell(error: OSError) -> None:
    """Say that a process waits and for what, but not for each of its threads and tries."""
    now = time.monotonic()
    if not _told or now - _told[-1] >= TELL_EVERY_S:
        _told[:] = [now]
        logger.warning("%s; it is tried again for up to %.0f s", error, PATIENCE_S)
