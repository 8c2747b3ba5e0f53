"""``counts.csv``: one row a slide, whatever became of it."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

from wsi_patches.locations import is_remote, patiently
from wsi_patches.outcome import FAILED, Interval, SlideReport
from wsi_patches.stores.files import replacing

__all__ = ["COLUMNS", "CountsFile", "figures", "write_counts"]

COLUMNS = (
    "slide_id",
    "path",
    "group",
    "status",
    "blasts",
    "blasts_low",
    "blasts_high",
    "white_cells",
    "white_cells_low",
    "white_cells_high",
    "blast_fraction",
    "blast_fraction_low",
    "blast_fraction_high",
    "patches",
    "patches_failed",
    "patches_out_of_focus",
    "coverage",
    "method",
    "model",
    "weights_sha256",
    "warnings",
    "error",
    "unlike_training",
    "abstains",
)
"""Scripts rely on these names; columns are only ever added at the end."""
UPLOAD_EVERY_S = 10.0


def write_counts(path: Path, reports: Sequence[SlideReport]) -> None:
    """Write the table; it replaces an earlier one only once it is whole."""
    patiently(lambda: _write(path, reports))


def _write(path: Path, reports: Sequence[SlideReport]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(_row(report) for report in reports)


class CountsFile:
    """The table while a run goes on: a row is added as each slide ends, and at the end rows are put in order.

    It is there from the start: a run that is killed still shows what it had. One that is stopped leaves it in order.

    Parameters
    ----------
    path
        Where; an earlier table is replaced.
    reports
        What is known from the start.
    order
        Ids of all slides, as the rows are to lie in the end.
    """

    def __init__(self, path: Path, reports: Sequence[SlideReport], order: Sequence[str]) -> None:
        self.path = path
        self._reports = list(reports)
        self._position = {slide_id: row for row, slide_id in enumerate(order)}
        write_counts(path, self.reports)

    @property
    def reports(self) -> list[SlideReport]:
        """What is known so far, in order."""
        return sorted(self._reports, key=lambda report: self._position[report.slide_id])

    def __enter__(self) -> Self:
        self._rows = _Uploaded(self.path) if is_remote(self.path) else _Appended(self.path)
        return self

    def __exit__(self, *failure: object) -> None:
        self._rows.close()
        write_counts(self.path, self.reports)

    def add(self, report: SlideReport) -> None:
        """Append a row, so that whoever looks sees it; of an object store some seconds later."""
        self._reports.append(report)
        self._rows.add(report, self._reports)


class _Appended:
    """A file that grows row by row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = self._open()

    def _open(self) -> TextIO:
        return self._path.open("a", newline="", encoding="utf-8")

    def add(self, report: SlideReport, _so_far: Sequence[SlideReport]) -> None:
        patiently(lambda: self._append(report))

    def _append(self, report: SlideReport) -> None:
        if self._stream.closed:
            self._stream = self._open()
        try:
            csv.writer(self._stream).writerow(_row(report))
            self._stream.flush()
        except OSError:  # a file server that comes back may not know the file's handle any more
            with suppress(OSError):
                self._stream.close()
            raise

    def close(self) -> None:
        self._stream.close()


class _Uploaded:
    """An object cannot grow: it is written anew, at most every few seconds."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, time.monotonic() + UPLOAD_EVERY_S

    def add(self, _report: SlideReport, so_far: Sequence[SlideReport]) -> None:
        if time.monotonic() >= self._next:
            write_counts(self._path, so_far)
            self._next = time.monotonic() + UPLOAD_EVERY_S

    def close(self) -> None:
        """Do nothing: the whole table is written at the end."""


def _row(report: SlideReport) -> list[str | int]:
    done = report.status != FAILED
    focus = report.patches_out_of_focus
    return [
        report.slide_id,
        report.path,
        report.group or "",
        report.status,
        *figures(report.blasts, ".1f"),
        *figures(report.white_cells, ".1f"),
        *figures(report.blast_fraction, ".4f"),
        report.patches if done else "",
        report.patches_failed if done else "",
        "" if focus is None else focus,
        f"{report.coverage:.4f}" if done else "",
        report.method,
        report.model,
        report.weights_sha256,
        "; ".join(report.warnings),
        report.error,
        "" if report.unlike_training is None else f"{report.unlike_training:.3f}",
        "" if report.unlike_training is None else "yes" if report.abstains else "no",
    ]


def figures(interval: Interval | None, style: str) -> tuple[str, str, str]:
    """Return value, low and high; a count is whole and so is written whole."""
    if interval is None:
        return "", "", ""
    value = (
        f"{interval.value:.0f}"
        if float(interval.value).is_integer() and style == ".1f"
        else f"{interval.value:{style}}"
    )
    return value, f"{interval.low:{style}}", f"{interval.high:{style}}"
