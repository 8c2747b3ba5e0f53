"""What the shards of a job array found, taken together by whichever of them ends last."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_patches.outcome import FAILED, SlideReport
from wsi_patches.report import read_report
from wsi_patches.workflows.run_log import find_logs, last_event, log_path, read_events
from wsi_patches.workflows.shards import Shard

__all__ = ["Collected", "collect_reports", "is_last"]

READERS = 8
"""Reports that are read at a time: on a cluster's file system each takes a while to open."""


@dataclass(frozen=True)
class Collected:
    """What is known of all slides of an output of ``infer``."""

    reports: tuple[SlideReport, ...]
    """In the order that was asked for."""
    missing: tuple[str, ...]
    """Slides of which nothing is known: they were never begun, or their shard died over them."""


def is_last(out: Path, shard: Shard) -> bool:
    """Say whether all other shards have come to their end; to be asked within `OutputLock.alone`."""
    others = (Shard(number, shard.of) for number in range(1, shard.of + 1) if number != shard.number)
    return all(last_event(log_path(out, other)) == "finished" for other in others)


def collect_reports(out: Path, order: Sequence[str]) -> Collected:
    """Read the reports of all slides; what failed has none, and is known from the logs.

    Parameters
    ----------
    out
        The output folder of ``infer``.
    order
        Ids of all slides in input order.
    """
    failures = _failures(out)

    def of(slide_id: str) -> SlideReport | None:
        failure = failures.get(slide_id)
        return read_report(out / slide_id) if failure is None else _failed_report(failure)

    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(of, order))
    missing = tuple(slide_id for slide_id, report in zip(order, found, strict=True) if report is None)
    return Collected(tuple(report for report in found if report is not None), missing)


def _failures(out: Path) -> dict[str, dict[str, Any]]:
    """Return the events of the slides whose last event says that they failed."""
    last: dict[str, tuple[str, dict[str, Any] | None]] = {}
    for path in find_logs(out):
        for event in read_events(path):
            if event["event"] == "slide" and event["time"] >= last.get(event["slide"], ("",))[0]:
                last[event["slide"]] = event["time"], event if event["status"] == FAILED else None
    return {slide_id: event for slide_id, (_, event) in last.items() if event is not None}


def _failed_report(event: dict[str, Any]) -> SlideReport:
    extra = {name: event[name] for name in ("group_kind",) if name in event}
    error, group = event.get("error", ""), event.get("group")
    return SlideReport(event["slide"], event["path"], FAILED, group=group, error=error, extra=extra)
