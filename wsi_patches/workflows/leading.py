"""What whoever leads a run does besides handing out tasks: hold the output, open the cluster, tell how it gets on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from wsi_patches.executors import Executor
from wsi_patches.outcome import Outcome, SlideReport, merge_outcomes
from wsi_patches.pipeline import Job, Progress
from wsi_patches.workflows.run_log import RunLog

__all__ = ["SILENT", "SlideTally", "Watch", "opened", "tells_splits"]


def _ignore(_: Any) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Watch:
    """Who is told how a run gets on."""

    progress: Progress | None = None
    """How much is done."""
    slide: Callable[[Outcome | SlideReport], None] = _ignore
    """What became of a slide, as soon as it has ended."""
    say: Callable[[str], None] = _ignore
    """Sentences, such as where the cluster can be seen at work."""


SILENT = Watch()


@contextmanager
def opened(executor: Executor, watch: Watch, *, is_open: bool = False) -> Iterator[None]:
    """Open an executor's cluster for a while, unless it is open already.

    Raises
    ------
    UsageError
        The cluster cannot be had.
    """
    if is_open:
        yield
        return
    with executor:
        if executor.dashboard is not None:
            watch.say(f"dashboard: {executor.dashboard}")
        yield


def tells_splits(log: RunLog, slides_of: Callable[[Any], Sequence[str]]) -> Callable[[Job, BaseException], None]:
    """Return what writes into the log that workers died over a task whose slides will be tried one by one."""

    def tell(job: Job, error: BaseException) -> None:
        log.lost(job.stage.name, slides_of(job.task), error, again=True)

    return tell


class SlideTally:
    """Which slides have ended, of those that are cut into several runs.

    Parameters
    ----------
    slide_ids
        The slide of each run; a slide that has several comes several times.
    """

    def __init__(self, slide_ids: Iterable[str]) -> None:
        self._left = Counter(slide_ids)
        self._so_far: dict[str, list[Outcome]] = {}

    def add(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Take what became of some runs; return what became of the slides that have ended with them."""
        ended = []
        for outcome in outcomes:
            so_far = self._so_far.setdefault(outcome.slide_id, [])
            so_far.append(outcome)
            if len(so_far) == self._left[outcome.slide_id]:
                ended += merge_outcomes(self._so_far.pop(outcome.slide_id))
        return ended
