"""``run.jsonl``: what happened in a run, one JSON line an event, appended as it happens.

It tells people and ``wsi-patches status`` what became of each slide. What is done is never read from it: that is what
the output itself says, so a lost line loses no slide.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from wsi_patches._version import __version__
from wsi_patches.errors import sentence_of
from wsi_patches.outcome import Outcome, SlideReport
from wsi_patches.workflows.log_files import LogFile, open_log_file
from wsi_patches.workflows.shards import Shard

__all__ = ["LOG", "RunLog", "find_logs", "last_event", "log_path", "now", "plain_values", "read_events"]

LOG = "run.jsonl"
OF_SHARD = re.compile(r"run\.\d+-of-\d+\.jsonl")
TAIL_BYTES = 1 << 16
"""Of a log, in which its last line lies."""
LISTED = 100
"""How many members of a list of settings are written; a run may have a million inputs."""
SECRET_NAME = re.compile(r"secret|passw|token|credential|(access|api|private)[-_]?key", re.IGNORECASE)
SECRETS = (
    (re.compile(r"(?<=://)[^/@\s]+@"), "***@"),  # a name and password before a host
    (re.compile(r"(://[^\s?]+\?)[^\s]+"), r"\1***"),  # a signed address
    (re.compile(r"(\w*(?:SECRET|PASSW|TOKEN|KEY)\w*\s*=\s*)[^\s]+", re.IGNORECASE), r"\1***"),  # a shell's variable
)
HIDDEN = "***"


def log_path(out: Path, shard: Shard | None = None) -> Path:
    """Return where a run logs; each shard has a file of its own, since appending is not atomic on NFS."""
    return out / (LOG if shard is None else f"run.{shard.name}.jsonl")


class RunLog:
    """The log of one run, written by the process that hands the work out, and by no worker.

    As a context it ends the log: with ``finished``, or with ``stopped`` and why. A run that is killed leaves no end.
    A disk that is full for a while delays lines and loses none; one that stays full is an error at the end.

    Parameters
    ----------
    file
        What lines are appended to.
    run
        The run's id, in every line.
    """

    def __init__(self, file: LogFile, run: str) -> None:
        self._file, self._lock, self._ended = file, Lock(), False
        self._begun = time.monotonic()
        self._counts = Counter[str]()
        self.run = run

    @classmethod
    def open(
        cls,
        out: Path,
        command: str,
        settings: Any,
        *,
        slides: int,
        tasks: int,
        kept: int = 0,
        slides_in_all: int | None = None,
        shard: Shard | None = None,
        cluster: str | None = None,
    ) -> RunLog:
        """Begin the log of a run.

        Parameters
        ----------
        out
            The output's folder, which must be there.
        command, settings
            What was asked; secrets are left out.
        slides, tasks, kept
            How many slides this run answers for, how many tasks they make, and how many slides were done before.
        slides_in_all
            How many slides all shards answer for together.
        shard, cluster
            Where it runs.

        Raises
        ------
        OSError
            Nothing can be written there.
        """
        log = cls(open_log_file(log_path(out, shard)), uuid4().hex[:12])
        log._write(
            "started",
            command=command,
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            cluster=cluster,
            shard=None if shard is None else str(shard),
            slides=slides,
            slides_in_all=slides if slides_in_all is None else slides_in_all,
            tasks=tasks,
            kept=kept,
            settings=plain_values(settings),
        )
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finished()
        elif not self._ended:
            self._end("stopped", error=_why(error))
        try:
            self._file.close()
        except OSError:
            if error is None:  # what stopped the run says more than that the log could not be written either
                raise

    def slide(self, became: Outcome | SlideReport, *, seconds: float | None = None, kept: bool = False) -> None:
        """Write what became of a slide, once nothing more is to be done on it.

        Parameters
        ----------
        became
            The slide's outcome or report.
        seconds
            How long its work took, all tasks together; a report's own figure if not given.
        kept
            Whether it was done before this run.
        """
        values: dict[str, Any] = {"slide": became.slide_id, "path": hide_secrets(became.path), "status": became.status}
        if became.error:
            values["error"] = hide_secrets(became.error)
        if isinstance(became, SlideReport):
            seconds = became.extra.get("seconds") if seconds is None else seconds
            told = {"group": became.group, "group_kind": became.extra.get("group_kind")}
            values |= {name: value for name, value in told.items() if value is not None}
        if seconds is not None:
            values["seconds"] = round(seconds, 3)
        self._counts["kept" if kept else became.status] += 1
        self._write("slide", **values, **({"kept": True} if kept else {}))

    def lost(
        self, task: str, slides: Sequence[str], error: BaseException | str, *, attempt: int = 1, again: bool = False
    ) -> None:
        """Write that a task was lost: its worker died, or it failed in a way that may pass.

        Parameters
        ----------
        task
            The task's name.
        slides
            The slides that it was to do.
        error
            What happened.
        attempt
            Which try this was, from 1.
        again
            Whether it, or its slides one by one, will be tried again.
        """
        self._counts["retried" if again else "lost"] += 1
        told = {"status": "retried" if again else "given up", "try": attempt, "error": _why(error)}
        self._write("task", task=task, **told, slides=list(slides[:LISTED]), slides_in_all=len(slides))

    def worker_lost(self, worker: str, why: str = "") -> None:
        """Write that a worker went away before the work was done."""
        self._counts["workers lost"] += 1
        self._write("worker lost", worker=worker, error=hide_secrets(why))

    def note(self, event: str, **values: Any) -> None:
        """Write anything else that somebody who looks later will want to know."""
        self._write(event, **plain_values(values))

    def finished(self) -> None:
        """Write that the run came to its end, unless it is said already."""
        if not self._ended:
            self._end("finished")

    def _end(self, event: str, **values: Any) -> None:
        self._ended = True
        self._write(event, **values, seconds=round(time.monotonic() - self._begun, 3), **self._counts)

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"time": now(), "run": self.run, "event": event, **values}, ensure_ascii=False)
        with self._lock:
            self._file.append(line.encode("utf-8", errors="replace") + b"\n")


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log in order; a line that a power cut or a full disk tore is left out."""
    with path.open("rb") as stream:
        yield from (event for line in stream if (event := _parsed(line)) is not None)


def find_logs(out: Path) -> list[Path]:
    """Return the logs of an output: of runs of all of the work, then of shards."""
    shards = [entry for entry in out.iterdir() if OF_SHARD.fullmatch(entry.name)]
    plain = out / LOG
    return [*([plain] if plain.is_file() else []), *sorted(shards, key=lambda path: path.name)]


def last_event(path: Path) -> str | None:
    """Return the name of a log's last event, None where there is no such log or nothing whole in it."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
            events = [event["event"] for line in stream if (event := _parsed(line)) is not None]
    except FileNotFoundError:
        return None
    return events[-1] if events else None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"time", "run", "event"} <= event.keys() else None


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain_values(value: Any) -> Any:
    """Return settings as JSON has them, without anything secret and without lists of thousands."""
    if hasattr(value, "as_posix"):  # a path, on this machine or in an object store
        return hide_secrets(str(value))
    if is_dataclass(value) and not isinstance(value, type):
        return plain_values({one.name: getattr(value, one.name) for one in fields(value)})
    if isinstance(value, Mapping):
        return {str(name): HIDDEN if _is_secret(str(name), one) else plain_values(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        members = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        more = [f"and {len(members) - LISTED} more"] if len(members) > LISTED else []
        return [*map(plain_values, members[:LISTED]), *more]
    return value if isinstance(value, int | float | bool | None) else hide_secrets(str(value))


def hide_secrets(text: str) -> str:
    """Blot out passwords, keys and signatures."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def _is_secret(name: str, value: Any) -> bool:
    return bool(SECRET_NAME.search(name)) and isinstance(value, str)


def _why(error: BaseException | str) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped from the keyboard"
    told = sentence_of(error) if isinstance(error, BaseException) else error
    return hide_secrets(" ".join(told.split())) or type(error).__name__
