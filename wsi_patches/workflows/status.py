"""``wsi-patches status``: what a run came to, or has come to so far, from its log and its lock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wsi_patches.errors import UsageError
from wsi_patches.outcome import DONE, FAILED, PARTIAL
from wsi_patches.stores import is_store
from wsi_patches.workflows.output import COUNTS
from wsi_patches.workflows.output_lock import Holder, find_holders
from wsi_patches.workflows.run_log import find_logs, read_events
from wsi_patches.workflows.shards import Shard

__all__ = ["DIED", "FINISHED", "RUNNING", "STARTING", "STOPPED", "WAITING", "OutputStatus", "RunStatus", "read_status"]

STARTING, RUNNING, FINISHED, STOPPED, DIED = "starting", "running", "finished", "stopped", "died"
"""States of a run. One that died said nothing of its end: it was killed, or the machine went down."""
WAITING = "waiting"
"""Of a job array that is not running, and of which some shards never began."""
RECENT = 500
"""The rate is that of so many slides that ended last."""
FAILURES_KEPT = 1000
"""Of each run; the last ones."""


@dataclass(frozen=True)
class RunStatus:
    """One run, of all of the work or of a shard."""

    command: str
    state: str
    host: str
    pid: int
    since: str
    """UTC, ISO 8601."""
    shard: str = ""
    version: str = ""
    cluster: str | None = None
    slides: int = 0
    """How many it answers for."""
    slides_in_all: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    """How many slides are done, partial and failed; kept ones among them."""
    kept: int = 0
    retried: int = 0
    given_up: int = 0
    """Tasks."""
    workers_lost: int = 0
    last: str = ""
    """When it last said something."""
    error: str = ""
    """Why it was stopped."""
    failures: tuple[tuple[str, str], ...] = ()
    """Slides that failed last, and why."""
    slides_per_s: float = 0.0


@dataclass(frozen=True)
class OutputStatus:
    """What is known of an output."""

    out: Path
    runs: tuple[RunStatus, ...]
    """The last run; of a job array the last run of each shard. None where there is no log."""

    @property
    def state(self) -> str:
        """The state of the whole; empty where there is no log."""
        states = {run.state for run in self.runs}
        if states & {RUNNING, STARTING}:
            return RUNNING if RUNNING in states else STARTING
        worst = next((state for state in (DIED, STOPPED) if state in states), "")
        return worst or ((WAITING if self.not_begun else FINISHED) if states else "")

    @property
    def not_begun(self) -> int:
        """How many shards never began."""
        return max((Shard.parse(run.shard).of for run in self.runs if run.shard), default=1) - max(1, len(self.runs))

    @property
    def slides(self) -> dict[str, int]:
        """How many slides there are, and how many are done, partial, failed, kept from before, and left."""
        total = max([sum(run.slides for run in self.runs), *(run.slides_in_all for run in self.runs)])
        told = {status: sum(run.statuses.get(status, 0) for run in self.runs) for status in (DONE, PARTIAL, FAILED)}
        kept = sum(run.kept for run in self.runs)
        return {"total": total, **told, "kept": kept, "left": max(0, total - sum(told.values()))}

    @property
    def slides_per_s(self) -> float:
        """How fast the runs that go on are, together."""
        return sum(run.slides_per_s for run in self.runs if run.state == RUNNING)

    @property
    def seconds_left(self) -> float | None:
        """How long what is left will take, None where nobody can say."""
        return self.slides["left"] / self.slides_per_s if self.slides_per_s > 0 else None


def read_status(path: Path) -> list[OutputStatus]:
    """Return what is known of an output, or of each output in a folder of them.

    Raises
    ------
    UsageError
        There is no output of this program.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        msg = f"{path} {what}: give the folder that extract, preprocess, infer or run writes (their -o)"
        raise UsageError(msg)
    found = _status(path)
    if found is not None:
        return [found]
    below = [one for entry in sorted(path.iterdir(), key=str) if entry.is_dir() and (one := _status(entry)) is not None]
    if not below:
        msg = (
            f"{path} holds no store, no counts and no log of a run: give the folder that extract, preprocess, infer or "
            "run writes (their -o); `wsi-patches inspect` says what slides and datasets are"
        )
        raise UsageError(msg)
    return below


def _status(out: Path) -> OutputStatus | None:
    """Return what is known of an output, None where a folder is none."""
    holders = [holder for holder in find_holders(out) if holder is not None]
    logged = [run for log in find_logs(out) if (run := _last_run(log, holders)) is not None]
    names = {(run.host, run.pid, run.shard) for run in logged if run.state == RUNNING}
    starting = [_starting(holder) for holder in holders if (holder.host, holder.pid, holder.shard) not in names]
    if logged or starting:
        return OutputStatus(out, tuple(_of_last_array([*logged, *starting])))
    return OutputStatus(out, ()) if is_store(out) or (out / COUNTS).is_file() else None


def _starting(holder: Holder) -> RunStatus:
    return RunStatus(holder.command, STARTING, holder.host, holder.pid, holder.since, holder.shard, last=holder.since)


def _of_last_array(runs: Sequence[RunStatus]) -> list[RunStatus]:
    """Return the newest run, which is one that runs now if any does; of a job array the newest run of each shard."""
    newest = max(runs, key=_age)
    if not newest.shard:
        return [newest]
    of = Shard.parse(newest.shard).of
    array = sorted((run for run in runs if run.shard and Shard.parse(run.shard).of == of), key=_age)
    last = {run.shard: run for run in array}
    return sorted(last.values(), key=lambda run: Shard.parse(run.shard).number)


def _age(run: RunStatus) -> tuple[bool, str]:
    return run.state in (STARTING, RUNNING), run.since


def _last_run(log: Path, holders: Sequence[Holder]) -> RunStatus | None:
    """Return the last run of a log, None where its first line is torn."""
    reading: _Reading | None = None
    for event in read_events(log):
        if event["event"] == "started":
            reading = _Reading(event)
        elif reading is not None and event["run"] == reading.started["run"]:
            reading.add(event)
    if reading is None:
        return None
    return reading.status(any(reading.is_by(holder) for holder in holders))


class _Reading:
    """The events of one run, taken together."""

    def __init__(self, started: dict[str, Any]) -> None:
        self.started = self.last = started
        self.end: dict[str, Any] | None = None
        self.slides: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.counts = Counter[str]()
        self.ended_at: deque[str] = deque([started["time"]], maxlen=RECENT)

    def add(self, event: dict[str, Any]) -> None:
        """Take an event in."""
        kind, self.last = event["event"], event
        if kind == "slide":
            self._slide(event)
        elif kind == "task":
            self.counts[event["status"]] += 1
        elif kind in ("finished", "stopped"):
            self.end = event
        else:
            self.counts[kind] += 1

    def _slide(self, event: dict[str, Any]) -> None:
        self.slides[event["slide"]] = event["status"]
        self.failures.pop(event["slide"], None)
        if event["status"] == FAILED:
            self.failures[event["slide"]] = event.get("error", "")
        if event.get("kept"):
            self.counts["kept"] += 1
        else:
            self.ended_at.append(event["time"])

    def is_by(self, holder: Holder) -> bool:
        """Say whether it is the run of somebody who holds the output."""
        mine = tuple(self.started[name] for name in ("host", "pid", "command"))
        return (holder.host, holder.pid, holder.command) == mine and holder.shard == (self.started["shard"] or "")

    def status(self, held: bool) -> RunStatus:
        """Return what they come to, given whether the run still holds the output."""
        started = self.started
        statuses = Counter(self.slides.values())
        statuses[DONE] += max(0, started["kept"] - self.counts["kept"])  # where kept ones have no line each
        return RunStatus(
            command=started["command"],
            state=str(self.end["event"]) if self.end is not None else RUNNING if held else DIED,
            host=started["host"],
            pid=started["pid"],
            since=started["time"],
            shard=started["shard"] or "",
            version=started["version"],
            cluster=started["cluster"],
            slides=started["slides"],
            slides_in_all=started["slides_in_all"],
            statuses=dict(statuses),
            kept=max(started["kept"], self.counts["kept"]),
            retried=self.counts["retried"],
            given_up=self.counts["given up"],
            workers_lost=self.counts["worker lost"],
            last=self.last["time"],
            error="" if self.end is None else self.end.get("error", ""),
            failures=tuple(self.failures.items())[-FAILURES_KEPT:],
            slides_per_s=_rate(self.ended_at),
        )


def _rate(times: Iterable[str]) -> float:
    """Return how many slides ended in a second, from the first of some times until now."""
    first, *ended = times
    seconds = (datetime.now(UTC) - datetime.fromisoformat(first)).total_seconds()
    return len(ended) / seconds if ended and seconds > 0 else 0.0
