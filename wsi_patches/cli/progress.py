"""How a run gets on, on stderr and only on a terminal: a bar, and above it a line for each slide that has ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wsi_patches.outcome import FAILED, Outcome, SlideReport
from wsi_patches.pipeline import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from wsi_patches.workflows.leading import Watch

__all__ = ["progress_bar", "progress_lines", "slide_line"]


@contextmanager
def progress_bar(label: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Yield what a workflow calls as it gets on, or None where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _bar() as bar:
        yield _progress(bar, label)


@contextmanager
def progress_lines(label: str, *, quiet: bool = False) -> Iterator[Watch]:
    """Yield whom a workflow tells how it gets on and what became of each slide; silent where nobody watches.

    Parameters
    ----------
    label
        What the bar counts.
    quiet
        Say nothing even on a terminal.
    """
    from wsi_patches.workflows.leading import SILENT, Watch

    if quiet or not sys.stderr.isatty():
        yield SILENT
        return
    with _bar() as bar:

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield Watch(_progress(bar, label), lambda became: say(slide_line(became)), say)


def slide_line(became: Outcome | SlideReport) -> str:
    """Return what became of a slide, on one line."""
    found = [became.error] if became.status == FAILED else _found(became)
    return f"{became.status:<8}{became.slide_id}  {', '.join(found)}"


def _found(became: Outcome | SlideReport) -> list[str]:
    """Return what was found on a slide, as far as it is known."""
    told = []
    if isinstance(became, SlideReport):
        counts = ((became.blasts, "blasts"), (became.white_cells, "white cells"))
        told += [f"{count.value:.0f} {name}" for count, name in counts if count is not None]
        unreadable, seconds = became.patches_failed, became.extra.get("seconds")
    else:
        told.append(f"{became.patches} patches")
        unreadable, seconds = became.unreadable, None
    if unreadable:
        told.append(f"{unreadable} places unreadable")
    return told if seconds is None else [*told, f"{seconds:.1f} s"]


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)


def _progress(bar: Bar, label: str) -> Progress:
    line = bar.add_task(label, total=None)
    return lambda done, total: bar.update(line, completed=done, total=total)
