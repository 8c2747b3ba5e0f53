"""A lock in an object store, which knows none: an object that its holder writes anew all the time it holds it.

Who holds it writes every `RENEW_S`; what was not written for `STALE_S` is free. Object stores put an object only if it
is absent, or only if it is still the one that was read, so of two that take a free one at a time one gets it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from wsi_patches.locations.object_store import ask
from wsi_patches.workflows.log_files import Ticker

__all__ = ["Lease"]

RENEW_S, STALE_S = 20.0, 60.0
"""The clocks of a cluster's machines must agree to half a minute."""
SETTLE_S = 3.0
"""Where a store knows no conditions: how long to wait whether somebody else wrote at the same moment."""
OTHER_WAS_FIRST = {"PreconditionFailed", "ConditionalRequestConflict", "OperationAborted"}
NO_CONDITIONS = {"NotImplemented", "MethodNotAllowed"}


@dataclass(frozen=True)
class _Content:
    """What a lease's object says."""

    text: str
    """Who holds it."""
    token: str
    """Of this holder alone."""
    renewed: str

    @property
    def is_fresh(self) -> bool:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(self.renewed)).total_seconds()
        return age_s < STALE_S


class Lease:
    """An exclusive lock in an object store; a holder that dies lets go of it within a minute.

    Parameters
    ----------
    path
        The object; removed when the lock is given back.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lost = path, False
        self._token, self._text, self._tag = uuid4().hex, "", ""
        self._ticker: Ticker | None = None

    def take(self, text: str) -> bool:
        """Try to take the lock and write who holds it; return whether that succeeded.

        Raises
        ------
        OSError
            The object store cannot be written.
        """
        found, tag = self._found()
        if found is not None and found.is_fresh:
            return False
        self._text = text
        if not self._put({"IfMatch": tag} if tag else {"IfNoneMatch": "*"}):
            return False
        self._ticker = Ticker(self._renew, RENEW_S)
        return True

    def release(self) -> None:
        """Give the lock back; one that is not held, or was lost, is left alone."""
        if self._ticker is None:
            return
        self._ticker.stop()
        self._ticker = None
        found, _ = self._found()
        if found is not None and found.token == self._token:
            self.path.unlink(missing_ok=True)

    def read(self) -> str:
        """Return who holds it, or held it last; empty where nobody says."""
        found, _ = self._found()
        return "" if found is None else found.text

    def is_held(self) -> bool:
        """Say whether anybody holds it."""
        found, _ = self._found()
        return found is not None and found.is_fresh

    def _renew(self) -> None:
        try:
            self.lost = self.lost or not self._put({"IfMatch": self._tag})
        except OSError:
            return  # the store is away, and so for everybody; the next turn tries again

    def _found(self) -> tuple[_Content | None, str]:
        """Return what lies there and its tag; nothing and no tag where there is no object."""

        def act(store: Any) -> tuple[bytes, str]:
            tag = store.info(str(self.path))["ETag"]
            return store.cat_file(str(self.path)), tag

        try:
            data, tag = ask(str(self.path), act)
        except FileNotFoundError:
            return None, ""
        try:
            return _Content(**json.loads(data)), tag
        except (ValueError, TypeError):  # not written by us in this form: free to be replaced
            return None, tag

    def _put(self, condition: dict[str, str]) -> bool:
        """Write the object if a condition holds; return whether it is ours now."""
        content = _Content(self._text, self._token, datetime.now(UTC).isoformat())
        data = json.dumps(vars(content)).encode()

        def act(store: Any) -> str | None:
            try:
                return str(store.pipe_file(str(self.path), data, **condition)["ETag"])
            except OSError as error:
                code = _code(error)
                if code in NO_CONDITIONS:
                    return self._put_and_look(store, data)
                if _is_other(error):
                    return None
                raise

        tag = ask(str(self.path), act)
        if tag is None:  # perhaps it was written, and only the answer was lost
            found, tag = self._found()
            if found is None or found.token != self._token:
                return False
        self._tag = tag
        return True

    def _put_and_look(self, store: Any, data: bytes) -> str | None:
        """Write the object without a condition; return its tag if nobody else has written a moment later."""
        tag = str(store.pipe_file(str(self.path), data)["ETag"])
        time.sleep(SETTLE_S)
        return tag if store.cat_file(str(self.path)) == data else None


def _is_other(error: OSError) -> bool:
    """Say whether a write was refused since somebody else has written or removed the object meanwhile."""
    if isinstance(error, FileNotFoundError):
        return _code(error) != "NoSuchBucket"
    return isinstance(error, FileExistsError) or _code(error) in OTHER_WAS_FIRST


def _code(error: OSError) -> str:
    """Return the object store's own word for what is wrong."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
